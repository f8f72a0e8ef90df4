"""Lowering of convolutions and pooling to the few forms that have kernels.

What remains after it: two-dimensional convolutions without padding of an image that lies in
memory with its border, and their weight gradients. An input gradient is a convolution of the
output's gradient with the mirrored weights, one for each phase of the stride; pooling is
pointwise work on shifted views, which fuses with its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import gcd, inf, prod
from typing import Any

import numpy as np

from ranvier.dtypes import DType
from ranvier.graph import functions as f
from ranvier.graph.ops.convolution import (
    Convolution,
    ConvolutionInputGradient,
    ConvolutionWeightGradient,
    Geometry,
)
from ranvier.graph.ops.pooling import (
    MaxPool,
    MaxPoolChoice,
    PoolChosen,
    SumPool,
    SumUnpool,
    Unpool,
    Window,
)
from ranvier.graph.tensor import Array, Shape, Tensor, apply

CONVOLUTIONS = (Convolution, ConvolutionInputGradient, ConvolutionWeightGradient)
POOLING = (MaxPool, MaxPoolChoice, Unpool, PoolChosen, SumPool, SumUnpool)


@dataclass(frozen=True)
class ChunkedWeightGradient(ConvolutionWeightGradient):
    """The weight gradient of each of `chunks` equal parts of the batch: [chunks, *kernel, c, f].

    It exists inside the native engine only, so that few weights leave work for many threads.
    """

    chunks: int = 1

    def infer(self, *inputs: Tensor) -> tuple[Shape, DType]:
        shape, dtype = super().infer(*inputs)
        return (self.chunks, *shape), dtype

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        parts = zip(*(xp.split(array, self.chunks) for array in arrays), strict=True)
        return xp.stack([super(ChunkedWeightGradient, self).meaning(xp, *part) for part in parts])


def lower_convolution(node: Tensor, plain: Callable[[Tensor], Tensor]) -> Tensor:
    """Return `node`, one of `CONVOLUTIONS`, by two-dimensional ones without padding.

    `plain` is called on each convolution and weight gradient of that form, to lower it further.
    """
    if 0 in node.shape or any(0 in source.shape for source in node.inputs):
        return f.zeros_like(node)
    if node.op.geometry.rank == 1:  # type: ignore[attr-defined]
        return f.reshape(lower_convolution(_in_two_dimensions(node), plain), node.shape)
    op, (a, b) = node.op, node.inputs
    if isinstance(op, Convolution):
        return plain(apply(Convolution(_unpadded(op.geometry)), _padded(a, op.geometry), b))
    if isinstance(op, ConvolutionInputGradient):
        return _input_gradient(op, a, b, plain)
    assert isinstance(op, ConvolutionWeightGradient)
    wanted = ConvolutionWeightGradient(_unpadded(op.geometry), op.kernel)
    return plain(apply(wanted, _padded(a, op.geometry), b))


def in_chunks(node: Tensor, chunks: int) -> Tensor:
    """A weight gradient without padding as the sum of those of `chunks` parts of the batch."""
    op = node.op
    assert isinstance(op, ConvolutionWeightGradient)
    parts = apply(ChunkedWeightGradient(op.geometry, op.kernel, chunks), *node.inputs)
    return f.sum(parts, 0) if chunks > 1 else f.reshape(parts, node.shape)


def _in_two_dimensions(node: Tensor) -> Tensor:
    """A one-dimensional convolution as one over images of height 1."""
    op = node.op
    assert isinstance(op, CONVOLUTIONS)
    g = op.geometry
    wide = Geometry((1, *g.stride), (0, *g.before), (0, *g.after), (1, *g.dilation), g.groups)
    if isinstance(op, Convolution):
        x, w = node.inputs
        return apply(Convolution(wide), f.expand_dims(x, 1), f.expand_dims(w, 0))
    if isinstance(op, ConvolutionInputGradient):
        x, w = node.inputs
        both = f.expand_dims(x, 1), f.expand_dims(w, 0)
        return apply(ConvolutionInputGradient(wide, (1, *op.spatial)), *both)
    images = (f.expand_dims(x, 1) for x in node.inputs)
    return apply(ConvolutionWeightGradient(wide, (1, *op.kernel)), *images)


def _unpadded(geometry: Geometry) -> Geometry:
    none = (0,) * geometry.rank
    return replace(geometry, before=none, after=none)


def _padded(x: Tensor, geometry: Geometry) -> Tensor:
    pairs = zip(geometry.before, geometry.after, strict=True)
    return _resized(x, [(0, 0), *pairs, (0, 0)])


def _resized(x: Tensor, widths: Sequence[tuple[int, int]]) -> Tensor:
    """`x` with zeros before and after each axis; a negative width cuts off instead."""
    starts = [max(0, -lo) for lo, _ in widths]
    stops = [max(n + min(0, hi), 0) for n, (_, hi) in zip(x.shape, widths, strict=True)]
    if any(lo >= hi for lo, hi in zip(starts, stops, strict=True)):
        shape = [n + lo + hi for n, (lo, hi) in zip(x.shape, widths, strict=True)]
        return f.broadcast_to(f.as_tensor(0, x.dtype), shape)
    x = f.slice_axes(x, starts, stops)
    return f.pad(x, [(max(0, lo), max(0, hi)) for lo, hi in widths])


# ---------------------------------------------------------------- input gradients


@dataclass(frozen=True)
class _Phase:
    """The taps of one axis that meet the positions r, r + s, r + 2s, … of an image.

    Such a position q s + r is met by tap first + j step from output q + shift - j spacing.
    """

    first: int
    step: int
    count: int
    shift: int
    spacing: int


def _phase(kernel: int, stride: int, dilation: int, position: int) -> _Phase:
    """The phase that begins at `position` of the padded image."""
    taps = [t for t in range(kernel) if (t * dilation - position) % stride == 0]
    step = stride // gcd(stride, dilation)
    if not taps:
        return _Phase(0, step, 0, 0, 0)
    shift = (position - taps[0] * dilation) // stride
    return _Phase(taps[0], step, len(taps), shift, step * dilation // stride)


def _input_gradient(
    op: ConvolutionInputGradient, g: Tensor, w: Tensor, plain: Callable[[Tensor], Tensor]
) -> Tensor:
    """Convolutions with mirrored weights, one for each phase of the strides, interleaved."""
    geometry = op.geometry
    turns = [-(-n // s) for n, s in zip(op.spatial, geometry.stride, strict=True)]
    mirrored = _mirrored(w, geometry.groups)
    rows = []
    for row in range(geometry.stride[0]):
        parts = []
        for column in range(geometry.stride[1]):
            phases = [
                _phase(w.shape[a], geometry.stride[a], geometry.dilation[a], start)
                for a, start in enumerate((row + geometry.before[0], column + geometry.before[1]))
            ]
            part = _phase_gradient(geometry, g, mirrored, phases, turns)
            parts.append(plain(part) if isinstance(part.op, Convolution) else part)
        rows.append(parts)
    return _interleaved(rows, op.spatial)


def _mirrored(w: Tensor, groups: int) -> Tensor:
    """Weights [kh, kw, c / groups, f] turned round, as [kh, kw, f / groups, c]."""
    kh, kw, c, outputs = w.shape
    split = f.reshape(f.flip(w, (0, 1)), (kh, kw, c, groups, outputs // groups))
    turned = f.transpose(split, (0, 1, 4, 3, 2))
    return f.reshape(turned, (kh, kw, outputs // groups, groups * c))


def _phase_gradient(
    geometry: Geometry,
    g: Tensor,
    mirrored: Tensor,
    phases: Sequence[_Phase],
    turns: Sequence[int],
) -> Tensor:
    """What the image's positions of one phase receive: [b, *turns, c]."""
    if any(phase.count == 0 for phase in phases):
        shape = (g.shape[0], *turns, mirrored.shape[-1])
        return f.broadcast_to(f.as_tensor(0, g.dtype), shape)
    widths, taps = [(0, 0)], []
    for axis, phase in enumerate(phases):
        lowest = phase.shift - (phase.count - 1) * phase.spacing
        highest = turns[axis] - 1 + phase.shift
        widths.append((-lowest, highest - (g.shape[axis + 1] - 1)))
        last = phase.first + (phase.count - 1) * phase.step
        length = mirrored.shape[axis]
        taps.append(slice(length - 1 - last, length - phase.first, phase.step))
    spacing = tuple(max(phase.spacing, 1) for phase in phases)
    plain = Geometry((1, 1), (0, 0), (0, 0), spacing, geometry.groups)
    weights = mirrored if _everything(taps, mirrored.shape) else mirrored[tuple(taps)]
    return apply(Convolution(plain), _resized(g, [*widths, (0, 0)]), weights)


