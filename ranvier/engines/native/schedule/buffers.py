"""Where the tensors of a graph lie in memory: leaves, outputs, and what kernels hand on."""

from __future__ import annotations

from collections.abc import Mapping

from ranvier.engines.native.fuse.groups import FusedGroup, Fusion, contiguous
from ranvier.engines.native.fuse.halo import Halo, halo_of, without_halo
from ranvier.engines.native.fuse.joins import parts_of
from ranvier.engines.native.schedule.kernels import Buffer, Operand
from ranvier.engines.program import Signature
from ranvier.graph.leaves import Constant, Input, State
from ranvier.graph.tensor import Tensor
from ranvier.graph.walk import topological


class Buffers:
    """The places of all tensors that lie in memory.

    leaves: inputs, constants and state; outputs: by name; stored: what kernels compute, each with
    the buffer where others read it; read: both; halos: tensors that lie inside a larger buffer;
    targets: every buffer that a tensor is written to.

    `bare` are padded tensors whose border nothing reads; their sources lie without it. Where
    nothing is fused, every anchor of a kernel lies in memory.
    """

    def __init__(
        self, signature: Signature, fusion: Fusion, fuse: bool, bare: frozenset[Tensor]
    ) -> None:
        self.fusion = fusion
        self.bare = bare
        self.leaves: dict[Tensor, Buffer] = {}
        self.outputs: dict[str, Buffer] = {}
        self.stored: dict[Tensor, Buffer] = {}
        self.halos: dict[Tensor, Halo] = {}
        self.targets: dict[Tensor, list[Buffer]] = {}
        self._leaves_in_memory(signature)
        self._results_in_memory(signature, fuse)
        self.read: Mapping[Tensor, Buffer] = self.leaves | self.stored

    def stores(self, group: FusedGroup) -> dict[Tensor, list[Buffer]]:
        """Where each anchor of a kernel goes."""
        return {node: self.targets[node] for node in group.anchors if node in self.targets}

    def read_by(self, group: FusedGroup) -> list[Tensor]:
        """The tensors that a kernel reads."""
        found = list(group.reads)
        if group.kind == "index":
            found += [contiguous(source) for node in group.anchors for source in node.inputs]
        if group.kind == "contraction":
            found += [self.base(x) for x in group.product.inputs]
        return found

    def base(self, operand: Tensor) -> Tensor:
        """The tensor in memory that the operand of a contraction is a view of."""
        return self.fusion.operands[operand].node

    def operand(self, operand: Tensor) -> Operand:
        """The buffer of an operand of a contraction, and how it lies there."""
        read = self.fusion.operands[operand]
        halo = self.halos.get(read.node)
        if halo is None:
            return Operand(self.read[read.node], read.at)
        assert read.axes is not None
        return Operand(self.read[read.node], halo.position(read.axes))

    def _leaves_in_memory(self, signature: Signature) -> None:
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
            self.leaves[node] = Buffer(kind, name, node.shape, node.dtype)

    def _results_in_memory(self, signature: Signature, fuse: bool) -> None:
        for name, node in signature.outputs.items():
            self.outputs[name] = Buffer("output", name, node.shape, node.dtype)
            self.targets.setdefault(node, []).append(self.outputs[name])
            self.stored[node] = self.outputs[name]
        for state, node in signature.updates.items():
            self.targets.setdefault(node, []).append(self.leaves[state])
        for source, padded in self.fusion.halos.items():
            halo = without_halo(source) if padded in self.bare else halo_of(padded)
            buffer = Buffer("temporary", f"pad{len(self.stored)}", halo.outer, padded.dtype)
            self.stored[source] = self.stored[padded] = buffer
            self.targets.setdefault(source, []).append(buffer)
            self.halos[source] = halo
        for node in self._read_elsewhere(fuse):
            if node not in self.stored:
                number = len(self.stored)
                buffer = Buffer("temporary", f"{node.op.name}{number}", node.shape, node.dtype)
                self.stored[node] = buffer
                self.targets.setdefault(node, []).append(buffer)
        for whole in dict.fromkeys(self.fusion.joins.values()):
            for part, halo in zip(whole.inputs, parts_of(whole), strict=True):
                self.halos[part] = halo
                self.targets[part] = self.targets.get(whole, [])
                if whole in self.stored:
                    self.stored[part] = self.stored[whole]

    def _read_elsewhere(self, fuse: bool) -> list[Tensor]:
        """The anchors that another kernel reads; all of them where nothing is fused."""
        group_of = self.fusion.group_of
        needed = dict.fromkeys(() if fuse else group_of)
        for k, group in enumerate(self.fusion.groups):
            if group.kind == "index":
                needed.update(dict.fromkeys(group.anchors))
            for node in self.read_by(group):
                if node in group_of and group_of[node] != k:
                    needed[node] = None
        return list(needed)
