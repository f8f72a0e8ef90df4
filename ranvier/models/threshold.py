"""Circuits of threshold units with fixed weights, which compute any truth table.

McCulloch & Pitts, "A logical calculus of the ideas immanent in nervous activity", 1943: a unit
fires where enough of its inputs do. Here an input that inhibits has a negative weight, as
Rosenblatt writes it, instead of a veto.

    xor = truth_table([0, 1, 1, 0])
    xor([[0, 0], [0, 1], [1, 0], [1, 1]])  # [[0], [1], [1], [0]]
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ranvier import dtypes
from ranvier import validation as checks
from ranvier.engines.compile import compile as compile_program
from ranvier.engines.program import Program
from ranvier.errors import InputError, ShapeError
from ranvier.graph import functions as f
from ranvier.graph.leaves import input as make_input
from ranvier.records import dataclass

_MOST_INPUTS = 12
"""A truth table has 2 ** inputs rows, and its circuit may have as many units."""


@dataclass(frozen=True, eq=False)
class Layer:
    """Units side by side: unit u fires where inputs @ weights[:, u] >= thresholds[u].

    weights: whole numbers [inputs, units]. thresholds: whole numbers [units].
    """

    weights: np.ndarray
    thresholds: np.ndarray


class Circuit:
    """Layers of threshold units, each reading the one before it.

    Called with 0s and 1s [rows, inputs], it returns 0s and 1s, int64 [rows, outputs], computed as
    one program. engine: "native" by default, see `rv.compile`. Raises InputError for layers that
    do not follow on one another and for inputs that are not 0 or 1.
    """

    def __init__(self, layers: Sequence[Layer], engine: str = "native") -> None:
        self.layers = tuple(layers)
        self.engine = engine
        self._programs: dict[int, Program] = {}
        if not self.layers:
            raise InputError("a circuit needs a layer of units")
        for layer in self.layers:
            if layer.weights.ndim != 2 or layer.thresholds.shape != layer.weights.shape[1:]:
                raise InputError(
                    f"a layer has weights [inputs, units] and thresholds [units], not "
                    f"{list(layer.weights.shape)} and {list(layer.thresholds.shape)}"
                )
        for first, second in pairwise(self.layers):
            if first.weights.shape[1] != second.weights.shape[0]:
                raise InputError(
                    f"a layer of {first.weights.shape[1]} units is followed by one that reads "
                    f"{second.weights.shape[0]}; make them agree"
                )

    @property
    def inputs(self) -> int:
        """How many inputs there are."""
        return int(self.layers[0].weights.shape[0])

    @property
    def units(self) -> int:
        """How many units there are in all layers."""
        return sum(len(layer.thresholds) for layer in self.layers)

    def __call__(self, rows: Any) -> np.ndarray:
        given = np.asarray(rows)
        if given.ndim != 2 or given.shape[1] != self.inputs:
            raise ShapeError(f"the circuit reads [rows, {self.inputs}], not {list(given.shape)}")
        if not np.isin(given, (0, 1)).all():
            raise InputError("a circuit reads 0s and 1s; compare numbers with a threshold first")
        if not len(given):
            return np.zeros((0, len(self.layers[-1].thresholds)), np.int64)
        program = self._program(len(given))
        return program(x=given.astype(np.float64))["fired"].astype(np.int64)

    def _program(self, rows: int) -> Program:
        if rows not in self._programs:
            x = make_input((rows, self.inputs), dtypes.float64, "x")
            fired = x
            for layer in self.layers:
                sums = f.matmul(fired, layer.weights.astype(np.float64))
                fired = f.step(sums - layer.thresholds.astype(np.float64))
            self._programs[rows] = compile_program({"x": x}, {"fired": fired}, engine=self.engine)
        return self._programs[rows]

    def __rshift__(self, after: Circuit) -> Circuit:
        """Return the circuit in which `after` reads the outputs of this one."""
        return Circuit([*self.layers, *after.layers], self.engine)


def unit(weights: Sequence[int], threshold: int) -> Circuit:
    """Return one unit, which fires where the weighted sum of its inputs reaches the threshold."""
    column = [checks.whole_number("unit: a weight", weight, None) for weight in weights]
    level = checks.whole_number("unit: threshold", threshold, None)
    return Circuit([Layer(np.array(column)[:, None], np.array([level]))])


AND = unit([1, 1], 2)
OR = unit([1, 1], 1)
NOT = unit([-1], 0)
NAND = unit([-1, -1], -1)


def truth_table(outputs: Sequence[Any], engine: str = "native") -> Circuit:
    """Return the circuit of two layers that gives these outputs.

    outputs: 0 or 1 for each row of the table, [2 ** inputs] or [2 ** inputs, outputs], in the
    order of counting: the row of the inputs 0, 1, 1 is number 3. A unit of the first layer
    fires at one row alone, an output where one of its rows does: the disjunctive normal form.
    Raises InputError for other values or another number of rows; there may be 12 inputs.
    """
    wanted = np.asarray(outputs)
    table = wanted[:, None] if wanted.ndim == 1 else wanted
    count = len(table).bit_length() - 1 if table.ndim == 2 else 0
    if not 1 <= count <= _MOST_INPUTS or len(table) != 1 << count or not table.shape[1]:
        raise InputError(
            f"a truth table has 2, 4, 8, … or at most {1 << _MOST_INPUTS} rows and one or more "
            f"outputs, not {list(wanted.shape)}"
        )
    if not np.isin(table, (0, 1)).all():
        raise InputError("a truth table holds 0s and 1s; write each output as one of them")
    # Rows that no output wants need no unit; if none is wanted, one stands in that nothing reads.
    rows = np.flatnonzero(table.any(axis=1)) if table.any() else np.array([0])
    inputs = rows_of(count)[rows]
    # +1 where the row has a 1, -1 where it has a 0: only that row reaches its number of 1s.
    first = Layer(2 * inputs.T - 1, inputs.sum(axis=1))
    second = Layer(table[rows].astype(np.int64), np.ones(table.shape[1], np.int64))
    return Circuit([first, second], engine)


def rows_of(inputs: int) -> np.ndarray:
    """Return the input rows of a truth table, in the order of counting: int64 [rows, inputs]."""
    count = checks.whole_number("rows_of: inputs", inputs)
    if count > _MOST_INPUTS:
        raise InputError(f"rows_of: inputs is {count}; use at most {_MOST_INPUTS}")
    return np.arange(1 << count)[:, None] >> np.arange(count)[::-1] & 1