def _everything(taps: Sequence[slice], shape: Shape) -> bool:
    return all(s == slice(0, n, 1) for s, n in zip(taps, shape, strict=False))


def _interleaved(phases: Sequence[Sequence[Tensor]], spatial: Shape) -> Tensor:
    """[b, n, m, c] for each phase of two strides, put together to [b, *spatial, c]."""
    if len(phases) == len(phases[0]) == 1:
        return phases[0][0]
    b, n, m, c = phases[0][0].shape
    whole = f.stack([f.stack(row, 3) for row in phases], 2)
    whole = f.reshape(whole, (b, n * len(phases), m * len(phases[0]), c))
    return f.slice_axes(whole, (0, 0, 0, 0), (b, *spatial, c))


# ---------------------------------------------------------------- pooling


def lower_pooling(node: Tensor) -> Tensor:
    """Return `node`, one of `POOLING`, as pointwise work on shifted views."""
    op = node.op
    assert isinstance(op, POOLING)
    window = op.window
    if window.geometry.rank == 1:
        flat = [f.expand_dims(source, 1) for source in node.inputs]
        return f.reshape(lower_pooling(apply(_of_images(op), *flat)), node.shape)
    if node.size == 0 or any(source.size == 0 for source in node.inputs):
        return f.zeros_like(node)
    if isinstance(op, Unpool):
        g, chosen = node.inputs
        return _unpool(window, op.spatial, g, chosen)
    if isinstance(op, SumUnpool):
        return _unpool(window, op.spatial, node.inputs[0], None)
    border = -inf if isinstance(op, MaxPool | MaxPoolChoice) else 0.0
    views = _views(window, node.inputs[0], border)
    if isinstance(op, MaxPool):
        return _folded(f.maximum, views)
    if isinstance(op, MaxPoolChoice):
        return _choice(views)
    if isinstance(op, PoolChosen):
        chosen = node.inputs[1]
        return _folded(
            f.add, [f.where(chosen == i, v, f.zeros_like(v)) for i, v in enumerate(views)]
        )
    return _folded(f.add, views)


