"""Graphs as text: one line a tensor, inputs before users."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ranvier.graph.leaves import Constant, Input, StateRead
from ranvier.graph.tensor import Tensor
from ranvier.graph.walk import topological


def type_text(tensor: Tensor) -> str:
    """Return dtype and shape in one word, such as float32[128,10]."""
    return f"{tensor.dtype.name}[{','.join(map(str, tensor.shape))}]"


def describe_tensor(tensor: Tensor) -> str:
    """Return a tensor's one-line description, with its value where it depends on no input."""
    order = topological([tensor])
    known = all(not isinstance(t.op, Input) for t in order)
    text = f"Tensor({tensor.op.name} {type_text(tensor)})"
    if known and len(order) <= 1000 and tensor.size <= 1000:
        return f"{text}\n{np.array2string(tensor.numpy(), precision=6)}"
    return text


def show(outputs: Iterable[Tensor] | Mapping[str, Tensor]) -> str:
    """Return the whole graph below `outputs`, a line for each tensor."""
    named: dict[str, Tensor]
    if isinstance(outputs, Mapping):
        named = dict(outputs)
    else:
        named = {str(i): root for i, root in enumerate(outputs)}
    roots = list(named.values())
    order = topological(roots)
    number = {tensor: f"%{i}" for i, tensor in enumerate(order)}
    lines = [_line(tensor, number) for tensor in order]
    lines += [f"return {label} = {number[root]}" for label, root in named.items()]
    return "\n".join(lines)


def _line(tensor: Tensor, number: Mapping[Tensor, str]) -> str:
    arguments = [number[source] for source in tensor.inputs]
    attributes = [f"{key}={_short(value)}" for key, value in _attributes(tensor).items()]
    call = f"{tensor.op.name}({', '.join(arguments + attributes)})"
    return f"{number[tensor]}: {type_text(tensor)} = {call}"


def _attributes(tensor: Tensor) -> dict[str, Any]:
    if isinstance(tensor.op, Input | StateRead):
        return {"label": tensor.op.label}
    if isinstance(tensor.op, Constant):
        return {"value": tensor.op.value}
    return tensor.op.attributes()


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return np.array2string(value, threshold=6, edgeitems=2).replace("\n", "")
    return value.name if isinstance(value, np.dtype) else str(value)
