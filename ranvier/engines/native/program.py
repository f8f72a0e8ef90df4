"""The native engine: schedule, emit and compile a step, or fetch it from the cache; run it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from ranvier.engines.native.host import host
from ranvier.engines.native.run.cache import default_cache, linkage_key
from ranvier.engines.native.run.context import ENTRY, Slot, new_context, new_counters
from ranvier.engines.native.run.jit import Loaded, load
from ranvier.engines.native.run.linkage import Linkage, numbered, step_text
from ranvier.engines.native.run.thread_count import ThreadCount
from ranvier.engines.native.run.thread_pool import thread_pool
from ranvier.engines.program import Argument, Options, Program, Signature
from ranvier.errors import CompileError, InputError
from ranvier.graph.leaves import Constant, State, aligned_empty
from ranvier.graph.tensor import Tensor

# The scheduler, the emitters and what looks inside a program take longer to import than the
# cache takes to find a program, so they are imported where they are needed.
if TYPE_CHECKING:
    from ranvier.engines.native.inspect.bisect import Difference
    from ranvier.engines.native.inspect.describe import Profile
    from ranvier.engines.native.schedule.schedule import Schedule

INLINE_SECONDS = 2e-4
"""A call expected to be shorter than this runs on the caller's own thread alone."""

SHARE_SECONDS = 1e-5
"""What each thread must have to do, on average, between two barriers of a step.

With less, fetching what the others wrote into their caches costs more than their help saves.
"""

SHORT_SECONDS = 2e-3
"""A step expected to be shorter, on one thread, may run on fewer threads while barriers starve.

A longer one has so much to do between its barriers that waiting at them costs it less than a core.
On a machine whose speed changes, a trial of such steps would tell nothing (`benchmarks/busy.py`).
"""


