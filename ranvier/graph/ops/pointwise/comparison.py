"""Comparisons, logic, choice and conversion, element by element."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ranvier import dtypes
from ranvier.dtypes import DType
from ranvier.errors import DTypeError, ShapeError
from ranvier.graph import functions as f
from ranvier.graph.ops.pointwise.base import Pointwise
from ranvier.graph.tensor import Array, Shape, Tensor
from ranvier.records import dataclass


class Comparison(Pointwise):
    """Base of the comparisons, whose result is bool."""

    arity = 2
    differentiable = False
    accepts = (*dtypes.NUMERIC, dtypes.bool_)
    gives = dtypes.bool_


class Less(Comparison):
    """a < b."""

    name = "less"

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return arrays[0] < arrays[1]


class LessEqual(Comparison):
    """a <= b."""

    name = "less_equal"

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return arrays[0] <= arrays[1]


class Equal(Comparison):
    """a == b."""

    name = "equal"

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return arrays[0] == arrays[1]


class NotEqual(Comparison):
    """a != b."""

    name = "not_equal"

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return arrays[0] != arrays[1]


class Logical(Pointwise):
    """Base of the connectives of bool tensors."""

    differentiable = False
    accepts = (dtypes.bool_,)


class LogicalAnd(Logical):
    """a and b."""

    name = "logical_and"
    arity = 2

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return xp.logical_and(arrays[0], arrays[1])


class LogicalOr(Logical):
    """a or b."""

    name = "logical_or"
    arity = 2

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return xp.logical_or(arrays[0], arrays[1])


class LogicalNot(Logical):
    """not a."""

    name = "logical_not"

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return xp.logical_not(arrays[0])


class Where(Pointwise):
    """a where the bool tensor `condition` holds, else b; inputs (condition, a, b)."""

    name = "where"
    arity = 3
    accepts = dtypes.ALL

    def infer(self, *inputs: Tensor) -> tuple[Shape, DType]:
        condition, a, b = inputs
        if condition.dtype != dtypes.bool_:
            raise DTypeError(f"where: the condition is {condition.dtype}; compare it to get bool")
        if condition.shape != a.shape:
            raise ShapeError(
                f"where: condition {condition.shape} and values {a.shape} differ; broadcast first"
            )
        self._check((a, b))
        return a.shape, a.dtype

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return xp.where(*arrays)

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        condition = out.inputs[0]
        zero = f.zeros_like(grad)
        return None, f.where(condition, grad, zero), f.where(condition, zero, grad)


@dataclass(frozen=True)
class Cast(Pointwise):
    """x converted to `dtype`, as NumPy's astype where that is the same on all machines.

    Floats become integers towards zero; those out of range become the nearest integer of the
    dtype and NaN 0, where NumPy's result depends on the machine. Between floating dtypes,
    bfloat16 included, the gradient flows.
    """

    name = "cast"
    accepts = dtypes.ALL
    dtype: DType

    def infer(self, *inputs: Tensor) -> tuple[Shape, DType]:
        self._check(inputs)
        return inputs[0].shape, self.dtype

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        (x,) = arrays
        from_integer = x.dtype in (*dtypes.INTEGER, dtypes.bool_)
        if from_integer or self.dtype not in dtypes.INTEGER:
            return x.astype(self.dtype)
        return _saturated(xp, x.astype(dtypes.float64), self.dtype)

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        source = out.inputs[0].dtype
        if source == dtypes.bfloat16:
            # No op adds bfloat16, so the gradient towards it stays in float32, unrounded.
            return (f.cast(grad, dtypes.float32),)
        return (f.cast(grad, source) if dtypes.is_floating(source) else None,)


def _saturated(xp: Any, x: Array, dtype: DType) -> Array:
    """float64 `x` as integers: towards zero, out of range the nearest, NaN to 0."""
    limits = np.iinfo(dtype)
    low, high = x <= float(limits.min), x >= float(limits.max)
    inside = xp.where(low | high | xp.isnan(x), 0.0, x).astype(dtype)
    least, most = dtype.type(limits.min), dtype.type(limits.max)
    return xp.where(high, most, xp.where(low, least, inside))
