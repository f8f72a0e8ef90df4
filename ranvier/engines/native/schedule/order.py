"""Order: kernels and barriers in sequence.

A kernel follows the kernels whose results it reads, and a kernel that writes state in place
follows every reader of the old value. Threads meet at a barrier only where one kernel's data
cross from one thread to another: a kernel that needs no barrier is preferred to one that
does, if it is not far ahead in the original order (so that temporaries die young).
"""

from __future__ import annotations

from collections.abc import Sequence

from ranvier.engines.native.schedule.kernels import Buffer, Kernel
from ranvier.records import dataclass

WINDOW = 12
"""How far ahead of the oldest waiting kernel another one may be taken."""


@dataclass(frozen=True)
class Sequenced:
    """Kernels in order; `epochs[i]` counts the barriers before kernel i."""

    kernels: tuple[Kernel, ...]
    epochs: tuple[int, ...]


def predecessors(kernels: Sequence[Kernel]) -> list[set[int]]:
    """Return for each kernel those that must come before it."""
    writer: dict[Buffer, list[int]] = {}
    for i, kernel in enumerate(kernels):
        for buffer in kernel.writes():
            writer.setdefault(buffer, []).append(i)
    before: list[set[int]] = [set() for _ in kernels]
    for i, kernel in enumerate(kernels):
        for buffer in kernel.reads():
            for w in writer.get(buffer, ()):
                if buffer.kind != "state":
                    before[i].add(w)  # itself too: it cannot read what it has yet to store
                elif w != i:
                    before[w].add(i)
    return before


def find_cycle(kernels: Sequence[Kernel]) -> list[int]:
    """Return the kernels that wait for each other, empty where there is an order for all."""
    before = predecessors(kernels)
    behind: list[list[int]] = [[] for _ in kernels]
    for i, earlier in enumerate(before):
        for j in earlier:
            behind[j].append(i)
    missing = [len(earlier) for earlier in before]
    ready = [i for i, count in enumerate(missing) if not count]
    left = set(range(len(kernels)))
    while ready:
        done = ready.pop()
        left.remove(done)
        for i in behind[done]:
            missing[i] -= 1
            if not missing[i]:
                ready.append(i)
    return sorted(left)


def sequence(kernels: Sequence[Kernel]) -> Sequenced:
    """Return the kernels in an order that needs few barriers; there must be no cycle."""
    before = predecessors(kernels)
    waiting = list(range(len(kernels)))
    done: set[int] = set()
    current: set[int] = set()
    order: list[int] = []
    epochs: list[int] = []
    epoch = 0
    while waiting:
        near = waiting[:WINDOW]
        ready = [i for i in near if before[i] <= done]
        free = [i for i in ready if not before[i] & current]
        if not free:
            ready = ready or [next(i for i in waiting if before[i] <= done)]
            epoch += 1
            current = set()
        chosen = (free or ready)[0]
        waiting.remove(chosen)
        done.add(chosen)
        current.add(chosen)
        order.append(chosen)
        epochs.append(epoch)
    return Sequenced(tuple(kernels[i] for i in order), tuple(epochs))
