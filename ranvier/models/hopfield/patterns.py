"""Patterns of -1 and 1: checked, and corrupted for trials of recall."""

from __future__ import annotations

from typing import Any

import numpy as np

from ranvier import validation as checks
from ranvier.errors import InputError, ShapeError


def as_patterns(given: Any, units: int | None = None, what: str = "pattern") -> np.ndarray:
    """Return patterns of -1 and 1 as float32 [patterns, units].

    Raises ShapeError for another form or another number of units, InputError for other values.
    """
    array = as_rows(given, units, what)
    foreign = array[(array != 1) & (array != -1)]
    if foreign.size:
        raise InputError(
            f"a {what} holds {checks.shown(foreign[0])}; units are -1 or 1, so map 0 and 1 by "
            "2 * x - 1, and compare greys with a threshold"
        )
    return array.astype(np.float32)


def as_rows(given: Any, units: int | None, what: str) -> np.ndarray:
    """Return finite numbers [rows, units], or raise ShapeError or InputError."""
    array = np.asarray(given)
    if array.ndim != 2 or not array.size:
        raise ShapeError(
            f"{what}s are an array [{what}s, units], not of shape {list(array.shape)}; reshape it"
        )
    if units is not None and array.shape[1] != units:
        raise ShapeError(
            f"the network has {units} units, a {what} {array.shape[1]}; make the sizes agree"
        )
    if array.dtype.kind not in "fiub" or not np.isfinite(array).all():
        raise InputError(f"a {what} holds what is no finite number; use numbers")
    return array


def corrupted(patterns: Any, share: float, seed: int = 0) -> np.ndarray:
    """Return the patterns with the sign of some units changed, int8 [patterns, units].

    share: of the units of each pattern, in [0, 1], rounded to a whole number of units. Which
    ones is drawn for each pattern by NumPy's Philox generator, keyed by `seed`.
    """
    array = as_patterns(patterns)
    share = checks.number("corrupted: share", share, low=0, high=1)
    seed = checks.whole_number("corrupted: seed", seed, 0)
    draws = np.random.Philox(key=np.array((seed, 0), np.uint64)).random_raw(array.size)
    changed = np.argsort(draws.reshape(array.shape), axis=1, kind="stable")
    changed = changed[:, : round(share * array.shape[1])]
    np.put_along_axis(array, changed, -np.take_along_axis(array, changed, 1), 1)
    return array.astype(np.int8)
