"""Joins: concatenations whose parts are stored side by side, each by the kernel that computes it.

A concatenation fuses as a choice between its parts: every element computes all of them and keeps
one. For few and cheap parts that is free. Else the work grows with the square of their number, so
each part is stored where it belongs in the whole, and computed once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ranvier.engines.native.fuse.groups import CONTRACTIONS, INDEXED
from ranvier.engines.native.fuse.halo import Halo
from ranvier.engines.native.fuse.recompute import REPEATED_LIMIT, load_cost, op_cost
from ranvier.engines.native.indexmap import VIEWS
from ranvier.graph.ops.movement import Concatenate, Pad
from ranvier.graph.ops.pointwise import Pointwise, StopGradient
from ranvier.graph.ops.reduction import Reduction
from ranvier.graph.tensor import Tensor, apply
from ranvier.graph.walk import rebuild, rewrite, topological

LEAST_REPEATED = 1 << 16
"""Repeated work, in the units of `recompute`, below which another kernel would cost more."""

MOST_COST = 1 << 20
"""Where the count of work stops."""

_MEMORY = (*CONTRACTIONS, *INDEXED, Reduction)
"""Ops whose results lie in memory, or cost no more than that."""

_STORING = (*CONTRACTIONS, Reduction, Pointwise, *VIEWS)
"""Ops whose results kernels can store with gaps."""


def _wasteful(order: Iterable[Tensor]) -> list[Tensor]:
    """The concatenations in a graph that would repeat much work, were they fused."""
    found: dict[Tensor, None] = {}
    costs: dict[Tensor, int] = {}
    for node in order:
        below = [costs[source] for source in node.inputs]
        costs[node] = min(op_cost(node) + sum(below), MOST_COST)
        if not node.inputs or isinstance(node.op, _MEMORY):
            costs[node] = load_cost(node)
        elif isinstance(node.op, Concatenate):
            repeated = sum(below) - max(below)
            if repeated > REPEATED_LIMIT and repeated * node.size > LEAST_REPEATED:
                found[node] = None
                costs[node] = load_cost(node)
    return list(found)


def separated(roots: Sequence[Tensor]) -> list[Tensor]:
    """Give each part of a concatenation that is stored part by part a buffer for itself.

    A part that lies elsewhere, or that others read, is copied.
    """
    order = topological(roots)
    wholes = set(_wasteful(order))
    if not wholes:
        return list(roots)
    fit = _storable(order, roots)

    def rule(old: Tensor, inputs: tuple[Tensor, ...]) -> Tensor:
        if old not in wholes:
            return rebuild(old, inputs)
        parts = []
        for source, part in zip(old.inputs, inputs, strict=True):
            if part.size:
                parts.append(part if source in fit else apply(StopGradient(), part))
        return apply(old.op, *parts)

    new = rewrite(roots, rule)
    return [new[root] for root in roots]


def find_joins(order: Sequence[Tensor], roots: Iterable[Tensor]) -> Mapping[Tensor, Tensor]:
    """Map each part of a concatenation that is stored part by part to the whole."""
    wholes = _wasteful(order)
    fit = _storable(order, roots) if wholes else set()
    return {
        part: whole for whole in wholes if fit.issuperset(whole.inputs) for part in whole.inputs
    }


def _storable(order: Iterable[Tensor], roots: Iterable[Tensor]) -> set[Tensor]:
    """The tensors that kernels can store as part of another one, which alone reads them."""
    reads = Counter(source for node in order for source in node.inputs)
    reads.update(roots)
    able = {n for n in reads if isinstance(n.op, _STORING) and not isinstance(n.op, Pad)}
    return {node for node in able if reads[node] == 1}


def parts_of(whole: Tensor) -> Iterator[Halo]:
    """Where each part of a concatenation lies in it."""
    assert isinstance(whole.op, Concatenate)
    axis, start = whole.op.axis, 0
    for part in whole.inputs:
        before = (*(0,) * axis, start, *(0,) * (whole.ndim - axis - 1))
        yield Halo(part.shape, whole.shape, before)
        start += part.shape[axis]
