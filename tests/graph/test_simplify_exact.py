"""Simplification keeps values: NaN, infinities and -0 exactly, random graphs up to rounding."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ranvier as rv
from ranvier.graph.evaluate import evaluate
from ranvier.graph.printing import show
from ranvier.graph.simplify import PASSES, simplify
from ranvier.graph.tensor import Tensor
from ranvier.graph.walk import topological

SPECIAL = np.array([0.0, -0.0, 1.5, -2.0, np.inf, -np.inf, np.nan, 1e-30, -1e30], np.float32)


def x_input(*shape: int, dtype: Any = "float32") -> Tensor:
    return rv.input(shape, dtype, name="x")


def text(tensor: Tensor | Sequence[Tensor]) -> str:
    """The printed graph, one call a line, without types and the list of roots."""
    lines = show(tensor if isinstance(tensor, Sequence) else [tensor]).splitlines()
    return "\n".join(re.sub(r": .* = ", " = ", line) for line in lines if line[0] == "%")


def simple(tensor: Tensor, *passes: str) -> Tensor:
    return simplify([tensor], passes or tuple(PASSES))[0]


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    if a.dtype.kind == "f":
        both_nan = np.isnan(a) & np.isnan(b)
        a, b = np.where(both_nan, 0, a), np.where(both_nan, 0, b)
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


# ---------------------------------------------------------------- what must stay

KEPT: dict[str, Callable[[Tensor], Tensor]] = {
    "times zero": lambda x: x * 0.0,
    "plus zero": lambda x: x + 0.0,
    "minus negative zero": lambda x: x - -0.0,
    "minus itself": lambda x: x - x,
    "over itself": lambda x: x / x,
    "negative of a difference": lambda x: -(x - 1.5),
    "zero minus": lambda x: 0.0 - x,
    "root of anything": lambda x: x**0.5,
    "inverse root of anything": lambda x: x**-0.5,
    "not less": lambda x: ~(x < 1),
    "equal to itself": lambda x: x == x,
    "third": lambda x: x / 3.0,
}


@pytest.mark.parametrize("name", KEPT)
def test_rules_that_would_be_wrong_for_some_float_do_not_exist(name: str) -> None:
    before = KEPT[name](x_input(9))
    assert simple(before).op == before.op


EXACT: dict[str, Callable[[Tensor], Tensor]] = {
    **KEPT,
    "times one": lambda x: x * 1.0,
    "plus negative zero": lambda x: x + -0.0,
    "minus zero": lambda x: x - 0.0,
    "square": lambda x: x**2,
    "to the zero": lambda x: x**0,
    "one to the": lambda x: rv.power(1.0, x),
    "inverse": lambda x: x**-1,
    "negated twice": lambda x: rv.negative(-x),
    "negated product": lambda x: -(x * 3.0),
    "sum with a negative": lambda x: x + -(x * 2.0),
    "difference with a negative": lambda x: x - -x,
    "over a power of two": lambda x: x / 4.0,
    "over a tiny power of two": lambda x: x / 2.0**-130,
    "over a huge power of two": lambda x: x / 2.0**127,
    "relu": lambda x: rv.relu(-x),
    "padded twice": lambda x: rv.pad(rv.pad(x, [(1, 0)]), [(0, 1)]),
    "max of a broadcast": lambda x: rv.max(rv.broadcast_to(x, (4, 9)), 0),
    "where": lambda x: rv.where(~(x > 1), x, -x),
    "not equal": lambda x: ~(x == 1.5),
    "wide and back": lambda x: x.astype("float64").astype("float32"),
    "lifted": lambda x: rv.broadcast_to(x, (4, 9)) * rv.broadcast_to(-x, (4, 9)),
    "step": lambda x: rv.where(rv.step(x) > 0, x, x * 0.0),
}


@pytest.mark.parametrize("name", EXACT)
def test_nan_infinities_and_signed_zeros_are_kept(name: str) -> None:
    x = x_input(9)
    before = EXACT[name](x)
    (old,), (new,) = evaluate([before], {x: SPECIAL}), evaluate([simple(before)], {x: SPECIAL})
    assert same_bits(old, new), (old, new)


@pytest.mark.parametrize("exponent", [0.5, -0.5])
def test_roots_of_what_is_never_negative_keep_them_too(exponent: float) -> None:
    """Up to the last place, by which NumPy's power may be off."""
    x = x_input(9)
    for before in ((x * x) ** exponent, (abs(x) + 1.0) ** exponent):
        after = simple(before)
        assert after.op.name in ("sqrt", "rsqrt")
        (old,), (new,) = evaluate([before], {x: SPECIAL}), evaluate([after], {x: SPECIAL})
        np.testing.assert_allclose(new, old, rtol=2e-7, atol=0)
        assert np.array_equal(np.signbit(new), np.signbit(old))


def _pow(x: float, exponent: float) -> float:
    """C's pow; Python's raises where that gives an infinity or NaN."""
    try:
        return math.pow(x, exponent)
    except ValueError:  # a zero to a negative power, or a root of a negative number
        return math.nan if x else math.copysign(math.inf, x if exponent % 2 == 1 else 1)


