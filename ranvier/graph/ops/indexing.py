"""Indexing with tensors: rows taken by index, and rows added up by index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ranvier import dtypes
from ranvier.dtypes import DType
from ranvier.errors import DTypeError, ShapeError
from ranvier.graph import functions as f
from ranvier.graph.tensor import Array, Op, Shape, Tensor
from ranvier.records import dataclass


def _check_indices(name: str, indices: Tensor) -> None:
    if indices.dtype not in (dtypes.int32, dtypes.int64):
        raise DTypeError(f"{name}: indices are {indices.dtype}; use int32 or int64")


def counted_from_zero(name: str, indices: np.ndarray, length: int) -> np.ndarray:
    """Return known `indices` into `length` elements with negative ones counted from the end.

    Raises ShapeError for one that is outside. Another dtype, or nothing to index, is left for
    the op to refuse.
    """
    if indices.dtype not in (dtypes.int32, dtypes.int64) or length < 1:
        return indices
    outside = (indices < -length) | (indices >= length)
    if outside.any():
        raise ShapeError(
            f"{name}: index {indices[outside][0]} is outside an axis of length {length}; "
            f"use {-length} to {length - 1}"
        )
    return np.where(indices < 0, indices + length, indices)


@dataclass(frozen=True)
class Take(Op):
    """Rows of `x` along its first axis: x [n, …], indices [i…] give [i…, …].

    An index below 0 or above n - 1 is moved to the nearest row. A program refuses such
    indices where they come straight from an input, and `rv.take` where they are known.
    """

    name = "take"
    arity = 2

    def infer(self, *inputs: Tensor) -> tuple[Shape, DType]:
        x, indices = inputs
        _check_indices("take", indices)
        if x.ndim == 0 or x.shape[0] == 0:
            raise ShapeError(f"take: shape {x.shape} has no rows to take")
        return (*indices.shape, *x.shape[1:]), x.dtype

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return xp.take(arrays[0], arrays[1], axis=0, mode="clip")

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        x, indices = out.inputs
        return f.scatter_add(grad, indices, x.shape[0]), None


@dataclass(frozen=True)
class ScatterAdd(Op):
    """Rows added up by index: updates [i…, …], indices [i…] give [rows, …].

    Result row r is the sum, in order, of the updates whose index is r; an index out of range
    is moved to the nearest row.
    """

    name = "scatter_add"
    arity = 2
    rows: int

    def infer(self, *inputs: Tensor) -> tuple[Shape, DType]:
        updates, indices = inputs
        _check_indices("scatter_add", indices)
        if updates.dtype not in dtypes.NUMERIC:
            raise DTypeError(f"scatter_add does not take {updates.dtype}; use .astype(...)")
        if updates.shape[: indices.ndim] != indices.shape or self.rows < 1:
            raise ShapeError(
                f"scatter_add: updates {updates.shape} must begin with the shape of the "
                f"indices {indices.shape}, and rows ({self.rows}) be positive"
            )
        return (self.rows, *updates.shape[indices.ndim :]), updates.dtype

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        updates, indices = arrays
        shape = (self.rows, *updates.shape[indices.ndim :])
        result = xp.zeros(shape, updates.dtype)
        flat = xp.clip(indices.reshape(-1), 0, self.rows - 1)
        updates = updates.reshape(flat.shape + shape[1:])
        if xp is np:
            np.add.at(result, flat, updates)
            return result
        return result.at[flat].add(updates)

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        return f.take(grad, out.inputs[1]), None