def _of_images(op: Any) -> Any:
    """A pooling op of one spatial axis as one of images of height 1."""
    g = op.window.geometry
    wide = Geometry((1, *g.stride), (0, *g.before), (0, *g.after), (1, *g.dilation))
    window = Window((1, *op.window.lengths), wide)
    if isinstance(op, Unpool | SumUnpool):
        return type(op)(window, (1, *op.spatial))
    return type(op)(window)


def _folded(combine: Any, values: Sequence[Tensor]) -> Tensor:
    total = values[0]
    for value in values[1:]:
        total = combine(total, value)
    return total


def _views(window: Window, x: Tensor, border: float) -> list[Tensor]:
    """For each element of the window, what it sees at every position."""
    geometry = window.geometry
    positions = window.positions(x.shape[1:-1])
    x = _bordered(x, geometry, border)
    views = []
    for _, where in geometry.taps(window.lengths, positions):
        starts = (0, *(s.start for s in where), 0)
        stops = (x.shape[0], *(s.stop for s in where), x.shape[-1])
        steps = (1, *(s.step for s in where), 1)
        views.append(f.slice_axes(x, starts, stops, steps))
    return views


def _bordered(x: Tensor, geometry: Geometry, border: float) -> Tensor:
    """The image with a border of zeros, or of another number."""
    if border == 0 or not (any(geometry.before) or any(geometry.after)):
        return _padded(x, geometry)
    for axis, (lo, hi) in enumerate(zip(geometry.before, geometry.after, strict=True), start=1):
        strips = [(*x.shape[:axis], n, *x.shape[axis + 1 :]) for n in (lo, hi)]
        edges = [f.broadcast_to(f.as_tensor(border, x.dtype), strip) for strip in strips]
        x = f.concatenate([t for t in (edges[0], x, edges[1]) if t.size], axis)
    return x


