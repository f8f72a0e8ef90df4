"""Widening: a convolution with few channels out computes several neighbours as one.

Where the channels fill a fraction of a vector, `n` neighbours along the width are computed side
by side: the same image, `n` times the stride, and the weights `n` times, each a stride further
to the right among zeros. The result [b, h, w / n, n * f] lies in memory as [b, h, w, f].
Pointwise work on it is done in the wide shape too, so that it as well fills the vectors.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

from ranvier.graph import functions as f
from ranvier.graph.ops.convolution import Convolution, ConvolutionWeightGradient
from ranvier.graph.ops.movement import BroadcastTo, Reshape
from ranvier.graph.ops.pointwise import Pointwise
from ranvier.graph.tensor import Tensor, apply

_ENOUGH = 0.8
"""Widening must save at least a fifth of the multiply-adds."""


def neighbours(outputs: int, width: int, kernel: int, stride: int, lanes: int) -> int:
    """How many neighbours of a row of `width` to compute at once; 1 where it does not pay."""

    def cost(n: int) -> float:
        return -(-n * outputs // lanes) * (kernel + stride * (n - 1)) / n

    best = min((n for n in range(1, lanes + 1) if width % n == 0), key=cost)
    return best if cost(best) <= _ENOUGH * cost(1) else 1


def widened(node: Tensor, lanes: int) -> Tensor | None:
    """A plain convolution in its wide shape, or None where widening does not pay."""
    op = node.op
    assert isinstance(op, Convolution)
    x, w = node.inputs
    geometry, (_, kw, _, outputs) = op.geometry, w.shape
    if geometry.groups != 1 or geometry.dilation[1] != 1:
        return None
    width = node.shape[2]
    stride = geometry.stride[1]
    n = neighbours(outputs, width, kw, stride, lanes)
    if n == 1:
        return None
    moved = [
        f.pad(w, [(0, 0), (stride * i, stride * (n - 1 - i)), (0, 0), (0, 0)]) for i in range(n)
    ]
    geometry = replace(geometry, stride=(geometry.stride[0], stride * n))
    return apply(Convolution(geometry), x, f.concatenate(moved, -1))


def widened_weight_gradient(node: Tensor, lanes: int) -> Tensor | None:
    """The weight gradient of a convolution that is worth widening, from that of the wide one."""
    op = node.op
    assert isinstance(op, ConvolutionWeightGradient)
    x, g = node.inputs
    geometry, (kh, kw, _, outputs) = op.geometry, node.shape
    if geometry.groups != 1 or geometry.dilation[1] != 1:
        return None
    b, height, width, _ = g.shape
    stride = geometry.stride[1]
    n = neighbours(outputs, width, kw, stride, lanes)
    if n == 1:
        return None
    wide = f.reshape(g, (b, height, width // n, n * outputs))
    geometry = replace(geometry, stride=(geometry.stride[0], stride * n))
    kernel = (kh, kw + stride * (n - 1))
    return apply(ConvolutionWeightGradient(geometry, kernel), x, wide)


def narrowed_weights(wide: Tensor, kernel: int, outputs: int, stride: int) -> Tensor:
    """Add up what a wide weight gradient [kh, kw', c, n * f] holds for each weight."""
    n = wide.shape[-1] // outputs
    kh, _, channels, _ = wide.shape
    parts = [
        f.slice_axes(
            wide,
            (0, stride * i, 0, outputs * i),
            (kh, stride * i + kernel, channels, outputs * (i + 1)),
        )
        for i in range(n)
    ]
    return sum(parts[1:], parts[0])


def widened_pointwise(node: Tensor, wide: dict[Tensor, Tensor]) -> Tensor | None:
    """A pointwise `node` in the wide shape of its operands, if all have one.

    `wide` maps tensors to their wide forms. Scalars and channel vectors fit any width.
    """
    if not isinstance(node.op, Pointwise) or not any(source in wide for source in node.inputs):
        return None
    shapes = {wide[source].shape for source in node.inputs if source in wide}
    if len(shapes) != 1:
        return None
    (shape,) = shapes
    operands = []
    for source in node.inputs:
        operand = wide[source] if source in wide else _repeated(source, shape)
        if operand is None:
            return None
        operands.append(operand)
    return apply(node.op, *operands)


def _repeated(source: Tensor, shape: tuple[int, ...]) -> Tensor | None:
    """A broadcast scalar or channel vector, in the wide shape."""
    base = source
    while isinstance(base.op, BroadcastTo | Reshape) and base.size > 1:
        if isinstance(base.op, BroadcastTo) and base.inputs[0].size == source.shape[-1]:
            vector = base.inputs[0]
            if vector.shape[-1:] != source.shape[-1:]:
                return None
            n = shape[-1] // source.shape[-1]
            tiled = f.broadcast_to(f.reshape(vector, (1, vector.size)), (n, vector.size))
            return f.broadcast_to(f.reshape(tiled, (n * vector.size,)), shape)
        base = base.inputs[0]
    if base.size != 1 or prod(shape) == 1:
        return None
    return f.broadcast_to(f.reshape(base, ()), shape)
