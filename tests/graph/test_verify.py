"""The verifier accepts what the builder makes and names the line of what breaks a rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

import ranvier as rv
from ranvier.dtypes import float32, float64
from ranvier.errors import GraphError
from ranvier.graph.leaves import Constant, Input, StateRead
from ranvier.graph.ops.movement import Concatenate, Reshape
from ranvier.graph.ops.pointwise import Add, Exp, Where
from ranvier.graph.ops.reduction import Sum
from ranvier.graph.tensor import Op, Tensor, apply
from ranvier.graph.verify import verify
from ranvier.graph.walk import topological

x = rv.input((2, 3), name="x")


class _Unregistered(Exp):
    """An op that takes the name of another."""


@dataclass(frozen=True)
class _Nameless(Op):
    """An op without a name."""


def writable_constant() -> Tensor:
    return Tensor(Constant(np.zeros(2, "f")), (), (2,), float32)


BROKEN: dict[str, tuple[Callable[[], Tensor], str]] = {
    "shape": (lambda: Tensor(Exp(), (x,), (3, 2), float32), r"exp gives float32\[2,3\]"),
    "dtype": (lambda: Tensor(Exp(), (x,), (2, 3), float64), r"the tensor says float64\[2,3\]"),
    "operands": (lambda: Tensor(Add(), (x, x.T), (2, 3), float32), "shapes .* differ"),
    "no inputs": (lambda: Tensor(Exp(), (), (2, 3), float32), "exp takes 1 input, not 0, in"),
    "too many inputs": (
        lambda: Tensor(Sum((0, 1)), (x, x), (), float32),
        "sum takes 1 input, not 2, in",
    ),
    "too few inputs": (
        lambda: Tensor(Where(), (x > 0, x), (2, 3), float32),
        "where takes 3 inputs, not 2, in",
    ),
    "nothing to concatenate": (
        lambda: Tensor(Concatenate(0), (), (2, 3), float32),
        "concatenate does not take its inputs",
    ),
    "attribute": (lambda: Tensor(Reshape((5,)), (x,), (5,), float32), "has 6 elements"),
    "a leaf with inputs": (
        lambda: Tensor(Input("y", (2, 3), float32), (x,), (2, 3), float32),
        "input takes 0 inputs, not 1, in",
    ),
    "a state op without state": (
        lambda: Tensor(StateRead("w", (2,), float32), (), (2,), float32),
        "do not belong together",
    ),
    "a writable constant": (writable_constant, "not read-only"),
    "an unregistered op": (
        lambda: Tensor(_Unregistered(), (x,), (2, 3), float32),
        "_Unregistered is not registered under the name 'exp'",
    ),
    "a nameless op": (lambda: Tensor(_Nameless(), (), (), float32), "_Nameless is not registered"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_tensors_are_found(name: str) -> None:
    build, message = BROKEN[name]
    with pytest.raises(GraphError, match=message):
        verify([build()])


def test_no_tensor_is_made_of_a_wrong_number_of_inputs() -> None:
    for op, inputs, message in (
        (Exp(), (x, x), "^exp takes 1 input, not 2; pass as many tensors as the op takes$"),
        (Add(), (x,), "^add takes 2 inputs, not 1; pass as many tensors as the op takes$"),
    ):
        with pytest.raises(GraphError, match=message):
            apply(op, *inputs)
    assert apply(Concatenate(0), x, x, x).shape == (6, 3)


def test_the_error_names_the_line_of_the_printed_graph() -> None:
    wrong = Tensor(Exp(), (x,), (3, 2), float32)
    with pytest.raises(GraphError, match=r"in the line '%1: float32\[3,2\] = exp\(%0\)'"):
        verify([rv.sum(rv.tanh(wrong) * 2.0)])


def test_sound_graphs_pass() -> None:
    w = rv.Parameter(np.ones((3, 4), "f"))
    loss = rv.mean(rv.softmax(x @ w) ** 2 + rv.random_uniform((2, 4), 1, 2, stream=0))
    verify([loss, *rv.gradients(loss, [w])])
    verify([])


def test_tensors_known_to_be_sound_are_not_visited_again() -> None:
    inner = rv.exp(x)
    outer = rv.tanh(inner)
    known: set[Tensor] = set()
    verify([inner], known)
    assert known == {x, inner}
    assert [t.op.name for t in topological([outer], known)] == ["tanh"]
    broken = Tensor(Exp(), (x,), (3, 2), float32)
    verify([broken], known | {broken})


def test_the_walk_above_nothing_is_the_whole_graph() -> None:
    roots = [rv.exp(x) + rv.tanh(x * 2.0), rv.sum(x)]
    whole, above = topological(roots), topological(roots, set())
    assert set(whole) == set(above)
    place = {t: i for i, t in enumerate(above)}
    assert all(place[source] < place[t] for t in above for source in t.inputs)


def test_deep_graphs_do_not_meet_the_recursion_limit() -> None:
    tensor = x
    for _ in range(20_000):
        tensor = rv.exp(tensor)
    verify([tensor])
    with pytest.raises(GraphError, match="%20001"):
        verify([Tensor(Exp(), (tensor,), (1,), float32)])
