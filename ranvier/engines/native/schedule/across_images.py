"""Tiles across images: the rows of a convolution's tile are one pixel of several images.

All rows of such a tile meet the same border, so that all kernel elements that meet nothing but
zeros are left out, on both axes. In small images with a wide border, as in the input gradient of
a large kernel, that is much of the work.
"""

from __future__ import annotations

from dataclasses import replace

from ranvier.engines.native.emit.loops.shape import permuted, split
from ranvier.engines.native.indexmap import Affine, row_major
from ranvier.engines.native.lower.batch_innermost import BatchInnermostConvolution
from ranvier.engines.native.plans.convolution import FEW_SUMS, ConvolutionPlan, Inside
from ranvier.engines.native.plans.matmul import Cut, TileHost, largest_divisor
from ranvier.engines.native.schedule.kernels import Body
from ranvier.graph.ops.convolution import Convolution
from ranvier.graph.ops.movement import Pad
from ranvier.graph.tensor import Tensor

_ENOUGH = 0.9
"""Tiles across images must save at least a tenth of the multiply-adds."""


def inside(convolution: Tensor) -> tuple[Inside, ...]:
    """Where both axes of a convolution's images are not border, if they have one."""
    image, op = convolution.inputs[0], convolution.op
    if not isinstance(op, Convolution) or not isinstance(image.op, Pad):
        return ()
    pad, geometry = image.op, op.geometry
    first = 0 if isinstance(op, BatchInnermostConvolution) else 1
    return tuple(
        Inside(pad.before[axis], image.shape[axis] - pad.after[axis], *steps)
        for axis, steps in enumerate(zip(geometry.stride, geometry.dilation, strict=True), first)
    )


def beyond_border(padded: Tensor) -> Affine:
    """How to read a padded image where only its source lies in memory, without the border."""
    assert isinstance(padded.op, Pad)
    terms = row_major(padded.inputs[0].shape)
    return Affine(-sum(n * t for n, t in zip(padded.op.before, terms, strict=True)), terms)


def across_images(
    plan: ConvolutionPlan, body: Body, convolution: Tensor, x: Affine, host: TileHost
) -> tuple[ConvolutionPlan, Body] | None:
    """The plan with tiles across images, and the body of its epilogue, or None if no better.

    The images fall into blocks: a tile has a row for each image of a block. The body's first
    dimension is split likewise, and the images of a block become its last row dimension. `x`
    tells how neighbours along the image's axes lie apart.
    """
    loops, axes = plan.loops, inside(convolution)
    if not axes or not plan.packed or len(loops.batch) != 2 or body.rows != 3:
        return None
    images = loops.batch[0]
    width = plan.panels.size
    tallest = (host.vector_registers - 1 - width) // width
    size = largest_divisor(images, tallest)
    height, across = body.domain[1:3]
    down, right = loops.depth[:2]
    needed = _taps(axes[0], down, height, 1) * _taps(axes[1], right, across, 1)
    now = _taps(axes[0], down, height, loops.lines) * across * right
    if size * width < FEW_SUMS or needed > _ENOUGH * now:
        return None
    by_image, by_line, by_pixel, _ = x.terms
    left = replace(
        loops.left,
        offset=x.offset,
        batch=(by_image * size, by_line * axes[0].stride, by_pixel * axes[1].stride),
        side=by_image,
        depth=(by_line * axes[0].dilation, by_pixel * axes[1].dilation, loops.left.depth[2]),
    )
    batch = (images // size, height, across)
    loops = replace(loops, batch=batch, rows=size, left=left, lines=1, line_step=0)
    plan = replace(plan, loops=loops, rows=Cut(size, 1), row_block=height * across, inside=axes)
    body = permuted(split(body, 0, size), (0, 2, 3, 1, *range(4, len(body.domain) + 1)))
    return plan, body


def _taps(axis: Inside, kernel: int, outputs: int, lines: int) -> int:
    """The kernel elements that all outputs of an axis meet, where `lines` of them share theirs."""
    return sum(
        lines * axis.taps(kernel, first, first + lines - 1) for first in range(0, outputs, lines)
    )
