"""The program's entry: the loop over steps, the barriers, the floating-point mode, the clock.

Every thread of the pool calls `ranvier_main(context, thread)` once per call; `context.py`
describes the context.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from llvmlite import ir

from ranvier.engines.native.emit.ir import builder as e
from ranvier.engines.native.emit.ir.builder import I8, I32, I64, PTR, VOID, Value
from ranvier.engines.native.emit.work_stealing import (
    MEETING,
    MEETING_TYPE,
    Before,
    Record,
    entry,
)
from ranvier.engines.native.host import Host
from ranvier.engines.native.run.context import COUNTERS, ENTRY, Slot
from ranvier.records import dataclass

_SLEEP = ir.FunctionType(VOID, [I32]).as_pointer()
"""A pointer to a function that sleeps; llvmlite wants the type in order to call it."""

_KERNEL = e.KERNEL_TYPE.as_pointer()
"""A pointer to a kernel."""

_NOTHING = ir.Constant(PTR, None)
"""The null pointer."""

_X86_FLUSH = 0x8040
"""The bits FTZ and DAZ of the register MXCSR: results and operands that are denormal are zero."""

_ARM_FLUSH = 1 << 24
"""The bit FZ of the register FPCR, which does both."""


@dataclass(frozen=True)
class Call:
    """Run a kernel, a function of type `builder.KERNEL_TYPE`.

    Its pointer table has the addresses of `buffers`, in that order, each moved on by as many bytes
    as `starts` says (none if it is empty). Before it, threads wait for each other if `barrier`.
    With `counters` each thread has some of its own.
    """

    function: Value
    buffers: Sequence[int]
    starts: Sequence[int] = ()
    barrier: bool = False
    counters: bool = False


def emit_main(module: Value, host: Host, calls: Sequence[Call]) -> Value:
    """Add the entry to `module`: what each step calls, in order.

    Each step ends with a barrier. The program runs with denormal numbers flushed to zero; the
    caller's mode is restored.
    """
    steps = _emit_steps(module, host, calls)
    main = ir.Function(module, ir.FunctionType(VOID, [PTR, I64]), ENTRY)
    b = ir.IRBuilder(main.append_basic_block("entry"))
    # The steps are a function of their own, never inlined: arithmetic cannot leave the mode.
    before = _enter_flush_mode(b, host)
    b.call(steps, main.args)
    _restore_mode(b, host, before)
    b.ret_void()
    return main


@dataclass(frozen=True)
class _Thread:
    """What one thread keeps at hand while it emits its steps.

    Before its pointer `table` stands what `Before` tells of: the address of its `record`, too.
    """

    context: Value
    index: Value
    threads: Value
    record: Value
    table: Value
    barrier: Value


def _emit_steps(module: Value, host: Host, calls: Sequence[Call]) -> Value:
    """The function (context, thread) that runs all steps."""
    function = _internal(module, "ranvier_steps", ir.FunctionType(VOID, [PTR, I64]))
    context, index = function.args
    b = ir.IRBuilder(function.append_basic_block("entry"))
    own = _enter(b, context, index, calls, _emit_barrier(module, host))
    profile = _Profile(b, host, own)
    plan = _Plan(module, calls)
    steps = _load_slot(b, context, Slot.STEPS)
    head, body = b.append_basic_block("head"), b.append_basic_block("step")
    finish = b.append_basic_block("finish")
    before = b.block
    b.branch(head)
    b.position_at_end(head)
    step = b.phi(I64)
    step.add_incoming(e.i64(0), before)
    b.cbranch(b.icmp_signed("<", step, steps), body, finish)
    b.position_at_end(body)
    b.store(step, entry(b, own.record, Record.STEP))
    with e.loop(b, 0, len(calls)) as number:
        with b.if_then(plan.barrier(b, number)):
            b.call(own.barrier, [own.record])
        profile.look(b, number)
        _fill_table(b, own, plan, number, step)
        b.call(plan.function(b, number), [own.table, own.index, own.threads])
    following = b.add(step, e.i64(1))
    stop = _end_step(b, own, following)
    profile.look(b, e.i64(len(calls)))
    step.add_incoming(following, b.block)
    b.cbranch(stop, finish, head)
    b.position_at_end(finish)
    b.ret_void()
    return function


def _enter(
    b: Value, context: Value, index: Value, calls: Sequence[Call], barrier: Value
) -> _Thread:
    """Make room for a thread's record and pointer table, and fill the record."""
    before = len(Before)
    room = b.alloca(PTR, size=before + max((len(call.buffers) for call in calls), default=0))
    table, record = e.element(b, room, before, PTR), b.alloca(I64, size=len(Record))
    own = _Thread(context, index, _load_slot(b, context, Slot.THREADS), record, table, barrier)
    b.store(b.ptrtoint(context, I64), entry(b, record, Record.CONTEXT))
    b.store(own.threads, entry(b, record, Record.THREADS))
    b.store(e.i64(0), entry(b, record, Record.GOAL))
    b.store(record, e.element(b, table, int(Before.RECORD), PTR))
    return own


