"""Patterns: kernels that differ only in where their data lie share their code.

A network repeats its blocks, and so its step repeats its kernels: of the 780 of a 34-layer
residual network 226 differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ranvier.engines.native.exact import exact, telling
from ranvier.engines.native.kernels import Kernel, Place
from ranvier.engines.native.order import Sequenced
from ranvier.records import dataclass


@dataclass(frozen=True)
class Wired:
    """A step's kernels in order, as calls of patterns.

    `patterns` has the first kernel of each, under a text that says all that its code depends on
    but the host. A call is the number of its pattern, the slots of its kernel's `places`, and
    the number of barriers before it.
    """

    patterns: dict[str, Kernel]
    calls: tuple[tuple[int, tuple[int, ...], int], ...]

    def __str__(self) -> str:
        return "\n".join([*self.patterns, str(self.calls)])


def wire(sequenced: Sequenced, slots: Mapping[Place, int]) -> Wired:
    """Find the patterns of kernels whose places lie in the given slots of the pointer table."""
    patterns: dict[str, Kernel] = {}
    numbers: dict[str, int] = {}
    calls = []
    for kernel, epoch in zip(sequenced.kernels, sequenced.epochs, strict=True):
        own = places(kernel)
        text = _pattern(kernel, own)
        patterns.setdefault(text, kernel)
        number = numbers.setdefault(text, len(numbers))
        calls.append((number, tuple(slots[place] for place in own), epoch))
    return Wired(patterns, tuple(calls))


def places(kernel: Kernel) -> dict[Place, int]:
    """Every place that a kernel reads or writes, with its number in the kernel's own table."""
    distinct = dict.fromkeys((*kernel.reads(), *kernel.writes()))
    return {place: number for number, place in enumerate(distinct)}


def _pattern(kernel: Kernel, own: Mapping[Place, int]) -> str:
    """The kernel's text with its own numbers for its places, and without its name."""

    def place(part: Any) -> str | None:
        if isinstance(part, Place):  # what has been packed has no number: the copy is read
            return f"{part.kind} {own.get(part)} {part.shape} {part.dtype.str}"
        return None

    names = [name for name in telling(type(kernel)) or () if name != "name"]
    parts = [exact(getattr(kernel, name), place) for name in names]
    return f"{type(kernel).__name__}({', '.join(parts)})"
