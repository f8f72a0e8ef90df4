"""One case for each public function of tensors: what it gives and what NumPy gives."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np

import ranvier as rv
from ranvier.graph.tensor import Tensor

Pairs: TypeAlias = Iterator[tuple[Tensor, Any]]
Shape: TypeAlias = tuple[int, ...]

SHAPES: tuple[Shape, ...] = ((), (1,), (5,), (3, 1), (2, 3), (0, 3), (2, 1, 4), (1, 2, 3, 2))
BROADCAST: tuple[tuple[Shape, Shape], ...] = (
    ((), ()), ((), (3,)), ((2, 3), ()), ((3,), (2, 3)), ((2, 1), (1, 3)), ((2, 1, 4), (3, 1)),
    ((1, 1, 1), (2,)), ((0, 3), (1, 3)), ((2, 3, 4), (2, 3, 4)),
)  # fmt: skip

rng = np.random.default_rng(7)


def normal(*shape: int) -> np.ndarray:
    return np.asarray(rng.normal(size=shape))


def same(found: Tensor, wanted: Any, dtype: Any = None) -> None:
    """Equal shape, equal dtype and equal values up to rounding."""
    wanted = np.asarray(wanted)
    value = found.numpy()
    assert found.dtype == (wanted.dtype if dtype is None else dtype)
    assert (value.shape, value.dtype) == (found.shape, found.dtype)
    tolerance = 1e-5 if found.dtype == rv.float32 else 1e-12
    np.testing.assert_allclose(value, wanted, rtol=tolerance, atol=tolerance)


# ---------------------------------------------------------------- one case a function

CASES: dict[str, Callable[[], Pairs]] = {}


def case(build: Callable[[], Pairs]) -> Callable[[], Pairs]:
    """Register pairs (tensor, what NumPy says) for the function of that name."""
    CASES[build.__name__.removesuffix("_")] = build
    return build


def _unary(name: str, wanted: Callable[[np.ndarray], Any], low: float = -3) -> None:
    def pairs() -> Pairs:
        for shape in SHAPES:
            x = np.asarray(rng.uniform(low, 3, shape))
            yield getattr(rv, name)(x), wanted(x)
            yield getattr(rv, name)(rv.constant(x.astype("f"))), np.asarray(wanted(x)).astype("f")

    CASES[name] = pairs


_unary("negative", np.negative)
_unary("exp", np.exp)
_unary("expm1", np.expm1)
_unary("log", np.log, 0.1)
_unary("log1p", np.log1p, -0.9)
_unary("tanh", np.tanh)
_unary("sigmoid", lambda x: 1 / (1 + np.exp(-x)))
_unary("erf", lambda x: np.vectorize(math.erf, otypes=[float])(x))
_unary("sqrt", np.sqrt, 0)
_unary("rsqrt", lambda x: x**-0.5, 0.1)
_unary("sin", np.sin)
_unary("cos", np.cos)
_unary("abs", np.abs)
_unary("sign", np.sign)
_unary("floor", np.floor)
_unary("step", lambda x: np.heaviside(x, 1))
_unary("stop_gradient", lambda x: x)
_unary("softplus", lambda x: np.logaddexp(x, 0))
_unary("relu", lambda x: np.maximum(x, 0))
_unary("gelu", lambda x: x * np.vectorize(lambda v: 0.5 * math.erfc(-v / 2**0.5), [float])(x))


def _binary(name: str, low: float = -3) -> None:
    def pairs() -> Pairs:
        for a_shape, b_shape in BROADCAST:
            a, b = (np.asarray(rng.uniform(low, 3, shape)) for shape in (a_shape, b_shape))
            if a_shape != ():
                a = np.where(rng.random(a.shape) < 0.2, a.flat[0] if a.size else 0, a)
            yield getattr(rv, name)(a, b), getattr(np, name)(a, b)
            yield getattr(rv, name)(b, rv.constant(a)), getattr(np, name)(b, a)
            yield getattr(rv, name)(rv.constant(a), 1.5), getattr(np, name)(a, 1.5)
            yield getattr(rv, name)(2, rv.constant(b)), getattr(np, name)(2.0, b)

    CASES[name] = pairs


for _name in ("add", "subtract", "multiply", "maximum", "minimum", "less", "less_equal", "equal",
              "not_equal", "greater", "greater_equal"):  # fmt: skip
    _binary(_name)
_binary("divide", 0.2)
_binary("power", 0.2)


def _logical(name: str) -> None:
    def pairs() -> Pairs:
        for a_shape, b_shape in BROADCAST:
            a, b = (np.asarray(rng.random(shape) < 0.5) for shape in (a_shape, b_shape))
            yield getattr(rv, name)(a, b), getattr(np, name)(a, b)
            yield getattr(rv, name)(rv.constant(a), True), getattr(np, name)(a, True)

    CASES[name] = pairs


_logical("logical_and")
_logical("logical_or")


@case
def logical_not() -> Pairs:
    x = rng.random((3, 4)) < 0.5
    yield rv.logical_not(x), ~x


def _reduction(name: str, dtypes: tuple[str, ...] = ("float64", "float32")) -> None:
    def pairs() -> Pairs:
        for shape in ((), (5,), (2, 3), (2, 1, 4), (1, 2, 3, 2)):
            n = len(shape)
            axes: list[Any] = [None, *range(-n, n), tuple(range(n)), tuple(range(0, n, 2))]
            for axis in [*axes, (0, -1) if n > 1 else ()]:
                for dtype in dtypes:
                    x = np.asarray(rng.uniform(-9, 9, shape)).astype(dtype)
                    for keep in (False, True):
                        wanted = np.asarray(getattr(np, name)(x, axis, keepdims=keep))
                        if wanted.dtype == np.uint64:  # which tensors do not have
                            wanted = wanted.astype(np.int64)
                        yield getattr(rv, name)(x, axis, keep), wanted

    CASES[name] = pairs


_reduction("sum", ("float64", "float32", "int64", "int32", "uint8", "bool"))
_reduction("max", ("float64", "int32", "int64"))
_reduction("min", ("float64", "int32", "int64"))
_reduction("mean")
_reduction("var")


@case
def argmax() -> Pairs:
    for shape in ((1,), (5,), (2, 3), (2, 1, 4)):
        x = rng.integers(0, 3, shape)  # With ties: the first counts.
        yield rv.argmax(x), np.argmax(x)
        for axis in range(-len(shape), len(shape)):
            yield rv.argmax(x, axis), np.argmax(x, axis)
            yield rv.argmax(x.astype("f"), axis), np.argmax(x, axis)
    yield rv.argmax(np.array([1.0, np.nan, 2.0])), np.int64(1)


@case
def where() -> Pairs:
    for (a_shape, b_shape), (c_shape, _) in zip(BROADCAST, reversed(BROADCAST[:5]), strict=False):
        a, b, c = normal(*a_shape), normal(*b_shape), rng.random(c_shape) < 0.5
        try:
            np.broadcast_shapes(a_shape, b_shape, c_shape)
        except ValueError:
            continue
        yield rv.where(c, a, b), np.where(c, a, b)
    c = np.array([True, False])
    yield rv.where(c, rv.constant([1.0, 2.0]), 0), np.array([1, 0], "f")
    yield rv.where(c, 1.0, 0.0), np.array([1, 0], "f")
    yield rv.where(True, rv.constant([1.0, 2.0]), 5), np.array([1, 2], "f")


@case
def cast() -> Pairs:
    x = np.array([-2.7, -0.5, 0.0, 0.5, 2.7])
    for dtype in ("float32", "int32", "int64", "bool"):
        yield rv.cast(x, dtype), x.astype(dtype)
    yield rv.cast(np.array([0, 255], "u1"), "float32"), np.array([0, 255], "f")
    yield rv.cast(np.array([True, False]), rv.int64), np.array([1, 0])
    yield rv.cast(rv.cast(rv.constant([1.0, 2.5]), "bfloat16"), "float32"), np.array([1, 2.5], "f")


@case
def reshape() -> Pairs:
    x = normal(2, 3, 4)
    for shape in ((24,), (6, 4), (-1,), (4, -1), (2, -1, 2), (1, 24, 1), (2, 3, 4)):
        yield rv.reshape(x, shape), x.reshape(shape)
        yield rv.reshape(x, *shape), x.reshape(shape)
        yield rv.constant(x).reshape(*shape), x.reshape(shape)
    yield rv.reshape(normal(1), ()).sum() * 0, np.float64(0)
    yield rv.reshape(normal(0, 3), (-1, 3)), np.zeros((0, 3))


@case
def transpose() -> Pairs:
    x = normal(2, 3, 4)
    for axes in ((0, 1, 2), (2, 0, 1), (-1, 0, 1), (1, -1, 0)):
        yield rv.transpose(x, axes), x.transpose(axes)
        yield rv.transpose(x, *axes), x.transpose(axes)
        yield rv.constant(x).transpose(*axes), x.transpose(axes)
    yield rv.transpose(x), x.T
    yield rv.transpose(x, None), x.T
    yield rv.constant(x).T, x.T
    yield rv.transpose(np.float64(2)), np.float64(2)


@case
def swapaxes() -> Pairs:
    x = normal(2, 3, 4)
    for first, second in ((0, 2), (-1, -2), (1, 1), (0, -1)):
        yield rv.swapaxes(x, first, second), x.swapaxes(first, second)


@case
def broadcast_to() -> Pairs:
    for source, target in (((), (2, 3)), ((3,), (2, 3)), ((2, 1), (4, 2, 3)), ((1,), (0,))):
        x = normal(*source)
        yield rv.broadcast_to(x, target), np.broadcast_to(x, target)


@case
def expand_dims() -> Pairs:
    x = normal(2, 3)
    for axis in range(-3, 3):
        yield rv.expand_dims(x, axis), np.expand_dims(x, axis)
    for axes in ((0, 1), (-1, 0), (1, 3, -1), ()):
        yield rv.expand_dims(x, axes), np.expand_dims(x, axes)


@case
def pad() -> Pairs:
    x = normal(2, 3)
    each: tuple[Any, ...] = ([(0, 0), (0, 0)], [(1, 0), (0, 2)], [(0, 3), (1, 1)])
    for widths in (*each, 1, (1, 2), [(1, 2)], [2], [[1], [2]], np.array([[1, 0], [0, 2]])):
        yield rv.pad(x, widths), np.pad(x, widths)
    yield rv.pad(np.array([True]), [(1, 1)]), np.array([False, True, False])
    yield rv.pad(np.float64(1), []), np.float64(1)
    yield rv.pad(np.float64(1), 3), np.float64(1)


@case
def concatenate() -> Pairs:
    for axis in (0, 1, -1, -2):
        parts = [normal(2, 3), normal(2, 3), normal(2, 3)]
        yield rv.concatenate(parts, axis), np.concatenate(parts, axis)
    mixed = [normal(2, 3), normal(4), normal(1, 1, 2)]
    yield rv.concatenate(mixed, None), np.concatenate(mixed, None)
    yield rv.concatenate([normal(0, 2), x := normal(3, 2)]), x
    yield rv.concatenate([x]), x


@case
def stack() -> Pairs:
    parts = [normal(2, 3), normal(2, 3)]
    for axis in range(-3, 3):
        yield rv.stack(parts, axis), np.stack(parts, axis)


@case
def flip() -> Pairs:
    x = normal(2, 3, 4)
    for axis in (None, 0, -1, (0, 2), (-1, -2)):
        yield rv.flip(x, axis), np.flip(x, axis)
    yield rv.flip(np.float64(1)), np.float64(1)


@case
def matmul() -> Pairs:
    shapes: list[tuple[Shape, Shape]] = [
        ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)),
        ((5, 2, 3), (3,)), ((3,), (5, 3, 2)), ((2, 3), (5, 3, 4)), ((5, 1, 2, 3), (4, 3, 2)),
        ((1, 2, 3), (5, 3, 1)), ((2, 0), (0, 3)), ((0, 2), (2, 3)), ((5, 2, 0), (0, 3)),
        ((2, 2, 2, 3), (3, 4)), ((0, 2, 3), (3, 4)), ((5, 3), (2, 3, 1)),
    ]  # fmt: skip
    for a_shape, b_shape in shapes:
        a, b = normal(*a_shape), normal(*b_shape)
        yield rv.matmul(a, b), a @ b
        yield rv.constant(a) @ b, a @ b
        yield a @ rv.constant(b), a @ b


@case
def take() -> Pairs:
    x = normal(3, 4, 2)
    for index in (np.array([2, 0, 0]), np.array(1), np.array([[1, 0], [2, 1]], np.int32)):
        for axis in (0, 1, 2, -1, -2):
            small = index % x.shape[axis]
            yield rv.take(x, small, axis), np.take(x, small, axis)
            yield rv.take(x, small - x.shape[axis], axis), np.take(x, small, axis)
    yield rv.take(x, [-1, 5, 0], None), np.take(x, [-1, 5, 0])
    yield rv.take(x, []), np.zeros((0, 4, 2))
    yield rv.take(x, rv.constant([-5, 9])), x[[0, 2]]


@case
def scatter_add() -> Pairs:
    index = np.array([[0, 2], [2, 2], [3, 0]])
    updates = normal(3, 2, 4)
    wanted = np.zeros((5, 4))
    for i, row in zip(index.ravel(), updates.reshape(6, 4), strict=True):
        wanted[i] += row
    yield rv.scatter_add(updates, index, 5), wanted
    yield rv.scatter_add(updates, index - 5, 5), wanted
    yield rv.scatter_add(np.array([1, 2, 3]), rv.constant([-7, 1, 99]), 2), np.array([1, 5])


@case
def random_bits() -> Pairs:
    words = np.array([0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8], np.uint32)
    yield rv.random_bits((64,), 0, 0, 0, rv.int32)[::16], words.view(np.int32)
    yield rv.random_bits((1, 2), 0, 0, 0, rv.uint8), np.array([[0xD5, 0xE8]], np.uint8)


@case
def random_uniform() -> Pairs:
    yield rv.random_uniform((1,), 0, 0, 0, rv.float64), np.array([0x6627E8D5 / 2**32])


@case
def zeros_like() -> Pairs:
    for dtype in ("float32", "int64", "bool", "uint8"):
        yield rv.zeros_like(rv.input((2, 3), dtype)), np.zeros((2, 3), dtype)


@case
def ones_like() -> Pairs:
    for dtype in ("float32", "int64", "bool", "uint8"):
        yield rv.ones_like(rv.input((2, 3), dtype)), np.ones((2, 3), dtype)


def _softmax(x: np.ndarray, axis: int) -> np.ndarray:
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


@case
def softmax() -> Pairs:
    for scale in (1, 1000):
        x = normal(3, 1, 4) * scale
        for axis in range(-3, 3):
            yield rv.softmax(x, axis), _softmax(x, axis)


@case
def log_softmax() -> Pairs:
    x = normal(3, 1, 4)
    for axis in range(-3, 3):
        yield rv.log_softmax(x, axis), np.log(_softmax(x, axis))
    yield rv.log_softmax(np.array([0.0, 1e4])), np.array([-1e4, 0.0])


@case
def one_hot() -> Pairs:
    for index in (np.array([[0, 2], [1, 1]]), np.array(2), np.array([0, 3], np.int32)):
        yield rv.one_hot(index, 3), np.asarray(index[..., None] == np.arange(3)).astype("f")
    yield rv.one_hot(np.array([1], "u1"), 2, rv.int64), np.array([[0, 1]])
    yield rv.one_hot(np.array([3, 255], "u1"), np.int64(300)), np.eye(300, dtype="f")[[3, 255]]


def _convolved(
    x: np.ndarray, w: np.ndarray, stride: int, before: int, after: int, dilation: int, groups: int
) -> np.ndarray:
    """A two-dimensional convolution, element by element."""
    padded = np.pad(x, [(0, 0), (before, after), (before, after), (0, 0)])
    kh, kw, c, f = w.shape
    reach = [(k - 1) * dilation + 1 for k in (kh, kw)]
    positions = [(n - r) // stride + 1 for n, r in zip(padded.shape[1:3], reach, strict=True)]
    out = np.zeros((len(x), *positions, f))
    for b, i, j, o in np.ndindex(out.shape):
        first = o // (f // groups) * c
        for p, q, k in np.ndindex(kh, kw, c):
            pixel = padded[b, i * stride + p * dilation, j * stride + q * dilation, first + k]
            out[b, i, j, o] += pixel * w[p, q, k, o]
    return out


@case
def convolution() -> Pairs:
    for kernel, stride, before, after, dilation, groups in (
        (3, 1, 0, 0, 1, 1), (3, 1, 1, 1, 1, 1), (2, 2, 0, 1, 1, 2), (3, 2, 2, 1, 2, 1),
        (1, 3, 0, 0, 1, 1), (4, 1, 2, 1, 1, 2),
    ):  # fmt: skip
        x, w = normal(2, 7, 6, 2 * groups), normal(kernel, kernel, 2, 3 * groups)
        wanted = _convolved(x, w, stride, before, after, dilation, groups)
        padding = [(before, after)] * 2
        yield rv.convolution(x, w, stride, padding, dilation, groups), wanted
    x, w = normal(1, 7, 5, 2), normal(3, 3, 2, 2)
    yield rv.convolution(x, w, padding="same"), _convolved(x, w, 1, 1, 1, 1, 1)
    yield rv.convolution(x, w, 2, "same"), _convolved(x, w, 2, 1, 1, 1, 1)
    yield rv.convolution(x, w, padding=np.int64(1)), _convolved(x, w, 1, 1, 1, 1, 1)
    yield (
        rv.convolution(x[:, 0], w[0], np.int32(1)),
        _convolved(x[:, :1], w[:1], 1, 0, 0, 1, 1)[:, 0],
    )


def _windows(x: np.ndarray, window: int, stride: int, padding: int) -> Iterator[Any]:
    """Each position of a window with what it sees: [batch, elements, channels]."""
    h, w = x.shape[1:3]
    positions = [(n + 2 * padding - window) // stride + 1 for n in (h, w)]
    for i, j in np.ndindex(*positions):
        rows, columns = (
            range(at * stride - padding, at * stride - padding + window) for at in (i, j)
        )
        seen = [x[:, r, c] for r in rows for c in columns if 0 <= r < h and 0 <= c < w]
        yield (i, j), np.stack(seen, 1)


def _pool(name: str, wanted: Callable[..., np.ndarray]) -> None:
    def pairs() -> Pairs:
        for window, stride, padding in ((2, 2, 0), (3, 2, 1), (2, 1, 1), (3, 3, 0), (1, 2, 0)):
            x = normal(2, 7, 5, 3)
            values = {at: wanted(seen, axis=1) for at, seen in _windows(x, window, stride, padding)}
            rows, columns = (max(at[axis] for at in values) + 1 for axis in (0, 1))
            stacked = [np.stack([values[i, j] for j in range(columns)], 1) for i in range(rows)]
            yield getattr(rv, name)(x, window, stride, padding), np.stack(stacked, 1)
        x = normal(1, 4, 6, 2)
        tiles = wanted(x.reshape(1, 2, 2, 3, 2, 2), axis=(2, 4))
        yield getattr(rv, name)(x, np.int64(2)), tiles
        yield getattr(rv, name)(x, (2, 2), padding="same"), tiles
        yield getattr(rv, name)(x[:, 0], 2), wanted(x[:, 0].reshape(1, 3, 2, 2), axis=2)

    CASES[name] = pairs


_pool("max_pool", np.max)
_pool("average_pool", np.mean)


@case
def moments() -> Pairs:
    for scale, shift in ((1, 0), (3, 50), (0.01, -2)):
        x = normal(4, 5, 6, 3) * scale + shift
        for axis in ((0, 1, 2), (0,), (1, 2), 3):
            mean, variance = rv.moments(x, axis)
            yield mean, x.mean(axis)
            yield variance, x.var(axis)
    x, w = normal(4, 5, 3), np.array([1.0, 0.0, 2.0, 1.0])
    mean, variance = rv.moments(x, (0, 1), rv.constant(w[:, None, None]))
    yield mean, np.average(x.mean(1), 0, w)
    centred = x - np.average(x.mean(1), 0, w)
    yield variance, np.average((centred**2).mean(1), 0, w)
    outlier = np.zeros((1, 20_000))
    outlier[0, 10_000] = 1000
    for x in (outlier, outlier[:, ::-1] + 7, np.full((3, 5), 0.1)):
        mean, variance = rv.moments(x)
        yield mean, x.mean()
        yield variance, x.var()
    real = normal(40, 2) * 0.5 + 10_000
    padded, w = np.concatenate([np.zeros((88, 2)), real]), np.repeat([0.0, 1.0], [88, 40])
    mean, variance = rv.moments(padded, 0, rv.constant(w[:, None]))
    yield mean, real.mean(0)
    yield variance, real.var(0)