class _Plan:
    """A step's calls as constant tables, so that a step of many kernels takes little code."""

    def __init__(self, module: Value, calls: Sequence[Call]) -> None:
        ends = accumulate((len(call.buffers) for call in calls), initial=0)
        buffers = [buffer for call in calls for buffer in call.buffers]
        starts = [start for c in calls for start in c.starts or [0] * len(c.buffers)]
        self._functions = _table(module, "functions", _KERNEL, [c.function for c in calls])
        self._barriers = _table(module, "barriers", I8, [int(c.barrier) for c in calls])
        counted = list(accumulate((int(c.counters) for c in calls), initial=0))
        self._counters = _table(module, "counters", I32, counted[:-1]) if counted[-1] else None
        self._ends = _table(module, "ends", I32, list(ends))
        self._buffers = _table(module, "buffers", I32, buffers)
        self._starts = _table(module, "starts", I64, starts) if any(starts) else None

    def function(self, b: Value, call: Value) -> Value:
        """The address of a call's kernel."""
        return e.load(b, e.element(b, self._functions, call, PTR), _KERNEL, 8)

    def barrier(self, b: Value, call: Value) -> Value:
        """Whether threads meet before a call."""
        flag = e.load(b, e.element(b, self._barriers, call, I8), I8, 1)
        return b.icmp_unsigned("!=", flag, ir.Constant(I8, 0))

    def counters(self, b: Value, call: Value) -> Value | None:
        """How many calls with counters come before this one; None if there are none at all."""
        if self._counters is None:
            return None
        return b.zext(e.load(b, e.element(b, self._counters, call, I32), I32, 4), I64)

    def buffers(self, b: Value, call: Value) -> tuple[Value, Value]:
        """Where the numbers of a call's buffers begin, in `buffer`, and how many there are."""
        first, end = (
            b.zext(e.load(b, e.element(b, self._ends, at, I32), I32, 4), I64)
            for at in (call, e.add(b, call, 1))
        )
        return first, b.sub(end, first)

    def buffer(self, b: Value, at: Value) -> Value:
        """The number of the buffer that stands at `at`."""
        return b.zext(e.load(b, e.element(b, self._buffers, at, I32), I32, 4), I64)

    def start(self, b: Value, at: Value) -> Value:
        """The bytes by which the address of the buffer at `at` is moved on."""
        if self._starts is None:
            return e.i64(0)
        return e.load(b, e.element(b, self._starts, at, I64), I64, 8)


def _table(module: Value, name: str, typ: Value, values: Sequence[Any]) -> Value:
    """A constant array in the module."""
    array = ir.ArrayType(typ, len(values))
    made = ir.GlobalVariable(module, array, f"ranvier_{name}")
    made.linkage = "internal"
    made.global_constant = True
    made.initializer = ir.Constant(array, list(values))
    return made


def _fill_table(b: Value, own: _Thread, plan: _Plan, call: Value, step: Value) -> None:
    """Write this step's address of each buffer of a call: base + step * stride + start."""
    before = plan.counters(b, call)
    if before is not None:
        all_counters = e.load(b, _slot(b, own.context, Slot.COUNTERS), PTR, 8)
        skipped = e.mul(b, e.mul(b, before, own.threads), COUNTERS)
        address = e.element(b, own.table, int(Before.COUNTERS), PTR)
        b.store(e.element(b, all_counters, skipped, I64), address)
    first, count = plan.buffers(b, call)
    with e.loop(b, 0, count) as i:
        at = e.add(b, first, i)
        number = plan.buffer(b, at)
        slot = e.add(b, e.mul(b, number, 2), int(Slot.BUFFERS))
        base = e.load(b, e.element(b, own.context, slot, I64), I64, 8)
        stride = e.load(b, e.element(b, own.context, e.add(b, slot, 1), I64), I64, 8)
        here = e.add(b, b.add(base, b.mul(step, stride)), plan.start(b, at))
        address = b.inttoptr(here, PTR)
        b.store(address, e.element(b, own.table, i, PTR), align=8)


