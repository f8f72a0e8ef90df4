"""The threads that run a program: parked workers, woken together for each call.

All threads enter the program at once with their index and meet at its barriers, as in SPMD
(single program, multiple data). They are Python threads inside a foreign call, which leaves
the interpreter to others. Workers stay parked between calls, since starting a thread takes
longer than many a call; concurrent calls borrow workers of their own.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable
from queue import SimpleQueue
from threading import Lock, Thread

import numpy as np

from ranvier.engines.native.host import host
from ranvier.engines.native.run.context import Slot
from ranvier.errors import InputError

_ENTRY = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)
"""The type of a program's entry: (context, index of the thread)."""

SPINS = 4000
"""Looks at a barrier's counter before a waiting thread sleeps between looks: 100 to 200 us."""

FEW_SPINS = 100
"""The same where there are more threads than cores: the awaited thread may need this one's core.

By `benchmarks/busy.py`: four threads on two cores take a quarter of the time of 4000 looks.
"""

_LOOK = 0.1
"""Seconds after which a waiting caller looks up, where a signal alone would not wake it."""


class ThreadPool:
    """Workers that run programs, created when first needed and kept for later calls."""

    def __init__(self) -> None:
        self._idle: list[_Worker] = []
        self._lock = Lock()

    def run(self, address: int, context: np.ndarray, threads: int, inline: bool = False) -> None:
        """Call the entry at `address` once on each of `threads` threads; return when all have.

        `context` is the program's; its slots for threads, stop, done and barriers are set here,
        and its slot for sleeps counts those of this call.
        With `inline` one thread, the caller's own, does all: right for short calls, but a
        signal waits until it returns. Otherwise workers run the program, and an exception in
        the waiting caller (KeyboardInterrupt, above all) ends the call after the step in hand,
        on all threads, before it passes on.
        """
        if inline and threads != 1:
            raise ValueError(f"an inline call runs on 1 thread, not {threads}")
        context[Slot.THREADS] = threads
        context[Slot.SPINS] = SPINS if threads <= host().cores else FEW_SPINS
        for slot in (Slot.STOP, Slot.DONE, Slot.ARRIVALS, Slot.LAST, Slot.SLEEPS):
            context[slot] = 0
        entry = _ENTRY(address)
        if inline:
            entry(context.ctypes.data, 0)
            return
        _Job(entry, context, self._borrow(threads)).run()

    def _borrow(self, count: int) -> list[_Worker]:
        """Take idle workers, and new ones where there are too few."""
        with self._lock:
            found = [self._idle.pop() for _ in range(min(count, len(self._idle)))]
        try:
            while len(found) < count:
                found.append(_Worker(self._give_back))
        except RuntimeError as error:
            self._give_back(*found)
            if "start new thread" not in str(error):
                raise
            raise InputError(
                f"this system does not start {count} threads; compile with a smaller threads=…"
            ) from None
        return found

    def _give_back(self, *workers: _Worker) -> None:
        with self._lock:
            self._idle += workers


@functools.cache
def thread_pool() -> ThreadPool:
    """The workers of this process."""
    return ThreadPool()


class _Job:
    """One call: its entry, its context, its workers, and which of them are not back yet."""

    def __init__(
        self, entry: Callable[[int, int], None], context: np.ndarray, workers: list[_Worker]
    ) -> None:
        self._entry = entry
        self._context = context
        self._address = context.ctypes.data
        self._workers = workers
        self._started = [False] * len(workers)
        self._left = len(workers)
        self._lock = Lock()
        self._all_back = Lock()
        self._all_back.acquire()

    def run(self) -> None:
        """Start the workers and wait until all are back, come what may.

        An exception may strike between any two instructions, even when some workers have
        started and others have not. So all begins again until all are back; a worker ignores
        a share that it has done.
        """
        failure: BaseException | None = None
        while True:
            try:
                while self._left:
                    failure = self._wait(failure) or failure
                break
            except BaseException as error:  # a second signal, outside the lines that _wait guards
                failure = error
        if failure is not None:
            raise failure

    def _wait(self, failure: BaseException | None) -> BaseException | None:
        """Hand out all shares and wait until all workers are back; return what broke the wait."""
        try:
            if failure is not None:
                self._context[Slot.STOP] = 1
            for index, worker in enumerate(self._workers):
                worker.inbox.put((self, index))
            while self._left:
                self._all_back.acquire(timeout=_LOOK)
        except BaseException as error:
            return error
        return None

    def start(self, index: int) -> bool:
        """Whether the share `index` is new; only its own worker asks."""
        new = not self._started[index]
        self._started[index] = True
        return new

    def work(self, index: int) -> None:
        """Run one thread's share."""
        self._entry(self._address, index)

    def finish(self) -> None:
        """Note that one worker is back; the last one wakes the caller."""
        with self._lock:
            self._left -= 1
            last = self._left == 0
        if last:
            self._all_back.release()


class _Worker:
    """A parked daemon thread that does the shares put into its inbox."""

    def __init__(self, give_back: Callable[[_Worker], None]) -> None:
        self.inbox: SimpleQueue[tuple[_Job, int]] = SimpleQueue()
        self._give_back = give_back
        Thread(target=self._loop, name="ranvier-worker", daemon=True).start()

    def _loop(self) -> None:
        while True:
            job, index = self.inbox.get()
            if job.start(index):
                job.work(index)
                self._give_back(self)
                job.finish()
            del job  # a parked worker keeps nobody's arrays alive


if hasattr(os, "register_at_fork"):
    # Threads do not survive a fork: the child starts with a pool of its own.
    os.register_at_fork(after_in_child=thread_pool.cache_clear)
