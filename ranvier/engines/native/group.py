"""Grouping: which tensors are computed in which kernel, and which are stored at all.

Tensors are visited in topological order. A contraction, a reduction, an indexing op and
every tensor that must lie in memory are *anchored* in a kernel; everything else is pulled,
as often as needed, into the kernels that use it. A tensor joins the kernel of what it
depends on where both run over the same loops, else it opens a kernel of its own. A kernel
reads only what lay in memory when it was grouped, whatever kernels behind it store besides; so
it depends only on kernels before it, and they never form a cycle.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from math import prod

from ranvier.engines.native.draft import CONTRACTIONS, INDEXED, Draft, Grouping, is_leaf
from ranvier.engines.native.indexmap import (
    VIEWS,
    Affine,
    IndexMap,
    Pieces,
    common_refinement,
    identity,
)
from ranvier.engines.native.inset import find_insets
from ranvier.engines.native.joins import find_joins
from ranvier.engines.native.pull import MOST_INLINED, Pulled, Unsplittable, pull
from ranvier.engines.native.recompute import recomputed_too_often, repeats
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


def group(roots: Sequence[Tensor], fuse: bool) -> Grouping:
    """Group the graph below `roots` into kernels; without `fuse` each tensor gets its own.

    Where tensors turn out to be needed in memory from the start, or to be recomputed too often,
    the grouping starts again with all of them anchored.
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
        insets = find_insets([n for n in order if n in stored], gapless) if fuse else {}
        grouper = _Grouper(order, stored | set(insets), fuse, insets, joins)
        grouping = grouper.run(small)
        if grouper.late or grouper.gapless:
            stored |= grouper.late
            gapless |= grouper.gapless
            continue
        wasteful = recomputed_too_often(grouping) - stored if fuse else set()
        if not wasteful:
            return grouping
        stored |= wasteful | (grouper.stored - set(insets))


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


