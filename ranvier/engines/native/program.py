"""The native engine: schedule, emit, compile (or fetch from the cache), load and run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from threading import RLock
from time import perf_counter
from typing import Any

import numpy as np

from ranvier.engines.native.bisect import Difference, first_difference
from ranvier.engines.native.cache import default_cache, emission_key
from ranvier.engines.native.context import ENTRY, Slot, new_context
from ranvier.engines.native.costs import Cost, cost_of
from ranvier.engines.native.describe import Profile, describe_schedule
from ranvier.engines.native.host import Host, host
from ranvier.engines.native.jit import Loaded, compile_object, load
from ranvier.engines.native.kernels import Place
from ranvier.engines.native.patterns import wire
from ranvier.engines.native.schedule import Schedule, schedule
from ranvier.engines.native.team import team
from ranvier.engines.program import Argument, Options, Program, Signature
from ranvier.engines.reference import check_finite
from ranvier.errors import InputError, NonFiniteError
from ranvier.graph.leaves import Constant, State, aligned_empty
from ranvier.graph.tensor import Tensor
from ranvier.graph.walk import topological

INLINE_SECONDS = 2e-4
"""A call expected to be shorter than this runs on the caller's own thread alone."""

SHARE_SECONDS = 1e-5
"""What each thread must have to do, on average, between two barriers of a step.

With less, fetching what the others wrote into their caches costs more than their help saves.
"""


class NativeProgram(Program):
    """A step compiled to machine code for this processor."""

    def __init__(self, signature: Signature, options: Options) -> None:
        if options.check_finite:
            options = replace(options, fuse=False, in_place=False)
        super().__init__(signature, options)
        self.host = host()
        self.threads = options.threads or self.host.cores
        self.schedule = schedule(signature, options, self.host, self.threads)
        self._cost = sum((cost_of(k) for k in self.schedule.sequenced.kernels), Cost(0, 0))
        self._slots = _slots(self.schedule)
        self._arena = _arena(self.schedule)
        self._loaded: Loaded | None = _load(self.schedule, self._slots, self.host)
        self._context = new_context(len(self._slots))
        self._constants = self._bind_fixed()
        self._profile: Profile | None = None
        self._lock = RLock()

    # ------------------------------------------------------------ running

    def _run(
        self, arguments: Mapping[str, Argument], outputs: Mapping[str, np.ndarray], steps: int
    ) -> None:
        with self._lock:
            if self._loaded is None:
                raise InputError("the program has been released; compile it again")
            for name, tensor in self.signature.inputs.items():
                argument = arguments[name]
                size = tensor.size * tensor.dtype.itemsize if argument.streamed else 0
                if tensor in self.schedule.leaves:
                    self._point(self.schedule.leaves[tensor], argument.array, size)
            for name, array in outputs.items():
                place = self.schedule.outputs[name]
                self._point(place, array, place.nbytes)
            if self.options.check_finite:
                self._run_checked(arguments, outputs, steps)
            else:
                self._call(steps)

    def _call(self, steps: int) -> None:
        assert self._loaded is not None
        threads, inline = self._crew(steps)
        self._context[Slot.STEPS] = steps
        team().run(self._loaded.address(ENTRY), self._context, threads, inline)

    def _crew(self, steps: int) -> tuple[int, bool]:
        """How many threads, and whether on the caller's own; neither changes any result."""
        seconds = self._cost.seconds(self.host)
        barriers = 1 + max(self.schedule.sequenced.epochs, default=0)
        threads = self.threads
        if self.options.threads is None:
            useful = int(seconds / (SHARE_SECONDS * barriers))
            threads = max(1, min(threads, useful))
            if seconds * steps < INLINE_SECONDS:
                threads = 1
        return threads, threads == 1 and seconds * steps < INLINE_SECONDS

    def _run_checked(
        self, arguments: Mapping[str, Argument], outputs: Mapping[str, np.ndarray], steps: int
    ) -> None:
        """Run step by step, and look at every tensor after each; a bad step changes no state."""
        order = topological(self.schedule.stored)
        for step in range(steps):
            for name, tensor in self.signature.inputs.items():
                if tensor in self.schedule.leaves and arguments[name].streamed:
                    here = arguments[name].array[step : step + 1]
                    self._point(self.schedule.leaves[tensor], here, 0)
            for name, array in outputs.items():
                self._point(self.schedule.outputs[name], array[step : step + 1], 0)
            given = self._leaves(arguments, step)
            self._call(1)
            try:
                check_finite(order, {**given, **self._stored(outputs, step)}, step)
            except NonFiniteError:
                for state in self.signature.updates:
                    state.value = given[state]
                raise

    def bisect(self, /, **arrays: Any) -> Difference | None:
        """Run one step beside the reference and return the first kernel's result that differs.

        The step runs as it is compiled but with nothing in place; the state is left as it was.
        None means that every kernel agrees with NumPy.
        """
        options = replace(self.options, in_place=False, check_finite=False)
        debug = NativeProgram(self.signature, options)
        arguments = debug._bind(arrays, None)
        given = debug._leaves(arguments, 0)
        before = {state: state.value for state in self.signature.updates}
        try:
            outputs = {name: array[None] for name, array in debug(**arrays).items()}
            new = {root: state.value for state, root in debug.schedule.updates.items()}
        finally:
            for state, value in before.items():
                state.value = value
        values = {**given, **new, **debug._stored(outputs, 0)}
        debug.release()
        return first_difference(debug.schedule.sequenced.kernels, values)

    def _leaves(self, arguments: Mapping[str, Argument], step: int) -> dict[Tensor, np.ndarray]:
        """The value of every leaf before a step."""
        values: dict[Tensor, np.ndarray] = {}
        for name, tensor in self.signature.inputs.items():
            argument = arguments[name]
            values[tensor] = argument.array[step] if argument.streamed else argument.array
        for leaf in self.schedule.leaves:
            if isinstance(leaf, State):
                values[leaf] = leaf.value
            elif isinstance(leaf.op, Constant):
                values[leaf] = leaf.op.value
        return values

    def _stored(self, outputs: Mapping[str, np.ndarray], step: int) -> dict[Tensor, np.ndarray]:
        """What kernels have stored in a step; whole only where nothing shares memory."""
        results = {place: outputs[name][step] for name, place in self.schedule.outputs.items()}
        return {
            tensor: results[place] if place in results else self._value(tensor, place).copy()
            for tensor, place in self.schedule.stored.items()
        }

    def _value(self, tensor: Tensor, place: Place) -> np.ndarray:
        inset = self.schedule.insets.get(tensor)
        whole = self._temporary(place)
        return whole if inset is None else inset.view(whole)

    def _temporary(self, place: Place) -> np.ndarray:
        if not place.size:
            return np.empty(place.shape, place.dtype)
        at = self.schedule.arena.offsets[place]
        return self._arena[at : at + place.nbytes].view(place.dtype).reshape(place.shape)

    # ------------------------------------------------------------ memory

    def _bind_fixed(self) -> list[np.ndarray]:
        """Point at constants, state and temporaries, which never move."""
        constants = []
        for tensor, place in self.schedule.leaves.items():
            if isinstance(tensor, State):
                self._point(place, tensor.storage, 0)
            elif isinstance(tensor.op, Constant):
                copy = aligned_empty(tensor.shape, tensor.dtype)
                copy[...] = tensor.op.value
                constants.append(copy)
                self._point(place, copy, 0)
        for place, offset in self.schedule.arena.offsets.items():
            self._point(place, self._arena[offset:], 0)
        return constants

    def _point(self, place: Place, array: np.ndarray, stride: int) -> None:
        slot = Slot.BUFFERS + 2 * self._slots[place]
        self._context[slot] = array.ctypes.data
        self._context[slot + 1] = stride

    def release(self) -> None:
        """Give back the code and memory; the program cannot run afterwards."""
        with self._lock:
            if self._loaded is not None:
                self._loaded.close()
            self._loaded = None
            self._arena = np.empty(0, np.uint8)

    # ------------------------------------------------------------ looking inside

    def profile(self, /, *, steps: int = 1, **arrays: Any) -> dict[str, np.ndarray]:
        """Run `steps` steps as a call does, and note the time of each kernel for `describe`."""
        from ranvier.engines.native.peak import measure_peak

        if steps < 1:
            raise InputError(f"profile: steps is {steps}; use 1 or more")
        ticks = np.zeros(len(self.schedule.sequenced.kernels), np.uint64)
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
        return describe_schedule(self.schedule, self._profile)


