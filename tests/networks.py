"""What several test files need: the benchmarks' steps, their state, and threads one by one."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

import ranvier as rv
from ranvier.engines.native.emit.module import emit_program
from ranvier.engines.native.program import NativeProgram
from ranvier.engines.native.run.context import ENTRY, Slot, new_context, new_counters
from ranvier.engines.native.run.jit import Loaded, compile_object, load
from ranvier.engines.native.run.linking import slots_of
from ranvier.engines.native.run.thread_pool import thread_pool
from ranvier.engines.native.schedule.deduplicate import deduplicate
from ranvier.engines.native.schedule.kernels import Buffer, Kernel
from ranvier.engines.native.schedule.order import Sequenced

BENCHMARKS = str(Path(__file__).parents[1] / "benchmarks")
if BENCHMARKS not in sys.path:
    sys.path.insert(0, BENCHMARKS)

from steps import STEPS, Step  # noqa: E402 (the folder must be on the path)

__all__ = [
    "STEPS",
    "Step",
    "compiled",
    "contents",
    "kernel_shares",
    "restore",
    "run_steps",
    "values",
]

ALL_ARRIVED = 1 << 60
"""A count of arrivals at barriers that opens every one of them."""

ALL_TAKEN = 1 << 60
"""A count of the parts of a share that leaves nothing of it."""


def compiled(step: Step, **options: object) -> NativeProgram:
    """The step as a program of the native engine."""
    program = step.compile(**options)
    assert isinstance(program, NativeProgram)
    return program


def values(states: Iterable[rv.State]) -> list[np.ndarray]:
    """A copy of each state's value."""
    return [state.value for state in states]


def restore(states: Iterable[rv.State], saved: Iterable[np.ndarray]) -> None:
    """Give each state a value again that `values` has copied."""
    for state, value in zip(states, saved, strict=True):
        state.value = value


def contents(outputs: Mapping[str, np.ndarray], states: Iterable[rv.State]) -> bytes:
    """All bits of a call's results: the outputs, then the states."""
    return b"".join(array.tobytes() for array in [*outputs.values(), *values(states)])


def kernel_shares(
    program: NativeProgram, kernel: Kernel, threads: int
) -> tuple[np.ndarray, np.ndarray]:
    """Which bytes of its results each thread writes in one kernel, and which one thread would.

    Masks [threads, bytes] and [bytes]. The kernel is compiled by itself and each thread's share
    is run alone, over the memory that the program's latest call has left. Compile with
    `in_place=False`, so that this memory holds what the kernel reads; arrays of the latest
    call must still be there.
    """
    kernel_calls = deduplicate(Sequenced((kernel,), (0,)), slots_of(program.schedule))
    text = emit_program(kernel_calls, program.host)
    results = [_bytes_of(program, buffer) for buffer in dict.fromkeys(kernel.writes())]
    saved = [memory.copy() for memory in results]

    def written(thread: int, of: int) -> np.ndarray:
        found = []
        for mark in (0x5A, 0xA5):  # what is written equals one of them at most
            for memory in results:
                memory[...] = mark
            _run_alone(loaded, program._context, thread, of)
            found.append(np.concatenate(results) != mark)
        return found[0] | found[1]

    with load(compile_object(text, program.host), [ENTRY]) as loaded:
        shares = np.array([written(thread, threads) for thread in range(threads)])
        whole = written(0, 1)
    for memory, old in zip(results, saved, strict=True):
        memory[...] = old
    return shares, whole


def _bytes_of(program: NativeProgram, buffer: Buffer) -> np.ndarray:
    address = int(program._context[Slot.BUFFERS + 2 * slots_of(program.schedule)[buffer]])
    return np.ctypeslib.as_array((ctypes.c_uint8 * buffer.nbytes).from_address(address))


def run_steps(
    loaded: Loaded, buffers: Sequence[np.ndarray], threads: int, steps: int = 1, counted: int = 1
) -> None:
    """Run steps of emitted code over its buffers, of whose kernels so many have counters."""
    context, counters = new_context(len(buffers)), new_counters(counted, threads)
    counters.fill(0)
    context[Slot.STEPS], context[Slot.COUNTERS] = steps, counters.ctypes.data
    for number, buffer in enumerate(buffers):
        context[Slot.BUFFERS + 2 * number] = buffer.ctypes.data
    thread_pool().run(loaded.address(ENTRY), context, threads)


def _own_share(thread: int, threads: int) -> np.ndarray:
    """The counters of a kernel, by which a thread finds nothing to do beside its own share."""
    counters = new_counters(1, threads)
    counters.fill(ALL_TAKEN)
    counters[:, thread] = 0
    return counters


def _run_alone(loaded: Loaded, context: np.ndarray, thread: int, threads: int) -> None:
    """Do one thread's share of a step of one kernel; the barriers stand open."""
    counters = _own_share(thread, threads)
    context[Slot.THREADS], context[Slot.STEPS] = threads, 1
    context[Slot.COUNTERS] = counters.ctypes.data
    context[Slot.STOP] = context[Slot.LAST] = 0
    context[Slot.ARRIVALS] = ALL_ARRIVED
    entry = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)
    entry(loaded.address(ENTRY))(context.ctypes.data, thread)
