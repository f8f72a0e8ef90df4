"""From a schedule to what a program needs: a slot for every place, and the step's binding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ranvier.engines.native.binding import Binding
from ranvier.engines.native.cache import emission_key
from ranvier.engines.native.costs import Cost, cost_of
from ranvier.engines.native.host import Host
from ranvier.engines.native.kernels import Place
from ranvier.engines.native.patterns import Wired, wire
from ranvier.engines.native.schedule import Schedule
from ranvier.graph.leaves import Constant
from ranvier.graph.tensor import Tensor


def slots_of(plan: Schedule) -> dict[Place, int]:
    """Number every place; the number is its slot in the pointer table."""
    # The arena's own order is by size, and so by the number of threads, which code must not be.
    temporaries = sorted(plan.arena.offsets, key=lambda place: place.name)
    places = [*plan.leaves.values(), *plan.outputs.values(), *temporaries]
    return {place: slot for slot, place in enumerate(dict.fromkeys(places))}


def wire_up(plan: Schedule) -> Wired:
    """The kernels of a schedule as calls of patterns, over the slots of their places."""
    return wire(plan.sequenced, slots_of(plan))


def bind(plan: Schedule, given: Sequence[Tensor], rows: Mapping[str, int], host: Host) -> Binding:
    """Return the binding of a step that was `given` as these tensors, numbered in their order."""
    slots = slots_of(plan)
    numbers = {tensor: number for number, tensor in enumerate(given)}
    leaves: list[tuple[int, int]] = []
    constants: list[tuple[np.ndarray, int]] = []
    for tensor, place in plan.leaves.items():
        if tensor in numbers:
            leaves.append((numbers[tensor], slots[place]))
        else:
            assert isinstance(tensor.op, Constant)
            constants.append((tensor.op.value, slots[place]))
    kernels = plan.sequenced.kernels
    return Binding(
        code=emission_key(str(wire_up(plan)), host),
        buffers=len(slots),
        leaves=leaves,
        constants=constants,
        outputs={name: slots[place] for name, place in plan.outputs.items()},
        temporaries=[(slots[place], offset) for place, offset in plan.arena.offsets.items()],
        arena=plan.arena.size,
        kernels=len(kernels),
        barriers=1 + max(plan.sequenced.epochs, default=0),
        counters=sum(kernel.counters for kernel in kernels),
        seconds=sum((cost_of(kernel) for kernel in kernels), Cost(0, 0)).seconds(host),
        rows=rows,
    )
