"""Simplification: golden graphs, what stays as it is, limits, deep chains."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import ranvier as rv
from ranvier.graph.evaluate import evaluate
from ranvier.graph.printing import show
from ranvier.graph.simplify import PASSES, simplify
from ranvier.graph.tensor import Tensor
from ranvier.graph.verify import verify
from ranvier.graph.walk import topological


def x_input(*shape: int, dtype: Any = "float32") -> Tensor:
    return rv.input(shape, dtype, name="x")


def text(tensor: Tensor | Sequence[Tensor]) -> str:
    """The printed graph, one call a line, without types and the list of roots."""
    lines = show(tensor if isinstance(tensor, Sequence) else [tensor]).splitlines()
    return "\n".join(re.sub(r": .* = ", " = ", line) for line in lines if line[0] == "%")


def simple(tensor: Tensor, *passes: str) -> Tensor:
    return simplify([tensor], passes or tuple(PASSES))[0]


# ---------------------------------------------------------------- golden graphs


def test_a_dense_layer_with_its_gradient() -> None:
    w = rv.Parameter(np.ones((3, 2), "f"), name="w")
    x = x_input(4, 3)
    loss = rv.sum(rv.relu(x @ w) * 2.0)
    assert text(simplify([loss, *rv.gradients(loss, [w])])) == (
        "%0 = input(label=x)\n"
        "%1 = state(label=w)\n"
        "%2 = matmul(%0, %1)\n"
        "%3 = constant(value=0.)\n"
        "%4 = broadcast_to(%3, shape=(4, 2))\n"
        "%5 = maximum(%2, %4)\n"
        "%6 = constant(value=2.)\n"
        "%7 = broadcast_to(%6, shape=(4, 2))\n"
        "%8 = multiply(%5, %7)\n"
        "%9 = sum(%8, axes=(0, 1))\n"
        "%10 = transpose(%0, axes=(1, 0))\n"
        "%11 = less(%4, %5)\n"
        "%12 = where(%11, %7, %4)\n"
        "%13 = matmul(%10, %12)"
    )


def test_scalar_chains_stay_scalar() -> None:
    """The bias correction of Adam: one broadcast after all the scalar work."""
    t, m = rv.input((), name="t"), x_input(8)
    assert text(simple(m / (1 - rv.exp((t + 1) * -0.5)))) == (
        "%0 = input(label=x)\n"
        "%1 = constant(value=1.)\n"
        "%2 = input(label=t)\n"
        "%3 = add(%2, %1)\n"
        "%4 = constant(value=-0.5)\n"
        "%5 = multiply(%3, %4)\n"
        "%6 = exp(%5)\n"
        "%7 = subtract(%1, %6)\n"
        "%8 = broadcast_to(%7, shape=(8,))\n"
        "%9 = divide(%0, %8)"
    )


def test_row_reductions_are_shared_between_softmax_and_its_gradient() -> None:
    x = x_input(4, 3)
    loss = rv.sum(rv.log_softmax(x) * rv.softmax(x))
    found = [t.op.name for t in topological(simplify([loss, *rv.gradients(loss, [x])]))]
    assert found.count("max") == 1
    assert found.count("exp") == 1
    assert "stop_gradient" not in found


def test_reshapes_leave_a_chain_of_pointwise_work_and_reductions() -> None:
    """A layer norm of [2, 3, 4] behind a flat product runs wholly on [6, 4]."""
    h = rv.reshape(x_input(6, 4), 2, 3, 4)
    scale = rv.input((4,), name="scale")
    out = simple(rv.reshape((h - rv.mean(h, -1, keepdims=True)) * scale, 6, 4))
    assert all(t.ndim <= 2 for t in topological([out]))
    assert sum(t.op.name == "reshape" for t in topological([out])) == 1


# ---------------------------------------------------------------- limits


def test_folding_is_bounded_and_broadcasts_stay_broadcasts() -> None:
    c = rv.constant(np.arange(4, dtype="f"))
    big = simple(rv.broadcast_to(c, (5000, 4)))
    assert [t.op.name for t in topological([big])] == ["constant", "broadcast_to"]
    row, column = rv.constant(np.arange(100.0)), rv.constant(np.arange(100.0) + 1)
    table = simple(rv.expand_dims(row, 1) * column)
    assert table.op.name == "multiply"
    assert simple(rv.expand_dims(row[:50], 1) * column[:50]).op.name == "constant"


def test_random_ops_are_never_merged_nor_folded() -> None:
    a, b = (rv.random_uniform((4,), 1, 2, stream=3) for _ in range(2))
    out = simple(a + b)
    assert out.inputs[0] is not out.inputs[1]
    assert [t.op.name for t in topological([out])].count("random_uniform") == 2


def test_constants_are_merged_by_their_bytes() -> None:
    pair = simplify([rv.constant([0.0, 1.0]), rv.constant([0.0, 1.0]), rv.constant([-0.0, 1.0])])
    assert pair[0] is pair[1]
    assert pair[0] is not pair[2]


def test_operands_are_merged_in_either_order_only_where_the_op_allows_it() -> None:
    x, y = x_input(2), rv.input((2,))
    a, b, c, d = simplify([x + y, y + x, x - y, y - x])
    assert a is b
    assert c is not d


def test_inputs_and_state_stay_the_same_objects() -> None:
    x, w = x_input(2), rv.Parameter([1.0, 2.0])
    twin = rv.Parameter([1.0, 2.0])
    roots = simplify([x, w, x * w, twin * 1.0])
    assert roots[0] is x
    assert roots[1] is w
    assert roots[3] is twin
    assert {id(t) for t in topological([roots[2]])} >= {id(x), id(w)}


def test_a_product_that_is_read_twice_is_not_computed_twice() -> None:
    product = x_input(3, 4) @ rv.input((4, 5))
    out = simplify([product, product.T])
    assert [t.op.name for t in topological(out)].count("matmul") == 1


def test_simplifying_twice_changes_nothing() -> None:
    x = x_input(4, 3)
    loss = rv.mean(rv.softmax(x) ** 2)
    once = simplify([loss, *rv.gradients(loss, [x])])
    assert all(a is b for a, b in zip(once, simplify(once), strict=True))


def test_no_roots_and_empty_tensors() -> None:
    assert simplify([]) == []
    x = x_input(0, 3)
    out = simple(rv.sum(rv.exp(x.reshape(3, 0)[:, :0] * 2.0)) + rv.sum(x))
    np.testing.assert_array_equal(evaluate([out], {x: np.zeros((0, 3), "f")})[0], 0)


# ---------------------------------------------------------------- deep and random graphs

DEEP = 20_000


@pytest.mark.parametrize(
    "link",
    [lambda t: rv.exp(t), lambda t: t.T, lambda t: -t, lambda t: t * 1.0, lambda t: t + t],
    ids=["exp", "transpose", "negative", "times_one", "doubled"],
)
def test_deep_chains(link: Callable[[Tensor], Tensor]) -> None:
    tensor = x = x_input(2, 3)
    for _ in range(DEEP):
        tensor = link(tensor)
    out = simple(tensor)
    verify([out])
    assert out.shape == (2, 3)
    assert len(topological([out])) in (1, DEEP + 1)
    assert topological([out])[0] is x
