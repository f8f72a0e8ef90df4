"""The fused groups: each tensor in one group, each element once, no group before its producers."""

from __future__ import annotations

from collections.abc import Sequence

from ranvier.engines.native.fuse.groups import (
    CONTRACTIONS,
    INDEXED,
    FusedGroup,
    Fusion,
    contiguous,
    is_leaf,
)
from ranvier.engines.native.indexmap import IndexMap
from ranvier.engines.native.verify.fault import StageError
from ranvier.engines.native.verify.positions import covers, varies
from ranvier.graph.ops.reduction import Reduction
from ranvier.graph.tensor import Tensor

_KINDS = {"rows": (), "contraction": CONTRACTIONS, "index": INDEXED, "halo": (), "join": ()}


def verify_fusion(fusion: Fusion, roots: Sequence[Tensor]) -> None:
    """Raise StageError for groups that no schedule could compute, or that would compute wrongly."""
    for root in roots:
        if not fusion.available(root):
            raise _fault("the groups", f"no group stores the result {root.op.name}")
    for k, group in enumerate(fusion.groups):
        where = f"group {k} ({group.kind})"
        fault = _shape_fault(group) or _order_fault(fusion, k, group)
        for node in group.anchors:
            fault = fault or _anchor_fault(fusion, k, group, node)
        if fault is not None:
            raise _fault(where, fault)
    stored = {node for group in fusion.groups for node in group.anchors}
    if stored != set(fusion.group_of):
        raise _fault("the groups", "a tensor is said to be in a group that does not anchor it")


def _shape_fault(group: FusedGroup) -> str | None:
    if group.kind not in _KINDS:
        return "a kind that has no kernel"
    if not group.anchors:
        return "it computes nothing"
    if not 0 <= group.rows <= len(group.domain):
        return f"{group.rows} of {len(group.domain)} loops are rows"
    wanted = _KINDS[group.kind]
    if wanted and not isinstance(group.product.op, wanted):
        return f"its first tensor is {group.product.op.name}"
    return None


def _order_fault(fusion: Fusion, k: int, group: FusedGroup) -> str | None:
    for read in _read_by(fusion, group):
        if not fusion.available(read):
            return f"it reads {read.op.name}, which no group stores"
        if not is_leaf(read) and fusion.group_of[read] > k:
            return f"it reads {read.op.name}, which group {fusion.group_of[read]} stores later"
    return None


def _read_by(fusion: Fusion, group: FusedGroup) -> list[Tensor]:
    """All that a group reads, operands of contractions and whole arrays included."""
    found = list(group.reads)
    if group.kind == "contraction":
        found += [fusion.operands[operand].node for operand in group.product.inputs]
    if group.kind == "index":
        found += [contiguous(source) for node in group.anchors for source in node.inputs]
    return found


def _anchor_fault(fusion: Fusion, k: int, group: FusedGroup, node: Tensor) -> str | None:
    if fusion.group_of.get(node) != k:
        return f"{node.op.name} is in two groups"
    if group.kind in ("index", "halo", "join"):
        return None
    where = group.anchors[node]
    fault = _map_fault(group, node, where)
    if fault is None and isinstance(node.op, Reduction):
        inner = group.inner.get(node)
        if inner is None:
            return f"{node.op.name} has no map of its input"
        if varies(where.flat(node.shape), group.domain) - set(range(group.rows)):
            return f"{node.op.name} varies along the loops that it runs over"
        fault = _map_fault(group, node.inputs[0], inner)
    return fault


def _map_fault(group: FusedGroup, node: Tensor, where: IndexMap) -> str | None:
    """What is wrong with the map of a tensor that a group computes element by element."""
    if where.domain != group.domain:
        return f"{node.op.name} is computed over {where.domain}, the group over {group.domain}"
    if len(where.axes) != node.ndim:
        return f"the map of {node.op.name} has {len(where.axes)} axes for {node.ndim}"
    if node.size and not covers(where.flat(node.shape), group.domain, node.size):
        return f"the map of {node.op.name} does not reach every element once"
    return None


def _fault(where: str, fault: str) -> StageError:
    return StageError("fusion", where, fault)