def _choice(views: Sequence[Tensor]) -> Tensor:
    """The number of the first view that is largest; NaN counts as larger than anything."""
    best, chosen = views[0], f.broadcast_to(f.as_tensor(np.int32(0)), views[0].shape)
    for number, view in enumerate(views[1:], start=1):
        better = f.logical_or(view > best, f.logical_and(view != view, best == best))
        best = f.where(better, view, best)
        chosen = f.where(better, f.as_tensor(np.int32(number)), chosen)
    return chosen


def _unpool(window: Window, spatial: Shape, g: Tensor, chosen: Tensor | None) -> Tensor:
    """Put g back to the elements of its windows: to the chosen one, or to all."""
    geometry = window.geometry
    plain = not any(geometry.before) and set(geometry.dilation) == {1}
    if plain and geometry.stride == window.lengths:
        return _tiled(window.lengths, spatial, g, chosen)
    strides = geometry.stride
    turns = [-(-n // s) for n, s in zip(spatial, strides, strict=True)]
    zero = f.broadcast_to(f.as_tensor(0, g.dtype), (g.shape[0], *turns, g.shape[-1]))
    phases = [[zero] * strides[1] for _ in range(strides[0])]
    for number, (tap, _) in enumerate(geometry.taps(window.lengths, g.shape[1:-1])):
        axes = zip(tap, geometry.dilation, geometry.before, strict=True)
        reach = [t * d - lo for t, d, lo in axes]
        part = g if chosen is None else f.where(chosen == number, g, f.zeros_like(g))
        before = [r // s for r, s in zip(reach, strides, strict=True)]
        widths = [
            (lo, turn - lo - n) for lo, turn, n in zip(before, turns, g.shape[1:-1], strict=True)
        ]
        moved = _resized(part, [(0, 0), *widths, (0, 0)])
        row, column = (r % s for r, s in zip(reach, strides, strict=True))
        known = phases[row][column]
        phases[row][column] = moved if known is zero else known + moved
    return _interleaved(phases, spatial)


def _tiled(lengths: Shape, spatial: Shape, g: Tensor, chosen: Tensor | None) -> Tensor:
    """`_unpool` for windows that lie side by side from the image's corner on."""
    b, n, m, c = g.shape
    split, whole = (b, n, 1, m, 1, c), (b, n, lengths[0], m, lengths[1], c)
    spread = f.broadcast_to(f.reshape(g, split), whole)
    if chosen is not None:
        numbers = np.arange(prod(lengths), dtype=np.int32).reshape(
            1, 1, lengths[0], 1, lengths[1], 1
        )
        hit = f.equal(f.reshape(chosen, split), f.as_tensor(numbers))
        spread = f.where(hit, spread, f.zeros_like(spread))
    tiled = f.reshape(spread, (b, n * lengths[0], m * lengths[1], c))
    after = [s - t for s, t in zip(spatial, tiled.shape[1:-1], strict=True)]
    return _resized(tiled, [(0, 0), (0, after[0]), (0, after[1]), (0, 0)])
