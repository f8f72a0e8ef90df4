"""Evaluating a graph with NumPy, tensor by tensor: what every op means, and nothing else.

Each tensor is computed by its op's own meaning, one after another. `widen=True` computes every
float32 tensor in float64 instead, to measure the rounding of others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ranvier import dtypes
from ranvier.errors import InputError
from ranvier.graph.leaves import Input, State
from ranvier.graph.ops.pointwise import Cast
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

    def stored(tensor: Tensor, value: np.ndarray) -> np.ndarray:
        wide = widen and tensor.dtype == dtypes.float32
        return np.asarray(value, np.float64 if wide else None)

    values = {tensor: stored(tensor, value) for tensor, value in given.items()}
    with np.errstate(all="ignore"):
        for tensor in order:
            if tensor not in given:
                sources = [values[source] for source in tensor.inputs]
                values[tensor] = stored(tensor, _compute(tensor, sources, widen))
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
