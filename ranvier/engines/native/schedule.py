"""Scheduling: from a checked graph to kernels in order, and the memory that they need.

lower -> group -> kernels (places, bodies, packing) -> hazards of state -> order -> memory
"""

from __future__ import annotations

from collections.abc import Mapping

from ranvier.engines.native.bodies import write_body
from ranvier.engines.native.contraction_plan import TileHost
from ranvier.engines.native.contractions import Contractions
from ranvier.engines.native.draft import Draft
from ranvier.engines.native.group import group
from ranvier.engines.native.hazards import separate_state
from ranvier.engines.native.inset import Inset, first_spatial
from ranvier.engines.native.kernels import (
    Body,
    BorderKernel,
    IndexKernel,
    Kernel,
    Place,
    RowKernel,
)
from ranvier.engines.native.lower import lower
from ranvier.engines.native.memory import Arena, allocate, check_arena
from ranvier.engines.native.order import Sequenced, sequence
from ranvier.engines.native.places import Places, contiguous
from ranvier.engines.program import Options, Signature
from ranvier.graph.leaves import State
from ranvier.graph.ops.movement import Pad
from ranvier.graph.tensor import Tensor
from ranvier.records import dataclass


@dataclass(frozen=True)
class Schedule:
    """Everything that emission needs.

    leaves: where inputs, constants and state lie; outputs: where each output goes.
    stored: the tensors that lie in memory, each with its place; insets: those of them that lie
    inside a larger one; updates: the new value of each
    state, which replaces the old one.
    """

    sequenced: Sequenced
    arena: Arena
    leaves: Mapping[Tensor, Place]
    outputs: Mapping[str, Place]
    stored: Mapping[Tensor, Place]
    insets: Mapping[Tensor, Inset]
    updates: Mapping[State, Tensor]

    def __str__(self) -> str:
        lines: list[str] = []
        for i, kernel in enumerate(self.sequenced.kernels):
            if i and self.sequenced.epochs[i] != self.sequenced.epochs[i - 1]:
                lines.append("-- barrier")
            lines.append(str(kernel))
        return "\n".join([*lines, f"arena {self.arena.size} bytes"])


def schedule(signature: Signature, options: Options, host: TileHost, threads: int = 1) -> Schedule:
    """Return the kernels of a step in order, with their memory for so many threads."""
    roots = lower(signature.roots, host)
    signature = signature.with_roots(roots)
    grouping = group(roots, options.fuse)
    builder = _Builder(Places(signature, grouping, options.fuse, frozenset()), host, threads)
    if bare := builder.unread_borders():  # once more, without those borders
        builder = _Builder(Places(signature, grouping, options.fuse, bare), host, threads)
    places = builder.places
    kernels = separate_state(builder.kernels, options.in_place)
    sequenced = sequence(kernels)
    arena = allocate(sequenced, reuse=options.in_place)
    check_arena(sequenced, arena)
    return Schedule(
        sequenced,
        arena,
        places.leaves,
        places.outputs,
        {node: place for node, place in places.stored.items() if node not in places.bare},
        places.insets,
        signature.updates,
    )


class _Builder:
    """Turns drafts into kernels over places."""

    def __init__(self, places: Places, host: TileHost, threads: int) -> None:
        self.places = places
        self.kernels: list[Kernel] = []
        self._contractions = Contractions(places, host, threads, self.kernels)
        for i, draft in enumerate(places.grouping.drafts):
            if draft.kind == "index":
                self._index(i, draft)
            elif draft.kind == "border":
                self._border(i, draft)
            elif draft.kind == "join":
                continue  # the kernels of its parts have stored it
            elif draft.kind == "contraction":
                self._contractions.add(i, draft, self._body(draft))
            else:
                body = self._body(draft)
                self.kernels.append(RowKernel(f"rows{i}", tuple(draft.anchors), body))

    def unread_borders(self) -> frozenset[Tensor]:
        """The padded tensors of whose border nothing reads: tiles across images leave it out."""
        read: set[Tensor] = set()
        places, exact = self.places, self._contractions.exact
        for draft in places.grouping.drafts:
            if draft.kind == "contraction" and draft.product in exact:
                read.update([*draft.reads, places.base(draft.product.inputs[1])])
            else:
                read.update(places.read_by(draft))
        return frozenset(places.grouping.insets.values()) - read

    def _body(self, draft: Draft) -> Body:
        places = self.places
        return write_body(draft, places.stores(draft), places.read, places.insets)

    def _index(self, i: int, draft: Draft) -> None:
        (node,) = draft.anchors
        sources = tuple(self.places.read[contiguous(source)] for source in node.inputs)
        name = f"{node.op.name}{i}"
        shapes = tuple(source.shape for source in node.inputs)
        kernel = IndexKernel(name, (node,), node.op, sources, shapes, self.places.stored[node])
        self.kernels.append(kernel)

    def _border(self, i: int, draft: Draft) -> None:
        (node,) = draft.anchors
        assert isinstance(node.op, Pad)
        if node in self.places.bare:
            return
        first = first_spatial(node)
        before, after = (n[first : first + 2] for n in (node.op.before, node.op.after))
        place = self.places.stored[node]
        self.kernels.append(BorderKernel(f"border{i}", (), place, first, before, after))
