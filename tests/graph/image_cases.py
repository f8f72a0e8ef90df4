"""Random samples of convolution and pooling, with awkward geometry, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from ranvier.errors import DTypeError, ShapeError
from ranvier.graph.ops import convolution, pooling
from ranvier.graph.ops.convolution import Geometry
from ranvier.graph.ops.pooling import Window
from ranvier.graph.tensor import Op, Shape

Sample: TypeAlias = tuple[Op, list[np.ndarray]]
Draw: TypeAlias = Callable[[np.random.Generator, int], Sample]

_CHANNELS = ((1, 1), (2, 3), (3, 1), (1, 4), (5, 2), (7, 1), (1, 6))
"""Channels of one group, in and out."""


def _pick(rng: np.random.Generator, *values: int) -> int:
    return int(rng.choice(values))


def _geometry(rng: np.random.Generator, i: int) -> tuple[Geometry, Shape, Shape]:
    """A geometry with the lengths of kernel and image: small, and odd in every way."""
    rank = 1 + i % 2
    kernel = tuple(_pick(rng, 1, 2, 3) for _ in range(rank))
    dilation = tuple(_pick(rng, 1, 1, 2) for _ in range(rank))
    before, after = (tuple(_pick(rng, 0, 1, 2) for _ in range(rank)) for _ in range(2))
    stride = tuple(_pick(rng, 1, 2, 3) for _ in range(rank))
    image = []
    for k, d, lo, hi in zip(kernel, dilation, before, after, strict=True):
        least = max(1, (k - 1) * d + 1 - lo - hi)
        image.append(least if i % 5 == 0 else least + _pick(rng, 0, 1, 2))
    return Geometry(stride, before, after, dilation, (1, 1, 2, 3)[i % 4]), kernel, tuple(image)


def _operands(rng: np.random.Generator, i: int) -> tuple[Geometry, Shape, Shape, Shape, Shape]:
    """A geometry, and the shapes of image, weights and result; and the kernel's lengths."""
    geometry, kernel, image = _geometry(rng, i)
    channels, outputs = _CHANNELS[i % len(_CHANNELS)]
    batch = 1 + i % 2
    x = (batch, *image, channels * geometry.groups)
    w = (*kernel, channels, outputs * geometry.groups)
    y = (batch, *geometry.positions(image, kernel), outputs * geometry.groups)
    return geometry, x, w, y, kernel


def _convolution(rng: np.random.Generator, i: int) -> Sample:
    geometry, x, w, _, _ = _operands(rng, i)
    return convolution.Convolution(geometry), [rng.normal(size=x), rng.normal(size=w)]


def _input_gradient(rng: np.random.Generator, i: int) -> Sample:
    geometry, x, w, y, _ = _operands(rng, i)
    op = convolution.ConvolutionInputGradient(geometry, x[1:-1])
    return op, [rng.normal(size=y), rng.normal(size=w)]


def _weight_gradient(rng: np.random.Generator, i: int) -> Sample:
    geometry, x, _, y, kernel = _operands(rng, i)
    op = convolution.ConvolutionWeightGradient(geometry, kernel)
    return op, [rng.normal(size=x), rng.normal(size=y)]


def _window(rng: np.random.Generator, i: int) -> tuple[Window, Shape, Shape]:
    """A window that never sees the border alone, and the shapes of image and result."""
    geometry, lengths, _ = _geometry(rng, i)
    reach = [(k - 1) * d + 1 for k, d in zip(lengths, geometry.dilation, strict=True)]
    before, after = (
        tuple(min(p, r - 1) for p, r in zip(pads, reach, strict=True))
        for pads in (geometry.before, geometry.after)
    )
    plain = Geometry(geometry.stride, before, after, geometry.dilation)
    image = tuple(r + i % 3 for r in reach)
    window, ends = Window(lengths, plain), (1 + i % 2, 1 + i % 3)
    positions = window.positions(image)
    return window, (ends[0], *image, ends[1]), (ends[0], *positions, ends[1])


