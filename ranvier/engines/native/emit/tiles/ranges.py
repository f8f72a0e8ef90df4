"""Runs of tiles of one panel, and which of them a thread works on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ranvier.engines.native.emit.ir import builder as e
from ranvier.engines.native.emit.ir.builder import Value
from ranvier.engines.native.emit.work_stealing import PARTS, barrier, taken_units
from ranvier.engines.native.plans.matmul import RunTiling
from ranvier.records import dataclass


@dataclass(frozen=True)
class Run:
    """Tiles of one panel of a matrix B that follow each other: [first, stop) down the rows.

    `unit` is the number of the first of them among all tiles; the thread goes on up to `end`.
    """

    unit: Value
    outer: Value
    panel: Value
    first: Value
    stop: Value
    end: Value


def run_at(b: Value, plan: RunTiling, unit: Value, end: Value) -> Run:
    """The run of tiles that begins at `unit`, as far as it reaches before `end`.

    Units are ordered by matrix, row block, panel, row tile.
    """
    panels = plan.panels.pieces
    outer, inside = e.div(b, unit, plan.tiles * panels), e.rem(b, unit, plan.tiles * panels)
    above = e.mul(b, e.div(b, inside, plan.row_block * panels), plan.row_block)
    height = e.minimum(b, plan.row_block, b.sub(e.i64(plan.tiles), above))
    inside = b.sub(inside, e.mul(b, above, panels))
    panel, tile = e.div(b, inside, height), e.rem(b, inside, height)
    count = e.minimum(b, b.sub(height, tile), b.sub(end, unit))
    first = e.add(b, above, tile)
    return Run(unit, outer, panel, first, e.add(b, first, count), end)


@contextmanager
def segments(b: Value, plan: RunTiling, table: Value) -> Iterator[Value]:
    """The loop over a plan's segments; where tiles may change hands, threads meet between them."""
    with e.loop(b, 0, plan.segments) as segment:
        yield segment
        if plan.steals and plan.segments > 1:
            with b.if_then(b.icmp_signed("<", segment, e.i64(plan.segments - 1))):
                barrier(b, table)


@contextmanager
def worked_runs(
    b: Value, plan: RunTiling, table: Value, thread: Value, threads: Value, segment: Value
) -> Iterator[Run]:
    """The loop over the runs that a thread works on in a segment.

    Threads have equal parts of the tiles, in each segment the same; or, where there are many
    runs, they take one after the other.
    """
    with (
        _stretches(b, plan, table, thread, threads, segment) as (start, stop),
        e.carried_loop(b, start, stop, 1, []) as state,
    ):
        run = run_at(b, plan, state.index, stop)
        state.step = b.sub(run.stop, run.first)
        yield run


@contextmanager
def _stretches(
    b: Value, plan: RunTiling, table: Value, thread: Value, threads: Value, segment: Value
) -> Iterator[tuple[Value, Value]]:
    """Tiles [start, stop) for a thread: all of an equal share or, if handed out, one part of many.

    Those are whole runs if there are enough for so many threads. Otherwise they are of equal
    length, and as many as the plan can be cut into without loss.
    """
    if not plan.steals:
        yield e.share(b, plan.units, thread, threads)
        return
    many = e.mul(b, threads, PARTS)
    whole = b.icmp_signed(">=", e.i64(plan.runs), many)
    pieces = e.minimum(b, plan.units, many if plan.divisible else threads)
    parts = b.select(whole, e.i64(plan.runs), pieces)
    with taken_units(b, table, thread, threads, parts, segment, plan.segments) as part:
        first, height = _run(b, plan, part)
        start, stop = e.share(b, plan.units, part, parts)
        yield b.select(whole, first, start), b.select(whole, e.add(b, first, height), stop)


def _run(b: Value, plan: RunTiling, number: Value) -> tuple[Value, Value]:
    """The first tile of the run of this number, and how many it has."""
    panels, runs = plan.panels.pieces, plan.blocks * plan.panels.pieces
    outer, inside = e.div(b, number, runs), e.rem(b, number, runs)
    panel, above = e.rem(b, inside, panels), e.mul(b, e.div(b, inside, panels), plan.row_block)
    height = e.minimum(b, plan.row_block, b.sub(e.i64(plan.tiles), above))
    before = e.add(b, e.mul(b, outer, plan.tiles * panels), e.mul(b, above, panels))
    return e.add(b, before, e.mul(b, panel, height)), height
