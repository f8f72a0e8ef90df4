"""`x[key]`: integers, slices, None and `...`, as slices and reshapes; tensors as row indices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ranvier.errors import DTypeError, ShapeError
from ranvier.graph import functions as f
from ranvier.graph.tensor import Tensor


def getitem(x: Tensor, key: Any) -> Tensor:
    """Index with integers, slices, None, `...`, or one list, array or tensor: rows of axis 0.

    Raises ShapeError or DTypeError for what does not index `x`.
    """
    if isinstance(key, Tensor | np.ndarray | list):
        return f.take(x, key)
    keys = list(key) if isinstance(key, tuple) else [key]
    given = sum(k is not None and k is not Ellipsis for k in keys)
    if given > x.ndim:
        raise ShapeError(f"{given} indices for a tensor of shape {x.shape}; give {x.ndim} at most")
    rests = [i for i, k in enumerate(keys) if k is Ellipsis]
    if len(rests) > 1:
        raise ShapeError("an index holds `...` more than once; write `:` for single axes")
    at = rests[0] if rests else len(keys)
    keys[at : at + 1] = [slice(None)] * (x.ndim - given)
    return _basic_index(x, keys)


def _basic_index(x: Tensor, keys: Sequence[Any]) -> Tensor:
    ranges: list[range] = []
    shape: list[int] = []
    for k in keys:
        if k is None:
            shape.append(1)
            continue
        axis = len(ranges)
        if isinstance(k, slice):
            ranges.append(_sliced(x, axis, k))
            shape.append(len(ranges[-1]))
        else:
            position = _position(x, axis, k)
            ranges.append(range(position, position + 1))
    starts = [min(chosen, default=0) for chosen in ranges]
    stops = [max(chosen, default=-1) + 1 for chosen in ranges]
    flipped = [axis for axis, chosen in enumerate(ranges) if chosen.step < 0]
    x = f.slice_axes(x, starts, stops, [abs(chosen.step) for chosen in ranges])
    return f.reshape(f.flip(x, flipped) if flipped else x, shape)


def _sliced(x: Tensor, axis: int, key: slice) -> range:
    if key.step is not None and not isinstance(key.step, Tensor) and key.step == 0:
        raise ShapeError(f"the slice of axis {axis} has step 0; use 1, -1 or more")
    try:
        return range(*key.indices(x.shape[axis]))
    except TypeError:
        raise DTypeError(
            f"the slice of axis {axis} of shape {x.shape} is not made of whole numbers; use ints"
        ) from None


def _position(x: Tensor, axis: int, key: Any) -> int:
    if isinstance(key, bool) or not isinstance(key, int | np.integer):
        raise DTypeError(
            f"a {type(key).__name__} cannot index axis {axis} of shape {x.shape}; use an "
            "integer or a slice, and rv.take for index tensors"
        )
    n = x.shape[axis]
    if not -n <= key < n:
        raise ShapeError(
            f"index {key} is outside axis {axis} of shape {x.shape}; use {-n} to {n - 1}"
        )
    return int(key) % n
