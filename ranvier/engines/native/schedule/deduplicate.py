"""Patterns: kernels that differ only in where their data lie share their code.

A network repeats its blocks, and so its step repeats its kernels: of the 778 of a 34-layer
residual network 225 differ. Data may also lie at differing offsets in one buffer: the parts of a
concatenation do, and the slices that are its gradient.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ranvier.engines.native.schedule.kernels import BodyKernel, Buffer, Kernel, Load, Store
from ranvier.engines.native.schedule.keys import exact, telling
from ranvier.engines.native.schedule.order import Sequenced
from ranvier.records import dataclass


@dataclass(frozen=True)
class KernelCalls:
    """A step's kernels in order, as calls of patterns.

    `patterns` has the first kernel of each, under a text that says all that its code depends on
    but the host. A call is the number of its pattern, the slots of its kernel's `buffers`, each
    with the bytes after which the kernel's data begin there, and the number of barriers before it.
    """

    patterns: dict[str, Kernel]
    calls: tuple[tuple[int, tuple[tuple[int, int], ...], int], ...]

    def __str__(self) -> str:
        return "\n".join([*self.patterns, str(self.calls)])


def deduplicate(sequenced: Sequenced, slots: Mapping[Buffer, int]) -> KernelCalls:
    """Find the patterns of kernels whose buffers lie in the given slots of the pointer table."""
    patterns: dict[str, Kernel] = {}
    numbers: dict[str, int] = {}
    calls = []
    for kernel, epoch in zip(sequenced.kernels, sequenced.epochs, strict=True):
        starts = _starts(kernel)
        kernel = _from_starts(kernel, starts)
        own = buffers_of(kernel)
        text = _pattern(kernel, own)
        patterns.setdefault(text, kernel)
        number = numbers.setdefault(text, len(numbers))
        buffers = tuple((slots[p], starts.get(p, 0) * p.dtype.itemsize) for p in own)
        calls.append((number, buffers, epoch))
    return KernelCalls(patterns, tuple(calls))


def buffers_of(kernel: Kernel) -> dict[Buffer, int]:
    """Every buffer that a kernel reads or writes, with its number in the kernel's own table."""
    distinct = dict.fromkeys((*kernel.reads(), *kernel.writes()))
    return {buffer: number for number, buffer in enumerate(distinct)}


def _starts(kernel: Kernel) -> dict[Buffer, int]:
    """The elements that a kernel's body skips in each buffer that it only reads or writes plainly.

    A load under a guard needs the whole buffer, in which it stays where the guard fails.
    """
    if not isinstance(kernel, BodyKernel):
        return {}
    accesses = [x for x in kernel.body.instructions if isinstance(x, Load | Store)]
    starts: dict[Buffer, int] = {}
    for x in accesses:
        starts[x.buffer] = min(starts.get(x.buffer, x.at.offset), x.at.offset)
    whole = {x.buffer for x in accesses if isinstance(x, Load) and x.guards}
    whole.update(kernel.operands())
    return {buffer: start for buffer, start in starts.items() if start and buffer not in whole}


def _from_starts(kernel: Kernel, starts: Mapping[Buffer, int]) -> Kernel:
    """The same kernel over buffers that begin where its data do."""
    if not starts or not isinstance(kernel, BodyKernel):
        return kernel
    instructions = tuple(
        replace(x, at=x.at.scaled(1, -starts.get(x.buffer, 0)))
        if isinstance(x, Load | Store)
        else x
        for x in kernel.body.instructions
    )
    return replace(kernel, body=replace(kernel.body, instructions=instructions))


def _pattern(kernel: Kernel, own: Mapping[Buffer, int]) -> str:
    """The kernel's text with its own numbers for its buffers, and without its name."""

    def buffer(part: Any) -> str | None:
        if isinstance(part, Buffer):  # what has been packed has no number: the copy is read
            return f"{part.kind} {own.get(part)} {part.shape} {part.dtype.str}"
        return None

    names = [name for name in telling(type(kernel)) or () if name != "name"]
    parts = [exact(getattr(kernel, name), buffer) for name in names]
    return f"{type(kernel).__name__}({', '.join(parts)})"
