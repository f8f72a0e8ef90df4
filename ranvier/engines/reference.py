"""The reference engine: a NumPy interpreter that defines what is correct."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ranvier import dtypes
from ranvier.engines.program import Argument, Program
from ranvier.errors import NonFiniteError
from ranvier.graph.evaluate import evaluate_all
from ranvier.graph.printing import show, type_text
from ranvier.graph.tensor import Tensor
from ranvier.graph.walk import topological


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
