"""The verifier: what must hold of every graph, checked before and after each pass."""

from __future__ import annotations

from collections.abc import Sequence

from ranvier.errors import GraphError
from ranvier.graph.leaves import Constant, State, StateRead
from ranvier.graph.printing import show, type_text
from ranvier.graph.tensor import LOWERED, REGISTRY, Tensor, miscounted
from ranvier.graph.walk import topological


def verify(roots: Sequence[Tensor], known: set[Tensor] | None = None) -> None:
    """Raise GraphError, with the printed line, for the first tensor that breaks a rule.

    Each op is registered and has as many inputs as it takes, each shape and dtype is what the
    op infers from the inputs, constants are read-only. Tensors are immutable, so those in
    `known` are not checked again; the sound ones are added to it.
    """
    known = set() if known is None else known
    for tensor in topological(roots, known):
        fault = _fault(tensor)
        if fault is not None:
            raise GraphError(f"{fault}, in the line {_line(tensor, roots)!r}; mend what built it")
        known.add(tensor)


def _fault(tensor: Tensor) -> str | None:
    op = tensor.op
    if type(op) not in (REGISTRY.get(op.name), LOWERED.get(op.name)):
        return f"the op {type(op).__name__} is not registered under the name {op.name!r}"
    fault = miscounted(op, tensor.inputs)
    if fault is not None:
        return fault
    if isinstance(op, StateRead) is not isinstance(tensor, State):
        return "a state tensor and the op that reads it do not belong together"
    if isinstance(op, Constant) and op.value.flags.writeable:
        return "the constant's array is not read-only"
    try:
        shape, dtype = op.infer(*tensor.inputs)
    except (TypeError, ValueError, IndexError) as error:
        return f"{op.name} does not take its inputs ({error})"
    if (shape, dtype) != (tensor.shape, tensor.dtype):
        inferred = f"{dtype.name}[{','.join(map(str, shape))}]"
        return f"{op.name} gives {inferred}, but the tensor says {type_text(tensor)}"
    return None


def _line(tensor: Tensor, roots: Sequence[Tensor]) -> str:
    position = next(i for i, other in enumerate(topological(roots)) if other is tensor)
    return show(roots).splitlines()[position]