def _arena(plan: Schedule) -> np.ndarray:
    """The memory of all temporaries."""
    try:
        return aligned_empty((plan.arena.size,), np.dtype(np.uint8), 4096)
    except MemoryError:
        largest = max(plan.arena.offsets, key=lambda place: place.nbytes)
        raise InputError(
            f"the step needs {plan.arena.size / 1e9:.3g} GB for its temporaries, the largest "
            f"{largest.nbytes / 1e9:.3g} GB ({largest}), more than there is; use a smaller batch"
        ) from None


def _slots(plan: Schedule) -> dict[Place, int]:
    """Number every place; the number is its slot in the pointer table."""
    # The arena's own order is by size, and so by the number of threads, which code must not be.
    temporaries = sorted(plan.arena.offsets, key=lambda place: place.name)
    places = [*plan.leaves.values(), *plan.outputs.values(), *temporaries]
    return {place: slot for slot, place in enumerate(dict.fromkeys(places))}


def _load(plan: Schedule, slots: Mapping[Place, int], machine: Host) -> Loaded:
    """Compile the schedule, or fetch it from the cache, and load it."""
    wired = wire(plan.sequenced, slots)
    key = emission_key(str(wired), machine)

    def make() -> bytes:
        # The emitters take longer to import than to find a program in the cache.
        from ranvier.engines.native.emit.module import emit_program

        return compile_object(emit_program(wired, machine), machine)

    return load(default_cache().object(key, make), [ENTRY])
