"""The error and the warning of every data source."""

from __future__ import annotations

from ranvier.errors import RanvierError


class DataError(RanvierError, ValueError):
    """Data that is missing, damaged or does not fit what it is used for."""


class NoPictureError(DataError):
    """A file that is to be read as a picture is something else."""


class DataWarning(UserWarning):
    """Data that can be used, but perhaps not as they were meant."""