def _end_step(b: Value, own: _Thread, finished: Value) -> Value:
    """Meet the other threads after `finished` steps; returns whether to stop.

    Thread 0 alone looks at Python's flag and publishes after which step to stop, so that all
    decide alike, even if thread 0 has gone on to the next step before another looks.
    """
    first = b.icmp_signed("==", own.index, e.i64(0))
    published = _slot(b, own.context, Slot.LAST)
    with b.if_then(first):
        flag = b.load_atomic(_slot(b, own.context, Slot.STOP), "monotonic", 8, typ=I64)
        with b.if_then(b.icmp_signed("!=", flag, e.i64(0))):
            _publish(b, finished, published)
    b.call(own.barrier, [own.record])
    with b.if_then(first):
        _publish(b, finished, _slot(b, own.context, Slot.DONE))
    work = e.load(b, _slot(b, own.context, Slot.WORK), PTR, 8)
    with b.if_then(b.icmp_unsigned("!=", work, ir.Constant(PTR, None))):
        cell = e.element(b, work, own.index, I64)
        b.store(b.add(e.load(b, cell, I64, 8), e.i64(1)), cell, align=8)
    last = b.load_atomic(published, "monotonic", 8, typ=I64)
    return b.and_(b.icmp_signed("!=", last, e.i64(0)), b.icmp_signed("<=", last, finished))


def _publish(b: Value, value: Value, pointer: Value) -> None:
    """Store a number that others read meanwhile; the old one is of no use."""
    b.atomic_rmw("xchg", pointer, value, "monotonic")


def _emit_barrier(module: Value, host: Host) -> Value:
    """The function (record): arrive, then wait for the other threads to arrive.

    The count of arrivals only grows, so what it must reach grows by the number of threads. What
    a thread wrote before it arrived is visible to all that leave (release, acquire).
    """
    function = e.function(module, MEETING, MEETING_TYPE)
    function.linkage = "internal"
    function.attributes.add("noinline")
    (record,) = function.args
    b = ir.IRBuilder(function.append_basic_block("entry"))
    threads = e.load(b, entry(b, record, Record.THREADS), I64, 8)
    with b.if_then(b.icmp_signed("==", threads, e.i64(1))):
        b.ret_void()
    context = e.load(b, entry(b, record, Record.CONTEXT), PTR, 8)
    goal = b.add(e.load(b, entry(b, record, Record.GOAL), I64, 8), threads)
    b.store(goal, entry(b, record, Record.GOAL))
    arrivals = _slot(b, context, Slot.ARRIVALS)
    spins = _load_slot(b, context, Slot.SPINS)
    look, spin = b.append_basic_block("look"), b.append_basic_block("spin")
    rest, done = b.append_basic_block("rest"), b.append_basic_block("done")
    here = b.add(b.atomic_rmw("add", arrivals, e.i64(1), "acq_rel"), e.i64(1))
    arrived = b.block
    b.cbranch(b.icmp_signed(">=", here, goal), done, look)
    b.position_at_end(look)
    tries = b.phi(I64)
    seen = b.load_atomic(arrivals, "acquire", 8, typ=I64)
    wait = b.append_basic_block("wait")
    b.cbranch(b.icmp_signed(">=", seen, goal), done, wait)
    b.position_at_end(wait)
    more = b.add(tries, e.i64(1))
    b.cbranch(b.icmp_signed("<", tries, spins), spin, rest)
    b.position_at_end(spin)
    _pause(b, host)
    b.branch(look)
    b.position_at_end(rest)
    b.atomic_rmw("add", _slot(b, context, Slot.SLEEPS), e.i64(1), "monotonic")
    callee = e.load(b, _slot(b, context, Slot.SLEEP), _SLEEP, 8)
    with b.if_then(b.icmp_unsigned("!=", callee, ir.Constant(_SLEEP, None))):
        b.call(callee, [ir.Constant(I32, 1)])
    rested = b.block
    b.branch(look)
    for value, block in ((e.i64(0), arrived), (more, spin), (more, rested)):
        tries.add_incoming(value, block)
    b.position_at_end(done)
    b.ret_void()
    return function


