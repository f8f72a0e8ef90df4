"""Work that is handed out: done once each, whoever is late, by own shares first."""

from __future__ import annotations

import numpy as np
import pytest
from llvmlite import ir
from networks import run_steps

import ranvier as rv
from ranvier.engines.native.emit.ir import builder as e
from ranvier.engines.native.emit.runtime import Call, emit_main
from ranvier.engines.native.emit.work_stealing import barrier, shares, taken_units
from ranvier.engines.native.host import host
from ranvier.engines.native.plans.matmul import MANY_PARTS
from ranvier.engines.native.program import NativeProgram
from ranvier.engines.native.run.context import ENTRY
from ranvier.engines.native.run.jit import compile_object, load
from ranvier.engines.native.schedule.kernels import ConvolutionKernel, MatmulKernel, WinogradKernel

UNITS, TURNS, STEPS = 37, 3, 5
PATIENCE = 1 << 33
"""Looks at a counter after which a thread gives up; many seconds."""


def run(module: ir.Module, kernels: list[ir.Function], threads: int, buffer: np.ndarray) -> None:
    """Run a step of kernels that have counters over one buffer, `STEPS` times."""
    emit_main(module, host(), [Call(k, (0,), barrier=True, counters=True) for k in kernels])
    with load(compile_object(str(module), host()), [ENTRY]) as program:
        run_steps(program, [buffer], threads, STEPS, counted=len(kernels))


def count(b: ir.IRBuilder, base: ir.Value, at: ir.Value) -> None:
    b.atomic_rmw("add", e.element(b, base, at, e.I64), e.i64(1), "monotonic")


@pytest.mark.parametrize("threads", [1, 2, 3, 4, 50])
def test_every_unit_is_done_once_in_each_turn(threads: int) -> None:
    """By two kernels, one of several turns and one that takes parts of many units."""
    module = ir.Module()
    several, b = e.kernel(module, "several")
    table, thread, number = several.args
    cells = e.buffer(b, table, 0)
    with e.loop(b, 0, TURNS) as turn:
        with taken_units(b, table, thread, number, UNITS, turn, TURNS) as unit:
            count(b, cells, e.add(b, e.mul(b, turn, UNITS), unit))
        barrier(b, table)
    b.ret_void()
    parts, b = e.kernel(module, "parts")
    table, thread, number = parts.args
    cells = e.element(b, e.buffer(b, table, 0), TURNS * UNITS, e.I64)
    with (
        shares(b, table, thread, number, 1000, steals=True) as (start, stop),
        e.loop(b, start, stop) as unit,
    ):
        count(b, cells, unit)
    b.ret_void()
    found = np.zeros(TURNS * UNITS + 1000, np.int64)
    run(module, [several, parts], threads, found)
    np.testing.assert_array_equal(found, STEPS)


@pytest.mark.parametrize("late", [0, 1, 2])
def test_others_do_the_share_of_a_thread_that_is_late(late: int) -> None:
    """It waits within its first unit of a step until all others are done, or gives up."""
    module = ir.Module()
    kernel, b = e.kernel(module, "kernel")
    table, thread, threads = kernel.args
    done, owners = e.buffer(b, table, 0), e.element(b, e.buffer(b, table, 0), STEPS, e.I64)
    with taken_units(b, table, thread, threads, UNITS) as unit:
        count(b, owners, e.add(b, e.mul(b, thread, UNITS), unit))
        with b.if_then(b.icmp_signed("==", thread, e.i64(late))):
            look, seen = b.append_basic_block("look"), b.append_basic_block("seen")
            before = b.block
            b.branch(look)
            b.position_at_end(look)
            tries = b.phi(e.I64)
            number = b.load_atomic(done, "acquire", 8, typ=e.I64)
            more = b.add(tries, e.i64(1))
            tries.add_incoming(e.i64(0), before)
            tries.add_incoming(more, look)
            # After s steps of UNITS each, the others do UNITS - 1 of this one.
            others = b.icmp_signed("==", b.urem(b.add(number, e.i64(1)), e.i64(UNITS)), e.i64(0))
            b.cbranch(b.or_(others, b.icmp_signed(">", more, e.i64(PATIENCE))), seen, look)
            b.position_at_end(seen)
        count(b, done, e.i64(0))
    b.ret_void()
    found = np.zeros(STEPS + 3 * UNITS, np.int64)
    run(module, [kernel], 3, found)
    owners_of = found[STEPS:].reshape(3, UNITS)
    assert found[0] == STEPS * UNITS
    assert owners_of[late].sum() <= STEPS  # one a step, if any was left when it came
    np.testing.assert_array_equal(owners_of.sum(0), STEPS)


def test_long_products_and_convolutions_are_handed_out_and_short_ones_are_not() -> None:
    a, b = rv.input((600, 300)), rv.input((300, 700))
    x, w, dense = rv.input((8, 16, 16, 32)), rv.input((3, 3, 32, 32)), rv.input((5, 5, 32, 40))
    results = {"product": a @ b, "few": a[:30] @ b[:, :30], "winograd": rv.convolution(x, w)}
    results["direct"] = rv.convolution(x, dense)
    program = rv.compile({"a": a, "b": b, "x": x, "w": w, "dense": dense}, results)
    assert isinstance(program, NativeProgram)
    kinds = MatmulKernel, ConvolutionKernel, WinogradKernel
    heavy = [k for k in program.schedule.sequenced.kernels if isinstance(k, kinds)]
    assert {type(k) for k in heavy if k.counters} == set(kinds)
    (few,) = (k for k in heavy if not k.counters)
    assert isinstance(few, MatmulKernel)
    assert few.plan.runs < MANY_PARTS
