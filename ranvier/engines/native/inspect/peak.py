"""The machine's peak: what a loop of nothing but multiply-adds in registers reaches.

It is the yardstick of `describe` and of the benchmarks. On a shared machine it changes from
second to second, so it is measured beside what it is compared with.
"""

from __future__ import annotations

import functools
from time import perf_counter

import numpy as np
from llvmlite import ir

from ranvier.dtypes import DType, as_dtype, float32
from ranvier.engines.native.emit.ir import builder as e
from ranvier.engines.native.emit.ir.builder import Value
from ranvier.engines.native.emit.runtime import Call, emit_main
from ranvier.engines.native.host import CACHE_LINE, Host, host
from ranvier.engines.native.run.cache import default_cache, ir_key
from ranvier.engines.native.run.context import ENTRY, Slot, new_context
from ranvier.engines.native.run.jit import Loaded, compile_object, load
from ranvier.engines.native.run.thread_pool import thread_pool
from ranvier.graph.leaves import aligned_empty

_TURNS = 1 << 14
"""Turns of the loop in one step: about a tenth of a millisecond."""

_REPEATS = 5
"""Calls among which the measuring time is divided."""


def measure_peak(threads: int, dtype: DType = float32, seconds: float = 0.05) -> float:
    """Return the best rate in GFLOP/s of several calls on `threads` threads.

    The whole measurement takes about `seconds`, and a first use some milliseconds to compile.
    """
    loop = PeakLoop(threads, dtype)
    loop.rate(1)  # wakes the threads and fetches the code
    flops_per_second = loop.rate(10) * 1e9
    steps = max(1, int(seconds / _REPEATS * flops_per_second / loop.flops))
    return max(loop.rate(steps) for _ in range(_REPEATS))


class PeakLoop:
    """The loop, ready to run; `flops` is the arithmetic of one step on all threads."""

    def __init__(self, threads: int, dtype: DType = float32) -> None:
        machine = host()
        dtype = as_dtype(dtype)
        self.threads = threads
        self.flops = 2 * _TURNS * _accumulators(machine) * machine.lanes(dtype) * threads
        self._address = _code(dtype).address(ENTRY)
        self._sums = aligned_empty((threads * CACHE_LINE,), np.dtype(np.uint8))
        self._factors = aligned_empty((2,), dtype)
        self._factors[:] = 0.5, 1.0  # x <- x / 2 + 1 stays finite and never denormal
        self._context = new_context(2)
        for buffer, array in enumerate((self._factors, self._sums)):
            self._context[Slot.BUFFERS + 2 * buffer] = array.ctypes.data

    def rate(self, steps: int) -> float:
        """Run `steps` steps in one call and return its rate in GFLOP/s."""
        self._context[Slot.STEPS] = steps
        start = perf_counter()
        thread_pool().run(self._address, self._context, self.threads)
        return steps * self.flops / (perf_counter() - start) / 1e9


@functools.cache
def _code(dtype: DType) -> Loaded:
    """The loop's machine code for this machine; kept, since it is small."""
    machine = host()
    text = _program(machine, dtype)
    made = default_cache().get(ir_key(text, machine), lambda: compile_object(text, machine))
    return load(made, [ENTRY])


def _accumulators(machine: Host) -> int:
    """Independent sums: twice what hides a latency of four cycles at two results a cycle."""
    return min(16, machine.vector_registers - 4)


def _program(machine: Host, dtype: DType) -> str:
    module = ir.Module("peak")
    module.triple = machine.triple
    emit_main(module, machine, [Call(_emit_loop(module, machine, dtype), (0, 1))])
    return str(module)


def _emit_loop(module: Value, machine: Host, dtype: DType) -> Value:
    """The kernel: x <- factor * x + addend in all accumulators, the total to the thread's line."""
    function, b = e.kernel(module, "peak")
    table, thread, _ = function.args
    scalar, lanes = e.element_type(dtype), machine.lanes(dtype)
    # Loaded, not constant, so that the compiler cannot work out the result.
    source = e.buffer(b, table, 0)
    factor, addend = (
        e.splat(b, e.load(b, e.element(b, source, i, scalar), scalar, dtype.itemsize), lanes)
        for i in range(2)
    )
    first = [e.constant_splat(scalar, float(i), lanes) for i in range(_accumulators(machine))]
    with e.carried_loop(b, 0, _TURNS, 1, first) as state:
        state.values = [e.fused_multiply_add(b, x, factor, addend) for x in state.values]
    total = functools.reduce(b.fadd, state.values)
    line = e.element(b, e.buffer(b, table, 1), e.mul(b, thread, CACHE_LINE), e.I8)
    b.store(total, line, align=machine.vector_bytes)
    b.ret_void()
    return function
