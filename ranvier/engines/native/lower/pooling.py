"""Lowering of pooling to pointwise work on shifted views, which fuses with its neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, prod
from typing import Any

import numpy as np

from ranvier.engines.native.lower.convolutions import around, interleaved, padded, resized
from ranvier.graph import functions as f
from ranvier.graph.ops.convolution import Geometry
from ranvier.graph.ops.pooling import (
    MaxPool,
    MaxPoolChoice,
    PoolChosen,
    SumPool,
    SumUnpool,
    Unpool,
    Window,
)
from ranvier.graph.tensor import Op, Shape, Tensor, apply

POOLING = (MaxPool, MaxPoolChoice, Unpool, PoolChosen, SumPool, SumUnpool)


def lower_pooling(node: Tensor) -> Tensor:
    """Return `node`, one of `POOLING`, as pointwise work on shifted views."""
    op = node.op
    assert isinstance(op, POOLING)
    if op.window.geometry.rank == 1:
        flat = [f.expand_dims(source, 1) for source in node.inputs]
        return f.reshape(lower_pooling(apply(_of_images(op), *flat)), node.shape)
    if node.size == 0 or any(source.size == 0 for source in node.inputs):
        return f.zeros_like(node)
    return pooled(op, node.inputs, 1)


def pooled(op: Op, inputs: Sequence[Tensor], first: int) -> Tensor:
    """The result of an op of `POOLING` on images whose spatial axes are `first` and the next."""
    assert isinstance(op, POOLING)
    window = op.window
    if isinstance(op, Unpool):
        g, chosen = inputs
        return _unpool(window, op.spatial, g, chosen, first)
    if isinstance(op, SumUnpool):
        return _unpool(window, op.spatial, inputs[0], None, first)
    border = -inf if isinstance(op, MaxPool | MaxPoolChoice) else 0.0
    views = _views(window, inputs[0], border, first)
    if isinstance(op, MaxPool):
        return _folded(f.maximum, views)
    if isinstance(op, MaxPoolChoice):
        return _choice(views, _start(window, inputs[0].shape[first : first + 2], views[0], first))
    if isinstance(op, PoolChosen):
        chosen = inputs[1]
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


def _views(window: Window, x: Tensor, border: float, first: int) -> list[Tensor]:
    """For each element of the window, what it sees at every position."""
    geometry = window.geometry
    positions = window.positions(x.shape[first : first + 2])
    x = _bordered(x, geometry, border, first)
    views = []
    for _, where in geometry.taps(window.lengths, positions):
        parts = [slice(0, n, 1) for n in x.shape]
        parts[first : first + 2] = where
        starts, stops, steps = zip(*((s.start, s.stop, s.step) for s in parts), strict=True)
        views.append(f.slice_axes(x, starts, stops, steps))
    return views


def _bordered(x: Tensor, geometry: Geometry, border: float, first: int) -> Tensor:
    """The image with a border of zeros, or of another number."""
    if border == 0 or not (any(geometry.before) or any(geometry.after)):
        return padded(x, geometry, first)
    for axis, (lo, hi) in enumerate(zip(geometry.before, geometry.after, strict=True), first):
        strips = [(*x.shape[:axis], n, *x.shape[axis + 1 :]) for n in (lo, hi)]
        edges = [f.broadcast_to(f.as_tensor(border, x.dtype), strip) for strip in strips]
        x = f.concatenate([t for t in (edges[0], x, edges[1]) if t.size], axis)
    return x


def _start(window: Window, spatial: Shape, view: Tensor, first: int) -> Tensor:
    """The number of the first element in the image, which stays chosen if none is above -inf."""
    if not any(window.geometry.before):
        return f.broadcast_to(f.as_tensor(np.int32(0)), view.shape)
    seen = window.first_seen(spatial)
    numbers = seen.reshape((*seen.shape, *[1] * (view.ndim - first - 2)))
    return f.broadcast_to(f.as_tensor(numbers), view.shape)


def _choice(views: Sequence[Tensor], chosen: Tensor) -> Tensor:
    """The number of the first view that is largest, `chosen` if none is; NaN is above all."""
    best = views[0]
    for number, view in enumerate(views[1:], start=1):
        better = f.logical_or(view > best, f.logical_and(view != view, best == best))
        best = f.where(better, view, best)
        chosen = f.where(better, f.as_tensor(np.int32(number)), chosen)
    return chosen


def _unpool(window: Window, spatial: Shape, g: Tensor, chosen: Tensor | None, first: int) -> Tensor:
    """Put g back to the elements of its windows: to the chosen one, or to all."""
    geometry = window.geometry
    plain = not any(geometry.before) and set(geometry.dilation) == {1}
    if plain and geometry.stride == window.lengths:
        return _tiled(window.lengths, spatial, g, chosen, first)
    strides, positions = geometry.stride, g.shape[first : first + 2]
    turns = [-(-n // s) for n, s in zip(spatial, strides, strict=True)]
    empty = (*g.shape[:first], *turns, *g.shape[first + 2 :])
    zero = f.broadcast_to(f.as_tensor(0, g.dtype), empty)
    phases = [[zero] * strides[1] for _ in range(strides[0])]
    for number, (tap, _) in enumerate(geometry.taps(window.lengths, positions)):
        axes = zip(tap, geometry.dilation, geometry.before, strict=True)
        reach = [t * d - lo for t, d, lo in axes]
        part = g if chosen is None else f.where(chosen == number, g, f.zeros_like(g))
        before = [r // s for r, s in zip(reach, strides, strict=True)]
        widths = [(lo, turn - lo - n) for lo, turn, n in zip(before, turns, positions, strict=True)]
        moved = resized(part, around(widths, first, g.ndim))
        row, column = (r % s for r, s in zip(reach, strides, strict=True))
        known = phases[row][column]
        phases[row][column] = moved if known is zero else known + moved
    return interleaved(phases, spatial, first)


def _tiled(lengths: Shape, spatial: Shape, g: Tensor, chosen: Tensor | None, first: int) -> Tensor:
    """`_unpool` for windows that lie side by side from the image's corner on."""
    lead, (n, m), tail = g.shape[:first], g.shape[first : first + 2], g.shape[first + 2 :]
    split, whole = (*lead, n, 1, m, 1, *tail), (*lead, n, lengths[0], m, lengths[1], *tail)
    spread = f.broadcast_to(f.reshape(g, split), whole)
    if chosen is not None:
        numbers = np.arange(prod(lengths), dtype=np.int32)
        inside = f.reshape(f.as_tensor(numbers), (lengths[0], 1, lengths[1], *[1] * len(tail)))
        hit = f.equal(f.reshape(chosen, split), inside)
        spread = f.where(hit, spread, f.zeros_like(spread))
    sizes = (n * lengths[0], m * lengths[1])
    tiled = f.reshape(spread, (*lead, *sizes, *tail))
    widths = [(0, s - t) for s, t in zip(spatial, sizes, strict=True)]
    return resized(tiled, around(widths, first, g.ndim))
