"""Functions of images: convolution and pooling over one or two spatial axes.

Images are [batch, *spatial, channels]; an argument that counts along the spatial axes is one
number for all of them or a tuple with one for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from operator import index
from typing import Any, TypeAlias

import numpy as np

from ranvier.errors import DTypeError, ShapeError
from ranvier.graph import functions as f
from ranvier.graph.ops.convolution import Convolution, Geometry
from ranvier.graph.ops.pooling import MaxPool, SumPool, Window
from ranvier.graph.shapes import whole_numbers
from ranvier.graph.tensor import Shape, Tensor, apply
from ranvier.guidance.calls import explain

PerAxis: TypeAlias = int | Sequence[int]
Padding: TypeAlias = str | int | Sequence[int | tuple[int, int]]


def convolution(
    x: Any,
    weights: Any,
    stride: PerAxis = 1,
    padding: Padding = "valid",
    dilation: PerAxis = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve an image [b, *s, c] with weights [*k, c / groups, f]: [b, *positions, f].

    The kernel is not mirrored. `padding` is "valid", "same" (positions = ceil(s / stride), the
    odd zero after), the zeros at every border, or a number or pair (before, after) for each axis.
    The native engine may spread NaN and infinity to neighbours in an image. Raises ShapeError
    or DTypeError.
    """
    x, weights = f.as_tensor(x), f.as_tensor(weights)
    image = _spatial("convolution", x)
    if weights.ndim != x.ndim:
        raise ShapeError(
            f"convolution: weights {weights.shape} must have {x.ndim} axes like image {x.shape}; "
            "weights are [*kernel, channels / groups, outputs]"
        )
    kernel = weights.shape[:-2]
    geometry = _geometry("convolution", image, kernel, stride, padding, dilation, groups)
    return apply(Convolution(geometry), x, weights)


def max_pool(
    x: Any, window: PerAxis, stride: PerAxis | None = None, padding: Padding = "valid"
) -> Tensor:
    """Return the largest element of each window; the stride is the window's size by default.

    Windows see nothing beyond the border. `padding` is that of `convolution`.
    """
    x = f.as_tensor(x)
    return apply(MaxPool(_window("max_pool", x, window, stride, padding)), x)


def average_pool(
    x: Any, window: PerAxis, stride: PerAxis | None = None, padding: Padding = "valid"
) -> Tensor:
    """Return the mean of each window; the stride is the window's size by default.

    Elements beyond the border do not count. `padding` is that of `convolution`.
    """
    x = f.as_tensor(x)
    shape = _window("average_pool", x, window, stride, padding)
    shape.infer("average_pool", x)  # Errors name the function, not the sum that it is made of.
    total = apply(SumPool(shape), x)
    if not any(shape.geometry.before) and not any(shape.geometry.after):
        return total / prod(shape.lengths)
    ones = np.ones((1, *x.shape[1:-1], 1), x.dtype)
    seen = SumPool(shape).meaning(np, ones)
    return total / f.as_tensor(seen.astype(x.dtype))


def _window(
    name: str, x: Tensor, window: PerAxis, stride: PerAxis | None, padding: Padding
) -> Window:
    image = _spatial(name, x)
    lengths = _per_axis(name, "window", window, len(image))
    stride = lengths if stride is None else stride
    return Window(lengths, _geometry(name, image, lengths, stride, padding, 1, 1))


def _spatial(name: str, x: Tensor) -> Shape:
    if x.ndim not in (3, 4):
        raise ShapeError(
            f"{name}: an image is [batch, *spatial, channels] with one or two spatial axes, "
            f"not {x.shape}; use reshape or expand_dims"
        )
    return x.shape[1:-1]


def _geometry(
    name: str,
    image: Shape,
    kernel: Shape,
    stride: PerAxis,
    padding: Padding,
    dilation: PerAxis,
    groups: int,
) -> Geometry:
    rank = len(image)
    strides = _per_axis(name, "stride", stride, rank)
    dilations = _per_axis(name, "dilation", dilation, rank)
    if not isinstance(padding, str):
        pairs = _pairs(name, padding, rank)
    elif padding == "valid":
        pairs = [(0, 0)] * rank
    elif padding == "same":
        axes = zip(image, kernel, strides, dilations, strict=True)
        pairs = [_same(n, k, s, d) for n, k, s, d in axes]
    else:
        raise ShapeError(f'{name}: padding is "valid", "same", or numbers, not {padding!r}')
    before, after = tuple(lo for lo, _ in pairs), tuple(hi for _, hi in pairs)
    try:
        return Geometry(strides, before, after, dilations, index(groups))
    except TypeError:
        raise DTypeError(f"{name}: groups {groups!r} is not a whole number; use an int") from None


def _pairs(name: str, padding: Any, rank: int) -> list[tuple[int, int]]:
    """The zeros before and after each axis, from one number or one number or pair for each."""
    label = f"{name}: padding"
    try:
        each = [index(padding)] * rank
    except TypeError:
        # Something that cannot be iterated over is left to `whole_numbers` to refuse.
        each = list(padding if hasattr(padding, "__iter__") else whole_numbers(label, padding))
    pairs = [whole_numbers(label, numbers) for numbers in each]
    if len(pairs) != rank or any(len(pair) not in (1, 2) for pair in pairs):
        raise ShapeError(
            f"{label} {padding} must be one number, or one number or pair (before, after) for "
            f"each of {rank} spatial axes"
        )
    return [(pair[0], pair[-1]) for pair in pairs]


def _same(length: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """The zeros before and after an axis so that the result has ceil(length / stride)."""
    reach = (kernel - 1) * dilation + 1
    missing = max(0, (-(-length // stride) - 1) * stride + reach - length)
    return missing // 2, missing - missing // 2


def _per_axis(name: str, what: str, value: PerAxis, rank: int) -> Shape:
    values = whole_numbers(f"{name}: {what}", value)
    values = values * rank if len(values) == 1 else values
    if len(values) != rank:
        raise ShapeError(
            f"{name}: {what} {values} must be one number, or one for each of {rank} spatial axes"
        )
    if min(values) < 1:
        raise ShapeError(f"{name}: {what} {value} must be at least 1")
    return values


explain(globals())
