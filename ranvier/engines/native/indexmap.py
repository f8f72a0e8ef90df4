"""Affine index maps: which element of a tensor a point of a kernel's domain refers to.

A kernel runs over a *domain*, a box of loops. Views (reshape, transpose, broadcast, slice,
flip, pad) move no data: they only change the map from the domain to their source, so a
kernel reads straight through them.

The maps are named tuples, because fusion hashes and compares them a lot.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import pairwise
from math import prod
from typing import NamedTuple, TypeAlias

from ranvier.graph.ops import movement
from ranvier.graph.tensor import Shape, Tensor

Pieces: TypeAlias = tuple[Shape, ...]
"""The lengths into which each dimension of a domain is split."""

_REMEMBERED = 1 << 14
"""Results that are kept: a fusion asks for the same ones many times."""

VIEWS = (
    movement.Reshape,
    movement.Transpose,
    movement.BroadcastTo,
    movement.Slice,
    movement.Flip,
    movement.Pad,
)


class Affine(NamedTuple):
    """offset + sum of terms[i] * (index along domain dimension i)."""

    offset: int
    terms: tuple[int, ...]

    def scaled(self, factor: int, plus: int = 0) -> Affine:
        """Return factor * self + plus."""
        return Affine(self.offset * factor + plus, tuple(t * factor for t in self.terms))

    def refined(self, pieces: Pieces) -> Affine:
        """Return the same function after each domain dimension i was split into pieces[i]."""
        return Affine(self.offset, _refined(self.terms, pieces))

    def plus(self, other: Affine) -> Affine:
        """Return the sum of both functions."""
        terms = tuple(a + b for a, b in zip(self.terms, other.terms, strict=True))
        return Affine(self.offset + other.offset, terms)


class Guard(NamedTuple):
    """A condition of a padded read: 0 <= at < size."""

    at: Affine
    size: int


class IndexMap(NamedTuple):
    """The index along each axis of a tensor as a function of the point of the domain."""

    domain: Shape
    axes: tuple[Affine, ...]
    guards: tuple[Guard, ...] = ()

    def flat(self, shape: Shape) -> Affine:
        """Return the position in row-major order, in elements of a tensor of `shape`."""
        return weighted(self.axes, row_major(shape), len(self.domain))

    def unguarded(self) -> IndexMap:
        """Return the map without its guards."""
        return IndexMap(self.domain, self.axes)

    def refined(self, pieces: Pieces) -> IndexMap:
        """Return the same map after each domain dimension i was split into pieces[i]."""
        domain = tuple(n for split in pieces for n in split)
        guards = tuple(Guard(g.at.refined(pieces), g.size) for g in self.guards)
        return IndexMap(domain, tuple(a.refined(pieces) for a in self.axes), guards)


@lru_cache(_REMEMBERED)
def _refined(terms: tuple[int, ...], pieces: Pieces) -> tuple[int, ...]:
    """The terms of a function after each domain dimension i was split into pieces[i]."""
    new: list[int] = []
    for term, split in zip(terms, pieces, strict=True):
        if term == 0 or len(split) == 1:
            new += [term if n > 1 else 0 for n in split]
            continue
        steps = zip(split, row_major(split), strict=True)
        new += [term * stride if n > 1 else 0 for n, stride in steps]
    return tuple(new)


@lru_cache(_REMEMBERED)
def common_refinement(first: Shape, second: Shape) -> tuple[Pieces, Pieces] | None:
    """Split the dimensions of two boxes of equal volume until both have the same loops.

    Returns the pieces of each dimension of either box, or None where no such split exists.
    Neither box has dimensions of length 1 or 0.
    """
    if first == second or prod(first) == 0:
        same = tuple((n,) for n in first)
        return (same, same) if first == second else None
    bounds = sorted({prod(s[i:]) for s in (first, second) for i in range(len(s) + 1)})
    if prod(first) != prod(second) or any(hi % lo for lo, hi in pairwise(bounds)):
        return None
    return _pieces(first, bounds), _pieces(second, bounds)


def _pieces(box: Shape, bounds: Sequence[int]) -> Pieces:
    pieces: list[Shape] = []
    for i in range(len(box)):
        low, high = prod(box[i + 1 :]), prod(box[i:])
        inside = [b for b in bounds if low <= b <= high]
        pieces.append(tuple(hi // lo for lo, hi in reversed(list(pairwise(inside)))))
    return tuple(pieces)


@lru_cache(_REMEMBERED)
def weighted(axes: tuple[Affine, ...], weights: tuple[int, ...], dimensions: int) -> Affine:
    """The sum of the functions, each times its weight, over a domain of so many dimensions."""
    offset, terms = 0, [0] * dimensions
    for axis, weight in zip(axes, weights, strict=True):
        offset += axis.offset * weight
        for dimension, term in enumerate(axis.terms):
            if term:
                terms[dimension] += term * weight
    return Affine(offset, tuple(terms))


@cache
def row_major(shape: Shape) -> tuple[int, ...]:
    """Return the strides of a contiguous tensor of `shape`, in elements."""
    return tuple(prod(shape[a + 1 :]) for a in range(len(shape)))


def identity(domain: Shape, order: Sequence[int] | None = None) -> IndexMap:
    """Return the map of a tensor whose axis a is domain dimension order[a]."""
    order = range(len(domain)) if order is None else order
    return IndexMap(domain, tuple(_unit(domain, d) for d in order))


def _unit(domain: Shape, dimension: int) -> Affine:
    """The index along one dimension; a dimension of length 1 contributes nothing."""
    return Affine(0, tuple(int(d == dimension and n > 1) for d, n in enumerate(domain)))


def through(view: Tensor, where: IndexMap) -> IndexMap | None:
    """Return the map of the source of `view`, given the map of the view itself.

    None where no affine map exists: a reshape that splits a loop of the domain.
    """
    op, (source,) = view.op, view.inputs
    zero = Affine(0, (0,) * len(where.domain))
    axes, guards = list(where.axes), where.guards
    match op:
        case movement.Transpose():
            inverse = sorted(range(len(op.axes)), key=op.axes.__getitem__)
            axes = [where.axes[i] for i in inverse]
        case movement.BroadcastTo():
            tail = where.axes[len(where.axes) - source.ndim :]
            axes = [zero if n == 1 else a for a, n in zip(tail, source.shape, strict=True)]
        case movement.Slice():
            ranges = zip(where.axes, op.starts, op.steps, strict=True)
            axes = [a.scaled(step, start) for a, start, step in ranges]
        case movement.Flip():
            for a in op.axes:
                axes[a] = axes[a].scaled(-1, source.shape[a] - 1)
        case movement.Pad():
            axes = [a.scaled(1, -lo) for a, lo in zip(where.axes, op.before, strict=True)]
            guards += tuple(
                Guard(axes[a], source.shape[a])
                for a in range(source.ndim)
                if op.before[a] or op.after[a]
            )
        case movement.Reshape():
            split = _delinearize(where.flat(view.shape), where.domain, source.shape)
            if split is None:
                return None
            axes = split
    return IndexMap(where.domain, tuple(axes), guards)


def concatenated(view: Tensor, where: IndexMap) -> list[IndexMap]:
    """Return the map of each input of a concatenation, guarded to the part that it fills."""
    assert isinstance(view.op, movement.Concatenate)
    axis, start, maps = view.op.axis, 0, []
    for source in view.inputs:
        axes = list(where.axes)
        axes[axis] = axes[axis].scaled(1, -start)
        guard = Guard(axes[axis], source.shape[axis])
        maps.append(IndexMap(where.domain, tuple(axes), (*where.guards, guard)))
        start += source.shape[axis]
    return maps


def _delinearize(flat: Affine, domain: Shape, shape: Shape) -> list[Affine] | None:
    """Split a row-major position into the axes of `shape`, if each loop stays in one axis.

    Loops that run backwards are counted from their other end first, so that every term is
    positive and each axis is checked against its length exactly. Where there is nothing to read,
    any map will do.
    """
    if 0 in domain or 0 in shape:
        return [Affine(0, (0,) * len(domain)) for _ in shape]
    strides = row_major(shape)
    backwards = [t < 0 for t in flat.terms]
    start = flat.offset + sum(
        t * (n - 1) for t, n, back in zip(flat.terms, domain, backwards, strict=True) if back
    )
    if not 0 <= start < prod(shape):
        return None
    offsets, highest = [], []
    for stride, length in zip(strides, shape, strict=True):
        offsets.append(start // stride % length)
        highest.append(offsets[-1])
    terms = [[0] * len(domain) for _ in shape]
    for d, (term, extent) in enumerate(zip(flat.terms, domain, strict=True)):
        if term == 0 or extent <= 1:
            continue
        axis = next((a for a, s in enumerate(strides) if shape[a] > 1 and abs(term) % s == 0), None)
        if axis is None:
            return None
        step = abs(term) // strides[axis]
        highest[axis] += step * (extent - 1)
        terms[axis][d] = -step if backwards[d] else step
        offsets[axis] += step * (extent - 1) if backwards[d] else 0
    if any(h >= n for h, n in zip(highest, shape, strict=True)):
        return None
    return [Affine(o, tuple(t)) for o, t in zip(offsets, terms, strict=True)]
