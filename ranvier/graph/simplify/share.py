"""Sharing: equal ops of equal inputs are computed once (common subexpressions).

The inputs of a commutative op are compared without order. Random ops and leaves other than
constants stay as they are.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from ranvier.graph.leaves import Constant
from ranvier.graph.ops import pointwise
from ranvier.graph.ops.random import Random
from ranvier.graph.tensor import Tensor
from ranvier.graph.walk import rebuild, topological

COMMUTATIVE = frozenset(
    {
        pointwise.Add,
        pointwise.Multiply,
        pointwise.Equal,
        pointwise.NotEqual,
        pointwise.LogicalAnd,
        pointwise.LogicalOr,
    }
)
"""Not maximum and minimum, whose result on 0 and -0 may be either operand."""

MOST_COMPARED = 2**16
"""Larger constants are compared by identity, not by content."""


def share(roots: Sequence[Tensor], settled: set[Tensor]) -> list[Tensor]:
    """Merge equal tensors. `settled` is not used: any new tensor may equal an old one."""
    new: dict[Tensor, Tensor] = {}
    first: dict[Hashable, Tensor] = {}
    for old in topological(roots):
        tensor = rebuild(old, tuple([new[source] for source in old.inputs]))
        key = _key(tensor)
        new[old] = tensor if key is None else first.setdefault(key, tensor)
    return [new[root] for root in roots]


def _key(tensor: Tensor) -> Hashable | None:
    op = tensor.op
    if isinstance(op, Constant):
        return (op if op.value.size <= MOST_COMPARED else id(op), tensor.shape)
    if not tensor.inputs or isinstance(op, Random):
        return None
    # Identities stand for the inputs, since comparing two tensors builds a tensor.
    sources = [id(source) for source in tensor.inputs]
    if type(op) in COMMUTATIVE:
        sources.sort()
    return (type(op), op, *sources)
