"""What affine positions reach: their range, and whether they meet an element twice."""

from __future__ import annotations

from collections.abc import Collection
from math import prod

import numpy as np

from ranvier.engines.native.indexmap import Affine, Guard
from ranvier.graph.tensor import Shape

_SMALL = 1 << 12
"""Points of a domain up to which positions under guards are counted out one by one."""


def reach(at: Affine, domain: Shape) -> tuple[int, int]:
    """The lowest and the highest position over a domain with at least one point."""
    steps = [term * (n - 1) for term, n in zip(at.terms, domain, strict=True)]
    return (
        at.offset + sum(step for step in steps if step < 0),
        at.offset + sum(step for step in steps if step > 0),
    )


def varies(at: Affine, domain: Shape) -> set[int]:
    """The dimensions along which a position moves."""
    return {d for d, term in enumerate(at.terms) if term and domain[d] > 1}


def distinct(at: Affine, domain: Shape) -> bool:
    """Whether no two points that differ along `varies` share a position.

    It asks that each stride step over all that the smaller ones reach, as row-major strides do.
    """
    below = 0
    for term, n in sorted((abs(at.terms[d]), domain[d]) for d in varies(at, domain)):
        if term <= below:
            return False
        below += term * (n - 1)
    return True


def covers(at: Affine, domain: Shape, size: int) -> bool:
    """Whether the positions are 0 to size - 1, each once, over the dimensions that they vary in."""
    moving = varies(at, domain)
    whole = prod(domain[d] for d in moving) == size
    return whole and distinct(at, domain) and reach(at, domain) == (0, max(size - 1, 0))


def inside(at: Affine, guards: tuple[Guard, ...], domain: Shape, size: int) -> bool:
    """Whether every position where all guards hold lies in [0, size); large domains with guards
    are taken on trust."""
    low, high = reach(at, domain)
    if low >= 0 and high < size:
        return True
    if not guards:
        return False
    if prod(domain) > _SMALL:
        return True
    held = np.ones(domain, bool)
    for guard in guards:
        found = _grid(guard.at, domain)
        held &= (found >= 0) & (found < guard.size)
    found = _grid(at, domain)[held]
    return bool(((found >= 0) & (found < size)).all())


def positions(at: Affine, domain: Shape, along: Collection[int]) -> np.ndarray:
    """The positions over some of the dimensions, at the start of the others."""
    shape = tuple(n if d in along else 1 for d, n in enumerate(domain))
    return _grid(at, shape).ravel()


def _grid(at: Affine, domain: Shape) -> np.ndarray:
    """The position at every point of a domain."""
    found = np.full(domain, at.offset, np.int64)
    for d, (term, n) in enumerate(zip(at.terms, domain, strict=True)):
        found += (term * np.arange(n)).reshape(-1, *(1,) * (len(domain) - d - 1))
    return found
