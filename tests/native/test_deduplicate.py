"""Kernels that differ only in where their data lie are one function; all others are not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from plans import plan, step_plan

import ranvier as rv
from ranvier.engines.native.emit.module import emit_program
from ranvier.engines.native.host import example_host
from ranvier.engines.native.run.linking import slots_of
from ranvier.engines.native.schedule.deduplicate import KernelCalls, buffers_of, deduplicate
from ranvier.engines.native.schedule.kernels import Buffer, Kernel, RowKernel, Store
from ranvier.engines.native.schedule.order import Sequenced
from ranvier.engines.native.schedule.schedule import Schedule


def kernel_calls(schedule: Schedule) -> KernelCalls:
    return deduplicate(schedule.sequenced, slots_of(schedule))


def of_outputs(**outputs: rv.Tensor) -> KernelCalls:
    """The wiring of independent outputs of x and y, each computed by a kernel of its own."""
    return kernel_calls(plan({"x": X, "y": Y}, outputs, fuse=False))


X, Y = rv.input((8, 5), name="x"), rv.input((8, 5), name="y")


def test_a_repeated_block_is_emitted_once() -> None:
    x = rv.input((16, 32), name="x")
    weights = [rv.Parameter(np.zeros((32, 32), np.float32), name=f"w{i}") for i in range(6)]
    out = x
    for weight in weights:
        out = rv.relu(out @ weight)
    found = kernel_calls(plan({"x": x}, {"out": out}))
    assert len(found.calls) == 6
    assert len(found.patterns) == 3  # the first reads an input, the last writes an output
    text = emit_program(found, example_host("avx512"))
    assert text.count('define internal void @"kernel') == 3 * 3  # and each one's epilogue


def test_a_residual_networks_kernels_repeat() -> None:
    found = kernel_calls(step_plan("resnet20"))
    assert 3 * len(found.patterns) < 2 * len(found.calls)


def test_operands_that_are_one_place_have_a_pattern_of_their_own() -> None:
    found = of_outputs(one=X * X, two=X * Y, three=Y * Y)
    assert [number for number, _, _ in found.calls] == [0, 1, 0]
    assert [len(slots) for _, slots, _ in found.calls] == [2, 3, 2]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (0.0, -0.0),
        (1.0, np.nextafter(np.float32(1), np.float32(2))),
        (float("inf"), -float("inf")),
        (float("nan"), 0.0),
        (float("nan"), -float("nan")),
    ],
)
def test_numbers_are_told_apart_by_their_bits(one: float, other: float) -> None:
    x = rv.input((64,), name="x")
    outputs = {"one": rv.where(x > 0, one, x), "other": rv.where(x > 0, other, x)}
    program = rv.compile({"x": x}, outputs, fuse=False)
    data = np.linspace(-1, 1, 64, dtype=np.float32)
    found = program(x=data)
    for name, number in (("one", one), ("other", other)):
        expected = np.where(data > 0, np.float32(number), data)
        np.testing.assert_array_equal(found[name].view(np.int32), expected.view(np.int32))
    texts = [str(kernel_calls(plan({"x": x}, {"y": output}))) for output in outputs.values()]
    assert texts[0] != texts[1]


def test_state_in_place_differs_from_a_temporary() -> None:
    """State is written in the last pass over a row, so the code is not the same."""
    w = rv.Parameter(np.ones((8, 5), np.float32), name="w")
    (kernel,) = plan({"x": X}, {}, {w: X * X}).sequenced.kernels
    assert isinstance(kernel, RowKernel)
    beside = Buffer("temporary", "w", (8, 5), rv.float32)
    stores = tuple(
        replace(x, buffer=beside) if isinstance(x, Store) else x for x in kernel.body.instructions
    )
    other = replace(kernel, body=replace(kernel.body, instructions=stores))
    texts = [str(deduplicate(Sequenced((k,), (0,)), buffers_of(k))) for k in (kernel, other)]
    assert texts[0] != texts[1]


def test_the_wiring_says_all_that_the_code_depends_on_and_not_the_threads() -> None:
    x = rv.input((4, 16, 16, 32), name="x")
    w = rv.Parameter(np.zeros((3, 3, 32, 32), np.float32), name="w")
    y = rv.convolution(x, w, padding=1)
    texts = []
    for threads in (1, 4):
        program = rv.compile({"x": x}, {"y": y}, threads=threads)
        texts.append(str(kernel_calls(program.schedule)))  # type: ignore[attr-defined]
    assert texts[0] == texts[1]


def test_every_place_has_a_number() -> None:
    for kernel in step_plan("mlp").sequenced.kernels:
        check_places(kernel)


def check_places(kernel: Kernel) -> None:
    found = buffers_of(kernel)
    assert set(found) == {*kernel.reads(), *kernel.writes()}
    assert list(found.values()) == list(range(len(found)))


def test_a_profile_tells_calls_of_one_kernel_apart() -> None:
    x = rv.input((64, 64), name="x")
    weights = [rv.Parameter(np.eye(64, dtype=np.float32), name=f"w{i}") for i in range(4)]
    out = x
    for weight in weights:
        out = rv.tanh(out @ weight)
    program = rv.compile({"x": x}, {"out": out})
    program.profile(x=np.ones((64, 64), np.float32), steps=50)  # type: ignore[attr-defined]
    seconds = program._profile.seconds  # type: ignore[attr-defined]
    assert len(seconds) == len(program.schedule.sequenced.kernels)  # type: ignore[attr-defined]
    assert (seconds > 0).all()