@pytest.mark.parametrize("passes", [tuple(PASSES), ()])
@pytest.mark.parametrize("engine", ["native", "reference"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("exponent", [0.5, -0.5, 2.0, -1.0, 3.0])
def test_powers_are_those_of_c(
    exponent: float, dtype: str, engine: str, passes: tuple[str, ...]
) -> None:
    """By one exponent for all, and by an array of them: NumPy has a way of its own for one."""
    values = SPECIAL.astype(dtype)
    values = values[
        (abs(values) > 1e-9) & (abs(values) < 1e9) | (values == 0) | ~np.isfinite(values)
    ]
    x, y = x_input(*values.shape, dtype=dtype), rv.input(values.shape, dtype, name="y")
    scalar = rv.input((), dtype, name="s")
    outputs = {"one": x**exponent, "many": x**y, "scalar": x[1] ** scalar, "empty": x[:0] ** 0.5}
    program = rv.compile({"x": x, "y": y, "s": scalar}, outputs, engine=engine, passes=passes)
    found = program(x=values, y=np.full_like(values, exponent), s=np.asarray(exponent, dtype))
    wanted = np.array([_pow(float(v), exponent) for v in values])
    found["one"] = np.append(found["one"], found["scalar"])
    for result, expected in ((found["many"], wanted), (found["one"], np.append(wanted, wanted[1]))):
        np.testing.assert_allclose(result, expected, rtol=3e-7)
        number = ~np.isnan(expected)
        assert np.array_equal(np.signbit(result)[number], np.signbit(expected)[number])


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8"])
def test_integers_wrap_around_and_so_allow_more(dtype: str) -> None:
    x = x_input(3, dtype=dtype)
    assert simple(x + 0) is x
    assert simple(x - 0) is x
    assert simple(x * 1) is x
    assert text(simple(x * 0)) == "%0 = constant(value=0)\n%1 = broadcast_to(%0, shape=(3,))"


@pytest.mark.parametrize(
    "chain",
    [
        ("int64", "float64", "int64"),
        ("float64", "float32", "float64"),
        ("int32", "uint8", "int32"),
        ("int32", "float64", "uint8"),
        ("float32", "int32", "float32"),
        ("float32", "bool", "float32"),
        ("float32", "bfloat16", "float32"),
    ],
)
def test_casts_that_lose_something_stay(chain: tuple[str, str, str]) -> None:
    out = simple(x_input(2, dtype=chain[0]).astype(chain[1]).astype(chain[2]))
    assert [t.op.name for t in topological([out])] == ["input", "cast", "cast"]


UNARY = (rv.exp, rv.tanh, rv.negative, rv.abs, rv.relu, rv.sigmoid, rv.stop_gradient)
BINARY = (rv.add, rv.subtract, rv.multiply, rv.maximum, rv.divide)
NUMBERS = (0.0, -0.0, 1.0, -1.0, 2.0, 0.5, 3.0)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """A program input [2, 3, 4] and a random graph over it."""
    x = x_input(2, 3, 4)
    pool = [x, rv.constant(np.arange(4, dtype="f")), rv.max(x, 2, keepdims=True)]
    for _ in range(draw(st.integers(1, 14))):
        pool.append(_grown(draw, pool))
    return x, pool[-1]


def _grown(draw: st.DrawFn, pool: Sequence[Tensor]) -> Tensor:
    a = draw(st.sampled_from(pool))
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return draw(st.sampled_from(UNARY))(a)
    if kind == 1:
        return draw(st.sampled_from(BINARY))(a, draw(st.sampled_from(NUMBERS)))
    if kind == 2:
        partners = [b for b in pool if _fits(a, b)]
        return draw(st.sampled_from(BINARY))(a, draw(st.sampled_from(partners)))
    if kind == 3:
        return rv.transpose(a, draw(st.permutations(range(a.ndim))))
    if kind == 4:
        shapes = [(a.size,), (1, *a.shape), (*a.shape, 1), (a.size // 2, 2), (2, a.size // 2)]
        return rv.reshape(a, draw(st.sampled_from([s for s in shapes if np.prod(s) == a.size])))
    if kind == 5 and a.ndim < 4:
        return rv.broadcast_to(a, (draw(st.integers(1, 2)), *a.shape))
    if kind == 6 and a.ndim:
        axes = draw(st.sets(st.integers(0, a.ndim - 1)))
        return draw(st.sampled_from([rv.max, rv.min, rv.sum]))(a, tuple(axes), draw(st.booleans()))
    if kind == 7 and a.ndim and a.shape[0] > 1:
        return a[draw(st.integers(0, 1)) :: draw(st.integers(1, 2))]
    if kind == 8 and a.ndim:
        return rv.pad(a, [(draw(st.integers(0, 1)), draw(st.integers(0, 1)))] * a.ndim)
    return rv.flip(a, draw(st.sets(st.integers(0, a.ndim - 1)))) if a.ndim else -a


def _fits(a: Tensor, b: Tensor) -> bool:
    try:
        return len(np.broadcast_shapes(a.shape, b.shape)) < 6
    except ValueError:
        return False


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(graphs(), st.integers(0, 2**32 - 1))
def test_random_graphs_keep_their_values(graph: tuple[Tensor, Tensor], seed: int) -> None:
    x, root = graph
    generator = np.random.default_rng(seed)
    array = generator.standard_normal(x.shape).astype("f")
    special = generator.random(x.shape) < 0.1
    array[special] = generator.choice(SPECIAL[:7], special.sum())
    new = simple(root)
    (before,) = evaluate([root], {x: array}, widen=True)
    (after,) = evaluate([new], {x: array}, widen=True)
    assert (new.shape, new.dtype) == (root.shape, root.dtype)
    np.testing.assert_array_equal(np.isnan(after), np.isnan(before))
    scale = np.abs(before[np.isfinite(before)]).max(initial=1.0)
    np.testing.assert_allclose(after, before, rtol=1e-6, atol=1e-9 * scale)
    assert simple(new) is new
