"""One case for each primitive: random samples of its attributes and inputs, and what it refuses.

Floating inputs keep a distance from kinks, ties and poles, so that finite differences hold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import image_cases
import numpy as np

import ranvier as rv
from ranvier.errors import DTypeError, ShapeError
from ranvier.graph.ops import contraction, indexing, movement, pointwise, random, reduction
from ranvier.graph.tensor import Op, Shape

Sample: TypeAlias = tuple[Op, list[np.ndarray]]
"""An op and its inputs; the float64 inputs are those that it is differentiated towards."""

Draw: TypeAlias = Callable[[np.random.Generator, int], Sample]
"""Makes sample number `i`."""

SHAPES: tuple[Shape, ...] = (
    (), (1,), (3,), (1, 1), (2, 3), (1, 4), (3, 1), (0,), (2, 0), (2, 1, 3), (1, 2, 1, 3),
    (2, 2, 1, 2), (7,), (11,), (1, 1, 1, 1), (1, 0, 2), (2, 3, 2), (1, 5, 1), (2, 1, 2, 1), (5, 2),
)  # fmt: skip
"""Ranks 0 to 4, with single, odd and empty axes."""

SAMPLES = len(SHAPES)


def away(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Values of both signs, 0.2 to 2 from zero and more than 0.15 from whole numbers."""
    size = rng.choice([0.2, 0.35, 0.6, 0.8, 1.3, 1.7], shape) + rng.uniform(0, 0.04, shape)
    return np.asarray(size * rng.choice([-1.0, 1.0], shape))


def between(low: float, high: float) -> Callable[[np.random.Generator, Shape], np.ndarray]:
    """Values between two bounds."""
    return lambda rng, shape: np.asarray(rng.uniform(low, high, shape))


