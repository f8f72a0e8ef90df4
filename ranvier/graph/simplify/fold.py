"""Constant folding: what depends on small constants only is computed now.

A constant that repeats one value becomes a scalar and its broadcast; a broadcast is never
folded, so that a program does not carry what it can repeat. Random ops are never folded.
"""

from __future__ import annotations

from math import prod

import numpy as np

from ranvier.graph.leaves import Constant, constant
from ranvier.graph.ops.movement import BroadcastTo
from ranvier.graph.ops.random import Random
from ranvier.graph.simplify.rules import RulePass, full, is_constant
from ranvier.graph.tensor import Op, Tensor

MOST_GROWTH = 4096
"""Elements by which a folded constant may outgrow the constants that it comes from."""

MOST_WORK = 2**18
"""Elements that folding one tensor may read, broadcasts counted at their full size."""


def fold_uniform(tensor: Tensor) -> Tensor | None:
    """A constant that repeats one value is the broadcast of a scalar."""
    assert isinstance(tensor.op, Constant)
    value = tensor.op.value
    if value.size <= 1:
        return None
    # Bytes are compared, not numbers: 0 and -0 differ, and a NaN equals itself.
    words = np.frombuffer(np.ascontiguousarray(value), np.uint8).reshape(-1, value.itemsize)
    if (words[[1, -1]] != words[0]).any() or (words != words[0]).any():
        return None
    return full(value.reshape(-1)[0], tensor)


def fold_constant(tensor: Tensor) -> Tensor | None:
    """An op whose inputs are constants, or broadcasts of them, is a constant."""
    if not tensor.inputs or isinstance(tensor.op, BroadcastTo | Random):
        return None
    if not all(is_constant(source) for source in tensor.inputs):
        return None
    known = [_value(source) for source in tensor.inputs]
    stored = sum(size for _, size in known)
    if prod(tensor.shape) > stored + MOST_GROWTH:
        return None
    if sum(value.size for value, _ in known) > MOST_WORK:
        return None
    with np.errstate(all="ignore"):
        result = tensor.op.meaning(np, *(value for value, _ in known))
    return constant(np.asarray(result, tensor.dtype))


def _value(tensor: Tensor) -> tuple[np.ndarray, int]:
    """Return a constant's value (a view where it is broadcast) and its number of elements."""
    source = tensor.inputs[0] if isinstance(tensor.op, BroadcastTo) else tensor
    assert isinstance(source.op, Constant)
    return np.broadcast_to(source.op.value, tensor.shape), source.op.value.size


fold = RulePass({Constant: [fold_uniform], Op: [fold_constant]})
