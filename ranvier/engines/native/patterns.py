"""Patterns: kernels that differ only in where their data lie share their code.

A network repeats its blocks, and so its step repeats its kernels: of the 780 of a 34-layer
residual network 226 differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from struct import pack
from typing import Any

import numpy as np

from ranvier.engines.native.kernels import Kernel, Place
from ranvier.engines.native.order import Sequenced
from ranvier.errors import CompileError
from ranvier.records import dataclass

_PLAIN = frozenset([int, bool, str, type(None)])
"""What prints all that it is."""


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

    def text(part: Any) -> str:
        if isinstance(part, Place):  # what has been packed has no number: the copy is read
            return f"{part.kind} {own.get(part)} {part.shape} {part.dtype.str}"
        if isinstance(part, np.dtype):
            return part.str
        if isinstance(part, float):  # by its bits: 0 and -0, and NaNs, differ
            return pack("d", part).hex()
        if type(part) is tuple and not _PLAIN.issuperset(map(type, part)):
            return f"({', '.join(map(text, part))})"
        names = _fields(type(part))  # type: ignore[arg-type]  # mypy: is a type hashable?
        if names is not None:
            parts = [text(getattr(part, name)) for name in names]
            return f"{type(part).__name__}({', '.join(parts)})"
        if type(part) in _PLAIN or isinstance(part, tuple):
            return repr(part)
        raise CompileError(f"a kernel holds {part!r}, whose text would say too little")

    return text(kernel)


@cache
def _fields(kind: type[Any]) -> list[str] | None:
    """The fields of a class that a kernel's code depends on; None if it has none."""
    ignored = {"name"} if issubclass(kind, Kernel) else set()
    if not is_dataclass(kind):
        return None
    return [f.name for f in fields(kind) if f.repr and f.name not in ignored]
