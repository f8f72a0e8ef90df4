"""Bodies: a grouped kernel's tensors written out as straight-line instructions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import TypeAlias

from ranvier.engines.native.fuse.groups import CONTRACTIONS, FusedGroup, is_leaf
from ranvier.engines.native.fuse.halo import Halo
from ranvier.engines.native.fuse.producers import sources_of
from ranvier.engines.native.indexmap import Affine, Guard, IndexMap
from ranvier.engines.native.schedule.costs import counts, elements
from ranvier.engines.native.schedule.kernels import (
    Body,
    Buffer,
    Choose,
    Compute,
    Instruction,
    Literal,
    Load,
    Product,
    Reduce,
    Store,
)
from ranvier.graph.leaves import Constant
from ranvier.graph.ops.movement import Concatenate, Pad, Reshape
from ranvier.graph.ops.pointwise import Pointwise
from ranvier.graph.ops.reduction import ArgMax, Reduction
from ranvier.graph.tensor import Tensor

Key: TypeAlias = tuple[Tensor, Affine, tuple[Guard, ...]]

_INNER = (*CONTRACTIONS, Reduction)
"""Ops that a kernel computes by its own loops."""


def write_body(
    group: FusedGroup,
    stores: Mapping[Tensor, Iterable[Buffer]],
    buffers: Mapping[Tensor, Buffer],
    halos: Mapping[Tensor, Halo],
) -> Body:
    """Return the instructions that compute `group` and store its anchors into `stores`.

    `buffers` tells where leaves and the tensors that kernels store are read; those in `halos` lie
    inside a larger buffer.
    """
    writer = _Writer(group, buffers, halos)
    values = {node: writer.value(node, group.anchors[node]) for node in stores}
    # Every load precedes every store, so that state updated in place is read before.
    for node, targets in stores.items():
        at = writer.position(node, group.anchors[node])
        for buffer in targets:
            writer.emit(Store(buffer, at, values[node], node.dtype))
    return Body(group.domain, group.rows, tuple(writer.instructions), writer.needed())


@dataclass
class _Writer:
    group: FusedGroup
    buffers: Mapping[Tensor, Buffer]
    halos: Mapping[Tensor, Halo]
    instructions: list[Instruction] = field(default_factory=list)
    known: dict[Key, int] = field(default_factory=dict)

    def emit(self, instruction: Instruction) -> int:
        self.instructions.append(instruction)
        return len(self.instructions) - 1

    def needed(self) -> dict[Tensor, int]:
        """How many elements are needed of what is computed, or taken in by reductions."""
        times: Counter[Tensor] = Counter()
        for (node, _, _), number in self.known.items():
            written = self.instructions[number]
            if counts(written) and isinstance(node.op, Pointwise | Reduction):
                times[node] += 1
        points = prod(self.group.domain)
        return {node: min(elements(node), n * points) for node, n in times.items()}

    def value(self, node: Tensor, where: IndexMap) -> int:
        """Return the number of the instruction that holds `node` at `where`."""
        wanted = self._key(node, where)
        stack = [(wanted, node, where)]
        sources: dict[Key, list[tuple[Key, Tensor, IndexMap]]] = {}
        while stack:
            key, current, at = stack[-1]
            if key in self.known:
                stack.pop()
                continue
            if key not in sources:
                sources[key] = [(self._key(*s), *s) for s in self._sources(current, at)]
                stack.extend(reversed(sources[key]))
                continue
            stack.pop()
            args = [self.known[source] for source, *_ in sources[key]]
            self.known[key] = self._write(current, at, args)
        return self.known[wanted]

    def _key(self, node: Tensor, where: IndexMap) -> Key:
        guards = () if self._is_inner(node) else where.guards
        return node, where.flat(node.shape), guards

    def _is_inner(self, node: Tensor) -> bool:
        """Whether `node` is a contraction or reduction of this very kernel."""
        return node in self.group.anchors and isinstance(node.op, _INNER)

    def position(self, node: Tensor, where: IndexMap) -> Affine:
        """Where in its buffer `node` lies at `where`."""
        halo = self.halos.get(node)
        return where.flat(node.shape) if halo is None else halo.position(where.axes)

    def contiguous(self, node: Tensor) -> bool:
        """Whether `node` lies in memory without gaps."""
        return node not in self.halos

    def available(self, node: Tensor) -> bool:
        """Whether `node` is read from memory, or computed by this kernel's own loops.

        Not all that lies in memory is read: a kernel may have been grouped before a later one
        turned out to need a tensor there, and would then wait for a kernel behind it.
        """
        read = is_leaf(node) or node in self.group.reads
        return self._is_inner(node) or (read and node not in self.group.anchors)

    def _sources(self, node: Tensor, where: IndexMap) -> list[tuple[Tensor, IndexMap]]:
        if self._is_inner(node):
            inner = self.group.inner.get(node)
            return [] if inner is None else [(node.inputs[0], inner)]
        if self.available(node):
            return []
        here = self._reshaped_anchor(node, where)
        if here is not None:
            return [(here, self.group.anchors[here])]
        base, sources = sources_of(node, where, self)
        if base is not None and self._is_inner(base):
            return [(base, self.group.anchors[base])]
        return sources

    def _reshaped_anchor(self, node: Tensor, where: IndexMap) -> Tensor | None:
        """The anchor of this kernel that `node` shows in another shape, element for element.

        Fusion saw it in memory, where it can be read in any shape; no map need lead to it.
        """
        base = node
        while isinstance(base.op, Reshape):
            base = base.inputs[0]
            anchor = self.group.anchors.get(base)
            if anchor is not None:
                return base if anchor.flat(base.shape) == where.flat(node.shape) else None
        return None

    def _write(self, node: Tensor, where: IndexMap, args: list[int]) -> int:
        if self._is_inner(node):
            if isinstance(node.op, CONTRACTIONS):
                return self.emit(Product(node.dtype))
            return self.emit(Reduce(node.op, args[0], node.dtype, self._index(node)))
        if self.available(node):
            return self._load(node, node, where)
        if isinstance(node.op, Pointwise):
            return self.emit(Compute(node.op, tuple(args), node.dtype))
        if isinstance(node.op, Reshape) and args:
            return args[0]
        base, sources = sources_of(node, where, self)
        if base is not None:
            return self._load(base, node, where)
        if isinstance(node.op, Pad | Concatenate):
            return self._choose(node, where, sources, args)
        return args[0]

    def _index(self, node: Tensor) -> Affine | None:
        """The index that a reduction gives of an element, where it gives indices."""
        if not isinstance(node.op, ArgMax):
            return None
        (axis,) = node.op.axes
        return self.group.inner[node].axes[axis]

    def _load(self, base: Tensor, view: Tensor, where: IndexMap) -> int:
        if isinstance(base.op, Constant) and prod(base.shape) == 1:
            return self.emit(Literal(base.op.value.reshape(()).item(), base.dtype))
        # A view is read where its base lies, wherever it may itself be stored.
        at = self.position(base, where) if view is base else where.flat(view.shape)
        return self.emit(Load(self.buffers[base], at, where.guards, base.dtype))

    def _choose(
        self,
        node: Tensor,
        where: IndexMap,
        sources: list[tuple[Tensor, IndexMap]],
        args: list[int],
    ) -> int:
        chosen: int | None = None
        for (_, inner), arg in zip(reversed(sources), reversed(args), strict=True):
            added = inner.guards[len(where.guards) :]
            chosen = self.emit(Choose(arg, chosen, added, node.dtype))
        assert chosen is not None
        return chosen
