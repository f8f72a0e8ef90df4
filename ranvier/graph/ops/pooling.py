"""Pooling: the largest element, or the sum, of a window that moves over an image.

Images are [batch, *spatial, channels]. Windows may overlap and may hang over the border,
where max pooling sees nothing and sum pooling zeros. Each op is linear in what is pooled or
spread, and its gradient is its counterpart; the choice of max pooling is an op of its own, so
that the window is searched only once.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ranvier import dtypes
from ranvier.dtypes import DType
from ranvier.errors import DTypeError, ShapeError
from ranvier.graph.ops.convolution import Geometry, added
from ranvier.graph.tensor import Array, Op, Shape, Tensor, apply
from ranvier.records import dataclass


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
        _check_float(name, x)
        self._check_axes(name, x)
        return (x.shape[0], *self._fit(name, x.shape[1:-1]), x.shape[-1])

    def infer_spread(self, name: str, g: Tensor, spatial: Shape) -> Shape:
        """Return the shape of the image of `spatial` that `g` is pooled from, or raise so."""
        _check_float(name, g)
        self._check_axes(name, g)
        pooled = (g.shape[0], *self._fit(name, spatial), g.shape[-1])
        if g.shape != pooled:
            raise ShapeError(
                f"{name}: {g.shape} is not pooled from an image of {spatial} by windows of "
                f"{self.lengths}; it must be {pooled}"
            )
        return (g.shape[0], *spatial, g.shape[-1])

    def _check_axes(self, name: str, x: Tensor) -> None:
        self.geometry.check(name)
        if x.ndim != self.geometry.rank + 2:
            spatial = "one spatial axis" if self.geometry.rank == 1 else "two spatial axes"
            raise ShapeError(
                f"{name}: {x.shape} must have {self.geometry.rank + 2} axes for {spatial}"
            )

    def _fit(self, name: str, spatial: Shape) -> Shape:
        """The positions on an image, after the check that each sees some of it."""
        positions = self.geometry.fit(name, spatial, self.lengths, "window")
        before, after = self.geometry.before, self.geometry.after
        paddings = zip(before, after, self.reach, strict=True)
        if any(max(lo, hi) >= reach for lo, hi, reach in paddings) or self._blind(spatial):
            raise ShapeError(
                f"{name}: window {self.lengths} would see nothing but padding {before}, {after} "
                f"beside image {spatial}; pad less than the window's size"
            )
        return positions

    def _blind(self, spatial: Shape) -> bool:
        """Whether the window sees nothing of the image at some position."""
        taps = zip(self.lengths, self.geometry.dilation, self.geometry.before, strict=True)
        seen = [[k * d - lo for k in range(length)] for length, d, lo in taps]
        axes = zip(seen, spatial, self.positions(spatial), self.geometry.stride, strict=True)
        return not all(
            any(0 <= at * stride + tap < n for tap in offsets)
            for offsets, n, count, stride in axes
            for at in range(count)
        )

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

    def first_seen(self, spatial: Shape) -> np.ndarray:
        """The number of the first element that lies in the image, at each position [*positions]."""
        inside = np.stack(self.views(np, np.ones((1, *spatial, 1), bool), False))
        return np.asarray(np.argmax(inside, 0)[0, ..., 0], np.int32)

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
    """Which element of each window is the first largest, as an int32 number into the window.

    It lies in the image, also where all that the window sees is -inf, as the border is thought.
    """

    name = "max_pool_choice"
    arity = 1
    differentiable = False
    window: Window

    def infer(self, *inputs: Tensor) -> tuple[Shape, DType]:
        return self.window.infer(self.name, inputs[0]), dtypes.int32

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        (x,) = arrays
        views = xp.stack(self.window.views(xp, x, -xp.inf))
        first = self.window.first_seen(x.shape[1:-1])[..., None]
        nothing = xp.max(views, axis=0) == -xp.inf
        return xp.where(nothing, first, xp.argmax(views, axis=0)).astype(dtypes.int32)


@dataclass(frozen=True)
class Unpool(Op):
    """g and the chosen elements, both [b, *positions, c], give [b, *spatial, c]: g put back."""

    name = "unpool"
    arity = 2
    window: Window
    spatial: Shape

    def infer(self, *inputs: Tensor) -> tuple[Shape, DType]:
        g, chosen = inputs
        shape = self.window.infer_spread(self.name, g, self.spatial)
        _check_choice(self.name, chosen, g.shape)
        return shape, g.dtype

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
        _check_choice(self.name, chosen, shape)
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
        return self.window.infer_spread(self.name, g, self.spatial), g.dtype

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        parts = [arrays[0]] * prod(self.window.lengths)
        return self.window.spread(xp, parts, self.spatial)

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        return (apply(SumPool(self.window), grad),)


def _check_float(name: str, x: Tensor) -> None:
    if x.dtype not in dtypes.FLOATING:
        raise DTypeError(f"{name} takes float32 or float64, not {x.dtype}; use .astype(...)")


def _check_choice(name: str, chosen: Tensor, pooled: Shape) -> None:
    if chosen.dtype != dtypes.int32:
        raise DTypeError(f"{name} takes the int32 of max_pool_choice, not {chosen.dtype}")
    if chosen.shape != pooled:
        raise ShapeError(
            f"{name}: the choice {chosen.shape} must have the pooled shape {pooled}; "
            "take it from max_pool_choice with the same window"
        )
