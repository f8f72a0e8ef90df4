"""Lowering of convolutions to the few forms that have kernels.

What remains after it: two-dimensional convolutions without padding of an image that lies in
memory with its border, and their weight gradients. An input gradient is a convolution of the
output's gradient with the mirrored weights, one for each phase of the stride.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import gcd
from typing import Any

from ranvier.dtypes import DType
from ranvier.graph import functions as f
from ranvier.graph.ops.convolution import (
    Convolution,
    ConvolutionInputGradient,
    ConvolutionWeightGradient,
    Geometry,
)
from ranvier.graph.tensor import Array, Shape, Tensor, apply
from ranvier.records import dataclass

CONVOLUTIONS = (Convolution, ConvolutionInputGradient, ConvolutionWeightGradient)


@dataclass(frozen=True)
class ChunkedWeightGradient(ConvolutionWeightGradient, lowered=True):
    """The weight gradient of each of `chunks` equal parts of the batch: [chunks, *kernel, c, f].

    It exists inside the native engine only, so that few weights leave work for many threads.
    """

    name = "chunked_weight_gradient"
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
        return plain(apply(Convolution(_unpadded(op.geometry)), padded(a, op.geometry), b))
    if isinstance(op, ConvolutionInputGradient):
        return _input_gradient(op, a, b, plain)
    assert isinstance(op, ConvolutionWeightGradient)
    wanted = ConvolutionWeightGradient(_unpadded(op.geometry), op.kernel)
    return plain(apply(wanted, padded(a, op.geometry), b))


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


def padded(x: Tensor, geometry: Geometry, first: int = 1) -> Tensor:
    """Images with the border of `geometry`; their spatial axes begin with `first`."""
    pairs = list(zip(geometry.before, geometry.after, strict=True))
    return resized(x, around(pairs, first, x.ndim))


def around(pairs: Sequence[tuple[int, int]], first: int, ndim: int) -> list[tuple[int, int]]:
    """`pairs` of widths for the axes from `first` on, and none for all others."""
    before = [(0, 0)] * first
    return [*before, *pairs, *[(0, 0)] * (ndim - first - len(pairs))]


def resized(x: Tensor, widths: Sequence[tuple[int, int]]) -> Tensor:
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
    return interleaved(rows, op.spatial, 1)


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
    return apply(Convolution(plain), resized(g, [*widths, (0, 0)]), weights)


def _everything(taps: Sequence[slice], shape: Shape) -> bool:
    return all(s == slice(0, n, 1) for s, n in zip(taps, shape, strict=False))


def interleaved(phases: Sequence[Sequence[Tensor]], spatial: Shape, first: int) -> Tensor:
    """Images for each phase of two strides, put together to images of `spatial`.

    Their spatial axes are `first` and the one after it.
    """
    if len(phases) == len(phases[0]) == 1:
        return phases[0][0]
    shape = phases[0][0].shape
    lengths = (shape[first] * len(phases), shape[first + 1] * len(phases[0]))
    whole = f.stack([f.stack(row, first + 2) for row in phases], first + 1)
    whole = f.reshape(whole, (*shape[:first], *lengths, *shape[first + 2 :]))
    widths = [(0, n - length) for n, length in zip(spatial, lengths, strict=True)]
    return resized(whole, around(widths, first, len(shape)))
