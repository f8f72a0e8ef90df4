"""The reference engine: a NumPy interpreter that defines what is correct."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ranvier import dtypes
from ranvier.engines.program import Argument, Options, Program, Signature, index_ranges
from ranvier.errors import NonFiniteError
from ranvier.graph.evaluate import evaluate_all
from ranvier.graph.leaves import Constant
from ranvier.graph.printing import show, type_text
from ranvier.graph.tensor import Tensor
from ranvier.graph.walk import topological


class ReferenceProgram(Program):
    """A program that the interpreter runs, step by step."""

    def __init__(self, signature: Signature, options: Options) -> None:
        super().__init__(signature, options)
        self._rows = index_ranges(self.simplified)

    def _run(
        self, arguments: Mapping[str, Argument], outputs: Mapping[str, np.ndarray], steps: int
    ) -> None:
        order = topological(self.simplified.roots)
        for step in range(steps):
            inputs = {
                self.simplified.inputs[name]: a.array[step] if a.streamed else a.array
                for name, a in arguments.items()
            }
            values = evaluate_all(order, inputs)
            if self.options.check_finite:
                check_finite(order, values, step)
            for name, tensor in self.simplified.outputs.items():
                outputs[name][step] = values[tensor]
            for state, new in self.simplified.updates.items():
                state.value = values[new]

    def describe(self) -> str:
        """Return the graph, a line for each tensor."""
        updates = {
            f"new {state.label or i}": new
            for i, (state, new) in enumerate(self.simplified.updates.items())
        }
        return show({**self.simplified.outputs, **updates})


def check_finite(order: Sequence[Tensor], values: Mapping[Tensor, np.ndarray], step: int) -> None:
    """Raise NonFiniteError for the first tensor of `order` that brings NaN or infinity in.

    An infinity that is computed from one, such as a mask of -inf, is meant; so is a constant.
    """
    for tensor in order:
        value = values.get(tensor)
        if value is None or isinstance(tensor.op, Constant) or _finite(value):
            continue
        given = list(_given(tensor, values))
        bad = np.isnan(value)
        if not bad.any() or any(np.isnan(each).any() for each in given if not _finite(each)):
            bad = np.isinf(value)
            if not bad.any() or not all(map(_finite, given)):
                continue
        where = np.unravel_index(np.argmax(bad), value.shape)
        at = f" at {tuple(int(i) for i in where)}" if value.ndim else ""
        label = getattr(tensor.op, "label", None)
        what = f"{tensor.op.name} {label}" if label else tensor.op.name
        sources = ", ".join(type_text(source) for source in tensor.inputs)
        raise NonFiniteError(
            f"step {step}: {what} gave {value[where]}{at} of {type_text(tensor)}"
            + (f", computed from {sources}" if sources else "")
            + "; look at its inputs, the learning rate and the data"
        )


def _finite(value: np.ndarray) -> bool:
    return not dtypes.is_floating(value.dtype) or bool(np.isfinite(value).all())


def _given(tensor: Tensor, values: Mapping[Tensor, np.ndarray]) -> Iterator[np.ndarray]:
    """The nearest values that are known of what `tensor` was computed from."""
    stack = list(tensor.inputs)
    while stack:
        source = stack.pop()
        if source in values:
            yield values[source]
        elif isinstance(source.op, Constant):
            yield source.op.value
        else:
            stack += source.inputs
