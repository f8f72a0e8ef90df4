"""Hazards of state: where new state is written beside the old, and copied at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ranvier.engines.native.indexmap import Affine
from ranvier.engines.native.schedule.kernels import (
    Body,
    BodyKernel,
    Buffer,
    Kernel,
    Load,
    RowKernel,
    Store,
)
from ranvier.engines.native.schedule.order import find_cycle
from ranvier.errors import GraphError


def separate_state(kernels: list[Kernel], in_place: bool) -> list[Kernel]:
    """Write new state beside the old, and copy it at the end, where in place would be wrong.

    That is where a kernel reads the state at other positions than it writes, or where kernels
    would have to come before each other; with `in_place=False`, everywhere.
    """
    for kernel in list(kernels):
        for store in _state_stores(kernel):
            if not in_place or _reads_elsewhere(kernel, store):
                kernels = _write_beside(kernels, store.buffer)
    while cycle := find_cycle(kernels):
        stores = [store for i in cycle for store in _state_stores(kernels[i])]
        if not stores:
            raise GraphError("kernels wait for each other, and no state is to blame")
        kernels = _write_beside(kernels, stores[0].buffer)
    return kernels


def _state_stores(kernel: Kernel) -> list[Store]:
    if not isinstance(kernel, BodyKernel):
        return []
    stores = [x for x in kernel.body.instructions if isinstance(x, Store)]
    return [store for store in stores if store.buffer.kind == "state"]


def _reads_elsewhere(kernel: Kernel, store: Store) -> bool:
    assert isinstance(kernel, BodyKernel)
    if store.buffer in kernel.operands():
        return True
    loads = [x for x in kernel.body.instructions if isinstance(x, Load)]
    return any(x.buffer is store.buffer and (x.at != store.at or x.guards) for x in loads)


def _write_beside(kernels: Sequence[Kernel], state: Buffer) -> list[Kernel]:
    beside = Buffer("temporary", f"new_{state.name}", state.shape, state.dtype)
    changed: list[Kernel] = []
    for kernel in kernels:
        if isinstance(kernel, BodyKernel):
            instructions = tuple(
                replace(x, buffer=beside) if isinstance(x, Store) and x.buffer is state else x
                for x in kernel.body.instructions
            )
            kernel = replace(kernel, body=replace(kernel.body, instructions=instructions))
        changed.append(kernel)
    domain, at = ((state.size,), Affine(0, (1,))) if state.size != 1 else ((), Affine(0, ()))
    copy = Body(
        domain,
        len(domain),
        (Load(beside, at, (), state.dtype), Store(state, at, 0, state.dtype)),
    )
    return [*changed, RowKernel(f"copy_{state.name}", (), copy)]
