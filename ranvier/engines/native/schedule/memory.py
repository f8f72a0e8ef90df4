"""Memory: every temporary gets an offset in one arena, by liveness.

A temporary lives from the epoch of the kernel that writes it to that of its last reader;
kernels of one epoch may run at the same time, so buffers that live in a common epoch never
overlap. The largest are placed first, each at the lowest offset that is free.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ranvier.engines.native.host import CACHE_LINE
from ranvier.engines.native.schedule.kernels import Buffer
from ranvier.engines.native.schedule.order import Sequenced
from ranvier.records import dataclass

PAGE = 4096


@dataclass(frozen=True)
class Arena:
    """Offsets in bytes of the temporaries, and the size of the whole."""

    offsets: Mapping[Buffer, int]
    size: int


def lifetimes(sequenced: Sequenced) -> dict[Buffer, tuple[int, int]]:
    """Return the first and last epoch of every temporary."""
    spans: dict[Buffer, tuple[int, int]] = {}
    for kernel, epoch in zip(sequenced.kernels, sequenced.epochs, strict=True):
        for buffer in (*kernel.reads(), *kernel.writes()):
            if buffer.kind == "temporary":
                first, last = spans.get(buffer, (epoch, epoch))
                spans[buffer] = (min(first, epoch), max(last, epoch))
    return spans


def allocate(sequenced: Sequenced, reuse: bool) -> Arena:
    """Place every temporary; without `reuse` no two share memory."""
    spans = lifetimes(sequenced)
    if not reuse:
        spans = dict.fromkeys(spans, (0, len(sequenced.kernels)))
    offsets: dict[Buffer, int] = {}
    placed = np.empty((4, 0), np.int64)  # offset, end, first and last epoch; sorted by offset
    for buffer in sorted(spans, key=lambda p: -p.nbytes):
        (first, last), room = spans[buffer], _room(buffer)
        at = offsets[buffer] = _lowest(placed, first, last, room)
        column = np.searchsorted(placed[0], at)
        placed = np.insert(placed, column, (at, at + room, first, last), axis=1)
    return Arena(offsets, int(placed[1].max(initial=0)))


def _lowest(placed: np.ndarray, first: int, last: int, room: int) -> int:
    """The lowest offset with so much room beside all that lives in the epochs first to last."""
    starts, stops = placed[:2, (placed[2] <= last) & (placed[3] >= first)]
    free = np.maximum.accumulate(np.concatenate([[0], stops]))  # where each gap begins
    fits = np.flatnonzero(free[:-1] + room <= starts)
    return int(free[fits[0] if fits.size else -1])


def _room(buffer: Buffer) -> int:
    """Bytes that a buffer takes: whole cache lines, large ones off powers of two.

    An odd number of lines beyond a page keeps equal buffers from falling on the same cache
    sets.
    """
    lines = -(-max(buffer.nbytes, 1) // CACHE_LINE)
    return (lines + (1 if buffer.nbytes >= PAGE and lines % 2 == 0 else 0)) * CACHE_LINE
