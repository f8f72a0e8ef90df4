"""Random graphs of views, products and reductions over one shape.

A sum along rows that no affine map leads to makes a tensor lie in memory after kernels have
used it, and views of views lead to it by many ways; the general random graphs rarely meet that.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
from plans import plan

import ranvier as rv
from ranvier.graph.simplify import PASSES

SIDE = 24
SHAPE = (SIDE, SIDE)


def _across(v: rv.Tensor) -> rv.Tensor:
    return rv.reshape(v, (9, 64)).sum(axis=1)


def _blocks_exchanged(v: rv.Tensor) -> rv.Tensor:
    return rv.reshape(rv.transpose(rv.reshape(v, (4, 6, SIDE)), (1, 0, 2)), SHAPE)


Recipe = Callable[[rv.Tensor, rv.Tensor, int], rv.Tensor]

RECIPES: Sequence[Recipe] = (
    lambda a, b, axis: rv.tanh(a),
    lambda a, b, axis: rv.sin(a),
    lambda a, b, axis: a * 1.5,
    lambda a, b, axis: a.T,
    lambda a, b, axis: a @ b,
    lambda a, b, axis: a.T @ b,
    lambda a, b, axis: a + b,
    lambda a, b, axis: a + b.T,
    lambda a, b, axis: rv.softmax(a, axis=axis),
    lambda a, b, axis: rv.log_softmax(a, axis=axis),
    lambda a, b, axis: a - a.mean(axis, keepdims=True),
    lambda a, b, axis: rv.flip(a, axis),
    lambda a, b, axis: rv.concatenate([a[6:], b[:6]] if axis else [a[:, 6:], b[:, :6]], 1 - axis),
    lambda a, b, axis: rv.reshape(rv.reshape(a, (64, 9)), SHAPE),
    lambda a, b, axis: _blocks_exchanged(a),
    lambda a, b, axis: rv.pad(a[1:-1, 1:-1], [(1, 1), (1, 1)]),
)

Graph = tuple[Mapping[str, rv.Tensor], Mapping[str, rv.Tensor], Mapping[rv.State, rv.Tensor]]


def drawn(draw: random.Random) -> Graph:
    """The inputs, outputs and updates of a graph."""
    inputs = {name: rv.input(SHAPE, name=name) for name in "xw"}
    state = rv.Buffer(np.full(SHAPE, 0.1, np.float32), name="s")
    pool: list[rv.Tensor] = [*inputs.values(), state]

    def pick() -> rv.Tensor:
        return draw.choice(pool[-6:] if draw.random() < 0.7 else pool)

    outputs = {}
    for i in range(draw.randint(3, 14)):
        if draw.random() < 0.1:
            outputs[f"sums{i}"] = _across(pick())
        else:
            pool.append(draw.choice(RECIPES)(pick(), pick(), draw.randrange(2)))
    outputs |= {f"y{i}": pick() for i in range(draw.randint(1, 3))}
    return inputs, outputs, {state: pick()} if draw.random() < 0.3 else {}


def pass_sets(draw: random.Random) -> list[tuple[str, ...]]:
    return [tuple(PASSES), (), (draw.choice(list(PASSES)),)]


def check_schedules(seed: int) -> None:
    """Scheduling itself refuses kernels that wait for each other, or for themselves."""
    draw = random.Random(seed)
    graph = drawn(draw)
    for passes in pass_sets(draw):
        for options in ({}, {"in_place": False}, {"fuse": False}):
            plan(*graph, passes=passes, **options)


def check_results(seed: int) -> None:
    draw = random.Random(seed)
    inputs, outputs, updates = drawn(draw)
    rng = np.random.default_rng(seed)
    given = {name: rng.normal(scale=0.3, size=SHAPE).astype(np.float32) for name in inputs}
    first = {state: state.value for state in updates}

    def results(**options: object) -> list[np.ndarray]:
        for state, value in first.items():
            state.value = value
        found = rv.compile(inputs, outputs, updates, **options)(**given)  # type: ignore[arg-type]
        return [*found.values(), *(state.value for state in updates)]

    want = results(engine="reference")
    for passes in pass_sets(draw):
        options = {
            "passes": passes,
            "in_place": draw.random() < 0.7,
            "threads": draw.choice([1, 3]),
        }
        for got, expected in zip(results(**options), want, strict=True):
            scale = max(1.0, float(np.abs(expected).max()))
            np.testing.assert_allclose(got, expected, rtol=1e-3, atol=2e-4 * scale)


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_schedules(first: int) -> None:
    for seed in range(first, first + 20):
        check_schedules(seed)


@pytest.mark.parametrize("seed", range(6))
def test_results(seed: int) -> None:
    check_results(seed)


@pytest.mark.slow
def test_many() -> None:
    for seed in range(100, 1000):
        check_schedules(seed)
    for seed in range(100, 300):
        check_results(seed)
