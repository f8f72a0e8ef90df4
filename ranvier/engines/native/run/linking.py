"""From a schedule to what a program needs: a slot for every buffer, and the step's linkage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ranvier.engines.native.host import Host
from ranvier.engines.native.run.cache import emission_key
from ranvier.engines.native.run.linkage import Linkage
from ranvier.engines.native.schedule.costs import Cost, cost_of
from ranvier.engines.native.schedule.deduplicate import KernelCalls
from ranvier.engines.native.schedule.kernels import Buffer
from ranvier.engines.native.schedule.schedule import Schedule
from ranvier.graph.leaves import Constant
from ranvier.graph.tensor import Tensor


def slots_of(plan: Schedule) -> dict[Buffer, int]:
    """Number every buffer; the number is its slot in the pointer table."""
    # The arena's own order is by size, and so by the number of threads, which code must not be.
    temporaries = sorted(plan.arena.offsets, key=lambda buffer: buffer.name)
    buffers = [*plan.leaves.values(), *plan.outputs.values(), *temporaries]
    return {buffer: slot for slot, buffer in enumerate(dict.fromkeys(buffers))}


def link(
    plan: Schedule,
    calls: KernelCalls,
    slots: Mapping[Buffer, int],
    given: Sequence[Tensor],
    rows: Mapping[str, int],
    host: Host,
) -> Linkage:
    """Return the linkage of a step that was `given` as these tensors, numbered in their order."""
    numbers = {tensor: number for number, tensor in enumerate(given)}
    leaves: list[tuple[int, int]] = []
    constants: list[tuple[np.ndarray, int]] = []
    for tensor, buffer in plan.leaves.items():
        if tensor in numbers:
            leaves.append((numbers[tensor], slots[buffer]))
        else:
            assert isinstance(tensor.op, Constant)
            constants.append((tensor.op.value, slots[buffer]))
    kernels = plan.sequenced.kernels
    return Linkage(
        code=emission_key(str(calls), host),
        buffers=len(slots),
        leaves=leaves,
        constants=constants,
        outputs={name: slots[buffer] for name, buffer in plan.outputs.items()},
        temporaries=[(slots[buffer], offset) for buffer, offset in plan.arena.offsets.items()],
        arena=plan.arena.size,
        kernels=len(kernels),
        barriers=1 + max(plan.sequenced.epochs, default=0),
        counters=sum(kernel.counters for kernel in kernels),
        seconds=sum((cost_of(kernel) for kernel in kernels), Cost(0, 0)).seconds(host),
        rows=rows,
    )
