"""The arena: every temporary lies in it, on a cache line, and shares no byte while it lives."""

from __future__ import annotations

from ranvier.engines.native.host import CACHE_LINE
from ranvier.engines.native.schedule.memory import Arena, lifetimes
from ranvier.engines.native.schedule.order import Sequenced
from ranvier.engines.native.verify.fault import StageError


def verify_arena(sequenced: Sequenced, arena: Arena) -> None:
    """Raise StageError if temporaries that live together overlap, or one lies outside."""
    spans = lifetimes(sequenced)
    for buffer in spans:
        if buffer not in arena.offsets:
            raise StageError("memory", str(buffer), "it has no memory")
        start = arena.offsets[buffer]
        if start < 0 or start + buffer.nbytes > arena.size:
            raise StageError("memory", str(buffer), f"it leaves the arena of {arena.size} bytes")
        if start % CACHE_LINE:
            raise StageError("memory", str(buffer), f"it begins at {start}, amid a cache line")
    buffers = sorted(spans, key=lambda buffer: arena.offsets[buffer])
    for i, buffer in enumerate(buffers):
        end = arena.offsets[buffer] + buffer.nbytes
        for other in buffers[i + 1 :]:
            if arena.offsets[other] >= end:
                break
            if spans[other][0] <= spans[buffer][1] and spans[buffer][0] <= spans[other][1]:
                fault = f"it overlaps {other} in the arena while both live"
                raise StageError("memory", str(buffer), fault)
