"""Fusion: which tensors are computed in which kernel, and which are stored at all.

Tensors are visited in topological order. A contraction, a reduction, an indexing op and
every tensor that must lie in memory are *anchored* in a kernel; everything else is inlined,
as often as needed, into the kernels that use it. A tensor joins the kernel of what it
depends on where both run over the same loops, else it opens a kernel of its own. A kernel
reads only what lay in memory when it was grouped, whatever kernels behind it store besides; so
it depends only on kernels before it, and they never form a cycle.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from math import prod

from ranvier.engines.native.fuse.groups import CONTRACTIONS, INDEXED, FusedGroup, Fusion, is_leaf
from ranvier.engines.native.fuse.halo import find_halos
from ranvier.engines.native.fuse.joins import find_joins
from ranvier.engines.native.fuse.producers import (
    MOST_INLINED,
    Producers,
    Unsplittable,
    find_producers,
)
from ranvier.engines.native.fuse.recompute import recomputed_too_often, repeats
from ranvier.engines.native.indexmap import (
    VIEWS,
    Affine,
    IndexMap,
    Pieces,
    common_refinement,
    identity,
)
from ranvier.graph.ops.movement import Concatenate, Pad, Reshape
from ranvier.graph.ops.pointwise import Pointwise
from ranvier.graph.ops.reduction import Reduction
from ranvier.graph.tensor import Shape, Tensor
from ranvier.graph.walk import topological
from ranvier.records import dataclass

SMALL = 512
"""Elements of a tensor that is computed ahead of all others."""

FULL_ROWS = 64
"""Rows, and elements in each, from which on a reduction is worked together with what it reads."""

LOOK_BACK = 8
"""How many of the latest kernels a tensor may join."""

MOST_PASSES = 8
"""Reductions of one kernel that follow from each other: a pass each, which begins with all that
came before."""

MOST_ANCHORS = 64
"""Tensors that one kernel computes at most: compiling it takes longer the more there are."""

MOST_WORK = 2 * MOST_INLINED
"""Pointwise ops that a kernel computes at most, where more than one tensor takes them."""


def fuse(roots: Sequence[Tensor], fuse: bool) -> Fusion:
    """Group the graph below `roots` into kernels; without `fuse` each tensor gets its own.

    Where tensors turn out to be needed in memory from the start, or to be recomputed too often,
    the fusion starts again with all of them anchored.
    """
    order = topological(roots)
    small = _made_of_state(order)
    order.sort(key=lambda node: node not in small)
    stored = _needed_in_memory(order, roots, fuse)
    joins = find_joins(order, roots) if fuse else {}
    stored.update(joins)
    stored.update(joins.values())
    gapless = set(roots) | {base for n in order for base in _read_whole(n)}
    while True:
        halos = find_halos([n for n in order if n in stored], gapless) if fuse else {}
        fuser = _Fuser(order, stored | set(halos), fuse, halos, joins)
        fusion = fuser.run(small)
        if fuser.late or fuser.gapless:
            stored |= fuser.late
            gapless |= fuser.gapless
            continue
        wasteful = recomputed_too_often(fusion) - stored if fuse else set()
        if not wasteful:
            return fusion
        stored |= wasteful | (fuser.stored - set(halos))


def _made_of_state(order: Sequence[Tensor]) -> set[Tensor]:
    """The leaves and what is small and made of them alone: a schedule, a repeated bias.

    They come first, so that a kernel that uses them may be joined without waiting for them.
    """
    early: set[Tensor] = set()
    for node in order:
        cheap = node.size == 1 or (
            node.size <= SMALL and isinstance(node.op, (Pointwise, *VIEWS, Concatenate))
        )
        if is_leaf(node) or (cheap and all(source in early for source in node.inputs)):
            early.add(node)
    return early


def _needed_in_memory(order: Iterable[Tensor], roots: Iterable[Tensor], fuse: bool) -> set[Tensor]:
    stored = {root for root in roots if not is_leaf(root)}
    for node in order:
        if not fuse and not is_leaf(node) and not isinstance(node.op, Reshape):
            stored.add(node)
        if isinstance(node.op, CONTRACTIONS):
            for base in map(_below_views, node.inputs):
                if isinstance(base.op, Pointwise | Concatenate | Pad):
                    stored.add(base)
        stored.update(base for base in _read_whole(node) if not is_leaf(base))
    return stored


def _read_whole(node: Tensor) -> Iterator[Tensor]:
    """The tensors that the kernel of an indexing op reads as contiguous arrays."""
    for base in node.inputs if isinstance(node.op, INDEXED) else ():
        while isinstance(base.op, Reshape):
            base = base.inputs[0]
        yield base


def _below_views(node: Tensor) -> Tensor:
    while isinstance(node.op, VIEWS) and not isinstance(node.op, Pad):
        node = node.inputs[0]
    return node


class _Fuser:
    """One attempt at fusion, for a given set of tensors to store.

    late: tensors that should have been stored before all others; gapless: those that turned out to
    be read in a shape in which they cannot be with gaps. With any of them it takes another attempt.
    """

    def __init__(
        self,
        order: Sequence[Tensor],
        stored: set[Tensor],
        fuse: bool,
        halos: Mapping[Tensor, Tensor],
        joins: Mapping[Tensor, Tensor],
    ) -> None:
        self.order = order
        self.stored = stored
        self.halos = dict(halos)
        self.late: set[Tensor] = set()
        self.gapless: set[Tensor] = set()
        self.prepared = dict.fromkeys(halos.values(), "halo")
        self.prepared |= dict.fromkeys(joins.values(), "join")
        self.fuse = fuse
        self.fusion = Fusion([], {}, self.halos, joins, {})
        self.groups, self.group_of = self.fusion.groups, self.fusion.group_of

    def run(self, small: Collection[Tensor]) -> Fusion:
        """Visit every tensor; one that turns out to be needed in memory is anchored at once.

        The attempt goes on after finding tensors for another one, to find them all.
        """
        for node in self.order:
            waiting = [node]
            while waiting:
                try:
                    self._visit(waiting[-1])
                    waiting.pop()
                except Unsplittable as blocked:
                    needed = blocked.node
                    if needed in self.halos:
                        self.gapless.add(needed)
                        del self.halos[needed]
                        continue
                    if needed in self.stored:
                        raise
                    if needed in small:
                        self.late.add(needed)
                    self.stored.add(needed)
                    waiting.append(needed)
        return self.fusion

    def _visit(self, node: Tensor) -> None:
        """Anchor `node` if it needs to be."""
        if is_leaf(node) or node in self.group_of:
            return
        if isinstance(node.op, Reduction):
            self._add_reduction(node)
        elif isinstance(node.op, CONTRACTIONS):
            self._add_contraction(node)
        elif isinstance(node.op, INDEXED):
            self._open(FusedGroup("index", (), 0), node, identity(()), Producers())
        elif node in self.prepared:
            self._open(FusedGroup(self.prepared[node], (), 0), node, identity(()), Producers())
        elif node in self.stored:
            self._add_elements(node)

    # -------------------------------------------------------- the kinds of anchors

    def _add_contraction(self, node: Tensor) -> None:
        """Open a kernel; its domain is all axes but the last (rows), and the last (columns)."""
        for operand in node.inputs:
            self._check_operand(operand)
        where, domain = _box(node.shape, range(node.ndim))
        group = FusedGroup("contraction", domain, len(domain) - (node.shape[-1] != 1))
        group.orders.append(tuple(range(len(domain))))
        self._open(group, node, where, Producers())

    def _check_operand(self, operand: Tensor) -> None:
        """A contraction reads leaves and anchored tensors through views without padding."""
        producers = find_producers([(operand, identity(operand.shape))], self.fusion)
        (read,) = producers.reads
        if read.guards:
            raise Unsplittable(operand)
        self.fusion.operands.setdefault(operand, read)

    def _add_reduction(self, node: Tensor) -> None:
        source, axes = node.inputs[0], node.op.axes  # type: ignore[attr-defined]
        kept = [a for a in range(source.ndim) if a not in axes]
        inner, domain = _box(source.shape, [*kept, *axes])
        rows = sum(source.shape[a] != 1 for a in kept)
        outer = IndexMap(domain, tuple(inner.axes[a] for a in kept))
        producers = find_producers([(source, inner)], self.fusion)
        where = {d: i for i, d in enumerate(a for a in [*kept, *axes] if source.shape[a] != 1)}
        order = tuple(where[a] for a in range(source.ndim) if a in where)
        group = FusedGroup("rows", domain, rows)
        group.orders.append(order)
        for k in self._candidates(producers):
            if self._join_reduction(k, node, group, outer, inner, producers):
                return
        group.inner[node] = inner
        self._open(group, node, outer, producers)

    def _add_elements(self, node: Tensor) -> None:
        """Anchor a pointwise op or a view, computed element by element."""
        where, domain = _box(node.shape, range(node.ndim))
        while True:
            try:
                producers = find_producers([(node, where)], self.fusion)
                break
            except Unsplittable as blocked:
                where = _split_for(where, blocked)
        domain = where.domain
        for k in self._candidates(producers):
            if self._join_elements(k, node, where, producers):
                return
        group = FusedGroup("rows", domain, len(domain))
        group.orders.append(tuple(range(len(domain))))
        self._open(group, node, where, producers)

    # -------------------------------------------------------- joining

    def _candidates(self, producers: Producers) -> Iterable[int]:
        """The kernels that may compute what was inlined: not before any that it reads from."""
        if not self.fuse:
            return ()
        lowest = max(
            (self.group_of[r.node] for r in producers.reads if r.node in self.group_of), default=0
        )
        newest = len(self.groups) - 1
        latest = range(newest, max(lowest, newest - LOOK_BACK + 1) - 1, -1)
        return [k for k in latest if self._has_room(self.groups[k], producers)]

    def _has_room(self, group: FusedGroup, producers: Producers) -> bool:
        """Whether a kernel that computes what was inlined, too, is not too large to compile."""
        return len(group.anchors) < MOST_ANCHORS and group.work + producers.work <= MOST_WORK

    def _join_reduction(
        self,
        k: int,
        node: Tensor,
        new: FusedGroup,
        outer: IndexMap,
        inner: IndexMap,
        producers: Producers,
    ) -> bool:
        group = self.groups[k]
        if group.kind != "rows" or not (group.inner or self._related(k, producers)):
            return False
        if _depth(group, producers) >= MOST_PASSES:
            return False
        if not group.inner:  # element by element so far, in any loops
            fit = common_refinement(group.domain, new.domain)
            shape = prod(new.domain[: new.rows]), prod(new.domain[new.rows :])
            if fit is None or min(shape) < FULL_ROWS:
                return False
            theirs, ours = fit
        else:
            rows = common_refinement(group.domain[: group.rows], new.domain[: new.rows])
            columns = common_refinement(group.domain[group.rows :], new.domain[new.rows :])
            if rows is None or columns is None:
                return False
            theirs, ours = rows[0] + columns[0], rows[1] + columns[1]
        if not self._agree(k, theirs, producers, lambda at: at.refined(ours)):
            return False
        group.refine(theirs)
        group.rows = sum(len(pieces) for pieces in ours[: new.rows])
        group.inner[node] = inner.refined(ours)
        moved = _moved(producers, lambda where: where.refined(ours))
        self._record(k, node, outer.refined(ours), moved)
        return True

    def _join_elements(self, k: int, node: Tensor, where: IndexMap, producers: Producers) -> bool:
        group = self.groups[k]
        if group.kind in ("index", "halo", "join") or not self._related(k, producers):
            return False
        levels = [*group.orders]
        if group.kind == "rows" and group.rows < len(group.domain):
            levels.append(tuple(range(group.rows)))
        for order in levels:
            fit = common_refinement(tuple(group.domain[d] for d in order), where.domain)
            if fit is None:
                continue
            if group.kind == "contraction" and len(order) > group.rows and len(fit[0][-1]) != 1:
                continue
            split = dict(zip(order, fit[0], strict=True))
            theirs = tuple(split.get(d, (n,)) for d, n in enumerate(group.domain))
            spread = _Spread(order, theirs, fit[1])
            if self._agree(k, theirs, producers, spread.affine):
                group.refine(theirs)
                self._record(k, node, spread.map(where), _moved(producers, spread.map))
                return True
        return False

    def _related(self, k: int, producers: Producers) -> bool:
        """Whether kernel k computes or reads something that was inlined, or only scalars."""
        group = self.groups[k]
        return group.domain == () or any(
            self.group_of.get(read.node) == k or (read.node.size > 1 and read.node in group.reads)
            for read in producers.reads
        )

    def _agree(
        self,
        k: int,
        pieces: Pieces,
        producers: Producers,
        moved: Callable[[Affine], Affine],
    ) -> bool:
        """Whether everything read from kernel k itself is there at the same point of the loops."""
        anchors = self.groups[k].anchors
        return all(
            anchors[read.node].flat(read.node.shape).refined(pieces) == moved(read.at)
            for read in producers.reads
            if self.group_of.get(read.node) == k
        )

    # -------------------------------------------------------- bookkeeping

    def _open(self, group: FusedGroup, node: Tensor, where: IndexMap, producers: Producers) -> None:
        self.groups.append(group)
        self._record(len(self.groups) - 1, node, where, producers)

    def _record(self, k: int, node: Tensor, where: IndexMap, producers: Producers) -> None:
        group = self.groups[k]
        group.anchors[node] = where
        group.work += producers.work
        group.depth[node] = _depth(group, producers) + isinstance(node.op, Reduction)
        group.reads.update(dict.fromkeys(read.node for read in producers.reads))
        for at, inlined in producers.inlined.items():
            again = repeats(at, group)
            group.inlined.update((other, again) for other in inlined if other is not node)
        self.group_of[node] = k


def _depth(group: FusedGroup, producers: Producers) -> int:
    """The reductions of a kernel on the way to what is producers into it."""
    return max((group.depth.get(read.node, 0) for read in producers.reads), default=0)


@dataclass(frozen=True)
class _Spread:
    """Carries maps over a new tensor's own loops to the loops of the kernel that it joins.

    Dimension i of the tensor's loops, split into `ours[i]`, runs along the kernel's dimensions
    `order`, which were split into `theirs`.
    """

    order: tuple[int, ...]
    theirs: Pieces
    ours: Pieces

    def affine(self, at: Affine) -> Affine:
        """Return `at` as a function of the kernel's refined loops."""
        refined = at.refined(self.ours).terms
        terms: list[list[int]] = [[0] * len(piece) for piece in self.theirs]
        position = 0
        for d in self.order:
            count = len(self.theirs[d])
            terms[d] = list(refined[position : position + count])
            position += count
        return Affine(at.offset, tuple(t for piece in terms for t in piece))

    def map(self, where: IndexMap) -> IndexMap:
        """Return `where` as a map over the kernel's refined loops."""
        domain = tuple(n for piece in self.theirs for n in piece)
        return IndexMap(domain, tuple(self.affine(a) for a in where.axes))