def apart(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    """Values of which any two differ by at least 0.1."""
    count = int(np.prod(shape))
    return np.asarray(rng.permutation(np.arange(count) - count // 2) * 0.2).reshape(
        shape
    ) + rng.uniform(0, 0.1, shape)


def _pointwise(op: Op, *makers: Callable[[np.random.Generator, Shape], np.ndarray]) -> Draw:
    return lambda rng, i: (op, [make(rng, SHAPES[i]) for make in makers])


def _distinct(op: Op) -> Draw:
    def draw(rng: np.random.Generator, i: int) -> Sample:
        a = away(rng, SHAPES[i])
        return op, [a, a + rng.choice([-1, 1], a.shape) * rng.uniform(0.1, 1, a.shape)]

    return draw


def _bools(rng: np.random.Generator, shape: Shape) -> np.ndarray:
    return np.asarray(rng.random(shape) < 0.5)


def _any(rng: np.random.Generator, i: int) -> np.ndarray:
    return np.asarray(rng.normal(size=SHAPES[i]))


# ---------------------------------------------------------------- movement


def _reshape(rng: np.random.Generator, i: int) -> Sample:
    x = _any(rng, i)
    shapes = [(x.size,), (*x.shape, 1), (1, *x.shape[::-1]), tuple(sorted(x.shape))]
    return movement.Reshape(shapes[i % 4]), [x]


def _transpose(rng: np.random.Generator, i: int) -> Sample:
    x = _any(rng, i)
    return movement.Transpose(tuple(int(a) for a in rng.permutation(x.ndim))), [x]


def _broadcast_to(rng: np.random.Generator, i: int) -> Sample:
    x = _any(rng, i)
    wide = tuple(int(rng.choice([0, 1, 2, 3])) if n == 1 else n for n in x.shape)
    return movement.BroadcastTo(((), (2,), (1,), (3, 1))[i % 4] + wide), [x]


def _slice(rng: np.random.Generator, i: int) -> Sample:
    x = _any(rng, i)
    starts = tuple(int(rng.integers(0, n + 1)) for n in x.shape)
    stops = tuple(int(rng.integers(lo, n + 1)) for lo, n in zip(starts, x.shape, strict=True))
    return movement.Slice(starts, stops, tuple(int(s) for s in rng.integers(1, 5, x.ndim))), [x]


def _whole_slice(rng: np.random.Generator, i: int) -> Sample:
    """Every second sample begins at 0 and ends at the end, so that it takes something."""
    if i % 2:
        return _slice(rng, i)
    x = _any(rng, i)
    return movement.Slice((0,) * x.ndim, x.shape, (1, 2, 3, 4)[: x.ndim]), [x]


def _pad(rng: np.random.Generator, i: int) -> Sample:
    x = _any(rng, i)
    before, after = (tuple(int(w) for w in rng.integers(0, 3, x.ndim)) for _ in range(2))
    return movement.Pad(before, after), [x]


def _concatenate(rng: np.random.Generator, i: int) -> Sample:
    shape = SHAPES[i] or (4,)
    axis, parts = i % len(shape), []
    for length in rng.integers(0, 3, 1 + i % 3):
        parts.append(rng.normal(size=(*shape[:axis], int(length), *shape[axis + 1 :])))
    return movement.Concatenate(axis), [*parts, rng.normal(size=shape)]


def _flip(rng: np.random.Generator, i: int) -> Sample:
    x = _any(rng, i)
    return movement.Flip(tuple(a for a in range(x.ndim) if rng.random() < 0.6)), [x]


# ---------------------------------------------------------------- reductions and the rest


def _reduction(
    kind: Callable[[tuple[int, ...]], Op],
    make: Callable[[np.random.Generator, Shape], np.ndarray],
    empty: bool = False,
    single: bool = False,
) -> Draw:
    def draw(rng: np.random.Generator, i: int) -> Sample:
        shape = SHAPES[i] or ((3, 2) if single else ())
        axes = tuple(a for a in range(len(shape)) if rng.random() < 0.6)
        if single:
            axes = (i % len(shape),)
        if not empty:
            shape = tuple(3 if n == 0 and a in axes else n for a, n in enumerate(shape))
        return kind(axes), [make(rng, shape)]

    return draw


def _matmul(rng: np.random.Generator, i: int) -> Sample:
    m, k, n = [(1, 1, 1), (2, 3, 1), (1, 3, 2), (3, 1, 3), (2, 0, 3), (0, 2, 2), (2, 5, 2)][i % 7]
    lead = ((), (2,), (1,), (1, 2), (0,))[i % 5]
    return contraction.MatMul(), [rng.normal(size=(*lead, m, k)), rng.normal(size=(*lead, k, n))]


def _indices(rng: np.random.Generator, i: int, rows: int) -> np.ndarray:
    """Indices with repeats; in every fourth sample some lie outside and are clipped."""
    shape = ((3,), (), (2, 1), (0,), (1, 2, 2))[i % 5]
    margin = 2 if i % 4 == 3 else 0
    dtype = np.int32 if i % 2 else np.int64
    return np.asarray(rng.integers(-margin, rows + margin, shape)).astype(dtype)


def _take(rng: np.random.Generator, i: int) -> Sample:
    rows = (1, 2, 5)[i % 3]
    x = rng.normal(size=(rows, *((), (2,), (1, 3), (0,))[i % 4]))
    return indexing.Take(), [x, _indices(rng, i, rows)]


def _scatter_add(rng: np.random.Generator, i: int) -> Sample:
    rows = (1, 2, 5)[i % 3]
    indices = _indices(rng, i, rows)
    updates = rng.normal(size=(*indices.shape, *((), (2,), (1, 3), (0,))[i % 4]))
    return indexing.ScatterAdd(rows), [updates, indices]


def _where(rng: np.random.Generator, i: int) -> Sample:
    shape = SHAPES[i]
    return pointwise.Where(), [_bools(rng, shape), rng.normal(size=shape), rng.normal(size=shape)]


def _random(kind: Callable[..., Op], dtypes: Sequence[Any]) -> Draw:
    def draw(rng: np.random.Generator, i: int) -> Sample:
        seed = np.asarray(rng.integers(-(2**62), 2**62))
        op = kind(SHAPES[i], dtypes[i % len(dtypes)], int(rng.integers(0, 2**32)))
        return op, [seed, np.asarray(rng.integers(0, 2**40))]

    return draw


_unit = between(-1.5, 1.5)
_positive = between(0.6, 2.5)

DIFFERENTIABLE: dict[str, Draw] = {
    "negative": _pointwise(pointwise.Negative(), _unit),
    "exp": _pointwise(pointwise.Exp(), _unit),
    "expm1": _pointwise(pointwise.Expm1(), _unit),
    "log": _pointwise(pointwise.Log(), _positive),
    "log1p": _pointwise(pointwise.Log1p(), between(-0.7, 1.5)),
    "tanh": _pointwise(pointwise.Tanh(), _unit),
    "sigmoid": _pointwise(pointwise.Sigmoid(), away),
    "erf": _pointwise(pointwise.Erf(), _unit),
    "sqrt": _pointwise(pointwise.Sqrt(), _positive),
    "rsqrt": _pointwise(pointwise.Rsqrt(), _positive),
    "sin": _pointwise(pointwise.Sin(), between(-4, 4)),
    "cos": _pointwise(pointwise.Cos(), between(-4, 4)),
    "abs": _pointwise(pointwise.Abs(), away),
    "add": _pointwise(pointwise.Add(), _unit, _unit),
    "subtract": _pointwise(pointwise.Subtract(), _unit, _unit),
    "multiply": _pointwise(pointwise.Multiply(), _unit, _unit),
    "divide": _pointwise(pointwise.Divide(), _unit, _positive),
    "power": _pointwise(pointwise.Power(), _positive, between(-2, 3)),
    "maximum": _distinct(pointwise.Maximum()),
    "minimum": _distinct(pointwise.Minimum()),
    "where": _where,
    "cast": _pointwise(pointwise.Cast(rv.float64), _unit),
    "reshape": _reshape,
    "transpose": _transpose,
    "broadcast_to": _broadcast_to,
    "slice": _whole_slice,
    "pad": _pad,
    "concatenate": _concatenate,
    "flip": _flip,
    "sum": _reduction(reduction.Sum, _unit, empty=True),
    "max": _reduction(reduction.Max, apart),
    "min": _reduction(reduction.Min, apart),
    "matmul": _matmul,
    "take": _take,
    "scatter_add": _scatter_add,
    **image_cases.DIFFERENTIABLE,
}

FLAT: dict[str, Draw] = {
    "sign": _pointwise(pointwise.Sign(), away),
    "floor": _pointwise(pointwise.Floor(), away),
    "step": _pointwise(pointwise.Step(), away),
    "stop_gradient": _pointwise(pointwise.StopGradient(), _unit),
}
"""Floating results through which no gradient flows."""

DISCRETE: dict[str, Draw] = {
    "less": _distinct(pointwise.Less()),
    "less_equal": _distinct(pointwise.LessEqual()),
    "equal": _distinct(pointwise.Equal()),
    "not_equal": _distinct(pointwise.NotEqual()),
    "logical_and": _pointwise(pointwise.LogicalAnd(), _bools, _bools),
    "logical_or": _pointwise(pointwise.LogicalOr(), _bools, _bools),
    "logical_not": _pointwise(pointwise.LogicalNot(), _bools),
    "argmax": _reduction(reduction.ArgMax, apart, single=True),
    "random_bits": _random(random.RandomBits, (rv.uint8, rv.int32)),
    "random_uniform": _random(random.RandomUniform, (rv.float32, rv.float64)),
    **image_cases.DISCRETE,
}
"""Ops that declare that they are not differentiable."""

LEAVES = ("constant", "input", "state")

OPS: dict[str, Draw] = {**DIFFERENTIABLE, **FLAT, **DISCRETE}

# ---------------------------------------------------------------- what is refused

Refusal: TypeAlias = tuple[Op, list[tuple[Shape, str]], type[Exception]]

_F, _D, _I, _L, _U, _B = "float32", "float64", "int32", "int64", "uint8", "bool"


def _op(name: str) -> Op:
    return OPS[name](np.random.default_rng(0), 0)[0]


def _binary_refusals(op: Op, *dtypes: str) -> list[Refusal]:
    wrong: list[Refusal] = [(op, [((2,), d), ((2,), d)], DTypeError) for d in dtypes]
    good = _B if isinstance(op, pointwise.Logical) else _F
    shapes: Refusal = (op, [((2,), good), ((1,), good)], ShapeError)
    mixed: Refusal = (op, [((2,), good), ((2,), _D)], DTypeError)
    return [*wrong, shapes, mixed]


def _unary_refusals(op: Op, *dtypes: str) -> list[Refusal]:
    return [(op, [((2,), dtype)], DTypeError) for dtype in dtypes]


_OF_FLOATS = (
    "exp",
    "expm1",
    "log",
    "log1p",
    "tanh",
    "sigmoid",
    "erf",
    "sqrt",
    "rsqrt",
    "sin",
    "cos",
    "floor",
    "step",
)
_NOT_FLOAT = (_I, _L, _U, _B, "bfloat16")
_NOT_SIGNED = (_U, _B, "bfloat16")
_NOT_NUMERIC = (_B, "bfloat16")
_M, _P, _R = movement, pointwise, reduction

REFUSED: dict[str, list[Refusal]] = {
    **{name: _unary_refusals(_op(name), *_NOT_FLOAT) for name in _OF_FLOATS},
    **{name: _unary_refusals(_op(name), *_NOT_SIGNED) for name in ("negative", "abs", "sign")},
    **{
        name: _binary_refusals(_op(name), *_NOT_NUMERIC)
        for name in ("add", "subtract", "multiply", "maximum", "minimum")
    },
    **{name: _binary_refusals(_op(name), *_NOT_FLOAT) for name in ("divide", "power")},
    **{
        name: _binary_refusals(_op(name), "bfloat16")
        for name in ("less", "less_equal", "equal", "not_equal")
    },
    **{name: _binary_refusals(_op(name), _F, _L) for name in ("logical_and", "logical_or")},
    "logical_not": _unary_refusals(_P.LogicalNot(), _F, _L, _U),
    "where": [
        (_P.Where(), [((2,), _U), ((2,), _F), ((2,), _F)], DTypeError),
        (_P.Where(), [((2,), _B), ((2,), _F), ((2,), _D)], DTypeError),
        (_P.Where(), [((1,), _B), ((2,), _F), ((2,), _F)], ShapeError),
        (_P.Where(), [((2,), _B), ((2,), _F), ((1,), _F)], ShapeError),
    ],
    "reshape": [
        (_M.Reshape((3, 2)), [((5,), _F)], ShapeError),
        (_M.Reshape((-3, -2)), [((6,), _F)], ShapeError),
    ],
    "transpose": [
        (_M.Transpose((0, 0)), [((2, 3), _F)], ShapeError),
        (_M.Transpose((1, 0, 2)), [((2, 3), _F)], ShapeError),
    ],
    "broadcast_to": [
        (_M.BroadcastTo((4,)), [((2,), _F)], ShapeError),
        (_M.BroadcastTo((2,)), [((1, 2), _F)], ShapeError),
    ],
    "slice": [
        (_M.Slice((0,), (2,), (1,)), [((2, 2), _F)], ShapeError),
        (_M.Slice((0,), (3,), (1,)), [((2,), _F)], ShapeError),
        (_M.Slice((-1,), (2,), (1,)), [((2,), _F)], ShapeError),
        (_M.Slice((0,), (2,), (0,)), [((2,), _F)], ShapeError),
        (_M.Slice((2,), (1,), (1,)), [((2,), _F)], ShapeError),
    ],
    "pad": [
        (_M.Pad((1,), (1,)), [((2, 2), _F)], ShapeError),
        (_M.Pad((-1,), (1,)), [((2,), _F)], ShapeError),
    ],
    "concatenate": [
        (_M.Concatenate(1), [((2,), _F), ((2,), _F)], ShapeError),
        (_M.Concatenate(0), [((2, 1), _F), ((2, 2), _F)], ShapeError),
        (_M.Concatenate(0), [((2,), _F), ((2, 2), _F)], ShapeError),
        (_M.Concatenate(0), [((2,), _F), ((2,), _D)], DTypeError),
    ],
    "flip": [(_M.Flip((1,)), [((2,), _F)], ShapeError)],
    "sum": [
        (_R.Sum((1,)), [((2,), _F)], ShapeError),
        (_R.Sum((1, 0)), [((2, 2), _F)], ShapeError),
        (_R.Sum((0, 0)), [((2, 2), _F)], ShapeError),
        (_R.Sum((0,)), [((2,), _B)], DTypeError),
    ],
    "max": [
        (_R.Max((0,)), [((0,), _F)], ShapeError),
        (_R.Max((2,)), [((2,), _F)], ShapeError),
        (_R.Max((0,)), [((2,), _B)], DTypeError),
    ],
    "min": [
        (_R.Min((0,)), [((0,), _F)], ShapeError),
        (_R.Min((0,)), [((2,), _B)], DTypeError),
    ],
    "argmax": [
        (_R.ArgMax((0,)), [((0,), _F)], ShapeError),
        (_R.ArgMax((0, 1)), [((2, 2), _F)], ShapeError),
        (_R.ArgMax((0,)), [((2,), _B)], DTypeError),
    ],
    "matmul": [
        (contraction.MatMul(), [((2, 3), _F), ((2, 3), _F)], ShapeError),
        (contraction.MatMul(), [((3,), _F), ((3, 2), _F)], ShapeError),
        (contraction.MatMul(), [((2, 2, 3), _F), ((1, 3, 2), _F)], ShapeError),
        (contraction.MatMul(), [((2, 3), _F), ((3, 2), _D)], DTypeError),
        (contraction.MatMul(), [((2, 3), _I), ((3, 2), _I)], DTypeError),
    ],
    "take": [
        (indexing.Take(), [((), _F), ((2,), _L)], ShapeError),
        (indexing.Take(), [((0, 2), _F), ((2,), _L)], ShapeError),
        (indexing.Take(), [((2,), _F), ((2,), _U)], DTypeError),
        (indexing.Take(), [((2,), _F), ((2,), _F)], DTypeError),
    ],
    "scatter_add": [
        (indexing.ScatterAdd(2), [((3,), _F), ((2,), _L)], ShapeError),
        (indexing.ScatterAdd(0), [((2,), _F), ((2,), _L)], ShapeError),
        (indexing.ScatterAdd(2), [((2,), _F), ((2,), _F)], DTypeError),
        (indexing.ScatterAdd(2), [((2,), _B), ((2,), _L)], DTypeError),
    ],
    "random_bits": [
        (random.RandomBits((2,), rv.float32, 0), [((), _L), ((), _L)], DTypeError),
        (random.RandomBits((2,), rv.uint8, 0), [((1,), _L), ((), _L)], ShapeError),
        (random.RandomBits((2,), rv.uint8, 2**32), [((), _L), ((), _L)], ShapeError),
    ],
    "random_uniform": [
        (random.RandomUniform((2,), rv.int32, 0), [((), _L), ((), _L)], DTypeError),
        (random.RandomUniform((2,), rv.float32, -1), [((), _L), ((), _L)], ShapeError),
    ],
    **image_cases.REFUSED,
}

TAKES_ANYTHING = ("stop_gradient", "cast")
"""Ops of one input that refuse no tensor."""
