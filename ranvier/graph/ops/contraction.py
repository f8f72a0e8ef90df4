"""Contractions: the heavy arithmetic. Here the batched matrix product."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ranvier import dtypes
from ranvier.dtypes import DType
from ranvier.errors import DTypeError, ShapeError
from ranvier.graph import functions as f
from ranvier.graph.tensor import Array, Op, Shape, Tensor
from ranvier.records import dataclass


@dataclass(frozen=True)
class MatMul(Op):
    """[..., m, k] by [..., k, n] gives [..., m, n]; equal leading axes.

    Transposed operands are transposed views, which the compiler reads in place.
    """

    name = "matmul"
    arity = 2

    def infer(self, *inputs: Tensor) -> tuple[Shape, DType]:
        a, b = inputs
        if a.dtype != b.dtype or not dtypes.is_floating(a.dtype):
            raise DTypeError(
                f"matmul takes two operands of one floating dtype, not {a.dtype} and {b.dtype}"
            )
        if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-2]:
            raise ShapeError(
                f"matmul: {a.shape} by {b.shape}: the last axis of the first must equal the "
                "last but one of the second"
            )
        if a.shape[:-2] != b.shape[:-2]:
            raise ShapeError(f"matmul: leading axes of {a.shape} and {b.shape} differ")
        return (*a.shape[:-1], b.shape[-1]), a.dtype

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return xp.matmul(arrays[0], arrays[1])

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        a, b = out.inputs
        return grad @ f.swapaxes(b, -1, -2), f.swapaxes(a, -1, -2) @ grad
