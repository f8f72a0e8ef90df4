"""Files that are there whole or not at all: written beside, synced, and put in place."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ranvier.errors import InputError, RanvierError
from ranvier.reading import parse_json, read_plain

_MOST_OBJECTS = 50_000
"""Objects of a configuration: modules, their arguments, penalties and the like."""


class RunError(RanvierError, OSError):
    """A run folder, or a file of it, that is missing, damaged or cannot be written."""

    def __str__(self) -> str:
        return str(self.args[0])


def write_atomically(path: Path, content: bytes, durable: bool = True) -> None:
    """Replace a file: its old content stays until the new one is safely on the disk.

    Unless `durable`, the system may take its time to bring it there: a process that is killed
    loses nothing, a power cut may lose the file. Raises RunError where the system refuses; the
    old file is as it was then.
    """
    temporary: str | None = None
    try:
        number, temporary = tempfile.mkstemp(".tmp", f".{path.name}.", path.parent)
        try:
            left = memoryview(content)
            while left:
                left = left[os.write(number, left) :]
            if durable:
                os.fsync(number)
        finally:
            os.close(number)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        raise RunError(
            f"cannot write {path}: {error.strerror or error}; mend that and go on, the file is "
            "as it was"
        ) from None
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
    if durable:
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return
    with contextlib.suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def sweep(folder: Path) -> None:
    """Remove what killed runs have left half written."""
    for path in folder.glob(".*.tmp"):
        with contextlib.suppress(OSError):
            path.unlink()


def new_folder(path: Path) -> None:
    """Make a folder and those above it; RunError where that cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot make the folder {path}: {error.strerror}; choose another") from None


def as_json(value: Any, what: str) -> Any:
    """Return a value as a file gives it back: keys are text, tuples and arrays are lists.

    Raises InputError, which calls it `what`, for anything that has no such form.
    """
    try:
        return json.loads(json.dumps(value, default=_numbers, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(
            f"{what} cannot be written to a file ({error}); use numbers that are finite, text, "
            "lists and dicts"
        ) from None


def _numbers(value: Any) -> Any:
    """The plain numbers of an array, or of one of NumPy's own."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} has no JSON form")


def canonical(value: Any) -> bytes:
    """Return JSON in one form for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def save_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write an object as JSON with a checksum of itself."""
    digest = hashlib.sha256(canonical(value)).hexdigest()
    text = json.dumps({"sha256": digest, **value}, indent=2, allow_nan=False)
    write_atomically(path, f"{text}\n".encode())


def load_json(path: Path) -> dict[str, Any]:
    """Read what `save_json` wrote; RunError where it is missing, altered or damaged."""
    try:
        content = read_plain(path)
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}; check the path") from None
    try:
        value = parse_json(content, _MOST_OBJECTS)
        digest = value.pop("sha256")
        whole = digest == hashlib.sha256(canonical(value)).hexdigest()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise RunError(
            f"{path}: the file was altered or damaged; restore it from a copy, or train again"
        )
    return dict(value)
