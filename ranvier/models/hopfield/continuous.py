"""Graded units: the Hopfield network as a differential equation.

Hopfield, "Neurons with graded response have collective computational properties like those of
two-state neurons", 1984.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ranvier import dtypes
from ranvier import validation as checks
from ranvier.engines.compile import compile as compile_program
from ranvier.engines.program import Program
from ranvier.graph import functions as f
from ranvier.graph.leaves import Buffer
from ranvier.models.hopfield.binary import Hopfield
from ranvier.models.hopfield.patterns import as_rows

_MOST = 1 - 1e-6
"""The largest output from which an activation is taken; at 1 it would be infinite."""


class ContinuousHopfield:
    """Units with activation u and output tanh(gain u): du/dt = -u + W tanh(gain u) + b.

    network: the weights and biases. gain: how steep the units are, 1 by default; the larger, the
    nearer to two states. step: of time, 0.1 by default, in units of the units' own time
    constant; the equation is solved by Euler's method, so that the energy falls where steps are
    small enough. engine, options: see `rv.compile`.
    """

    def __init__(
        self,
        network: Hopfield,
        gain: float = 1.0,
        step: float = 0.1,
        *,
        engine: str = "native",
        **options: Any,
    ) -> None:
        self.units = network.units
        self.gain = checks.number("ContinuousHopfield: gain", gain, above=0)
        self.step = checks.number("ContinuousHopfield: step", step, above=0, high=1)
        self._engine, self._options = engine, options
        self._weights = Buffer(network.weights.astype(np.float64), name="weights")
        self._bias = Buffer(network.bias.astype(np.float64), name="bias")
        self._programs: dict[int, tuple[Program, Buffer]] = {}

    def run(self, outputs: Any, steps: int = 200) -> tuple[np.ndarray, np.ndarray]:
        """Follow the equation from these outputs; return the last ones, and the energies.

        outputs: between -1 and 1, [states, units]; -1 and 1 count as ±(1 - 1e-6). steps: 200 by
        default. Returns float64 [states, units] and [steps + 1, states].

        The energy is -½ Σ w_ij v_i v_j - Σ b_i v_i + Σ ∫₀^v_i artanh(v) dv / gain.
        """
        given = as_rows(outputs, self.units, "state").astype(np.float64)
        steps = checks.whole_number("run: steps", steps)
        program, held = self._program(len(given))
        held.value = np.arctanh(np.clip(given, -_MOST, _MOST)) / self.gain
        energies = program(steps=steps)["energy"]
        last = np.tanh(self.gain * held.value)
        return last, np.concatenate([energies, program()["energy"][None]])

    def _program(self, count: int) -> tuple[Program, Buffer]:
        """Return the step over so many states, and the buffer of their activations."""
        if count not in self._programs:
            u = Buffer(np.zeros((count, self.units)), dtypes.float64, name="activations")
            v = f.tanh(u * self.gain)
            inner = f.matmul(v, self._weights)
            # ∫₀^v artanh = v artanh v + ½ log(1 - v²), where artanh v = gain u, and
            # 1 - tanh² x = (2 / (e^x + e^-x))² does not vanish by rounding.
            size = f.abs(u) * self.gain
            log_cosh = size + f.log(1.0 + f.exp(size * -2.0)) - float(np.log(2))
            stretch = (v * u * self.gain - log_cosh) / self.gain
            energy = f.sum(stretch - v * (inner * 0.5 + self._bias), axis=1)
            new = u + self.step * (inner + self._bias - u)
            made = compile_program({}, {"energy": energy}, {u: new}, self._engine, **self._options)
            self._programs[count] = made, u
        return self._programs[count]
