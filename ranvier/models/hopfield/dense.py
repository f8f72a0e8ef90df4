"""The modern dense form, which stores far more than it has units, and whose update is attention.

Ramsauer et al., "Hopfield networks is all you need", 2021 (arXiv 2020); after Krotov & Hopfield,
"Dense associative memory for pattern recognition", 2016, and Demircigil et al., "On a model of
associative memory with huge storage capacity", 2017.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ranvier import dtypes
from ranvier import validation as checks
from ranvier.engines.compile import compile as compile_program
from ranvier.engines.program import Program
from ranvier.graph import functions as f
from ranvier.graph.compositions import softmax
from ranvier.graph.leaves import Buffer
from ranvier.graph.tensor import Tensor
from ranvier.models.hopfield.patterns import as_rows


def attention(states: Tensor, keys: Tensor, values: Tensor, beta: float) -> Tensor:
    """softmax(beta · states @ keysᵀ) @ values: for each state a mean of values, [states, …].

    With beta = 1 / sqrt(width) it is a transformer's (Vaswani et al., 2017).
    """
    return f.matmul(softmax(f.matmul(states, f.transpose(keys)) * beta, -1), values)


class DenseHopfield:
    """States move to a mean of the patterns, weighted by how much they are alike.

    x <- softmax(beta x Pᵀ) P, the patterns P being keys and values of an attention. One update
    nearly always suffices where patterns are well apart.

    patterns: any numbers [patterns, units]. beta: how sharply the nearest pattern is told from
    the others, 1 by default; a small one gives means of several. engine, options: see
    `rv.compile`. Raises InputError or ShapeError for others.
    """

    def __init__(
        self, patterns: Any, beta: float = 1.0, *, engine: str = "native", **options: Any
    ) -> None:
        array = as_rows(patterns, None, "pattern").astype(np.float32)
        self.units = array.shape[1]
        self.beta = checks.number("DenseHopfield: beta", beta, above=0)
        self._engine, self._options = engine, options
        self._patterns = Buffer(array, name="patterns")
        self._programs: dict[int, tuple[Program, Buffer]] = {}

    @property
    def patterns(self) -> np.ndarray:
        """The patterns, float32 [patterns, units]."""
        return self._patterns.value

    def recall(self, states: Any, steps: int = 1) -> np.ndarray:
        """Return where so many updates lead, 1 by default: float32 [states, units]."""
        return self._run(states, steps)[0]

    def energies(self, states: Any, steps: int = 1) -> np.ndarray:
        """Return the energy before and after each of so many updates, float64 [steps + 1, states].

        It is -log Σ exp(beta x·p) / beta + ½ x·x, to which Ramsauer et al. add a constant, and it
        never rises.
        """
        return self._run(states, steps)[1]

    def _run(self, states: Any, steps: int) -> tuple[np.ndarray, np.ndarray]:
        given = as_rows(states, self.units, "state").astype(np.float32)
        steps = checks.whole_number("DenseHopfield: steps", steps)
        program, held = self._program(len(given))
        held.value = given
        energies = program(steps=steps)["energy"]
        last = held.value
        return last, np.concatenate([energies, program()["energy"][None]])

    def _program(self, count: int) -> tuple[Program, Buffer]:
        """Return the step over so many states, and the buffer that holds them."""
        if count not in self._programs:
            x = Buffer(np.zeros((count, self.units), np.float32), name="states")
            wide = f.cast(x, dtypes.float64)
            alike = f.cast(f.matmul(x, f.transpose(self._patterns)), dtypes.float64) * self.beta
            most = f.max(alike, axis=1, keepdims=True)
            total = f.log(f.sum(f.exp(alike - most), axis=1)) + f.reshape(most, (count,))
            energy = f.sum(wide * wide, axis=1) * 0.5 - total / self.beta
            new = attention(x, self._patterns, self._patterns, self.beta)
            made = compile_program({}, {"energy": energy}, {x: new}, self._engine, **self._options)
            self._programs[count] = made, x
        return self._programs[count]
