"""The context of a call: what Python tells a program, and what it reads while that runs.

It is an array of 64-bit slots; every thread gets its address.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from enum import IntEnum
from typing import Any

import numpy as np

from ranvier.engines.native.host import CACHE_LINE
from ranvier.graph.leaves import aligned_empty

ENTRY = "ranvier_main"
"""The name of the one symbol that a program exports: (context, index of the thread)."""


COUNTERS = CACHE_LINE // 8
"""The counters, of eight bytes, that a thread has for a kernel: a line, so that none waits."""


class Slot(IntEnum):
    """The slots of a context, in units of eight bytes.

    Behind `BUFFERS` stand two slots a buffer: its address, and by how many bytes the address
    advances from step to step. Counters that threads wait for have cache lines of their own.
    """

    THREADS = 0
    STEPS = 1
    STOP = 2  # set by Python to end the call after the step in hand
    DONE = 3  # the steps that all threads have finished
    SLEEP = 4  # address of a function that sleeps for so many microseconds, or 0
    PROFILE = 5  # address of uint64[calls] that gathers clock ticks, or 0
    WORK = 6  # address of int64[threads] that counts each thread's steps, or 0
    COUNTERS = 7  # address of those by which kernels hand out their units; zeroed by Python
    SLEEPS = 8  # how many times threads slept in barriers since the call began; zeroed by Python
    SPINS = 9  # looks at the counter before a waiting thread sleeps between looks
    ARRIVALS = 16  # arrivals at barriers since the call began; zeroed by Python
    LAST = 24  # the number of steps after which all stop, or 0; zeroed by Python
    BUFFERS = 32


def new_context(buffers: int) -> np.ndarray:
    """A zeroed context (int64, aligned to a cache line) for a program with so many buffers."""
    context = aligned_empty((Slot.BUFFERS + 2 * buffers,), np.dtype(np.int64))
    context.fill(0)
    context[Slot.SLEEP] = sleep_address()
    return context


def new_counters(kernels: int, threads: int) -> np.ndarray:
    """The counters of so many kernels that hand out their units."""
    return aligned_empty((kernels, threads, COUNTERS), np.dtype(np.int64))


@functools.cache
def sleep_address() -> int:
    """The address of the system's function that sleeps for some microseconds, or 0.

    On a busy machine a thread that only offered its core to others would get it back after
    their whole time slices, at every barrier; one that slept comes first.
    """
    try:
        if sys.platform == "win32":  # there sleeping takes too long; this takes no argument
            function: Any = ctypes.WinDLL("kernel32").SwitchToThread
        else:
            function = ctypes.CDLL(None).usleep
    except (OSError, AttributeError):
        return 0
    return ctypes.cast(function, ctypes.c_void_p).value or 0
