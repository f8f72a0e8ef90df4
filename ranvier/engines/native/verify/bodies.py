"""Bodies: each instruction follows what it uses, stays in its buffer and stores what it may."""

from __future__ import annotations

from collections.abc import Sequence

from ranvier.engines.native.schedule.dataflow import arguments, positions
from ranvier.engines.native.schedule.kernels import (
    Body,
    BodyKernel,
    Instruction,
    Kernel,
    Load,
    Product,
    Reduce,
    Store,
    TiledKernel,
)
from ranvier.engines.native.verify.fault import StageError
from ranvier.engines.native.verify.positions import distinct, inside, varies


def verify_bodies(kernels: Sequence[Kernel]) -> None:
    """Raise StageError for the first instruction that breaks a rule."""
    for kernel in kernels:
        if isinstance(kernel, BodyKernel):
            _verify(kernel)


def _verify(kernel: BodyKernel) -> None:
    body, tiled = kernel.body, isinstance(kernel, TiledKernel)
    if not 0 <= body.rows <= len(body.domain):
        raise _fault(kernel, f"{body.rows} of {len(body.domain)} loops are rows")
    moving: list[set[int]] = []  # along which loops each instruction's value varies
    stores = [i for i, x in enumerate(body.instructions) if isinstance(x, Store)]
    if not stores:
        raise _fault(kernel, "it stores nothing")
    for i, x in enumerate(body.instructions):
        fault = _instruction_fault(body, i, x, tiled)
        if i > stores[0] and not isinstance(x, Store):
            fault = fault or "it comes after a store, which may have replaced what it reads"
        if fault is None:
            moving.append(_varies(body, x, moving))
            if 0 not in body.domain:  # else nothing is ever read or stored
                fault = _memory_fault(body, x, moving)
        if fault is not None:
            raise _fault(kernel, f"instruction %{i} ({type(x).__name__.lower()}): {fault}")


def _instruction_fault(body: Body, i: int, x: Instruction, tiled: bool) -> str | None:
    if any(not 0 <= arg < i for arg in arguments(x)):
        return "it uses a value that is not computed yet"
    if isinstance(x, Product) and not tiled:
        return "a product outside a contraction"
    if isinstance(x, Reduce) and tiled:
        return "a reduction in an epilogue"
    if any(isinstance(body.instructions[arg], Store) for arg in arguments(x)):
        return "it uses a store as a value"
    if isinstance(x, Store) and body.instructions[x.arg].dtype != x.dtype:
        return f"it stores {body.instructions[x.arg].dtype.name} as {x.dtype.name}"
    if isinstance(x, Load | Store) and x.buffer.dtype != x.dtype:
        return f"{x.buffer} holds {x.buffer.dtype.name}, not {x.dtype.name}"
    if any(len(at.terms) != len(body.domain) for at in positions(x)):
        return f"its position is not over the {len(body.domain)} loops of the kernel"
    return None


def _memory_fault(body: Body, x: Instruction, moving: Sequence[set[int]]) -> str | None:
    if isinstance(x, Load | Store):
        guards = x.guards if isinstance(x, Load) else ()
        if not inside(x.at, guards, body.domain, x.buffer.size):
            return f"it leaves {x.buffer}, which has {x.buffer.size} elements"
    if isinstance(x, Store) and not distinct(x.at, body.domain):
        return f"it writes an element of {x.buffer} twice"
    if isinstance(x, Store) and moving[x.arg] - varies(x.at, body.domain):
        return "the value varies along a loop that the position does not follow"
    return None


def _varies(body: Body, x: Instruction, before: Sequence[set[int]]) -> set[int]:
    """The loops along which an instruction's value may change."""
    if isinstance(x, Product):
        return {d for d, n in enumerate(body.domain) if n > 1}
    found = set().union(*(before[arg] for arg in arguments(x)))
    for at in positions(x):
        found |= varies(at, body.domain)
    if isinstance(x, Reduce):
        found &= set(range(body.rows))
    return found


def _fault(kernel: Kernel, fault: str) -> StageError:
    return StageError("bodies", f"kernel {kernel.name}", fault)