class _Profile:
    """Emits the clock: thread 0 adds the ticks of each kernel and its barrier to an array."""

    def __init__(self, b: Value, host: Host, own: _Thread) -> None:
        array = e.load(b, _slot(b, own.context, Slot.PROFILE), PTR, 8)
        first = b.icmp_signed("==", own.index, e.i64(0))
        self._array = b.select(first, array, _NOTHING)
        self._on = b.icmp_unsigned("!=", self._array, _NOTHING)
        self._since = b.alloca(I64)
        self._stamp = _emit_stamp(b.module, host)

    def look(self, b: Value, calls: Value) -> None:
        """Credit the time since the last look to the latest of a step's `calls` so far."""
        with b.if_then(self._on, likely=False):
            latest = e.element(b, self._array, b.sub(calls, e.i64(1)), I64)
            none = b.icmp_signed("==", calls, e.i64(0))
            b.call(self._stamp, [b.select(none, _NOTHING, latest), self._since])


def _emit_stamp(module: Value, host: Host) -> Value:
    """The function (cell or null, since): add the ticks since `since` to a cell, and look anew."""
    function = _internal(module, "ranvier_stamp", ir.FunctionType(VOID, [PTR, PTR]))
    cell, since = function.args
    b = ir.IRBuilder(function.append_basic_block("entry"))
    # ARM's cycle counter is closed to programs; its steady clock is open.
    clock = "llvm.readsteadycounter" if host.is_arm else "llvm.readcyclecounter"
    now = b.call(e.function(module, clock, ir.FunctionType(I64, [])), [])
    with b.if_then(b.icmp_unsigned("!=", cell, ir.Constant(PTR, None))):
        passed = b.sub(now, e.load(b, since, I64, 8))
        b.store(b.add(e.load(b, cell, I64, 8), passed), cell, align=8)
    b.store(now, since, align=8)
    b.ret_void()
    return function


def _enter_flush_mode(b: Value, host: Host) -> Value | None:
    """Flush denormal numbers from here on; returns what `_restore_mode` needs."""
    if host.is_x86:
        before, flushing = b.alloca(I32), b.alloca(I32)
        _mxcsr(b, "stmxcsr", before)
        b.store(b.or_(e.load(b, before, I32, 4), ir.Constant(I32, _X86_FLUSH)), flushing)
        _mxcsr(b, "ldmxcsr", flushing)
        return before
    if host.is_arm:
        get = e.function(b.module, "llvm.aarch64.get.fpcr", ir.FunctionType(I64, []))
        before = b.call(get, [])
        _set_fpcr(b, b.or_(before, e.i64(_ARM_FLUSH)))
        return before
    return None


def _restore_mode(b: Value, host: Host, before: Value | None) -> None:
    """Restore the caller's floating-point mode."""
    if host.is_x86:
        _mxcsr(b, "ldmxcsr", before)
    elif host.is_arm:
        _set_fpcr(b, before)


def _mxcsr(b: Value, operation: str, cell: Value) -> None:
    callee = e.function(b.module, f"llvm.x86.sse.{operation}", ir.FunctionType(VOID, [PTR]))
    b.call(callee, [cell])


def _set_fpcr(b: Value, value: Value) -> None:
    callee = e.function(b.module, "llvm.aarch64.set.fpcr", ir.FunctionType(VOID, [I64]))
    b.call(callee, [value])


def _pause(b: Value, host: Host) -> None:
    """Tell the core that this is a waiting loop."""
    if host.is_x86:
        b.call(e.function(b.module, "llvm.x86.sse2.pause", ir.FunctionType(VOID, [])), [])
    elif host.is_arm:
        hint = e.function(b.module, "llvm.aarch64.hint", ir.FunctionType(VOID, [I32]))
        b.call(hint, [ir.Constant(I32, 1)])


def _internal(module: Value, name: str, typ: Value) -> Value:
    """A new function that is not exported and never inlined."""
    function = ir.Function(module, typ, name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    return function


def _slot(b: Value, context: Value, slot: Slot) -> Value:
    return e.element(b, context, int(slot), I64)


def _load_slot(b: Value, context: Value, slot: Slot) -> Value:
    return e.load(b, _slot(b, context, slot), I64, 8)
