"""Pulling producers into a kernel: from what it must compute back to what lies in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from ranvier.engines.native.indexmap import (
    VIEWS,
    Affine,
    Guard,
    IndexMap,
    concatenated,
    through,
)
from ranvier.graph.ops.movement import Concatenate, Reshape
from ranvier.graph.ops.pointwise import Pointwise
from ranvier.graph.tensor import Tensor

MOST_MAPS = 9
"""The places at which one kernel computes an element anew, instead of reading it: a 3x3 window's.

Windows over windows, or doubling by slices, would else multiply the work at each level.
"""

MOST_INLINED = 256
"""Pointwise ops that a kernel computes for one tensor at most, so that its code stays bounded."""

_COMPUTED = (Pointwise, Concatenate)


class Unsplittable(Exception):  # noqa: N818 (a signal to the scheduler, not an error)
    """What no affine map passes, or too much work leads to; `node` must lie in memory."""

    def __init__(self, node: Tensor, view: Tensor | None = None) -> None:
        super().__init__(node)
        self.node = node
        self.view = view


class Read(NamedTuple):
    """A value that is not inlined further: `node` at position `at` of its contiguous array."""

    node: Tensor
    at: Affine
    guards: tuple[Guard, ...]
    axes: tuple[Affine, ...] | None
    """The index along each axis; None where the array is read in another shape."""


@dataclass
class Producers:
    """The reads that a kernel needs, and the pointwise nodes that it computes on the way.

    The nodes stand under the map at which they are computed.
    """

    reads: dict[Read, None] = field(default_factory=dict)
    inlined: dict[IndexMap, list[Tensor]] = field(default_factory=dict)

    @property
    def work(self) -> int:
        """How many pointwise ops that is, counted once for each map."""
        return sum(map(len, self.inlined.values()))


class Memory(Protocol):
    """What inlining must know of the tensors in memory."""

    def available(self, node: Tensor) -> bool:
        """Whether `node` lies in memory."""

    def contiguous(self, node: Tensor) -> bool:
        """Whether it lies there without gaps, so that it can be read in any shape."""


def find_producers(seeds: Sequence[tuple[Tensor, IndexMap]], memory: Memory) -> Producers:
    """Walk back from `seeds` through pointwise ops and views to tensors in memory.

    Raises Unsplittable where a view is in the way, an element is needed at too many places, or
    there is too much to compute.
    """
    found = Producers()
    seen: dict[Tensor, dict[IndexMap, None]] = {}
    stack = list(reversed(seeds))
    inlined = 0
    while stack:
        node, where = stack.pop()
        maps = seen.setdefault(node, {})
        before = len(maps)
        maps[where] = None
        if len(maps) == before:
            continue
        if memory.available(node):
            found.reads[Read(node, where.flat(node.shape), where.guards, where.axes)] = None
            continue
        if len(maps) > MOST_MAPS and isinstance(node.op, _COMPUTED) and node.size > 1:
            raise Unsplittable(node)
        if isinstance(node.op, Pointwise):
            inlined += 1
            if inlined > MOST_INLINED and node.size > 1:
                raise Unsplittable(node)
            found.inlined.setdefault(where, []).append(node)
        base, sources = sources_of(node, where, memory)
        if base is not None:
            found.reads[Read(base, where.flat(node.shape), where.guards, None)] = None
        stack.extend(reversed(sources))
    return found


def sources_of(
    node: Tensor, where: IndexMap, memory: Memory
) -> tuple[Tensor | None, list[tuple[Tensor, IndexMap]]]:
    """Return the inputs of `node` with their maps, given the map of `node`.

    A reshape of a tensor in memory is read as it lies: then that tensor comes first instead.
    """
    if isinstance(node.op, Pointwise):
        return None, [(source, where) for source in node.inputs]
    if isinstance(node.op, Concatenate):
        return None, list(zip(node.inputs, concatenated(node, where), strict=True))
    assert isinstance(node.op, VIEWS), node.op.name
    source = node.inputs[0]
    if isinstance(node.op, Reshape):
        while isinstance(source.op, Reshape) and not memory.available(source):
            source = source.inputs[0]
        if memory.available(source) and memory.contiguous(source):
            return source, []
    inner = through(node, where)
    if inner is None:
        raise Unsplittable(source, node)
    return None, [(node.inputs[0], inner)]
