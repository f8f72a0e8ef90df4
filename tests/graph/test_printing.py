"""Graphs as text."""

from __future__ import annotations

import numpy as np
import pytest

import ranvier as rv
from ranvier.graph.printing import show, type_text
from ranvier.graph.tensor import Tensor


def test_a_graph_prints_a_line_a_tensor_inputs_first() -> None:
    x = rv.input((2, 3), name="x")
    w = rv.Parameter(np.ones((3, 1), "f"), name="layer.w")
    assert show({"loss": rv.mean(x @ w)}) == (
        "%0: float32[2,3] = input(label=x)\n"
        "%1: float32[3,1] = state(label=layer.w)\n"
        "%2: float32[2,1] = matmul(%0, %1)\n"
        "%3: float32[] = sum(%2, axes=(0, 1))\n"
        "%4: float32[] = constant(value=2.)\n"
        "%5: float32[] = divide(%3, %4)\n"
        "return loss = %5"
    )


def test_unnamed_outputs_are_numbered_and_shared_tensors_print_once() -> None:
    x = rv.input((2,), rv.int64)
    y = x.astype("float64")
    assert show([y, rv.exp(y), y]) == (
        "%0: int64[2] = input(label=None)\n"
        "%1: float64[2] = cast(%0, dtype=float64)\n"
        "%2: float64[2] = exp(%1)\n"
        "return 0 = %1\n"
        "return 1 = %2\n"
        "return 2 = %1"
    )


@pytest.mark.parametrize("outputs", [[], {}])
def test_an_empty_graph_prints_nothing(outputs: list[Tensor] | dict[str, Tensor]) -> None:
    assert show(outputs) == ""


def test_long_constants_are_shortened_to_one_line() -> None:
    lines = show([rv.constant(np.arange(100).reshape(10, 10))]).splitlines()
    assert len(lines) == 2
    assert "..." in lines[0]
    assert len(lines[0]) < 150


def test_attributes_print_by_name() -> None:
    x = rv.input((4, 4))
    assert "slice(%0, starts=(1, 0), stops=(3, 3), steps=(1, 2))" in show([x[1:3, ::2]])
    assert "random_uniform(%0, %1, shape=(2,), dtype=float32, stream=7)" in show(
        [rv.random_uniform((2,), 1, 2, stream=7)]
    )


def test_type_text() -> None:
    assert type_text(rv.input((), rv.bool_)) == "bool[]"
    assert type_text(rv.input((2, 3), rv.uint8)) == "uint8[2,3]"


def test_repr_shows_the_value_only_where_it_is_known_and_small() -> None:
    known = rv.constant([1.0, 2.0]) * 2.0
    assert repr(known) == "Tensor(multiply float32[2])\n[2. 4.]"
    assert repr(rv.input((2,)) * 2.0) == "Tensor(multiply float32[2])"
    assert repr(rv.broadcast_to(rv.constant(1.0), (5000,))) == "Tensor(broadcast_to float32[5000])"


def test_deep_graphs_print() -> None:
    tensor = rv.input(())
    for _ in range(20_000):
        tensor = rv.exp(tensor)
    assert show([tensor]).splitlines()[-1] == "return 0 = %20000"
    assert repr(tensor) == "Tensor(exp float32[])"
