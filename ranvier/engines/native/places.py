"""Where the tensors of a graph lie in memory: leaves, outputs, and what kernels hand on."""

from __future__ import annotations

from collections.abc import Mapping

from ranvier.engines.native.draft import Draft, Grouping
from ranvier.engines.native.inset import Inset, inset_of, without_border
from ranvier.engines.native.joins import parts_of
from ranvier.engines.native.kernels import Operand, Place
from ranvier.engines.program import Signature
from ranvier.graph.leaves import Constant, Input, State
from ranvier.graph.ops.movement import Reshape
from ranvier.graph.tensor import Tensor
from ranvier.graph.walk import topological


class Places:
    """The places of all tensors that lie in memory.

    leaves: inputs, constants and state; outputs: by name; stored: what kernels compute, each with
    the place where others read it; read: both; insets: tensors that lie inside a larger place;
    targets: every place that a tensor is written to.

    `bare` are padded tensors whose border nothing reads; their sources lie without it. Where
    nothing is fused, every anchor of a kernel lies in memory.
    """

    def __init__(
        self, signature: Signature, grouping: Grouping, fuse: bool, bare: frozenset[Tensor]
    ) -> None:
        self.grouping = grouping
        self.bare = bare
        self.leaves: dict[Tensor, Place] = {}
        self.outputs: dict[str, Place] = {}
        self.stored: dict[Tensor, Place] = {}
        self.insets: dict[Tensor, Inset] = {}
        self.targets: dict[Tensor, list[Place]] = {}
        self._place_leaves(signature)
        self._place_results(signature, fuse)
        self.read: Mapping[Tensor, Place] = self.leaves | self.stored

    def stores(self, draft: Draft) -> dict[Tensor, list[Place]]:
        """Where each anchor of a kernel goes."""
        return {node: self.targets[node] for node in draft.anchors if node in self.targets}

    def read_by(self, draft: Draft) -> list[Tensor]:
        """The tensors that a kernel reads."""
        found = list(draft.reads)
        if draft.kind == "index":
            found += [contiguous(source) for node in draft.anchors for source in node.inputs]
        if draft.kind == "contraction":
            found += [self.base(x) for x in draft.product.inputs]
        return found

    def base(self, operand: Tensor) -> Tensor:
        """The tensor in memory that the operand of a contraction is a view of."""
        return self.grouping.operands[operand].node

    def operand(self, operand: Tensor) -> Operand:
        """The place of an operand of a contraction, and how it lies there."""
        read = self.grouping.operands[operand]
        inset = self.insets.get(read.node)
        if inset is None:
            return Operand(self.read[read.node], read.at)
        assert read.axes is not None
        return Operand(self.read[read.node], inset.position(read.axes))

    def _place_leaves(self, signature: Signature) -> None:
        names = {tensor: name for name, tensor in signature.inputs.items()}
        order = [*topological(signature.roots), *signature.updates]
        for node in dict.fromkeys(order):
            kind, name = "constant", f"c{len(self.leaves)}"
            if isinstance(node, State):
                kind, name = "state", node.label or f"s{len(self.leaves)}"
            elif isinstance(node.op, Input):
                kind, name = "input", names[node]
            elif not isinstance(node.op, Constant):
                continue
            self.leaves[node] = Place(kind, name, node.shape, node.dtype)

    def _place_results(self, signature: Signature, fuse: bool) -> None:
        for name, node in signature.outputs.items():
            self.outputs[name] = Place("output", name, node.shape, node.dtype)
            self.targets.setdefault(node, []).append(self.outputs[name])
            self.stored[node] = self.outputs[name]
        for state, node in signature.updates.items():
            self.targets.setdefault(node, []).append(self.leaves[state])
        for source, padded in self.grouping.insets.items():
            inset = without_border(source) if padded in self.bare else inset_of(padded)
            place = Place("temporary", f"pad{len(self.stored)}", inset.outer, padded.dtype)
            self.stored[source] = self.stored[padded] = place
            self.targets.setdefault(source, []).append(place)
            self.insets[source] = inset
        for node in self._read_elsewhere(fuse):
            if node not in self.stored:
                number = len(self.stored)
                place = Place("temporary", f"{node.op.name}{number}", node.shape, node.dtype)
                self.stored[node] = place
                self.targets.setdefault(node, []).append(place)
        for whole in dict.fromkeys(self.grouping.joins.values()):
            for part, inset in zip(whole.inputs, parts_of(whole), strict=True):
                self.insets[part] = inset
                self.targets[part] = self.targets.get(whole, [])
                if whole in self.stored:
                    self.stored[part] = self.stored[whole]

    def _read_elsewhere(self, fuse: bool) -> list[Tensor]:
        """The anchors that another kernel reads; all of them where nothing is fused."""
        home = self.grouping.home
        needed = dict.fromkeys(() if fuse else home)
        for k, draft in enumerate(self.grouping.drafts):
            if draft.kind == "index":
                needed.update(dict.fromkeys(draft.anchors))
            for node in self.read_by(draft):
                if node in home and home[node] != k:
                    needed[node] = None
        return list(needed)


def contiguous(node: Tensor) -> Tensor:
    """The tensor that `node` shows in another shape."""
    while isinstance(node.op, Reshape):
        node = node.inputs[0]
    return node
