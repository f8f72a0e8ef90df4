"""Lowering: graph to graph rewrites that prepare a step for the native compiler.

Every output and update gets a pointwise root of its own, so that each is stored by exactly
one kernel; long reductions to few results, and products of few tiles with a long depth, are
split into chunks. Number and bounds of the chunks depend on shapes alone, and the chunks are
combined in a fixed order, so that results are the same bits at any thread count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np

from ranvier.engines.native.fuse.groups import INDEXED, is_leaf
from ranvier.engines.native.fuse.joins import separated
from ranvier.engines.native.lower.batch_innermost import BatchInnermost
from ranvier.engines.native.lower.convolutions import CONVOLUTIONS, in_chunks, lower_convolution
from ranvier.engines.native.lower.pooling import POOLING, lower_pooling
from ranvier.engines.native.lower.widen import (
    narrowed_weights,
    widened,
    widened_pointwise,
    widened_weight_gradient,
)
from ranvier.engines.native.plans.matmul import TileHost, largest_divisor
from ranvier.engines.native.plans.winograd_gradient import gradient_chunks
from ranvier.graph import functions as f
from ranvier.graph.ops.contraction import MatMul
from ranvier.graph.ops.convolution import Convolution, ConvolutionWeightGradient
from ranvier.graph.ops.pointwise import StopGradient
from ranvier.graph.ops.reduction import Max, Min, Sum
from ranvier.graph.simplify.share import share
from ranvier.graph.tensor import Tensor, apply
from ranvier.graph.walk import rebuild, rewrite, topological, users

CHUNKS = 16
"""The largest number of chunks of a split reduction or product."""
FEW_RESULTS = 64
LONG_REDUCTION = 1 << 13
LONG_STATISTICS = 1 << 18
"""Elements from which on a reduction to channels reads memory in order."""
WIDE = 64
"""Columns that a sum over rows works on at once."""
FEW_TILES = 16
LONG_DEPTH = 2048
TILE = 14 * 32


def lower(roots: Sequence[Tensor], host: TileHost) -> list[Tensor]:
    """Return equivalent roots, all distinct and pointwise or computed by one kernel."""
    lowering = _Lowering(host, users(topological(roots)))
    new = rewrite(roots, lowering.rule)
    distinct: dict[Tensor, None] = {}
    # Two convolutions of one image pad it alike, so what is equal is merged again.
    for root in share([new[old] for old in roots], set()):
        shared = is_leaf(root) or isinstance(root.op, INDEXED) or root in distinct
        distinct[apply(StopGradient(), root) if shared else root] = None
    return separated(list(distinct))


class _Lowering:
    """The rule of the rewrite, and the other forms of tensors that have one."""

    def __init__(self, host: TileHost, readers: Mapping[Tensor, Sequence[Tensor]]) -> None:
        self.host = host
        self.batch_innermost = BatchInnermost(readers)
        self.wide: dict[Tensor, Tensor] = {}

    def rule(self, old: Tensor, inputs: tuple[Tensor, ...]) -> Tensor:
        """The lowered form of `old`, whose inputs were lowered before."""
        node = rebuild(old, inputs)
        if (form := self.batch_innermost.rule(old, node)) is not None:
            return form
        if isinstance(node.op, MatMul):
            return _matmul(node)
        if isinstance(node.op, CONVOLUTIONS):
            return lower_convolution(node, self.plain_convolution)
        if isinstance(node.op, POOLING):
            return lower_pooling(node)
        if isinstance(node.op, Sum | Max | Min):
            return _reduction(node, self.host.lanes(node.dtype))
        return self.narrowed(widened_pointwise(node, self.wide), node)

    def plain_convolution(self, node: Tensor) -> Tensor:
        """Lower a convolution, or a weight gradient, without padding."""
        lanes = self.host.lanes(node.dtype)
        if isinstance(node.op, Convolution):
            form = self.batch_innermost.convolution(node, lanes)
            return self.narrowed(widened(node, lanes), node) if form is None else form
        assert isinstance(node.op, ConvolutionWeightGradient)
        chunks = largest_divisor(node.inputs[1].shape[1], CHUNKS if _chunks(node) > 1 else 1)
        if (form := self.batch_innermost.weight_gradient(node, lanes, chunks)) is not None:
            return form
        image, channels = node.inputs[1].shape, node.shape[-2]
        tiled = gradient_chunks(
            node.op.geometry, node.op.kernel, image, channels, node.dtype, self.host
        )
        if tiled is not None:
            return in_chunks(node, tiled)
        wide = widened_weight_gradient(node, lanes)
        if wide is None:
            return in_chunks(node, _chunks(node))
        gradient = in_chunks(wide, _chunks(wide))
        stride = node.op.geometry.stride[1]
        return narrowed_weights(gradient, node.op.kernel[1], node.shape[-1], stride)

    def narrowed(self, wide: Tensor | None, node: Tensor) -> Tensor:
        """`node` itself, or its wide form under its own shape."""
        if wide is None:
            return node
        narrow = f.reshape(wide, node.shape)
        self.wide[narrow] = wide
        return narrow


def _matmul(node: Tensor) -> Tensor:
    a, b = node.inputs
    m, k, n = a.shape[-2], a.shape[-1], b.shape[-1]
    if k == 0:
        return f.zeros_like(node)
    tiles = prod(node.shape[:-2]) * -(-m * n // TILE)
    chunks = largest_divisor(k, min(CHUNKS, k // (LONG_DEPTH // 4)))
    if tiles >= FEW_TILES or k < LONG_DEPTH or chunks == 1:
        return node
    lead = node.shape[:-2]
    left = f.swapaxes(f.reshape(a, (*lead, m, chunks, k // chunks)), -3, -2)
    right = f.reshape(b, (*lead, chunks, k // chunks, n))
    return f.sum(apply(MatMul(), left, right), len(lead))


def _chunks(node: Tensor) -> int:
    """The parts of the batch by which to split a weight gradient with few weights."""
    assert isinstance(node.op, ConvolutionWeightGradient)
    images, *image, _ = node.inputs[1].shape
    if node.size >= FEW_TILES * TILE or images * prod(image) < LONG_DEPTH:
        return 1
    return largest_divisor(images, CHUNKS)


def _reduction(node: Tensor, lanes: int) -> Tensor:
    (source,), op = node.inputs, node.op
    assert isinstance(op, Sum | Max | Min)
    lengths = [source.shape[a] for a in op.axes]
    if source.size == 0:
        return node
    if op.axes == tuple(range(source.ndim - 1)) and source.ndim > 2 and node.size >= lanes:
        return _by_image_rows(node)
    if node.size >= FEW_RESULTS or prod(lengths) < LONG_REDUCTION:
        return node
    if isinstance(op, Sum) and op.axes == tuple(range(source.ndim - 1)) and node.size < lanes:
        wide = largest_divisor(prod(lengths), WIDE // node.size)
        if wide > 1:  # several rows side by side, then those results
            rows = f.reshape(source, (prod(lengths) // wide, wide * node.size))
            sums = _reduction(apply(Sum((0,)), rows), lanes)
            return apply(Sum((0,)), f.reshape(sums, (wide, node.size)))
    if prod(lengths[:-1]) >= CHUNKS:  # row by row, then over the rows
        rows = apply(type(op)(op.axes[-1:]), source)
        return apply(type(op)(op.axes[:-1]), rows)
    longest = max(op.axes, key=lambda a: source.shape[a])
    chunks = largest_divisor(source.shape[longest], FEW_RESULTS)
    if chunks == 1:
        return node
    pieces = (chunks, source.shape[longest] // chunks)
    split = f.reshape(source, (*source.shape[:longest], *pieces, *source.shape[longest + 1 :]))
    inner = tuple(a + (a >= longest) for a in op.axes)
    partial = apply(type(op)(inner), split)
    kept = np.cumsum([a not in inner for a in range(split.ndim)])
    return apply(type(op)((int(kept[longest]) - 1,)), partial)


def _by_image_rows(node: Tensor) -> Tensor:
    """A reduction of [..., channels] to [channels], first of parts that lie in sequence.

    Threads then read memory in order, each its own part, and not some of the channels of all.
    """
    (source,), op = node.inputs, node.op
    assert isinstance(op, Sum | Max | Min)
    if source.size < LONG_STATISTICS:
        return node
    enough = (a for a in range(1, source.ndim - 1) if prod(source.shape[:a]) >= CHUNKS)
    first = next(enough, None)
    if first is None:
        return node
    rows = apply(type(op)(op.axes[first:]), source)
    return apply(type(op)(op.axes[:first]), rows)