def _apart(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Values of which any two differ by at least 0.1."""
    count = int(np.prod(shape))
    values = rng.permutation(np.arange(count) - count // 2) * 0.2 + rng.uniform(0, 0.1, count)
    return np.asarray(values.reshape(shape))


def _pooling(kind: Callable[[Window], Op]) -> Draw:
    def draw(rng: np.random.Generator, i: int) -> Sample:
        window, image, _ = _window(rng, i)
        return kind(window), [_apart(rng, image)]

    return draw


def _chosen(rng: np.random.Generator, window: Window, image: Shape) -> np.ndarray:
    """What max pooling of some picture chooses."""
    choice = pooling.MaxPoolChoice(window).meaning(np, _apart(rng, image))
    return np.asarray(choice)


def _unpool(rng: np.random.Generator, i: int) -> Sample:
    window, image, result = _window(rng, i)
    op = pooling.Unpool(window, image[1:-1])
    return op, [rng.normal(size=result), _chosen(rng, window, image)]


def _pool_chosen(rng: np.random.Generator, i: int) -> Sample:
    window, image, _ = _window(rng, i)
    return pooling.PoolChosen(window), [rng.normal(size=image), _chosen(rng, window, image)]


def _sum_unpool(rng: np.random.Generator, i: int) -> Sample:
    window, image, result = _window(rng, i)
    return pooling.SumUnpool(window, image[1:-1]), [rng.normal(size=result)]


DIFFERENTIABLE: dict[str, Draw] = {
    "convolution": _convolution,
    "convolution_input_gradient": _input_gradient,
    "convolution_weight_gradient": _weight_gradient,
    "max_pool": _pooling(pooling.MaxPool),
    "unpool": _unpool,
    "pool_chosen": _pool_chosen,
    "sum_pool": _pooling(pooling.SumPool),
    "sum_unpool": _sum_unpool,
}

DISCRETE: dict[str, Draw] = {"max_pool_choice": _pooling(pooling.MaxPoolChoice)}

# ---------------------------------------------------------------- what is refused

_PLAIN = Geometry((1, 1), (0, 0), (0, 0), (1, 1))
_GROUPS = Geometry((1, 1), (0, 0), (0, 0), (1, 1), 2)
_NO_STRIDE = Geometry((0, 1), (0, 0), (0, 0), (1, 1))
_NEGATIVE = Geometry((1, 1), (-1, 0), (0, 0), (1, 1))
_UNEVEN = Geometry((1, 1), (0,), (0, 0), (1, 1))
_WIDE = Geometry((1, 1), (2, 0), (0, 0), (1, 1))
_DILATED = Window((2,), Geometry((1,), (2,), (2,), (3,)))
"""On an image of one pixel it sees that pixel from some places, and from some nothing."""
_PAIR, _F, _I = Window((2, 2), _PLAIN), "float32", "int32"
_IMAGE, _POOLED, _WEIGHTS = (1, 4, 4, 2), (1, 3, 3, 2), (2, 2, 2, 2)

_CONVOLUTION: list[Any] = [
    (_PLAIN, [(_IMAGE, _F), (_WEIGHTS, "float64")], DTypeError),
    (_PLAIN, [(_IMAGE, _I), (_WEIGHTS, _I)], DTypeError),
    (_PLAIN, [((4, 4, 2), _F), (_WEIGHTS, _F)], ShapeError),
    (_PLAIN, [(_IMAGE, _F), ((2, 2, 3, 2), _F)], ShapeError),
    (_PLAIN, [(_IMAGE, _F), ((5, 2, 2, 2), _F)], ShapeError),
    (_GROUPS, [(_IMAGE, _F), ((2, 2, 1, 3), _F)], ShapeError),
    (_NO_STRIDE, [(_IMAGE, _F), (_WEIGHTS, _F)], ShapeError),
    (_NEGATIVE, [(_IMAGE, _F), (_WEIGHTS, _F)], ShapeError),
    (_UNEVEN, [(_IMAGE, _F), (_WEIGHTS, _F)], ShapeError),
]

REFUSED: dict[str, list[Any]] = {
    "convolution": [(convolution.Convolution(g), *rest) for g, *rest in _CONVOLUTION],
    "convolution_input_gradient": [
        (convolution.ConvolutionInputGradient(g, (4, 4)), [(y, d), (_WEIGHTS, _F)], error)
        for g, y, d, error in (
            (_PLAIN, _POOLED, "float64", DTypeError),
            (_PLAIN, _IMAGE, _F, ShapeError),
            (_PLAIN, (1, 3, 3, 3), _F, ShapeError),
            (_NO_STRIDE, _POOLED, _F, ShapeError),
            (_PLAIN, _POOLED[1:], _F, ShapeError),
            (Geometry((1, 1), (0, 0), (0, 0), (1, 1), 3), _POOLED, _F, ShapeError),
            (Geometry((1,), (0,), (0,), (1,)), (1, 3, 2), _F, ShapeError),
        )
    ],
    "convolution_weight_gradient": [
        (convolution.ConvolutionWeightGradient(g, (2, 2)), [(_IMAGE, _F), (y, d)], error)
        for g, y, d, error in (
            (_PLAIN, _POOLED, "float64", DTypeError),
            (_PLAIN, _IMAGE, _F, ShapeError),
            (_PLAIN, (2, 3, 3, 2), _F, ShapeError),
            (_GROUPS, (1, 3, 3, 3), _F, ShapeError),
            (_NO_STRIDE, _POOLED, _F, ShapeError),
            (_PLAIN, (), _F, ShapeError),
        )
    ],
    **{
        kind.name: [
            (kind(_PAIR), [(_IMAGE, _I)], DTypeError),
            (kind(_PAIR), [((4, 4, 2), _F)], ShapeError),
            (kind(_PAIR), [((1, 1, 4, 2), _F)], ShapeError),
            (kind(Window((2, 2), _WIDE)), [(_IMAGE, _F)], ShapeError),
            (kind(Window((2,), _PLAIN)), [(_IMAGE, _F)], ShapeError),
            (kind(Window((0, 2), _PLAIN)), [(_IMAGE, _F)], ShapeError),
            (kind(_DILATED), [((1, 1, 2), _F)], ShapeError),
        ]
        for kind in (pooling.MaxPool, pooling.MaxPoolChoice, pooling.SumPool)
    },
    "unpool": [
        (pooling.Unpool(_PAIR, (4, 4)), [(_POOLED, _I), (_POOLED, _I)], DTypeError),
        (pooling.Unpool(_PAIR, (4, 4)), [(_POOLED, _F), (_POOLED, _F)], DTypeError),
        (pooling.Unpool(_PAIR, (4, 4)), [(_IMAGE, _F), (_IMAGE, _I)], ShapeError),
        (pooling.Unpool(_PAIR, (4, 4)), [(_POOLED, _F), (_IMAGE, _I)], ShapeError),
        (pooling.Unpool(_PAIR, (4,)), [(_POOLED, _F), (_POOLED, _I)], ShapeError),
        (pooling.Unpool(Window((2,), _PLAIN), (4, 4)), [(_POOLED, _F)] * 2, ShapeError),
    ],
    "pool_chosen": [
        (pooling.PoolChosen(_PAIR), [(_IMAGE, _I), (_POOLED, _I)], DTypeError),
        (pooling.PoolChosen(_PAIR), [(_IMAGE, _F), (_POOLED, "int64")], DTypeError),
        (pooling.PoolChosen(_PAIR), [(_IMAGE, _F), (_IMAGE, _I)], ShapeError),
    ],
    "sum_unpool": [
        (pooling.SumUnpool(_PAIR, (4, 4)), [(_POOLED, _I)], DTypeError),
        (pooling.SumUnpool(_PAIR, (4, 4)), [(_IMAGE, _F)], ShapeError),
        (pooling.SumUnpool(_PAIR, (4, 4)), [((), _F)], ShapeError),
        (pooling.SumUnpool(Window((2, 2), _NO_STRIDE), (4, 4)), [(_POOLED, _F)], ShapeError),
    ],
}