def _moved(producers: Producers, move: Callable[[IndexMap], IndexMap]) -> Producers:
    inlined: dict[IndexMap, list[Tensor]] = {}
    for where, nodes in producers.inlined.items():
        inlined.setdefault(move(where.unguarded()), []).extend(nodes)
    return Producers(producers.reads, inlined)


def _split_for(where: IndexMap, blocked: Unsplittable) -> IndexMap:
    """Return the map over loops so split that they pass the view in the way, if there are any.

    Raises `blocked` itself where there are none.
    """
    shape = () if blocked.view is None else blocked.view.inputs[0].shape
    fit = common_refinement(where.domain, tuple(n for n in shape if n != 1))
    if fit is None or all(len(piece) == 1 for piece in fit[0]):
        raise blocked
    return where.refined(fit[0])


def _box(shape: Shape, axes: Iterable[int]) -> tuple[IndexMap, Shape]:
    """Return a map of a tensor of `shape` over loops along `axes`, none of length 1."""
    order = [a for a in axes if shape[a] != 1]
    domain = tuple(shape[a] for a in order)
    zero = Affine(0, (0,) * len(domain))
    unit = identity(domain).axes
    found = {a: unit[i] for i, a in enumerate(order)}
    return IndexMap(domain, tuple(found.get(a, zero) for a in range(len(shape)))), domain
