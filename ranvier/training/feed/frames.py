"""Data frames (of pandas, polars and their like) and other tables as arrays.

None of these packages is imported: a data frame is what has names of columns, their dtypes, and
gives a column by its name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from ranvier.data.errors import DataError
from ranvier.data.source import Array, Names

_SHOWN = 8


def is_frame(data: Any) -> bool:
    """Whether data are a data frame."""
    return all(hasattr(data, each) for each in ("columns", "dtypes", "__getitem__", "__array__"))


def frame_array(frame: Any, wanted: Names, what: str) -> tuple[Array, Names]:
    """Return the columns of a data frame as an array [n, columns], and their names.

    wanted: the columns, by name; all where there are none. Booleans count as numbers. Raises
    DataError, which calls the frame `what`, for columns that are missing, and for those that
    hold anything but numbers.
    """
    keys = {str(key): key for key in frame.columns}
    counts = Counter(str(key) for key in frame.columns)
    names = wanted or tuple(counts)
    places(names, tuple(keys), what)
    twice = [name for name in names if counts[name] > 1]
    if twice:
        raise DataError(f"{what}: two columns are named {twice[0]!r}; rename one")
    if not names:
        raise DataError(f"{what}: there are no columns; pass at least one")
    columns = [_finite(frame[keys[name]], f"{what}: the column {name!r}") for name in names]
    return np.stack(columns, axis=1), names


def _finite(column: Any, what: str) -> Array:
    """A column of numbers of which none is missing."""
    array = column_array(column, what)
    wrong = np.flatnonzero(~np.isfinite(array))
    if len(wrong):
        raise DataError(
            f"{what}: row {wrong[0]} is {array[wrong[0]]}, counted from 0; fill such gaps, or "
            "leave the rows out"
        )
    return array


def places(wanted: Sequence[str], given: Sequence[str], what: str) -> list[int]:
    """Return where each wanted column is among the given ones; DataError for missing ones."""
    known = {name: place for place, name in enumerate(given)}
    missing = [name for name in wanted if name not in known]
    if missing:
        raise DataError(
            f"{what}: there is no column {_short(missing)}; the network has learnt from "
            f"{_short(wanted)}; use the same names, or pass an array with its columns in this order"
        )
    return [known[name] for name in wanted]


def column_array(column: Any, what: str) -> Array:
    """Return a column of numbers or booleans as an array [n]; DataError for anything else."""
    array: Array = np.asarray(column)
    if array.dtype.kind in "fiub":
        return array
    refuse_dates(array, what)
    values = array.tolist()
    words = [value for value in values if isinstance(value, str)]
    if words:
        raise DataError(
            f"{what}: there are words, such as {words[0][:40]!r}; turn words into numbers first, "
            "as np.unique(labels, return_inverse=True) and pandas.get_dummies do"
        )
    try:  # a mixture of kinds, or numbers that may be missing
        mixed: Array = np.array(values)
        return mixed if mixed.dtype.kind in "fiub" else np.array(values, np.float64)
    except (TypeError, ValueError):
        raise DataError(
            f"{what}: there are missing values, or what is no number; fill them in, or leave it out"
        ) from None


def refuse_dates(array: Array, what: str) -> None:
    """Raise DataError for dates and spans of time, which have no one number."""
    if array.dtype.kind in "Mm":
        raise DataError(
            f"{what}: there are dates or times; turn them into numbers first, such as days: "
            '(dates - dates.min()) / numpy.timedelta64(1, "D")'
        )


def refuse_sparse(value: Any, what: str) -> None:
    """Raise DataError for a sparse matrix."""
    if hasattr(value, "nnz") and hasattr(value, "toarray"):
        raise DataError(f"{what}: a sparse matrix; pass .toarray() of it, or batches of that")


def _short(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:_SHOWN]))
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown
