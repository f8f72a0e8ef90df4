"""Movement: the same elements in other places. No arithmetic, any dtype."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from ranvier.dtypes import DType
from ranvier.errors import DTypeError, ShapeError
from ranvier.graph import functions as f
from ranvier.graph.tensor import Array, Op, Shape, Tensor
from ranvier.records import dataclass


@dataclass(frozen=True)
class Reshape(Op):
    """The elements in row-major order under another shape."""

    name = "reshape"
    arity = 1
    shape: Shape

    def infer(self, *inputs: Tensor) -> tuple[Shape, DType]:
        if prod(self.shape) != inputs[0].size or any(n < 0 for n in self.shape):
            raise ShapeError(
                f"reshape: {inputs[0].shape} has {inputs[0].size} elements, {self.shape} "
                f"would have {prod(self.shape)}"
            )
        return self.shape, inputs[0].dtype

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return xp.reshape(arrays[0], self.shape)

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        return (f.reshape(grad, out.inputs[0].shape),)


@dataclass(frozen=True)
class Transpose(Op):
    """Axis i of the result is axis `axes[i]` of the input."""

    name = "transpose"
    arity = 1
    axes: tuple[int, ...]

    def infer(self, *inputs: Tensor) -> tuple[Shape, DType]:
        if sorted(self.axes) != list(range(inputs[0].ndim)):
            raise ShapeError(f"transpose: {self.axes} does not permute axes of {inputs[0].shape}")
        return tuple(inputs[0].shape[a] for a in self.axes), inputs[0].dtype

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return xp.transpose(arrays[0], self.axes)

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        inverse = sorted(range(len(self.axes)), key=self.axes.__getitem__)
        return (f.transpose(grad, inverse),)


@dataclass(frozen=True)
class BroadcastTo(Op):
    """Axes of length 1, and missing leading axes, repeated to `shape`."""

    name = "broadcast_to"
    arity = 1
    shape: Shape

    def infer(self, *inputs: Tensor) -> tuple[Shape, DType]:
        source = inputs[0].shape
        tail = self.shape[len(self.shape) - len(source) :]
        fits = len(source) <= len(self.shape) and all(
            n in (1, m) for n, m in zip(source, tail, strict=True)
        )
        if not fits:
            raise ShapeError(f"broadcast_to: {source} cannot be repeated to {self.shape}")
        return self.shape, inputs[0].dtype

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return xp.broadcast_to(arrays[0], self.shape)

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        source = out.inputs[0].shape
        extra = len(self.shape) - len(source)
        padded = (1,) * extra + source
        repeated = tuple(
            a
            for a, (n, m) in enumerate(zip(padded, self.shape, strict=True))
            if n != m or a < extra
        )
        return (f.reshape(f.sum(grad, repeated), source) if repeated else grad,)


@dataclass(frozen=True)
class Slice(Op):
    """Elements start, start + step, … before stop along every axis; steps are positive."""

    name = "slice"
    arity = 1
    starts: tuple[int, ...]
    stops: tuple[int, ...]
    steps: tuple[int, ...]

    def infer(self, *inputs: Tensor) -> tuple[Shape, DType]:
        shape = inputs[0].shape
        if not len(self.starts) == len(self.stops) == len(self.steps) == len(shape):
            raise ShapeError(f"slice: needs one start, stop and step for each axis of {shape}")
        ranges = list(zip(self.starts, self.stops, self.steps, shape, strict=True))
        if not all(0 <= lo <= hi <= n and step > 0 for lo, hi, step, n in ranges):
            raise ShapeError(f"slice: {self.starts} to {self.stops} leaves shape {shape}")
        return tuple(len(range(lo, hi, step)) for lo, hi, step, _ in ranges), inputs[0].dtype

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        ranges = zip(self.starts, self.stops, self.steps, strict=True)
        return arrays[0][tuple(slice(lo, hi, step) for lo, hi, step in ranges)]

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        shape = out.inputs[0].shape
        spread = f.interleave_zeros(grad, self.steps)
        before = self.starts
        after = tuple(n - lo - m for n, lo, m in zip(shape, self.starts, spread.shape, strict=True))
        return (f.pad(spread, tuple(zip(before, after, strict=True))),)


@dataclass(frozen=True)
class Pad(Op):
    """`before` and `after` zeros (False for bool) added along every axis."""

    name = "pad"
    arity = 1
    before: tuple[int, ...]
    after: tuple[int, ...]

    def infer(self, *inputs: Tensor) -> tuple[Shape, DType]:
        shape = inputs[0].shape
        if not len(self.before) == len(self.after) == len(shape):
            raise ShapeError(f"pad: needs one pair of widths for each axis of {shape}")
        if min((*self.before, *self.after), default=0) < 0:
            raise ShapeError(f"pad: widths {self.before}, {self.after} must not be negative")
        widths = zip(self.before, shape, self.after, strict=True)
        return tuple(lo + n + hi for lo, n, hi in widths), inputs[0].dtype

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        widths = tuple(zip(self.before, self.after, strict=True))
        return xp.pad(arrays[0], widths) if widths else arrays[0]

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        ends = tuple(lo + n for lo, n in zip(self.before, out.inputs[0].shape, strict=True))
        return (f.slice_axes(grad, self.before, ends),)


@dataclass(frozen=True)
class Concatenate(Op):
    """The inputs one after another along `axis`."""

    name = "concatenate"
    axis: int

    def infer(self, *inputs: Tensor) -> tuple[Shape, DType]:
        first = inputs[0]
        if not 0 <= self.axis < first.ndim:
            raise ShapeError(f"concatenate: {first.shape} has no axis {self.axis}")
        for other in inputs[1:]:
            if other.dtype != first.dtype:
                raise DTypeError(
                    f"concatenate: {first.dtype} and {other.dtype} differ; use .astype(...)"
                )
            if self._rest(other) != self._rest(first):
                raise ShapeError(
                    f"concatenate: {first.shape} and {other.shape} differ beside axis {self.axis}"
                )
        total = sum(x.shape[self.axis] for x in inputs)
        return (*first.shape[: self.axis], total, *first.shape[self.axis + 1 :]), first.dtype

    def _rest(self, x: Tensor) -> tuple[int, Shape, Shape]:
        return x.ndim, x.shape[: self.axis], x.shape[self.axis + 1 :]

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return xp.concatenate(arrays, axis=self.axis)

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        gradients, start = [], 0
        for x in out.inputs:
            lo, hi = [0] * grad.ndim, list(grad.shape)
            lo[self.axis], hi[self.axis] = start, start + x.shape[self.axis]
            gradients.append(f.slice_axes(grad, lo, hi))
            start = hi[self.axis]
        return gradients


@dataclass(frozen=True)
class Flip(Op):
    """The order of the elements reversed along `axes`."""

    name = "flip"
    arity = 1
    axes: tuple[int, ...]

    def infer(self, *inputs: Tensor) -> tuple[Shape, DType]:
        if not all(0 <= a < inputs[0].ndim for a in self.axes):
            raise ShapeError(f"flip: {inputs[0].shape} has no axes {self.axes}")
        return inputs[0].shape, inputs[0].dtype

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return xp.flip(arrays[0], self.axes)

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        return (f.flip(grad, self.axes),)
