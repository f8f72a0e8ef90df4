"""When recomputing does not pay: which inlined tensors should be computed once and stored."""

from __future__ import annotations

from collections.abc import Collection
from math import prod

from ranvier.engines.native.fuse.groups import FusedGroup, Fusion, is_leaf
from ranvier.engines.native.indexmap import IndexMap
from ranvier.graph.leaves import Constant
from ranvier.graph.ops.pointwise import Pointwise
from ranvier.graph.tensor import Tensor
from ranvier.graph.walk import topological

COSTS = {"divide": 5, "sqrt": 4, "rsqrt": 6, "exp": 10, "log": 10, "tanh": 14, "sigmoid": 14}
COSTS |= {"expm1": 12, "log1p": 14, "erf": 14, "sin": 60, "cos": 60, "power": 60}
REPEATED_LIMIT = 6
"""Work that loops repeat for equal operands is done once if it costs more than this."""
SHARED_LIMIT = 12
"""Work that two kernels need is done once if it costs more than this."""


def repeats(where: IndexMap, group: FusedGroup) -> bool:
    """Whether the kernel would compute this value again for equal operands.

    Not where it depends on every loop, on all rows (computed once a row), or, in a kernel of
    rows, on no loop at all (computed once).
    """
    used = [any(axis.terms[d] for axis in where.axes) for d in range(len(where.domain))]
    rows, columns = used[: group.rows], used[group.rows :]
    if all(used) or (all(rows) and not any(columns) and group.kind == "rows"):
        return False
    return any(used) or group.kind != "rows"


def recomputed_too_often(fusion: Fusion) -> set[Tensor]:
    """The inlined tensors that several kernels, or the loops of one, compute again and again.

    One kernel may have inlined what a later one then stores; that is two of them.
    """
    kernels: dict[Tensor, int] = {}
    repeated: set[Tensor] = set()
    for group in fusion.groups:
        for node in dict.fromkeys(node for node, _ in group.inlined):
            kernels[node] = kernels.get(node, node in fusion.group_of) + 1
        repeated.update(node for node, again in group.inlined if again)
    costs = _costs(kernels, fusion)
    wasteful = {node for node in repeated if costs[node] > REPEATED_LIMIT}
    shared = {n for n, count in kernels.items() if count > 1 and costs[n] > SHARED_LIMIT}
    return {n for n in wasteful | shared if prod(n.shape) > 1 or n in wasteful}


def _costs(inlined: Collection[Tensor], fusion: Fusion) -> dict[Tensor, int]:
    """The cost of computing each tensor from memory: ops and loads, bounded above."""
    costs: dict[Tensor, int] = {}
    for node in topological(inlined):
        if is_leaf(node) or (node in fusion.group_of and node not in inlined):
            costs[node] = load_cost(node)
        else:
            costs[node] = min(op_cost(node) + sum(costs[source] for source in node.inputs), 1000)
    return costs


def load_cost(node: Tensor) -> int:
    """The cost of reading an element from memory."""
    return 0 if isinstance(node.op, Constant) and node.size == 1 else 2


def op_cost(node: Tensor) -> int:
    """The cost of computing an element, once its operands are there; views cost nothing."""
    return COSTS.get(node.op.name, 1) if isinstance(node.op, Pointwise) else 0
