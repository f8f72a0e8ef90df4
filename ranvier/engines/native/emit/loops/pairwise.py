"""Nests of loops whose sums are added up in parts, so that long sums stay accurate.

A running sum of n numbers errs by up to n roundings, and for equal numbers they all go one way.
Parts of `FAN` numbers, added in parts of `FAN` sums, and so on, err by about FAN log(n) / log(FAN)
of them (Higham, "The accuracy of floating point summation", 1993). The parts depend on the
lengths of the loops alone, and cost one more addition in `FAN`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from ranvier.engines.native.emit.ir import builder as e
from ranvier.engines.native.emit.ir.builder import Value

FAN = 32
"""The numbers of one part."""


class Summed(Protocol):
    """A running sum that can keep one part apart from the parts before."""

    def open(self, b: Value) -> None:
        """Begin a part."""

    def close(self, b: Value) -> None:
        """Add the part to those before."""


@contextmanager
def pairwise(
    b: Value, nest: Sequence[range], numbers: int, sums: Sequence[Summed]
) -> Iterator[list[Value]]:
    """Loops over `nest`, the last innermost; yields the indices.

    Each turn of the innermost loop adds `numbers` numbers to every one of the sums.
    """
    if not nest:
        yield []
        return
    inside = numbers
    for inner in reversed(nest[1:]):
        inside = added(inner, inside)
    with loop(b, nest[0], inside, sums) as i, pairwise(b, nest[1:], numbers, sums) as indices:
        yield [i, *indices]


@contextmanager
def loop(b: Value, turns: range, inside: int, sums: Sequence[Summed]) -> Iterator[Value]:
    """One loop, whose every turn adds `inside` numbers to every one of the sums."""
    sizes = _parts(turns, inside) if sums else []
    first, last = e.i64(turns.start), e.i64(turns.stop)
    with _in_parts(b, first, last, turns.step, sizes, sums) as i:
        yield i


def added(turns: range, inside: int) -> int:
    """How many numbers such a loop as a whole adds to the sums: those of its parts."""
    sizes = _parts(turns, inside)
    return -(-len(turns) // sizes[0]) if sizes else max(len(turns), 1) * inside


def _parts(turns: range, inside: int) -> list[int]:
    """The turns of a part, of its parts, and so on; none where the loop is one part."""
    size = max(FAN // inside, 1)
    if len(turns) <= size:
        return []
    sizes = [size]
    while len(turns) > sizes[0] * FAN:
        sizes.insert(0, sizes[0] * FAN)
    return sizes


@contextmanager
def _in_parts(
    b: Value, first: Value, last: Value, step: int, sizes: Sequence[int], sums: Sequence[Summed]
) -> Iterator[Value]:
    if not sizes:
        with e.loop(b, first, last, step) as i:
            yield i
        return
    length = e.i64(sizes[0] * step)
    with e.loop(b, first, last, length) as start:
        for x in sums:
            x.open(b)
        stop = e.minimum(b, b.add(start, length), last)
        with _in_parts(b, start, stop, step, sizes[1:], sums) as i:
            yield i
        for x in sums:
            x.close(b)
