"""Whole numbers, axes and shapes, as arguments of functions: checked, and made of Python's ints."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np

from ranvier.errors import DTypeError, ShapeError


def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that `shapes` broadcast to by NumPy's rule, or raise ShapeError."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        listed = " and ".join(str(s) for s in shapes)
        raise ShapeError(
            f"shapes {listed} do not broadcast; aligned at the right, axes must be equal or 1"
        ) from None


def axis_tuple(axis: int | Sequence[int] | None, ndim: int, what: str = "") -> tuple[int, ...]:
    """Return `axis` as sorted non-negative axes; None means all of them.

    Raises ShapeError or DTypeError, which names the function `what`, for what does not fit.
    """
    prefix = f"{what}: " if what else ""
    axes = tuple(range(ndim)) if axis is None else whole_numbers(f"{prefix}axis", axis)
    for a in axes:
        if not -ndim <= a < ndim:
            hint = f"use {-ndim} to {ndim - 1}" if ndim else "it has none"
            counted = f"{ndim} {'axis' if ndim == 1 else 'axes'}"
            raise ShapeError(f"{prefix}axis {a} does not fit a tensor of {counted}; {hint}")
    out = sorted({a % ndim for a in axes})
    if len(out) != len(axes):
        raise ShapeError(f"{prefix}axis {axis} names an axis twice; name it once")
    return tuple(out)


def one_axis(axis: Any, ndim: int, what: str) -> int:
    """Return `axis`, a single one, as a non-negative int, or raise as `axis_tuple` does."""
    return axis_tuple(whole_number(f"{what}: axis", axis), ndim, what)[0]


def whole_number(label: str, value: Any) -> int:
    """Return a whole number, of Python or NumPy, as an int.

    Raises DTypeError, with the argument's name `label`, for anything else.
    """
    try:
        return index(value)
    except TypeError:
        raise DTypeError(f"{label} {_shown(value)} is not a whole number; use an int") from None


def whole_numbers(label: str, values: Any) -> tuple[int, ...]:
    """Return a whole number, or a sequence of them, as a tuple of ints, or raise DTypeError."""
    try:
        return (index(values),)
    except TypeError:
        pass  # no number, then a sequence
    try:
        return tuple(index(value) for value in values)
    except TypeError:
        raise DTypeError(
            f"{label} {_shown(values)} is not made of whole numbers; use ints"
        ) from None


def lengths(what: str, shape: Any) -> tuple[int, ...]:
    """Return the `shape` of `what`: whole numbers, 0 or more; else DTypeError or ShapeError."""
    whole = whole_numbers(f"{what}: shape", shape)
    if any(n < 0 for n in whole):
        raise ShapeError(f"{what}: shape {whole} has a negative axis; use lengths of 0 or more")
    return whole


def _shown(value: Any) -> str:
    text = repr(value)
    return f"of type {type(value).__name__}" if "\n" in text else text


def pairs(widths: Any, ndim: int, what: str) -> list[tuple[int, int]]:
    """Return `widths` as one pair (before, after) for each axis, by the rule of numpy.pad."""
    try:
        array = np.asarray(widths)
        flat = whole_numbers(f"{what}: widths", array.ravel().tolist())
        spread = np.broadcast_to(np.reshape(flat, array.shape), (ndim, 2))
    except ValueError:
        raise ShapeError(
            f"{what}: widths {_shown(widths)} do not fit {ndim} axes; give one number, one pair "
            "(before, after), or a pair for each axis"
        ) from None
    return [(int(lo), int(hi)) for lo, hi in spread]
