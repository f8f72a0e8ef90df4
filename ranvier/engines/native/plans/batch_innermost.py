"""How convolutions of batch-innermost images become loops round the micro-kernel, as plain data.

They are the contractions of convolution_plan.py with their loops in other roles:

    convolution       batch: output y, x   row: output channel   column: image
                      depth: kernel y, x, channel
    weight gradient   batch: kernel y, x   row: channel          column: output channel
                      depth: output y, x, image

A convolution's vectors run along its columns, the images, as vectors always do; its weights are
A. A weight gradient's run along the images in depth, and are summed up over their lanes last.
"""

from __future__ import annotations

from math import prod

from ranvier.dtypes import DType
from ranvier.engines.native.indexmap import Affine
from ranvier.engines.native.plans.convolution import (
    ConvolutionPlan,
    Inside,
    Loops,
    Steps,
    with_merged_batch,
)
from ranvier.engines.native.plans.matmul import LATENCY_SLOTS, TILE_COST, Cut, TileHost
from ranvier.graph.ops.convolution import Geometry
from ranvier.graph.tensor import Shape

_LOAD_COST = 0.25
"""What reading a vector costs where it may lie in the L2 cache, in multiply-add slots."""


def batch_innermost_loops(
    geometry: Geometry, result: Shape, weights: Shape, x: Affine, w: Affine
) -> Loops:
    """The loops of a convolution of images [y, x, c, b] without padding: `result` [y, x, f, b].

    The weights are A, and the images, read where they lie, B.
    """
    height, width, outputs, images = result
    kh, kw, channels, _ = weights
    (xh, xw, xc, xb), (wh, ww, wc, wf) = x.terms, w.terms
    (sh, sw), (dh, dw) = geometry.stride, geometry.dilation
    left = Steps(w.offset, 0, 0, (0, 0), wf, (wh, ww, wc))
    right = Steps(x.offset, 0, 0, (xh * sh, xw * sw), xb, (xh * dh, xw * dw, xc))
    depth = (kh, kw, channels)
    return Loops(1, 1, (height, width), outputs, images, depth, left, right)


def batch_innermost_gradient_loops(
    geometry: Geometry, result: Shape, image: Shape, x: Affine, g: Affine
) -> Loops:
    """The loops of a weight gradient [chunks, ky, kx, c, f] of images [y, x, c, b].

    `image` is the shape of g. The chunks are parts of its rows.
    """
    chunks, kh, kw, channels, outputs = result
    height, width, _, images = image
    (xh, xw, xc, xb), (gh, gw, gf, gb) = x.terms, g.terms
    (sh, sw), (dh, dw) = geometry.stride, geometry.dilation
    part = height // chunks
    inner = (xh * sh, xw * sw, xb)
    left = Steps(x.offset, xh * sh * part, 0, (xh * dh, xw * dw), xc, inner)
    right = Steps(g.offset, gh * part, 0, (), gf, (gh, gw, gb))
    depth = (part, width, images)
    return with_merged_batch(Loops(chunks, 1, (kh, kw), channels, outputs, depth, left, right))


def plan_batch_innermost(
    loops: Loops, dtype: DType, host: TileHost, inside: tuple[Inside, ...]
) -> ConvolutionPlan:
    """Cut a convolution to the host's size; `inside` tells of the border of both axes, if any."""
    lanes = host.lanes(dtype)
    rows, panels = _tiles(loops, loops.columns // lanes, host)
    # Threads share lines of the images: no two of them work on one line at a time.
    block, whole = loops.batch[-1] * rows.pieces, Cut(loops.depth[0], 1)
    return ConvolutionPlan(loops, dtype, lanes, rows, panels, block, 0, whole, False, inside)


def plan_batch_innermost_gradient(loops: Loops, dtype: DType, host: TileHost) -> ConvolutionPlan:
    """Cut a weight gradient to the host's size."""
    rows, panels = _tiles(loops, loops.columns, host)
    block, whole = prod(loops.batch) * rows.pieces, Cut(loops.depth[0], 1)
    lanes = host.lanes(dtype)
    return ConvolutionPlan(loops, dtype, 1, rows, panels, block, 0, whole, False, depth_lanes=lanes)


def _tiles(loops: Loops, vectors: int, host: TileHost) -> tuple[Cut, Cut]:
    """The row tiles and column panels, which together hold `vectors`, of the least cost."""
    depth = prod(loops.depth)

    def cost(tile: tuple[Cut, Cut]) -> float:
        rows, panels = tile
        time = sum(
            row_count * panel_count * (TILE_COST + depth * _step_cost(height, width))
            for height, row_count in rows.sizes.items()
            for width, panel_count in panels.sizes.items()
        )
        return time * (32 + len(rows.sizes) * len(panels.sizes))

    # Beside the accumulators stay one row of B and one value of A.
    registers = host.vector_registers - 1
    cuts = [
        (Cut(loops.rows, -(-loops.rows // height)), Cut(vectors, -(-vectors // width)))
        for width in range(1, registers // 2 + 1)
        for height in range(1, (registers - width) // width + 1)
    ]
    return min(cuts, key=cost)


def _step_cost(height: int, width: int) -> float:
    """The time of a step in depth, in multiply-add slots."""
    return max(height * width, height + width, LATENCY_SLOTS) + _LOAD_COST * (height + width)
