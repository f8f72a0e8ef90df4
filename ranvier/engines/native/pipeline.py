"""The stages from a simplified graph to machine code, one after the other.

simplify -> lower -> fuse -> schedule -> deduplicate -> link -> emit -> compile -> load

`Program.simplified` is the first; a program loads what the last one gives. Each stage is a
function from the result before it, checked by its specification in `verify`.
"""

from __future__ import annotations

from collections.abc import Sequence

from ranvier.engines.native.emit.module import emit_program
from ranvier.engines.native.fuse.fusion import fuse
from ranvier.engines.native.host import Host
from ranvier.engines.native.lower.lower import lower
from ranvier.engines.native.plans.matmul import TileHost
from ranvier.engines.native.run.jit import compile_object
from ranvier.engines.native.run.linkage import Linkage
from ranvier.engines.native.run.linking import link, slots_of
from ranvier.engines.native.schedule.deduplicate import KernelCalls, deduplicate
from ranvier.engines.native.schedule.schedule import Schedule, schedule
from ranvier.engines.native.verify.fusion import verify_fusion
from ranvier.engines.native.verify.lowered import verify_lowered
from ranvier.engines.program import Options, Signature, index_ranges
from ranvier.graph.tensor import Tensor


def schedule_step(
    simplified: Signature, options: Options, host: TileHost, threads: int = 1
) -> Schedule:
    """Lower, fuse and schedule a step: its kernels in order, with memory for so many threads."""
    lowered = lower(simplified.roots, host)
    verify_lowered(lowered)
    fusion = fuse(lowered, options.fuse)
    verify_fusion(fusion, lowered)
    return schedule(simplified.with_roots(lowered), fusion, options, host, threads)


def link_step(
    plan: Schedule, given: Sequence[Tensor], simplified: Signature, host: Host
) -> tuple[KernelCalls, Linkage]:
    """Return a scheduled step as calls of few kernels, and what running them takes.

    given: the tensors of the step as it was given, whose numbers the linkage speaks of.
    """
    slots = slots_of(plan)
    calls = deduplicate(plan.sequenced, slots)
    return calls, link(plan, calls, slots, given, index_ranges(simplified), host)


def compile_calls(calls: KernelCalls, host: Host) -> bytes:
    """Return the machine code of a linked step."""
    return compile_object(emit_program(calls, host), host)
