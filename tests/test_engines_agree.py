"""Every engine against the reference, on random graphs and on those of `regressions`.

float64 results agree to 1e-9 of each array's largest magnitude. A float32 result errs, against
the same graph in double precision, at most four times as much as NumPy's float32, plus a few
units in the last place. Where an array is all rounding noise, such as the gradient of the sum
of a softmax, NumPy's own error may be nothing by luck. So it is measured on repetitions in
which each rounded result is moved at random by up to one unit in the last place (Monte Carlo
arithmetic: Parker, 1997).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from position_recipes import positions
from random_graphs import GraphCase, graph_cases
from regressions import GRAPHS

import ranvier as rv
from ranvier.dtypes import is_floating
from ranvier.graph.evaluate import evaluate
from ranvier.graph.simplify import PASSES
from ranvier.graph.tensor import REGISTRY, Tensor
from ranvier.graph.walk import topological

ENGINES = ("reference", "native")
DTYPES = ("float32", "float64")
ULPS = 4
REPETITIONS = 8
"""Fewer of them are all small by luck, once in some thousand scalars."""
ROUNDED = {
    "exp", "expm1", "log", "log1p", "tanh", "sigmoid", "erf", "sqrt", "rsqrt", "sin", "cos", "add",
    "subtract", "multiply", "divide", "power", "sum", "matmul", "scatter_add", "convolution",
    "convolution_input_gradient", "convolution_weight_gradient", "sum_pool", "sum_unpool", "unpool",
}  # fmt: skip
ACCUMULATED = ROUNDED & {
    "sum", "matmul", "scatter_add", "convolution", "convolution_input_gradient",
    "convolution_weight_gradient", "sum_pool", "sum_unpool", "unpool",
}  # fmt: skip


def perturbed(case: GraphCase, seed: int) -> list[np.ndarray]:
    """The roots by NumPy, with each rounded result and each summand moved by up to one ulp."""
    rng = np.random.default_rng(seed)

    def moved(tensor: Tensor, value: np.ndarray) -> np.ndarray:
        if tensor in case.exact or not is_floating(tensor.dtype):
            return value
        noise = rng.uniform(-1, 1, value.shape) * np.finfo(tensor.dtype).eps
        return np.asarray(value * (1 + noise)).astype(value.dtype)

    values: dict[Tensor, np.ndarray] = {}
    feed = case.feed
    with np.errstate(all="ignore"):
        for tensor in topological(case.roots):
            sources = [values[s] for s in tensor.inputs]
            if tensor.op.name in ACCUMULATED and tensor not in case.exact:
                pairs = zip(tensor.inputs, sources, strict=True)
                sources = [moved(s, value) for s, value in pairs]
            if tensor.inputs:
                value = np.asarray(tensor.op.meaning(np, *sources))
            else:
                value = evaluate([tensor], feed)[0]
            values[tensor] = moved(tensor, value) if tensor.op.name in ROUNDED else value
    return [values[root] for root in case.roots]


def allowed(case: GraphCase) -> tuple[list[np.ndarray], list[float]]:
    """The expected roots, and how far from them each float root may be."""
    exact = evaluate(case.roots, case.feed, widen=True)
    runs = [
        evaluate(case.roots, case.feed),
        *(perturbed(case, seed) for seed in range(REPETITIONS)),
    ]
    limits = []
    for i, (root, value) in enumerate(zip(case.roots, exact, strict=True)):
        if not is_floating(root.dtype):
            limits.append(0.0)
            continue
        error = max(_distance(run[i], value) for run in runs)
        largest = float(np.max(np.abs(value), initial=0))
        double = case.dtype == rv.float64
        share = 1e-9 if double else ULPS * float(np.finfo(np.float32).eps)
        limits.append(4 * error + share * largest + float(np.finfo(np.float32).tiny))
    return exact, limits


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    difference = np.abs(a.astype(np.float64) - b.astype(np.float64))
    return float(np.max(difference, initial=0))


def check(case: GraphCase, engine: str, **options: Any) -> None:
    """Run one step and compare every output and every state."""
    expected, limits = allowed(case)
    program = rv.compile(case.inputs, case.outputs, case.updates, engine=engine, **options)
    try:
        results = program(**case.arrays)
        found = [*results.values(), *(state.value for state in case.updates)]
        kept = [state for state in case.initial if state not in case.updates]
        for state in kept:
            assert np.array_equal(state.value, case.initial[state]), f"{state.label} changed"
    finally:
        case.reset()
    assert list(results) == list(case.outputs)
    names = [*case.outputs, *(f"new {state.label}" for state in case.updates)]
    for name, root, got, want, limit in zip(
        names, case.roots, found, expected, limits, strict=True
    ):
        assert (got.shape, got.dtype) == (root.shape, root.dtype), name
        if not is_floating(root.dtype):
            assert np.array_equal(got, want), f"{name}: {got} is not {want}"
        else:
            distance = _distance(got, want)
            assert distance <= limit, f"{name} is off by {distance}, allowed are {limit}"


@st.composite
def option_sets(draw: Callable[[Any], Any]) -> Mapping[str, Any]:
    """Draw how to compile: all passes, none, all but one or only one; fused or not; …"""
    names = tuple(PASSES)
    one = draw(st.sampled_from(names))
    chosen = draw(
        st.sampled_from([names, (), (one,), tuple(name for name in names if name != one)])
    )
    return {
        "passes": chosen,
        "fuse": draw(st.booleans()),
        "in_place": draw(st.booleans()),
        "threads": draw(st.sampled_from([1, 2, 3])),
    }


def check_random(engine: str, dtype: str, examples: int) -> None:
    """Compare on `examples` random graphs, each as by default and with options drawn."""

    @settings(max_examples=examples)
    @given(graph_cases(dtype), option_sets())
    def agree(case: GraphCase, options: Mapping[str, Any]) -> None:
        check(case, engine)
        check(case, engine, **options)

    agree()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("engine", ENGINES)
def test_random_graphs(engine: str, dtype: str) -> None:
    check_random(engine, dtype, examples=100)


@pytest.mark.parametrize("dtype", DTYPES)
def test_positions_beside_other_orders(dtype: str) -> None:
    """Indices, choices and sums by index beside transposes and rows taken of the same value."""

    @settings(max_examples=40)
    @given(graph_cases(dtype, (positions,), most=2))
    def agree(case: GraphCase) -> None:
        check(case, "native")

    agree()


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("engine", ENGINES)
def test_many_random_graphs(engine: str, dtype: str) -> None:
    check_random(engine, dtype, examples=5000)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", GRAPHS)
def test_regression(name: str, engine: str, dtype: str) -> None:
    case = GRAPHS[name](dtype)
    check(case, engine)
    check(case, engine, passes=(), fuse=False, in_place=False, threads=1)
    check(case, engine, passes=(), threads=3)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", GRAPHS)
def test_regression_over_several_steps(name: str, engine: str) -> None:
    """Three steps in one call are three calls of one step by the reference, without passes."""
    case = GRAPHS[name]("float64")
    one = rv.compile(case.inputs, case.outputs, case.updates, engine="reference", passes=())
    singles = [one(**case.arrays) for _ in range(3)]
    states = [state.value for state in case.initial]
    case.reset()
    together = rv.compile(case.inputs, case.outputs, case.updates, engine=engine)
    results = together(steps=3, **case.arrays)
    for name_of, result in results.items():
        want = np.stack([single[name_of] for single in singles])
        np.testing.assert_allclose(result, want, rtol=1e-9, atol=1e-12, err_msg=name_of)
    for state, want in zip(case.initial, states, strict=True):
        np.testing.assert_allclose(state.value, want, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_generator_covers_every_op(dtype: str) -> None:
    """Some of a thousand or so graphs use each op, gradients, and every kind of update."""
    seen: set[str] = set()

    @settings(max_examples=300)
    @given(graph_cases(dtype))
    def collect(case: GraphCase) -> None:
        seen.update(tensor.op.name for tensor in topological(case.roots))
        seen.update(name.rstrip("0123456789") for name in case.outputs)
        updates = case.updates
        crossing = any(updates.get(new) is state for state, new in updates.items())  # type: ignore[call-overload]
        seen.update({"update"} if updates else ())
        seen.update({"crossing"} if crossing else ())

    wanted = {name for name, op in REGISTRY.items() if op.__module__.startswith("ranvier.")}
    wanted |= {"grad", "update", "crossing"}
    # Which graphs a seed leads to depends on Hypothesis, and on constants in all of the code.
    for number in range(8):
        seed(number)(collect)()
        if wanted <= seen:
            return
    raise AssertionError(f"no graph has {sorted(wanted - seen)}")
