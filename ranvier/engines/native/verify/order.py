"""The order: what is read was written a barrier before, state is written after all who read it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from math import prod

import numpy as np

from ranvier.engines.native.schedule.kernels import (
    BodyKernel,
    Buffer,
    HaloKernel,
    Kernel,
    Store,
)
from ranvier.engines.native.schedule.order import Sequenced
from ranvier.engines.native.verify.fault import StageError
from ranvier.engines.native.verify.positions import positions, varies

_GIVEN = ("input", "constant", "state")
"""Buffers that hold something before the step begins."""

_SMALL = 1 << 16
"""Elements of a shared buffer up to which each is looked at."""


def verify_order(sequenced: Sequenced) -> None:
    """Raise StageError for kernels that threads could run into each other."""
    _verify_epochs(sequenced)
    written: dict[Buffer, list[int]] = defaultdict(list)
    for number, kernel in enumerate(sequenced.kernels):
        for buffer in dict.fromkeys(kernel.writes()):
            written[buffer].append(number)
            if buffer.kind in ("input", "constant"):
                raise _fault(kernel, f"it writes {buffer}, which is given")
    for buffer, writers in written.items():
        kernels = [sequenced.kernels[number] for number in writers]
        inside = [kernel for kernel in kernels if not isinstance(kernel, HaloKernel)]
        apart = len(inside) == 1 or _apart(buffer, inside)
        if not apart or len(kernels) - len(inside) > 1:
            raise _fault(kernels[-1], f"it writes {buffer}, which {kernels[0].name} writes too")
    for number, kernel in enumerate(sequenced.kernels):
        for buffer in dict.fromkeys(kernel.reads()):
            fault = _read_fault(sequenced, written.get(buffer, []), number, buffer)
            if fault is not None:
                raise _fault(kernel, fault)


def _verify_epochs(sequenced: Sequenced) -> None:
    epochs = sequenced.epochs
    steps = all(0 <= after - before <= 1 for before, after in pairwise(epochs))
    if len(epochs) != len(sequenced.kernels) or epochs[:1] not in ((), (0,)) or not steps:
        raise StageError("order", "the barriers", "they are not counted one by one from 0")


def _apart(buffer: Buffer, writers: Sequence[Kernel]) -> bool:
    """Whether kernels that share a buffer, as parts of a whole, write each element of it once.

    In large buffers the elements are only counted.
    """
    stores = []
    for kernel in writers:
        if not isinstance(kernel, BodyKernel):
            return False
        found = [x for x in kernel.body.instructions if isinstance(x, Store)]
        stores += [(x.at, kernel.body.domain) for x in found if x.buffer is buffer]
    counts = [prod(domain[d] for d in varies(at, domain)) for at, domain in stores]
    if sum(counts) != buffer.size or buffer.size > _SMALL:
        return sum(counts) == buffer.size
    times = np.zeros(buffer.size, np.int8)
    for at, domain in stores:
        reached = positions(at, domain, varies(at, domain))
        if reached.size and not (reached.min() >= 0 and reached.max() < buffer.size):
            return False
        times[reached] += 1
    return bool((times == 1).all())


def _read_fault(
    sequenced: Sequenced, writers: list[int], reader: int, buffer: Buffer
) -> str | None:
    if not writers and buffer.kind not in _GIVEN and buffer.size:
        return f"it reads {buffer}, which nothing writes"
    for writer in writers:
        name = sequenced.kernels[writer].name
        if writer == reader:
            if buffer.kind != "state" and buffer is not _scratch(sequenced.kernels[reader]):
                return f"it reads {buffer}, which it has yet to write"
        elif buffer.kind == "state":
            if sequenced.epochs[writer] <= sequenced.epochs[reader]:
                return f"it reads {buffer}, which {name} may have overwritten by then"
        elif sequenced.epochs[writer] >= sequenced.epochs[reader]:
            return f"it reads {buffer} without a barrier after {name}, which writes it"
    return None


def _scratch(kernel: Kernel) -> Buffer | None:
    """What a kernel writes and reads again: sums of several segments."""
    found: Buffer | None = getattr(kernel, "partial", None)
    return found


def _fault(kernel: Kernel, fault: str) -> StageError:
    return StageError("order", f"kernel {kernel.name}", fault)
