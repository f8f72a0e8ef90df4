"""Scheduling: from fused groups to kernels in order, and the memory that they need.

kernels (buffers, bodies, packing) -> hazards of state -> order -> memory
"""

from __future__ import annotations

from collections.abc import Mapping

from ranvier.engines.native.fuse.groups import FusedGroup, Fusion, contiguous
from ranvier.engines.native.fuse.halo import Halo, first_spatial
from ranvier.engines.native.plans.matmul import TileHost
from ranvier.engines.native.schedule.bodies import write_body
from ranvier.engines.native.schedule.buffers import Buffers
from ranvier.engines.native.schedule.contractions import Contractions
from ranvier.engines.native.schedule.hazards import separate_state
from ranvier.engines.native.schedule.kernels import (
    Body,
    Buffer,
    HaloKernel,
    IndexKernel,
    Kernel,
    RowKernel,
)
from ranvier.engines.native.schedule.memory import Arena, allocate
from ranvier.engines.native.schedule.order import Sequenced, sequence
from ranvier.engines.native.verify.arena import verify_arena
from ranvier.engines.native.verify.bodies import verify_bodies
from ranvier.engines.native.verify.order import verify_order
from ranvier.engines.program import Options, Signature
from ranvier.graph.leaves import State
from ranvier.graph.ops.movement import Pad
from ranvier.graph.tensor import Tensor
from ranvier.records import dataclass


@dataclass(frozen=True)
class Schedule:
    """Everything that emission needs.

    leaves: where inputs, constants and state lie; outputs: where each output goes.
    stored: the tensors that lie in memory, each with its buffer; halos: those of them that lie
    inside a larger one; updates: the new value of each
    state, which replaces the old one.
    """

    sequenced: Sequenced
    arena: Arena
    leaves: Mapping[Tensor, Buffer]
    outputs: Mapping[str, Buffer]
    stored: Mapping[Tensor, Buffer]
    halos: Mapping[Tensor, Halo]
    updates: Mapping[State, Tensor]

    def __str__(self) -> str:
        lines: list[str] = []
        for i, kernel in enumerate(self.sequenced.kernels):
            if i and self.sequenced.epochs[i] != self.sequenced.epochs[i - 1]:
                lines.append("-- barrier")
            lines.append(str(kernel))
        return "\n".join([*lines, f"arena {self.arena.size} bytes"])


def schedule(
    signature: Signature, fusion: Fusion, options: Options, host: TileHost, threads: int
) -> Schedule:
    """Return the kernels of a lowered and fused step in order, with memory for the threads."""
    builder = _Builder(Buffers(signature, fusion, options.fuse, frozenset()), host, threads)
    if bare := builder.unread_halos():  # once more, without those borders
        builder = _Builder(Buffers(signature, fusion, options.fuse, bare), host, threads)
    buffers = builder.buffers
    kernels = separate_state(builder.kernels, options.in_place)
    verify_bodies(kernels)
    sequenced = sequence(kernels)
    verify_order(sequenced)
    arena = allocate(sequenced, reuse=options.in_place)
    verify_arena(sequenced, arena)
    return Schedule(
        sequenced,
        arena,
        buffers.leaves,
        buffers.outputs,
        {node: buffer for node, buffer in buffers.stored.items() if node not in buffers.bare},
        buffers.halos,
        signature.updates,
    )


class _Builder:
    """Turns groups into kernels over buffers."""

    def __init__(self, buffers: Buffers, host: TileHost, threads: int) -> None:
        self.buffers = buffers
        self.kernels: list[Kernel] = []
        self._contractions = Contractions(buffers, host, threads, self.kernels)
        for i, group in enumerate(buffers.fusion.groups):
            if group.kind == "index":
                self._index(i, group)
            elif group.kind == "halo":
                self._halo(i, group)
            elif group.kind == "join":
                continue  # the kernels of its parts have stored it
            elif group.kind == "contraction":
                self._contractions.add(i, group, self._body(group))
            else:
                body = self._body(group)
                self.kernels.append(RowKernel(f"rows{i}", tuple(group.anchors), body))

    def unread_halos(self) -> frozenset[Tensor]:
        """The padded tensors of whose border nothing reads: tiles across images leave it out."""
        read: set[Tensor] = set()
        buffers, exact = self.buffers, self._contractions.exact
        for group in buffers.fusion.groups:
            if group.kind == "contraction" and group.product in exact:
                read.update([*group.reads, buffers.base(group.product.inputs[1])])
            else:
                read.update(buffers.read_by(group))
        return frozenset(buffers.fusion.halos.values()) - read

    def _body(self, group: FusedGroup) -> Body:
        buffers = self.buffers
        return write_body(group, buffers.stores(group), buffers.read, buffers.halos)

    def _index(self, i: int, group: FusedGroup) -> None:
        (node,) = group.anchors
        sources = tuple(self.buffers.read[contiguous(source)] for source in node.inputs)
        name = f"{node.op.name}{i}"
        shapes = tuple(source.shape for source in node.inputs)
        kernel = IndexKernel(name, (node,), node.op, sources, shapes, self.buffers.stored[node])
        self.kernels.append(kernel)

    def _halo(self, i: int, group: FusedGroup) -> None:
        (node,) = group.anchors
        assert isinstance(node.op, Pad)
        if node in self.buffers.bare:
            return
        first = first_spatial(node)
        before, after = (n[first : first + 2] for n in (node.op.before, node.op.after))
        buffer = self.buffers.stored[node]
        self.kernels.append(HaloKernel(f"halo{i}", (), buffer, first, before, after))