class NativeProgram(Program):
    """A step compiled to machine code for this processor."""

    def __init__(self, signature: Signature, options: Options) -> None:
        if options.check_finite:
            options = replace(options, fuse=False, in_place=False)
        super().__init__(signature, options)
        self.host = host()
        self.threads = options.threads or self.host.cores
        self._schedule: Schedule | None = None
        tensors = numbered(signature)
        self._key = self._cache_key(tensors)
        self._linkage, code = self._look_up() or self._link(tensors)
        self.arena = self._new_arena()  # before code is made that would find no room
        self._loaded: Loaded | None = load(code(), [ENTRY])
        self._context = new_context(self._linkage.buffers)
        self._counters = new_counters(self._linkage.counters, self.threads)
        self._context[Slot.COUNTERS] = self._counters.ctypes.data
        self._inputs: dict[str, int] = {}
        self._constants: list[np.ndarray] = []
        self._bind_memory(tensors)
        self._rows = self._linkage.rows
        self._count = ThreadCount(self._most_threads(), self._linkage.seconds)
        self._profile: Profile | None = None
        self._verified = not options.verify

    # ------------------------------------------------------------ compiling

    @property
    def schedule(self) -> Schedule:
        """The kernels of a step; where the cache knew the step, they are made when asked for."""
        from ranvier.engines.native.pipeline import schedule_step

        with self._lock:
            if self._schedule is None:
                known = self.simplified, self.options, self.host, self.threads
                self._schedule = schedule_step(*known)
            return self._schedule

    def _cache_key(self, tensors: Sequence[Tensor]) -> str | None:
        """The key of the step's linkage in the cache; None if it cannot be kept there."""
        text = step_text(tensors, self.signature, self.options)
        return text and linkage_key(f"{self.threads} threads\n{text}", self.host)

    def _look_up(self) -> tuple[Linkage, Callable[[], bytes]] | None:
        """The linkage and the code of a step that the cache knows."""
        payload = default_cache(".linkage").read(self._key) if self._key else None
        if payload is None:
            return None
        linkage = Linkage.unpack(payload)
        code = default_cache().read(linkage.code)
        return None if code is None else (linkage, lambda: code)

    def _link(self, tensors: Sequence[Tensor]) -> tuple[Linkage, Callable[[], bytes]]:
        """The linkage of a step that the cache does not know, and how to get its code."""
        from ranvier.engines.native.pipeline import compile_calls, link_step

        calls, linkage = link_step(self.schedule, tensors, self.simplified, self.host)

        def code() -> bytes:
            found = default_cache().get(linkage.code, lambda: compile_calls(calls, self.host))
            if self._key is not None:
                default_cache(".linkage").write(self._key, linkage.pack())
            return found

        return linkage, code

    # ------------------------------------------------------------ memory

    def _new_arena(self) -> np.ndarray:
        """The memory of all temporaries."""
        size = self._linkage.arena
        try:
            return aligned_empty((size,), np.dtype(np.uint8), 4096)
        except MemoryError:
            largest = max(self.schedule.arena.offsets, key=lambda buffer: buffer.nbytes)
            raise InputError(
                f"the step needs {size / 1e9:.3g} GB for its temporaries, the largest "
                f"{largest.nbytes / 1e9:.3g} GB ({largest}), more than there is; use a smaller "
                "batch"
            ) from None

    def _bind_memory(self, tensors: Sequence[Tensor]) -> None:
        """Point at constants, state and temporaries, which never move, and find the inputs."""
        names = {tensor: name for name, tensor in self.signature.inputs.items()}
        constants = list(self._linkage.constants)
        for number, slot in self._linkage.leaves:
            leaf = tensors[number]
            if isinstance(leaf, State):
                self._point(slot, leaf.storage, 0)
            elif isinstance(leaf.op, Constant):
                constants.append((leaf.op.value, slot))
            else:
                self._inputs[names[leaf]] = slot
        for value, slot in constants:
            copy = aligned_empty(value.shape, value.dtype)
            copy[...] = value
            self._constants.append(copy)
            self._point(slot, copy, 0)
        for slot, offset in self._linkage.temporaries:
            self._point(slot, self.arena[offset:], 0)

    def _point(self, slot: int, array: np.ndarray, stride: int) -> None:
        self._context[Slot.BUFFERS + 2 * slot] = array.ctypes.data
        self._context[Slot.BUFFERS + 2 * slot + 1] = stride

    def release(self) -> None:
        """Give back the code and memory; the program cannot run afterwards."""
        with self._lock:
            if self._loaded is not None:
                self._loaded.close()
            self._loaded = None
            self.arena = np.empty(0, np.uint8)

    # ------------------------------------------------------------ running

    def _run(
        self, arguments: Mapping[str, Argument], outputs: Mapping[str, np.ndarray], steps: int
    ) -> None:
        with self._lock:
            if not self._verified:
                self._verify(arguments)
            if self.options.check_finite:
                from ranvier.engines.native.inspect.debug_check import run_checked

                run_checked(self, arguments, outputs, steps)
            else:
                self.run_steps(arguments, outputs, steps)

    def run_steps(
        self, arguments: Mapping[str, Argument], outputs: Mapping[str, np.ndarray], steps: int
    ) -> None:
        """Run `steps` steps on bound arguments and fill the outputs, each [steps, …]."""
        if self._loaded is None:
            raise InputError("the program has been released; compile it again")
        for name, slot in self._inputs.items():
            argument, tensor = arguments[name], self.signature.inputs[name]
            self._point(slot, argument.array, tensor.nbytes if argument.streamed else 0)
        for name, array in outputs.items():
            self._point(self._linkage.outputs[name], array, self.signature.outputs[name].nbytes)
        free, most = self.options.threads is None, self._count.most
        short = self._linkage.seconds < SHORT_SECONDS
        if self._linkage.seconds * steps < INLINE_SECONDS and (free or most == 1):
            self._launch(steps, 1, inline=True)
        elif free and short and most > 1:
            self._run_in_pieces(steps)
        else:
            self._launch(steps, most)

    def _most_threads(self) -> int:
        """As many threads as asked for; else as have enough to do, at most one for each core."""
        if self.options.threads is not None:
            return self.options.threads
        useful = int(self._linkage.seconds / (SHARE_SECONDS * self._linkage.barriers))
        return max(1, min(self.host.cores, useful))

    def _run_in_pieces(self, steps: int) -> None:
        """Run steps piece by piece, each on as many threads as did well so far."""
        while True:
            piece = self._count.piece(steps)
            start = perf_counter()
            self._launch(piece, self._count.threads)
            self._count.took(piece, perf_counter() - start, int(self._context[Slot.SLEEPS]))
            steps -= piece
            if not steps:
                return
            bases, strides = (self._context[Slot.BUFFERS + i :: 2] for i in (0, 1))
            bases += piece * strides

    def _launch(self, steps: int, threads: int, inline: bool = False) -> None:
        """Run so many steps from where the buffers point to; see `ThreadPool.run`."""
        assert self._loaded is not None
        self._context[Slot.STEPS] = steps
        self._counters.fill(0)
        thread_pool().run(self._loaded.address(ENTRY), self._context, threads, inline)

    # ------------------------------------------------------------ looking inside

    def bisect(self, /, **arrays: Any) -> Difference | None:
        """Run one step beside the reference and return the first kernel's result that differs.

        The step runs as it is compiled but with nothing in place; the state is left as it was.
        None means that every kernel agrees with NumPy.
        """
        return self._difference(self._bind(arrays, None))

    def _difference(self, arguments: Mapping[str, Argument]) -> Difference | None:
        from ranvier.engines.native.inspect.debug_check import find_difference

        options = replace(self.options, in_place=False, check_finite=False, verify=False)
        debug = NativeProgram(self.signature, options)
        try:
            return find_difference(debug, arguments)
        finally:
            debug.release()

    def _verify(self, arguments: Mapping[str, Argument]) -> None:
        """Compare the kernels of the first step of a call with the reference engine."""
        first = {
            name: Argument(a.array[:1], True) if a.streamed else a for name, a in arguments.items()
        }
        difference = self._difference(first)
        if difference is not None:
            raise CompileError(f"{difference}; this is a defect of Ranvier, please report it")
        self._verified = True

    def profile(self, /, *, steps: int = 1, **arrays: Any) -> dict[str, np.ndarray]:
        """Run `steps` steps as a call does, and note the time of each kernel for `describe`."""
        from ranvier.engines.native.inspect.describe import Profile
        from ranvier.engines.native.inspect.peak import measure_peak

        if steps < 1:
            raise InputError(f"profile: steps is {steps}; use 1 or more")
        ticks = np.zeros(self._linkage.kernels, np.uint64)
        with self._lock:  # a call of another thread would note its times too
            self._context[Slot.PROFILE] = ticks.ctypes.data
            start = perf_counter()
            try:
                outputs = self(steps=steps, **arrays)
            finally:
                self._context[Slot.PROFILE] = 0
            seconds = perf_counter() - start
            threads = int(self._context[Slot.THREADS])
        share = ticks / max(int(ticks.sum()), 1)
        self._profile = Profile(share * seconds / steps, measure_peak(threads), threads)
        return outputs

    def describe(self) -> str:
        """Return the kernels in order with FLOPs, bytes moved and the arena's size.

        After `profile` also the time of each and its share of the machine's measured peak.
        """
        from ranvier.engines.native.inspect.describe import describe_schedule

        return describe_schedule(self.schedule, self._profile)
