"""Looking at what a program's kernels have stored: for NaN and infinity, or for wrong results.

Such programs are compiled with nothing in place, so that every tensor is still there after a step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from ranvier.engines.native.inspect.bisect import Difference, first_difference
from ranvier.engines.native.schedule.kernels import Buffer
from ranvier.engines.native.schedule.schedule import Schedule
from ranvier.engines.program import Argument, Signature
from ranvier.engines.reference import check_finite
from ranvier.errors import NonFiniteError
from ranvier.graph.leaves import Constant, State
from ranvier.graph.tensor import Tensor
from ranvier.graph.walk import topological


class Observed(Protocol):
    """A program whose kernels' results can be looked at."""

    signature: Signature
    arena: np.ndarray

    @property
    def schedule(self) -> Schedule:
        """The kernels of a step."""

    def run_steps(
        self, arguments: Mapping[str, Argument], outputs: Mapping[str, np.ndarray], steps: int
    ) -> None:
        """Run steps and fill the outputs."""


def run_checked(
    program: Observed,
    arguments: Mapping[str, Argument],
    outputs: Mapping[str, np.ndarray],
    steps: int,
) -> None:
    """Run step by step, and look at every tensor after each; a bad step changes no state."""
    order = topological(program.schedule.stored)
    for step in range(steps):
        here = {
            name: Argument(a.array[step : step + 1], True) if a.streamed else a
            for name, a in arguments.items()
        }
        results = {name: array[step : step + 1] for name, array in outputs.items()}
        given = _leaves(program, here)
        program.run_steps(here, results, 1)
        try:
            check_finite(order, {**given, **_stored(program, results)}, step)
        except NonFiniteError:
            for state in program.signature.updates:
                state.value = given[state]
            raise


def find_difference(program: Observed, arguments: Mapping[str, Argument]) -> Difference | None:
    """Run one step and compare its kernels with the reference; the state is left as it was."""
    outputs = {
        name: np.empty((1, *tensor.shape), tensor.dtype)
        for name, tensor in program.signature.outputs.items()
    }
    given = _leaves(program, arguments)
    before = {state: state.value for state in program.signature.updates}
    try:
        program.run_steps(arguments, outputs, 1)
        new = {root: state.value for state, root in program.schedule.updates.items()}
    finally:
        for state, value in before.items():
            state.value = value
    values = {**given, **new, **_stored(program, outputs)}
    return first_difference(program.schedule.sequenced.kernels, values)


def _leaves(program: Observed, arguments: Mapping[str, Argument]) -> dict[Tensor, np.ndarray]:
    """The value of every leaf before a step."""
    values: dict[Tensor, np.ndarray] = {}
    for name, tensor in program.signature.inputs.items():
        argument = arguments[name]
        values[tensor] = argument.array[0] if argument.streamed else argument.array
    for leaf in program.schedule.leaves:
        if isinstance(leaf, State):
            values[leaf] = leaf.value
        elif isinstance(leaf.op, Constant):
            values[leaf] = leaf.op.value
    return values


def _stored(program: Observed, outputs: Mapping[str, np.ndarray]) -> dict[Tensor, np.ndarray]:
    """What kernels have stored in a step; whole only where nothing shares memory."""
    schedule = program.schedule
    results = {buffer: outputs[name][0] for name, buffer in schedule.outputs.items()}
    found = {}
    for tensor, buffer in schedule.stored.items():
        whole = results[buffer] if buffer in results else _temporary(program, buffer)
        halo = schedule.halos.get(tensor)
        found[tensor] = (whole if halo is None else halo.view(whole)).copy()
    return found


def _temporary(program: Observed, buffer: Buffer) -> np.ndarray:
    if not buffer.size:
        return np.empty(buffer.shape, buffer.dtype)
    at = program.schedule.arena.offsets[buffer]
    return program.arena[at : at + buffer.nbytes].view(buffer.dtype).reshape(buffer.shape)
