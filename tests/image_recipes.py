"""Recipes of `random_graphs` for images: convolution and pooling with awkward geometry."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import ranvier as rv
from ranvier.graph.images import PerAxis
from ranvier.graph.ops.convolution import (
    Convolution,
    ConvolutionInputGradient,
    ConvolutionWeightGradient,
)
from ranvier.graph.ops.pooling import MaxPool, MaxPoolChoice, PoolChosen, Unpool
from ranvier.graph.tensor import Shape, Tensor, apply

if TYPE_CHECKING:
    from random_graphs import Builder, Node


MANY = 32
"""Images enough for vectors to run along them."""


def _image(b: Builder) -> tuple[Node, Tensor]:
    """A number of the pool seen as an image of one or two spatial axes, or a new image."""

    def fits(node: Node) -> bool:
        shape = node.tensor.shape
        if node.tensor.dtype != b.case.dtype or len(shape) not in (2, 3, 4):
            return False
        return 0 < prod(shape) < 600 or (shape[0] == MANY and 0 < prod(shape[1:]) < 600)

    x = b.pick(fits)
    if x is None or b.flag():
        shape = [b.choose((1, 2, 3, MANY)), *(b.choose((5, 1, 4, 8)) for _ in range(1 + b.flag()))]
        x = b.leaf((*shape, b.choose((1, 2, 3, 6, 7))))
    shape = x.tensor.shape
    whole = shape if len(shape) > 2 else (1, *shape)
    return x, x.tensor if whole == shape else x.tensor.reshape(whole)


def _padding(b: Builder, reach: Shape, lengths: Shape, wider: int = 0) -> list[tuple[int, int]]:
    """Borders wide enough for the window to fit, and narrower than it or so much wider."""
    pairs = []
    for r, n in zip(reach, lengths, strict=True):
        widest = r - 1 + wider
        before = b.integer(0, widest)
        least = max(0, r - n - before)
        pairs.append((before, b.integer(least, max(least, widest))))
    return pairs


def _numbers(b: Builder, count: int, *values: int) -> Shape:
    return tuple(b.choose(values) for _ in range(count))


def convolve(b: Builder) -> None:
    """A convolution with a stride, borders, dilation and groups."""
    x, image = _image(b)
    channels, spatial = image.shape[-1], image.shape[1:-1]
    groups = b.choose(tuple(g for g in (1, 2, 3) if channels % g == 0))
    kernel, dilation = (_numbers(b, len(spatial), *v) for v in ((1, 2, 3), (1, 1, 2)))
    reach = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
    padding = _padding(b, reach, spatial, b.choose((0, 0, 3)))
    stride: PerAxis = _numbers(b, len(spatial), 1, 1, 2, 3)
    w = b.leaf((*kernel, channels // groups, groups * b.choose((1, 2, 3, 8, 17))))
    out = rv.convolution(image, w.tensor, stride, padding, dilation, groups)
    terms = prod(w.tensor.shape[:-1])
    if b.flag():
        grid = None if x.grid is None or w.grid is None else x.grid + w.grid
        b.put(out, grid, bound=terms * x.largest * w.largest)
        return
    g, op = b.leaf(out.shape).tensor, out.op
    assert isinstance(op, Convolution)
    if b.flag():
        b.put(apply(ConvolutionInputGradient(op.geometry, spatial), g, w.tensor))
    else:
        b.put(apply(ConvolutionWeightGradient(op.geometry, kernel), image, g))


def pool(b: Builder) -> None:
    """Max or average pooling, or one picture at the places that another one chooses."""
    x, image = _image(b)
    spatial = image.shape[1:-1]
    lengths = _numbers(b, len(spatial), 2, 1, 3)
    padding = _padding(b, lengths, spatial)
    stride = lengths if b.flag() else _numbers(b, len(spatial), 1, 2, 3)
    if b.flag():
        b.put(rv.average_pool(image, lengths, stride, padding))
    elif b.kinked(x):
        pooled = rv.max_pool(image, lengths, stride, padding)
        if b.flag():
            b.put(pooled, x.grid)
            return
        assert isinstance(pooled.op, MaxPool)
        window = pooled.op.window
        chosen = apply(MaxPoolChoice(window), image)
        if b.flag():
            b.put(apply(PoolChosen(window), b.leaf(image.shape).tensor, chosen))
        else:
            b.put(apply(Unpool(window, spatial), b.leaf(pooled.shape).tensor, chosen))
