"""How the threads of a kernel share its work beyond equal parts, and wait for each other.

Equal parts are right for short kernels. In a long one a thread whose core is slower, or which the
system puts to other work for a while, would let all others wait. There a share is only a
beginning: its units are taken one by one, and whoever is done takes what others have left. Which
thread computes a unit makes no difference to its bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

from llvmlite import ir

from ranvier.engines.native.emit.ir import builder as e
from ranvier.engines.native.emit.ir.builder import I64, PTR, VOID, Value
from ranvier.engines.native.run.context import COUNTERS

MEETING = "ranvier_meet"
MEETING_TYPE = ir.FunctionType(VOID, [PTR])
"""Where threads wait for each other; its argument is a thread's record."""

PARTS = 8
"""Parts of a share that are handed out one by one: the fewest, if there are so many units."""


class Record(IntEnum):
    """The entries, of eight bytes, of the record that each thread keeps of its call."""

    CONTEXT = 0  # the address of the call's context
    THREADS = 1
    GOAL = 2  # the arrivals that the latest barrier waited for
    STEP = 3  # the steps that are done


class Before(IntEnum):
    """What stands before a kernel's pointer table, in entries from its start."""

    RECORD = -1
    COUNTERS = -2  # those of each thread, for kernels that hand out their units


def entry(b: Value, record: Value, number: Record) -> Value:
    """The address of an entry of a record."""
    return e.element(b, record, int(number), I64)


def barrier(b: Value, table: Value) -> None:
    """Within a kernel: wait for the other threads, whose earlier writes are visible behind it.

    All threads must come here equally often.
    """
    b.call(e.function(b.module, MEETING, MEETING_TYPE), [_before(b, table, Before.RECORD)])


@contextmanager
def taken_units(
    b: Value,
    table: Value,
    thread: Value,
    threads: Value,
    units: Any,
    turn: Any = 0,
    turns: int = 1,
) -> Iterator[Value]:
    """Yield each unit that this thread works on: those of its own share, then what others left.

    A kernel that shares out its units several times says which of so many `turns` this is;
    between them the threads must meet.
    """
    step = e.load(b, entry(b, _before(b, table, Before.RECORD), Record.STEP), I64, 8)
    odd = b.and_(e.add(b, e.mul(b, step, turns), turn), e.i64(1))
    # Each share has two counters, for every other turn: nobody looks at the one for the next.
    b.store(e.i64(0), _counter(b, table, thread, b.xor(odd, e.i64(1))))
    with e.loop(b, 0, threads) as others:
        owner = b.urem(b.add(thread, others), threads)
        start, stop = e.share(b, units, owner, threads)
        counter = _counter(b, table, owner, odd)
        take, work, done = (b.append_basic_block(name) for name in ("take", "work", "done"))
        b.branch(take)
        b.position_at_end(take)
        unit = b.add(start, b.atomic_rmw("add", counter, e.i64(1), "monotonic"))
        b.cbranch(b.icmp_signed("<", unit, stop), work, done)
        b.position_at_end(work)
        yield unit
        b.branch(take)
        b.position_at_end(done)


def _counter(b: Value, table: Value, owner: Value, odd: Value) -> Value:
    """The address of the counter of a thread's share in an odd or an even turn."""
    at = e.add(b, e.mul(b, owner, COUNTERS), odd)
    return e.element(b, _before(b, table, Before.COUNTERS), at, I64)


@contextmanager
def shares(
    b: Value, table: Value, thread: Value, threads: Value, units: int, steals: bool
) -> Iterator[tuple[Value, Value]]:
    """Units [start, stop) for a thread: all of an equal share or, if handed out, part by part."""
    if not steals:
        yield e.share(b, units, thread, threads)
        return
    parts = e.minimum(b, units, e.mul(b, threads, PARTS))
    with taken_units(b, table, thread, threads, parts) as part:
        yield e.share(b, units, part, parts)


def _before(b: Value, table: Value, number: Before) -> Value:
    return b.load(e.element(b, table, int(number), PTR), typ=PTR, align=8)
