"""Reductions: axes that are summed up or searched, and dropped from the shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from ranvier import dtypes
from ranvier.dtypes import DType
from ranvier.errors import DTypeError, ShapeError
from ranvier.graph import functions as f
from ranvier.graph.tensor import Array, Op, Shape, Tensor
from ranvier.records import dataclass


@dataclass(frozen=True)
class Reduction(Op):
    """Base: `axes` are sorted, non-negative and distinct."""

    arity = 1
    accepts: ClassVar[tuple[DType, ...]] = dtypes.NUMERIC
    axes: tuple[int, ...]

    def infer(self, *inputs: Tensor) -> tuple[Shape, DType]:
        (x,) = inputs
        if list(self.axes) != sorted(set(self.axes)) or not all(0 <= a < x.ndim for a in self.axes):
            raise ShapeError(f"{self.name}: axes {self.axes} do not fit shape {x.shape}")
        if x.dtype not in self.accepts:
            raise DTypeError(f"{self.name} does not take {x.dtype}; convert with .astype(...)")
        return tuple(n for a, n in enumerate(x.shape) if a not in self.axes), x.dtype

    def spread(self, reduced: Tensor, x: Tensor) -> Tensor:
        """Broadcast a reduced tensor back over the axes of `x`."""
        kept = tuple(1 if a in self.axes else n for a, n in enumerate(x.shape))
        return f.broadcast_to(f.reshape(reduced, kept), x.shape)


class Sum(Reduction):
    """The sum over `axes`, in the dtype of the input."""

    name = "sum"

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return xp.sum(arrays[0], axis=self.axes, dtype=arrays[0].dtype)

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        return (self.spread(grad, out.inputs[0]),)


class Extremum(Reduction):
    """Base of max and min: NaN if any element is; equal extrema share the gradient."""

    def infer(self, *inputs: Tensor) -> tuple[Shape, DType]:
        if any(inputs[0].shape[a] == 0 for a in self.axes if a < inputs[0].ndim):
            raise ShapeError(f"{self.name}: shape {inputs[0].shape} has nothing along {self.axes}")
        return super().infer(*inputs)

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        (x,) = out.inputs
        chosen = f.cast(x == self.spread(out, x), grad.dtype)
        share = grad / f.sum(chosen, self.axes)
        return (chosen * self.spread(share, x),)


class Max(Extremum):
    """The largest element over `axes`."""

    name = "max"

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return xp.max(arrays[0], axis=self.axes)


class Min(Extremum):
    """The smallest element over `axes`."""

    name = "min"

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return xp.min(arrays[0], axis=self.axes)


class ArgMax(Reduction):
    """The index (int64) of the first largest element along one axis; a NaN counts as largest."""

    name = "argmax"
    differentiable = False

    def infer(self, *inputs: Tensor) -> tuple[Shape, DType]:
        shape, _ = super().infer(*inputs)
        if len(self.axes) != 1 or inputs[0].shape[self.axes[0]] == 0:
            raise ShapeError(f"argmax takes one axis that is not empty, not {self.axes}")
        return shape, dtypes.int64

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return xp.argmax(arrays[0], axis=self.axes[0])
