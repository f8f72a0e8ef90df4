"""Rules: local rewrites of one tensor, and the walk that applies a table of them.

A rule looks at a tensor and what stands directly below it. It returns an equivalent tensor,
or None where it has nothing to say. A table maps an op class to its rules; the rules of a base
class hold for all its ops.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from math import prod
from typing import Any, TypeAlias

import numpy as np

from ranvier.graph import functions as f
from ranvier.graph.leaves import Constant, constant
from ranvier.graph.ops.movement import BroadcastTo, Reshape
from ranvier.graph.tensor import Op, Shape, Tensor
from ranvier.graph.walk import rebuild, topological

Groups: TypeAlias = tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
Rule: TypeAlias = Callable[[Tensor], "Tensor | None"]
Table: TypeAlias = Mapping[type[Op], Sequence[Rule]]
Pass: TypeAlias = Callable[[Sequence[Tensor], set[Tensor]], list[Tensor]]
"""A pass maps roots to equivalent roots. The set is the pass's memory from round to round:
tensors below which it found nothing to do, and so never will, as tensors are immutable."""

_MOST_STEPS = 32
"""Rewrites of one tensor in one walk; the next round goes on where this cuts off."""


class RulePass:
    """The pass that applies the rules of some tables bottom up, once over the graph."""

    def __init__(self, *tables: Table) -> None:
        self.tables = tables
        self._by_type: dict[type[Op], tuple[Rule, ...]] = {}

    def __call__(self, roots: Sequence[Tensor], settled: set[Tensor]) -> list[Tensor]:
        new: dict[Tensor, Tensor] = {}
        for old in topological(roots, settled):
            tensor = rebuild(old, tuple([new.get(source, source) for source in old.inputs]))
            result = new[old] = self._rewritten(tensor)
            if result is tensor and settled.issuperset(tensor.inputs):
                settled.add(tensor)
        return [new.get(root, root) for root in roots]

    def _rewritten(self, tensor: Tensor) -> Tensor:
        for _ in range(_MOST_STEPS):
            for rule in self._rules(type(tensor.op)):
                result = rule(tensor)
                if result is not None:
                    tensor = result
                    break
            else:
                return tensor
        return tensor

    def _rules(self, kind: type[Op]) -> tuple[Rule, ...]:
        if kind not in self._by_type:
            self._by_type[kind] = tuple(
                rule
                for table in self.tables
                for base in kind.__mro__
                for rule in table.get(base, ())
            )
        return self._by_type[kind]


# ---------------------------------------------------------------- what rules ask and build


def uniform(tensor: Tensor) -> Any | None:
    """Return the one value that a constant tensor has everywhere, or None if it is no such."""
    while isinstance(tensor.op, BroadcastTo | Reshape):
        (tensor,) = tensor.inputs
    if isinstance(tensor.op, Constant) and tensor.op.value.size == 1:
        return tensor.op.value.reshape(())[()]
    return None


def is_constant(tensor: Tensor) -> bool:
    """Whether the tensor is a constant or a broadcast of one."""
    if isinstance(tensor.op, BroadcastTo):
        (tensor,) = tensor.inputs
    return isinstance(tensor.op, Constant)


def is_plus_zero(value: Any) -> bool:
    """Whether the number is 0 and not -0."""
    return bool(value == 0 and not np.signbit(value))


def full(value: Any, like: Tensor) -> Tensor:
    """A constant `value` everywhere, with the shape and dtype of `like`."""
    return f.broadcast_to(constant(value, like.dtype), like.shape)


def padded_source(broadcast: Tensor) -> Shape:
    """The shape under a broadcast_to, with leading ones up to the rank of the result."""
    source = broadcast.inputs[0].shape
    return (1,) * (broadcast.ndim - len(source)) + source


def stripped(shape: Shape) -> Shape:
    """`shape` without its leading axes of length 1."""
    for a, n in enumerate(shape):
        if n != 1:
            return shape[a:]
    return ()


def rebroadcast(source: Tensor, aligned: Shape, shape: Shape) -> Tensor:
    """Broadcast `source`, brought into the shape `aligned` without leading ones, to `shape`."""
    aligned = stripped(aligned)
    source = f.reshape(source, aligned)
    if prod(aligned) == prod(shape):
        return f.reshape(source, shape)
    return f.broadcast_to(source, shape)


@lru_cache(maxsize=4096)
def axis_groups(old: Shape, new: Shape) -> Groups:
    """Return the smallest runs of old axes and of new axes that hold the same elements.

    (6, 4) to (2, 3, 1, 4): ((0,), (0, 1)), ((), (2,)), ((1,), (3,)). Both shapes have the same
    number of elements, and it is not 0.
    """
    groups: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    i = j = 0
    while i < len(old) or j < len(new):
        first_i, first_j = i, j
        if i < len(old) and old[i] == 1:
            i += 1
        elif j < len(new) and new[j] == 1:
            j += 1
        else:
            left, right = old[i], new[j]
            i, j = i + 1, j + 1
            while left != right:
                if left < right:
                    left, i = left * old[i], i + 1
                else:
                    right, j = right * new[j], j + 1
        groups.append((tuple(range(first_i, i)), tuple(range(first_j, j))))
    return tuple(groups)
