"""Circuits of threshold units compute their truth tables."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from ranvier.errors import InputError, ShapeError
from ranvier.models.threshold import AND, NAND, NOT, OR, Circuit, Layer, rows_of, truth_table, unit


def test_the_gates_are_their_truth_tables() -> None:
    corners = [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert rows_of(2).tolist() == corners
    assert AND(corners)[:, 0].tolist() == [0, 0, 0, 1]
    assert OR(corners)[:, 0].tolist() == [0, 1, 1, 1]
    assert NAND(corners)[:, 0].tolist() == [1, 1, 1, 0]
    assert NOT([[0], [1]])[:, 0].tolist() == [1, 0]
    assert (AND >> NOT)(corners).tolist() == NAND(corners).tolist()
    majority = unit([1, 1, 1], 2)
    assert majority(rows_of(3))[:, 0].tolist() == [0, 0, 0, 1, 0, 1, 1, 1]


@pytest.mark.parametrize("inputs", [1, 2])
def test_every_table_of_one_and_two_inputs(inputs: int) -> None:
    for outputs in product([0, 1], repeat=1 << inputs):
        circuit = truth_table(outputs, engine="reference")
        assert circuit(rows_of(inputs))[:, 0].tolist() == list(outputs)


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_tables_of_several_outputs(engine: str) -> None:
    table = np.random.default_rng(0).integers(0, 2, (32, 3))
    circuit = truth_table(table, engine)
    assert circuit(rows_of(5)).tolist() == table.tolist()
    assert circuit.inputs == 5
    assert circuit.units == table.any(axis=1).sum() + 3


def test_parity_of_many_inputs() -> None:
    parity = rows_of(10).sum(axis=1) % 2
    assert truth_table(parity)(rows_of(10))[:, 0].tolist() == parity.tolist()


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ([0, 1, 1], r"has 2, 4, 8, … or at most 4096 rows .*, not \[3\]"),
        ([], "not"),
        ([0, 2], "holds 0s and 1s"),
        (np.zeros((4, 0)), "one or more outputs"),
        (np.zeros(1 << 13), "at most 4096 rows"),
    ],
)
def test_tables_that_are_none(outputs: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        truth_table(outputs)


def test_bad_inputs_and_layers() -> None:
    with pytest.raises(InputError, match="reads 0s and 1s"):
        AND([[0.5, 1]])
    with pytest.raises(ShapeError, match=r"reads \[rows, 2\], not \[1, 3\]"):
        AND([[0, 1, 1]])
    with pytest.raises(InputError, match="a layer of 1 units is followed by one that reads 2"):
        _ = AND >> OR
    with pytest.raises(InputError, match=r"has weights \[inputs, units\] and thresholds"):
        Circuit([Layer(np.ones((2, 2)), np.ones(3))])
    assert AND(np.zeros((0, 2))).shape == (0, 1)
