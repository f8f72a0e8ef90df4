"""The reference engine: a NumPy interpreter that defines what is correct.

Each tensor is computed by its op's own meaning, one after another, nothing shared between
two evaluations. `widen=True` computes every float32 tensor in float64 instead, to measure
the rounding of the other engines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ranvier import dtypes
from ranvier.engines.program import Argument, Program
from ranvier.errors import InputError, NonFiniteError
from ranvier.graph.leaves import Input, State
from ranvier.graph.ops.pointwise import Cast
from ranvier.graph.printing import show, type_text
from ranvier.graph.tensor import Tensor
from ranvier.graph.walk import topological


def evaluate(
    tensors: Sequence[Tensor],
    inputs: Mapping[Tensor, np.ndarray] | None = None,
    widen: bool = False,
) -> list[np.ndarray]:
    """Return the value of each tensor, given one array for each program input below them."""
    values = evaluate_all(topological(tensors), inputs or {}, widen)
    return [values[tensor] for tensor in tensors]


def evaluate_all(
    order: Sequence[Tensor], given: Mapping[Tensor, np.ndarray], widen: bool = False
) -> dict[Tensor, np.ndarray]:
    """Return the value of every tensor of `order`, which lists inputs before users.

    Tensors in `given`, program inputs or any others, have the value that stands there.
    """
    values = dict(given)
    with np.errstate(all="ignore"):
        for tensor in order:
            if tensor in given:
                value = np.asarray(given[tensor])
            else:
                value = _compute(tensor, [values[source] for source in tensor.inputs], widen)
            if widen and tensor.dtype == dtypes.float32:
                value = np.asarray(value, np.float64)
            values[tensor] = value
    return values


def _compute(tensor: Tensor, arguments: Sequence[np.ndarray], widen: bool) -> np.ndarray:
    if isinstance(tensor, State):
        return tensor.value
    if isinstance(tensor.op, Input):
        label = tensor.op.label or "an unnamed input"
        raise InputError(f"{label} {tensor.shape} has no value; pass an array for it")
    if widen and isinstance(tensor.op, Cast) and tensor.dtype == dtypes.float32:
        return arguments[0].astype(np.float64)
    return np.asarray(tensor.op.meaning(np, *arguments))


class ReferenceProgram(Program):
    """A program that the interpreter runs, step by step."""

    def _run(
        self, arguments: Mapping[str, Argument], outputs: Mapping[str, np.ndarray], steps: int
    ) -> None:
        order = topological(self.signature.roots)
        for step in range(steps):
            inputs = {
                self.signature.inputs[name]: a.array[step] if a.streamed else a.array
                for name, a in arguments.items()
            }
            values = evaluate_all(order, inputs)
            if self.options.check_finite:
                check_finite(order, values, step)
            for name, tensor in self.signature.outputs.items():
                outputs[name][step] = values[tensor]
            for state, new in self.signature.updates.items():
                state.value = values[new]

    def describe(self) -> str:
        """Return the graph, a line for each tensor."""
        updates = {
            f"new {state.label or i}": new
            for i, (state, new) in enumerate(self.signature.updates.items())
        }
        return show({**self.signature.outputs, **updates})


def check_finite(order: Sequence[Tensor], values: Mapping[Tensor, np.ndarray], step: int) -> None:
    """Raise NonFiniteError for the first tensor of `order` whose value is not finite."""
    for tensor in order:
        value = values.get(tensor)
        if value is None or not dtypes.is_floating(tensor.dtype) or np.isfinite(value).all():
            continue
        where = np.unravel_index(np.argmin(np.isfinite(value)), value.shape)
        at = f" at {tuple(int(i) for i in where)}" if value.ndim else ""
        label = getattr(tensor.op, "label", None)
        what = f"{tensor.op.name} {label}" if label else tensor.op.name
        sources = ", ".join(type_text(source) for source in tensor.inputs)
        raise NonFiniteError(
            f"step {step}: {what} gave {value[where]}{at} of {type_text(tensor)}"
            + (f", computed from {sources}" if sources else "")
            + "; look at its inputs, the learning rate and the data"
        )
