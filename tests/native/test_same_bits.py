"""The same bits whatever the number of threads, the length of calls and the alignment of data.

The threads are shown to be there: each one finishes every step, and each, run alone, writes a
part of the results that no other writes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from networks import STEPS, Step, compiled, contents, kernel_shares, restore, values

import ranvier as rv
from ranvier.engines.native.program import NativeProgram
from ranvier.engines.native.run.context import Slot

THREADS = (1, 2, 3, 4)
RUNS = 20


def check_same_bits(step: Step, steps: int, runs: int) -> None:
    states = list(step.updates)
    start = values(states)
    index = step.index(steps)
    first: bytes | None = None
    for threads in THREADS:
        program = compiled(step, threads=threads)
        for _ in range(runs):
            restore(states, start)
            work = np.zeros(threads, np.int64)
            program._context[Slot.WORK] = work.ctypes.data
            found = contents(program(steps=steps, index=index, **step.arrays), states)
            first = first or found
            assert found == first, f"{threads} threads give other bits"
            assert work.tolist() == [steps] * threads, "a thread did not finish every step"
        program.release()
    assert any(not np.array_equal(a, b) for a, b in zip(start, values(states), strict=True))


@pytest.mark.parametrize("name", ["small", "mlp", "norm_net", "attention"])
def test_any_number_of_threads(name: str) -> None:
    check_same_bits(STEPS[name](), steps=3, runs=RUNS)


@pytest.mark.parametrize("runs", [2, pytest.param(RUNS, marks=pytest.mark.slow)])
def test_any_number_of_threads_for_the_autoencoder(runs: int) -> None:
    check_same_bits(STEPS["autoencoder"](), steps=2, runs=runs)


@pytest.mark.parametrize("name", ["lenet5", "residual"])
@pytest.mark.parametrize("runs", [2, pytest.param(RUNS, marks=pytest.mark.slow)])
def test_any_number_of_threads_for_pictures(name: str, runs: int) -> None:
    check_same_bits(STEPS[name](), steps=2, runs=runs)


# ------------------------------------------------------------ every thread has a share

ENOUGH = 16 << 10
"""Bytes of results for each thread from which on every thread must have a part."""


def check_shares(program: NativeProgram, threads: int) -> int:
    """Threads write parts that are apart and together whole; returns how many have them all."""
    divided = 0
    for kernel in program.schedule.sequenced.kernels:
        shares, whole = kernel_shares(program, kernel, threads)
        np.testing.assert_array_equal(shares.sum(0), whole, f"the parts of {kernel.name}")
        everyone = bool(shares.any(1).all())
        assert everyone or shares.shape[1] < threads * ENOUGH, f"an idle thread in {kernel.name}"
        divided += everyone
    return divided


@pytest.mark.parametrize("name", ["mlp", "norm_net", "lenet5"])
def test_threads_divide_each_kernel_of_a_step(name: str) -> None:
    step = STEPS[name]()
    program = compiled(step, threads=1, in_place=False)
    outputs = program(index=(index := step.index(1)[0]), **step.arrays)
    assert check_shares(program, 3) >= len(program.schedule.sequenced.kernels) // 2
    assert index.size
    assert outputs


KERNELS: dict[str, Callable[[rv.Tensor], rv.Tensor]] = {
    "pointwise": lambda x: rv.tanh(x),
    "one long row": lambda x: rv.exp(x.reshape(-1)),
    "rows": rv.softmax,
    "columns": lambda x: rv.max(x, 0),
    "matmul": lambda x: rv.matmul(x, x.T),
    "batched matmul": lambda x: rv.matmul(x.reshape(40, 4, 50), x.reshape(40, 50, 4)),
    "take": lambda x: rv.take(x, np.arange(100) % 37),
    "scatter_add": lambda x: rv.scatter_add(x, np.arange(160) // 2, 80),
    "random": lambda x: rv.random_uniform(x.shape, 1, 2, 3),
}


@pytest.mark.parametrize("threads", [2, 3, 4])
@pytest.mark.parametrize("name", KERNELS)
def test_threads_divide_a_kernel(name: str, threads: int) -> None:
    x = rv.input((160, 50), name="x")
    program = rv.compile({"x": x}, {"y": KERNELS[name](x)}, threads=1, in_place=False)
    assert isinstance(program, NativeProgram)
    outputs = program(x=(array := np.ones(x.shape, np.float32)))
    assert check_shares(program, threads) == len(program.schedule.sequenced.kernels)
    assert array.size
    assert outputs


# ------------------------------------------------------------ calls, options, alignment


@pytest.mark.parametrize("name", ["small", "norm_net"])
def test_a_call_of_many_steps_is_many_calls(name: str) -> None:
    step = STEPS[name]()
    states, index = list(step.updates), step.index(12)
    start = values(states)
    program = compiled(step, threads=2)
    found = []
    for size in (1, 5, 6, 12):
        restore(states, start)
        losses = [
            program(steps=len(index[at : at + size]), index=index[at : at + size], **step.arrays)
            for at in range(0, 12, size)
        ]
        together = {"loss": np.concatenate([result["loss"] for result in losses])}
        found.append(contents(together, states))
    assert len(set(found)) == 1
    restore(states, start)
    single = [program(index=rows, **step.arrays)["loss"] for rows in index]
    assert contents({"loss": np.array(single)}, states) == found[0]


def test_the_engine_s_own_choice_of_threads_changes_no_bit() -> None:
    """A short call runs inline, on the caller's thread; a long one on all threads."""
    step = STEPS["small"]()
    states, index = list(step.updates), step.index(300)
    start = values(states)
    found = []
    calls: list[tuple[dict[str, Any], int]] = [({}, 1), ({}, 300), ({"threads": 4}, 300)]
    for options, size in calls:
        restore(states, start)
        program = compiled(step, **options)
        for at in range(0, 300, size):
            program(steps=size, index=index[at : at + size], **step.arrays)
        found.append(contents({}, states))
    assert len(set(found)) == 1


@pytest.mark.parametrize("offset", [1, 4, 20, 63])
def test_data_may_lie_anywhere(offset: int) -> None:
    x = rv.input((37, 21), name="x")
    w = rv.constant(np.random.default_rng(1).standard_normal((21, 19)).astype(np.float32))
    program = rv.compile({"x": x}, {"y": rv.softmax(x @ w), "s": x.sum(0), "r": rv.exp(x)})
    array = np.random.default_rng(0).standard_normal(x.shape).astype(np.float32)
    room = np.zeros(array.nbytes + 128, np.uint8)
    start = -room.ctypes.data % 64 + offset
    moved = room[start : start + array.nbytes].view(np.float32).reshape(x.shape)
    moved[...] = array
    assert contents(program(x=moved), []) == contents(program(x=array), [])
    turned = np.asfortranarray(array)
    assert contents(program(x=turned), []) == contents(program(x=array), [])