class _Grouper:
    """One attempt at grouping, for a given set of tensors to store.

    late: tensors that should have been stored before all others; gapless: those that turned out to
    be read in a shape in which they cannot be with gaps. With any of them it takes another attempt.
    """

    def __init__(
        self,
        order: Sequence[Tensor],
        stored: set[Tensor],
        fuse: bool,
        insets: Mapping[Tensor, Tensor],
        joins: Mapping[Tensor, Tensor],
    ) -> None:
        self.order = order
        self.stored = stored
        self.insets = dict(insets)
        self.late: set[Tensor] = set()
        self.gapless: set[Tensor] = set()
        self.prepared = dict.fromkeys(insets.values(), "border")
        self.prepared |= dict.fromkeys(joins.values(), "join")
        self.fuse = fuse
        self.grouping = Grouping([], {}, self.insets, joins, {})
        self.drafts, self.home = self.grouping.drafts, self.grouping.home

    def run(self, small: Collection[Tensor]) -> Grouping:
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
                    if needed in self.insets:
                        self.gapless.add(needed)
                        del self.insets[needed]
                        continue
                    if needed in self.stored:
                        raise
                    if needed in small:
                        self.late.add(needed)
                    self.stored.add(needed)
                    waiting.append(needed)
        return self.grouping

    def _visit(self, node: Tensor) -> None:
        """Anchor `node` if it needs to be."""
        if is_leaf(node) or node in self.home:
            return
        if isinstance(node.op, Reduction):
            self._add_reduction(node)
        elif isinstance(node.op, CONTRACTIONS):
            self._add_contraction(node)
        elif isinstance(node.op, INDEXED):
            self._open(Draft("index", (), 0), node, identity(()), Pulled())
        elif node in self.prepared:
            self._open(Draft(self.prepared[node], (), 0), node, identity(()), Pulled())
        elif node in self.stored:
            self._add_elements(node)

    # -------------------------------------------------------- the kinds of anchors

    def _add_contraction(self, node: Tensor) -> None:
        """Open a kernel; its domain is all axes but the last (rows), and the last (columns)."""
        for operand in node.inputs:
            self._check_operand(operand)
        where, domain = _box(node.shape, range(node.ndim))
        draft = Draft("contraction", domain, len(domain) - (node.shape[-1] != 1))
        draft.orders.append(tuple(range(len(domain))))
        self._open(draft, node, where, Pulled())

    def _check_operand(self, operand: Tensor) -> None:
        """A contraction reads leaves and anchored tensors through views without padding."""
        pulled = pull([(operand, identity(operand.shape))], self.grouping)
        (read,) = pulled.reads
        if read.guards:
            raise Unsplittable(operand)
        self.grouping.operands.setdefault(operand, read)

    def _add_reduction(self, node: Tensor) -> None:
        source, axes = node.inputs[0], node.op.axes  # type: ignore[attr-defined]
        kept = [a for a in range(source.ndim) if a not in axes]
        inner, domain = _box(source.shape, [*kept, *axes])
        rows = sum(source.shape[a] != 1 for a in kept)
        outer = IndexMap(domain, tuple(inner.axes[a] for a in kept))
        pulled = pull([(source, inner)], self.grouping)
        where = {d: i for i, d in enumerate(a for a in [*kept, *axes] if source.shape[a] != 1)}
        order = tuple(where[a] for a in range(source.ndim) if a in where)
        draft = Draft("rows", domain, rows)
        draft.orders.append(order)
        for k in self._candidates(pulled):
            if self._join_reduction(k, node, draft, outer, inner, pulled):
                return
        draft.inner[node] = inner
        self._open(draft, node, outer, pulled)

    def _add_elements(self, node: Tensor) -> None:
        """Anchor a pointwise op or a view, computed element by element."""
        where, domain = _box(node.shape, range(node.ndim))
        while True:
            try:
                pulled = pull([(node, where)], self.grouping)
                break
            except Unsplittable as blocked:
                where = _split_for(where, blocked)
        domain = where.domain
        for k in self._candidates(pulled):
            if self._join_elements(k, node, where, pulled):
                return
        draft = Draft("rows", domain, len(domain))
        draft.orders.append(tuple(range(len(domain))))
        self._open(draft, node, where, pulled)

    # -------------------------------------------------------- joining

    def _candidates(self, pulled: Pulled) -> Iterable[int]:
        """The kernels that may compute what was pulled: not before any that it reads from."""
        if not self.fuse:
            return ()
        lowest = max((self.home[r.node] for r in pulled.reads if r.node in self.home), default=0)
        newest = len(self.drafts) - 1
        latest = range(newest, max(lowest, newest - LOOK_BACK + 1) - 1, -1)
        return [k for k in latest if self._has_room(self.drafts[k], pulled)]

    def _has_room(self, draft: Draft, pulled: Pulled) -> bool:
        """Whether a kernel that computes what was pulled, too, is not too large to compile."""
        return len(draft.anchors) < MOST_ANCHORS and draft.work + pulled.work <= MOST_WORK

    def _join_reduction(
        self, k: int, node: Tensor, new: Draft, outer: IndexMap, inner: IndexMap, pulled: Pulled
    ) -> bool:
        draft = self.drafts[k]
        if draft.kind != "rows" or not (draft.inner or self._related(k, pulled)):
            return False
        if _depth(draft, pulled) >= MOST_PASSES:
            return False
        if not draft.inner:  # element by element so far, in any loops
            fit = common_refinement(draft.domain, new.domain)
            shape = prod(new.domain[: new.rows]), prod(new.domain[new.rows :])
            if fit is None or min(shape) < FULL_ROWS:
                return False
            theirs, ours = fit
        else:
            rows = common_refinement(draft.domain[: draft.rows], new.domain[: new.rows])
            columns = common_refinement(draft.domain[draft.rows :], new.domain[new.rows :])
            if rows is None or columns is None:
                return False
            theirs, ours = rows[0] + columns[0], rows[1] + columns[1]
        if not self._agree(k, theirs, pulled, lambda at: at.refined(ours)):
            return False
        draft.refine(theirs)
        draft.rows = sum(len(pieces) for pieces in ours[: new.rows])
        draft.inner[node] = inner.refined(ours)
        moved = _moved(pulled, lambda where: where.refined(ours))
        self._record(k, node, outer.refined(ours), moved)
        return True

    def _join_elements(self, k: int, node: Tensor, where: IndexMap, pulled: Pulled) -> bool:
        draft = self.drafts[k]
        if draft.kind in ("index", "border", "join") or not self._related(k, pulled):
            return False
        levels = [*draft.orders]
        if draft.kind == "rows" and draft.rows < len(draft.domain):
            levels.append(tuple(range(draft.rows)))
        for order in levels:
            fit = common_refinement(tuple(draft.domain[d] for d in order), where.domain)
            if fit is None:
                continue
            if draft.kind == "contraction" and len(order) > draft.rows and len(fit[0][-1]) != 1:
                continue
            split = dict(zip(order, fit[0], strict=True))
            theirs = tuple(split.get(d, (n,)) for d, n in enumerate(draft.domain))
            spread = _Spread(order, theirs, fit[1])
            if self._agree(k, theirs, pulled, spread.affine):
                draft.refine(theirs)
                self._record(k, node, spread.map(where), _moved(pulled, spread.map))
                return True
        return False

    def _related(self, k: int, pulled: Pulled) -> bool:
        """Whether kernel k computes or reads something that was pulled, or only scalars."""
        draft = self.drafts[k]
        return draft.domain == () or any(
            self.home.get(read.node) == k or (read.node.size > 1 and read.node in draft.reads)
            for read in pulled.reads
        )

    def _agree(
        self,
        k: int,
        pieces: Pieces,
        pulled: Pulled,
        moved: Callable[[Affine], Affine],
    ) -> bool:
        """Whether everything read from kernel k itself is there at the same point of the loops."""
        anchors = self.drafts[k].anchors
        return all(
            anchors[read.node].flat(read.node.shape).refined(pieces) == moved(read.at)
            for read in pulled.reads
            if self.home.get(read.node) == k
        )

    # -------------------------------------------------------- bookkeeping

    def _open(self, draft: Draft, node: Tensor, where: IndexMap, pulled: Pulled) -> None:
        self.drafts.append(draft)
        self._record(len(self.drafts) - 1, node, where, pulled)

    def _record(self, k: int, node: Tensor, where: IndexMap, pulled: Pulled) -> None:
        draft = self.drafts[k]
        draft.anchors[node] = where
        draft.work += pulled.work
        draft.depth[node] = _depth(draft, pulled) + isinstance(node.op, Reduction)
        draft.reads.update(dict.fromkeys(read.node for read in pulled.reads))
        for at, inlined in pulled.inlined.items():
            again = repeats(at, draft)
            draft.inlined.update((other, again) for other in inlined if other is not node)
        self.home[node] = k


def _depth(draft: Draft, pulled: Pulled) -> int:
    """The reductions of a kernel on the way to what is pulled into it."""
    return max((draft.depth.get(read.node, 0) for read in pulled.reads), default=0)


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


def _moved(pulled: Pulled, move: Callable[[IndexMap], IndexMap]) -> Pulled:
    inlined: dict[IndexMap, list[Tensor]] = {}
    for where, nodes in pulled.inlined.items():
        inlined.setdefault(move(where.unguarded()), []).extend(nodes)
    return Pulled(pulled.reads, inlined)


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
