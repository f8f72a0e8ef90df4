"""Pooling: the largest element, or the sum, of a window that moves over an image.

Images are [batch, *spatial, channels]. Windows may overlap and may hang over the border,
where max pooling sees nothing and sum pooling zeros. Each op is linear in what is pooled or
spread, and its gradient is its counterpart; the choice of max pooling is an op of its own, so
that the window is searched only once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from ranvier import dtypes
from ranvier.dtypes import DType
from ranvier.errors import DTypeError, ShapeError
from ranvier.graph.ops.convolution import Geometry, added
from ranvier.graph.tensor import Array, Op, Shape, Tensor, apply


@dataclass(frozen=True)
class Window:
    """The lengths of a window and how it moves; groups of the geometry are not used."""

    lengths: Shape
    geometry: Geometry

    def positions(self, spatial: Shape) -> Shape:
        """Return how many places the window takes along each axis."""
        return self.geometry.positions(spatial, self.lengths)

    def infer(self, name: str, x: Tensor) -> Shape:
        """Return the pooled shape of `x`, or raise ShapeError or DTypeError."""
        self.geometry.check(name)
        if x.dtype not in dtypes.FLOATING:
            raise DTypeError(f"{name} takes float32 or float64, not {x.dtype}; use .astype(...)")
        if x.ndim != self.geometry.rank + 2 or len(self.lengths) != self.geometry.rank:
            raise ShapeError(f"{name}: {x.shape} does not have {self.geometry.rank} spatial axes")
        positions = self.positions(x.shape[1:-1])
        paddings = zip(self.geometry.before, self.geometry.after, self.reach, strict=True)
        if 0 in positions or any(max(lo, hi) >= reach for lo, hi, reach in paddings):
            raise ShapeError(
                f"{name}: a window of {self.lengths} padded by {self.geometry.before} and "
                f"{self.geometry.after} does not fit {x.shape}, or sees padding alone"
            )
        return (x.shape[0], *positions, x.shape[-1])

    @property
    def reach(self) -> Shape:
        """The extent of the window, dilation included."""
        steps = zip(self.lengths, self.geometry.dilation, strict=True)
        return tuple((n - 1) * d + 1 for n, d in steps)

    def views(self, xp: Any, x: Array, border: float) -> list[Array]:
        """For each element of the window, what it sees at every position."""
        widths = zip(self.geometry.before, self.geometry.after, strict=True)
        padded = xp.pad(x, [(0, 0), *widths, (0, 0)], constant_values=border)
        positions = self.positions(x.shape[1:-1])
        return [padded[:, *where] for _, where in self.geometry.taps(self.lengths, positions)]

    def spread(self, xp: Any, parts: Sequence[Array], spatial: Shape) -> Array:
        """Add the part of each element of the window to what it saw, in an image of `spatial`."""
        batch, channels = parts[0].shape[0], parts[0].shape[-1]
        lengths = zip(spatial, self.geometry.before, self.geometry.after, strict=True)
        total = xp.zeros((batch, *(sum(n) for n in lengths), channels), parts[0].dtype)
        taps = self.geometry.taps(self.lengths, parts[0].shape[1:-1])
        for (_, where), part in zip(taps, parts, strict=True):
            total = added(total, (slice(None), *where), part)
        inside = zip(self.geometry.before, spatial, strict=True)
        return total[:, *(slice(lo, lo + n) for lo, n in inside)]


@dataclass(frozen=True)
class MaxPool(Op):
    """The largest element of each window; NaN if any element is."""

    name = "max_pool"
    arity = 1
    window: Window

    def infer(self, *inputs: Tensor) -> tuple[Shape, DType]:
        return self.window.infer(self.name, inputs[0]), inputs[0].dtype

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return xp.max(xp.stack(self.window.views(xp, arrays[0], -xp.inf)), axis=0)

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        (x,) = out.inputs
        chosen = apply(MaxPoolChoice(self.window), x)
        return (apply(Unpool(self.window, x.shape[1:-1]), grad, chosen),)


@dataclass(frozen=True)
class MaxPoolChoice(Op):
    """Which element of each window is the first largest, as an int32 number into the window."""

    name = "max_pool_choice"
    arity = 1
    differentiable = False
    window: Window

    def infer(self, *inputs: Tensor) -> tuple[Shape, DType]:
        return self.window.infer(self.name, inputs[0]), dtypes.int32

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        views = self.window.views(xp, arrays[0], -xp.inf)
        return xp.argmax(xp.stack(views), axis=0).astype(dtypes.int32)


@dataclass(frozen=True)
class Unpool(Op):
    """g and the chosen elements, both [b, *positions, c], give [b, *spatial, c]: g put back."""

    name = "unpool"
    arity = 2
    window: Window
    spatial: Shape

    def infer(self, *inputs: Tensor) -> tuple[Shape, DType]:
        g, chosen = inputs
        _check_choice(self.name, g, chosen)
        if g.shape[1:-1] != self.window.positions(self.spatial):
            raise ShapeError(f"{self.name}: {g.shape} is not pooled from an image {self.spatial}")
        return (g.shape[0], *self.spatial, g.shape[-1]), g.dtype

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        g, chosen = arrays
        count = prod(self.window.lengths)
        parts = [xp.where(chosen == i, g, xp.zeros_like(g)) for i in range(count)]
        return self.window.spread(xp, parts, self.spatial)

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        return apply(PoolChosen(self.window), grad, out.inputs[1]), None


@dataclass(frozen=True)
class PoolChosen(Op):
    """x [b, *s, c] at the chosen element of each window: [b, *positions, c]."""

    name = "pool_chosen"
    arity = 2
    window: Window

    def infer(self, *inputs: Tensor) -> tuple[Shape, DType]:
        x, chosen = inputs
        shape = self.window.infer(self.name, x)
        if chosen.shape != shape or chosen.dtype != dtypes.int32:
            raise ShapeError(
                f"{self.name}: {x.shape} has no choice of {chosen.dtype} {chosen.shape}"
            )
        return shape, x.dtype

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        x, chosen = arrays
        views = xp.stack(self.window.views(xp, x, 0))
        return xp.take_along_axis(views, chosen[None].astype(dtypes.int64), axis=0)[0]

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        x, chosen = out.inputs
        return apply(Unpool(self.window, x.shape[1:-1]), grad, chosen), None


@dataclass(frozen=True)
class SumPool(Op):
    """The sum of each window; outside the image are zeros."""

    name = "sum_pool"
    arity = 1
    window: Window

    def infer(self, *inputs: Tensor) -> tuple[Shape, DType]:
        return self.window.infer(self.name, inputs[0]), inputs[0].dtype

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return sum(self.window.views(xp, arrays[0], 0))

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        return (apply(SumUnpool(self.window, out.inputs[0].shape[1:-1]), grad),)


@dataclass(frozen=True)
class SumUnpool(Op):
    """g [b, *positions, c] added to every element of its window: [b, *spatial, c]."""

    name = "sum_unpool"
    arity = 1
    window: Window
    spatial: Shape

    def infer(self, *inputs: Tensor) -> tuple[Shape, DType]:
        (g,) = inputs
        if g.dtype not in dtypes.FLOATING:
            raise DTypeError(f"{self.name} takes float32 or float64, not {g.dtype}")
        if g.shape[1:-1] != self.window.positions(self.spatial):
            raise ShapeError(f"{self.name}: {g.shape} is not pooled from an image {self.spatial}")
        return (g.shape[0], *self.spatial, g.shape[-1]), g.dtype

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        parts = [arrays[0]] * prod(self.window.lengths)
        return self.window.spread(xp, parts, self.spatial)

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        return (apply(SumPool(self.window), grad),)


def _check_choice(name: str, g: Tensor, chosen: Tensor) -> None:
    if g.dtype not in dtypes.FLOATING or chosen.dtype != dtypes.int32:
        raise DTypeError(f"{name} takes floats and an int32 choice, not {g.dtype}, {chosen.dtype}")
    if g.shape != chosen.shape:
        raise ShapeError(f"{name}: {g.shape} and the choice {chosen.shape} differ")
