"""The number of threads that a program chooses, by given times; and that it changes no bit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from networks import STEPS, compiled, contents, restore, values

from ranvier.engines.native import program as native
from ranvier.engines.native.program import NativeProgram
from ranvier.engines.native.run import thread_pool as thread_pool_module
from ranvier.engines.native.run.context import Slot
from ranvier.engines.native.run.thread_count import (
    RARELY,
    TRIAL_PIECES,
    WINDOW_SECONDS,
    ThreadCount,
)
from ranvier.engines.native.run.thread_pool import FEW_SPINS, SPINS, ThreadPool

STEP = 1e-4
"""Seconds of a step on the threads that suit it."""

Machine = Callable[[int], tuple[float, float]]
"""By the number of threads: seconds of a step, and sleeps in its barriers."""


def calm(threads: int) -> tuple[float, float]:
    return STEP * 8 / threads, 0


def busy(threads: int) -> tuple[float, float]:
    """Barriers starve on more than one thread."""
    return (STEP, 0) if threads == 1 else (10 * STEP, 4)


def halved(threads: int) -> tuple[float, float]:
    """Four cores are taken by others, four are free."""
    return (STEP * 4 / threads, 0) if threads <= 4 else (10 * STEP, 4)


def serial(threads: int) -> tuple[float, float]:
    """One thread does a part of a step while the others sleep; all threads are best."""
    return STEP * (8 / threads + 4), 4 * (threads - 1)


def run(count: ThreadCount, machine: Machine, seconds: float, steps: int = 500) -> list[int]:
    """Calls of so many steps for some seconds of that machine; the threads of all pieces."""
    used = []
    while seconds > 0:
        left = steps
        while left:
            piece = count.piece(left)
            assert 1 <= piece <= left
            each, sleeps = machine(count.threads)
            used.append(count.threads)
            count.took(piece, piece * each, int(piece * sleeps))
            left -= piece
            seconds -= piece * each
    return used


def test_undisturbed_threads_stay_and_nothing_is_tried() -> None:
    count = ThreadCount(8, STEP)
    assert set(run(count, calm, 60)) == {8}


@pytest.mark.parametrize("steps", [1, 100, 100_000])
def test_starving_barriers_lead_to_one_thread(steps: int) -> None:
    count = ThreadCount(8, STEP)
    used = run(count, busy, 3, steps)
    assert used[0] == 8
    assert count.threads == 1
    assert list(dict.fromkeys(used)) == [8, 4, 2, 1]


def test_no_fewer_threads_than_help() -> None:
    count = ThreadCount(8, STEP)
    assert set(run(count, halved, 3)) == {8, 4}
    assert count.threads == 4


def test_threads_come_back_when_the_neighbours_have_left() -> None:
    count = ThreadCount(8, STEP)
    run(count, busy, 10)
    assert count.threads == 1
    assert set(run(count, calm, 30)) == {1, 2, 4, 8}
    assert count.threads == 8
    assert set(run(count, calm, 30)) == {8}


@pytest.mark.parametrize("machine", [busy, halved, serial])
def test_trials_cost_little(machine: Machine) -> None:
    """At most about one part in `RARELY`, once the best number is known."""
    count = ThreadCount(8, STEP)
    run(count, machine, 5)
    best = count.threads
    used: dict[int, float] = {}
    for _ in range(1000):
        piece, threads = count.piece(10_000), count.threads
        each, sleeps = machine(threads)
        used[threads] = used.get(threads, 0) + piece * each
        assert piece * each <= 1.3 * WINDOW_SECONDS
        count.took(piece, piece * each, int(piece * sleeps))
    others = sum(seconds for threads, seconds in used.items() if threads != best)
    assert others <= 1.5 / RARELY * sum(used.values())
    if machine is not serial:
        assert others > 0, "other numbers are tried now and then"


def test_a_trial_that_was_too_favourable_is_taken_back() -> None:
    """One thread does well for a moment, while others of the machine pause."""
    count = ThreadCount(2, STEP)
    luck = iter([STEP] * TRIAL_PIECES)

    def crowded(threads: int) -> tuple[float, float]:
        return (5 * STEP, 4) if threads == 2 else (next(luck, 20 * STEP), 0)

    used = run(count, crowded, 8)
    assert set(used) == {1, 2}
    assert used.count(1) <= TRIAL_PIECES + 10
    assert count.threads == 2


def test_numbers_that_are_no_powers_of_two() -> None:
    count = ThreadCount(6, STEP)
    used = run(count, lambda n: (STEP, 0) if n == 1 else (STEP * 10 * n, 100), 3)
    assert list(dict.fromkeys(used)) == [6, 3, 1]


@pytest.fixture
def crews(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The threads of each launch from now on; each claims that its barriers starved."""
    seen: list[int] = []
    whole = ThreadPool.run

    def noted(
        team: ThreadPool, address: int, context: np.ndarray, threads: int, inline: bool
    ) -> None:
        whole(team, address, context, threads, inline)
        seen.append(threads)
        context[Slot.SLEEPS] = 10_000

    monkeypatch.setattr(ThreadPool, "run", noted)
    monkeypatch.setattr(native, "SHORT_SECONDS", 1.0)  # as if all steps were short
    return seen


def scheme(program: NativeProgram, numbers: list[int]) -> None:
    """Let a program run its next pieces of 5 steps on these numbers of threads."""

    class Scheme(ThreadCount):
        def piece(self, left: int) -> int:
            return min(5, left)

        def took(self, steps: int, seconds: float, sleeps: int) -> None:
            numbers.append(numbers.pop(0))
            self.threads = numbers[0]

    program._count = Scheme(numbers[0], 1e-3)


@pytest.mark.parametrize("name", ["small", "mlp", "norm_net", "lenet5"])
def test_changing_threads_within_and_between_calls_changes_no_bit(
    name: str, crews: list[int]
) -> None:
    step = STEPS[name]()
    states, index = list(step.updates), step.index(20)
    start = values(states)
    one = compiled(step, threads=1)
    expected = contents(one(steps=20, index=index, **step.arrays), states)
    restore(states, start)
    crews.clear()
    program = compiled(step)
    scheme(program, [program.threads, 1])
    found = [program(steps=10, index=index[at : at + 10], **step.arrays) for at in (0, 10)]
    together = {key: np.concatenate([each[key] for each in found]) for key in found[0]}
    assert contents(together, states) == expected
    assert crews == [program.threads, 1] * 2


def test_a_starving_program_changes_its_threads_by_itself(crews: list[int]) -> None:
    """Given true times and sleeps that are made up: one thread gets a trial."""
    step = STEPS["mlp"]()
    program = compiled(step)
    index = step.index(200)
    program(steps=200, index=index, **step.arrays)
    assert crews[0] == program.threads
    assert set(crews) > {program.threads} or program.threads == 1


def test_a_long_step_keeps_its_threads(crews: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "SHORT_SECONDS", 2e-3)
    step = STEPS["autoencoder"]()
    program = compiled(step)
    index = step.index(40)
    for _ in range(3):
        program(steps=40, index=index, **step.arrays)
    assert crews == [program.threads] * 3


def test_a_number_that_was_asked_for_is_kept(crews: list[int]) -> None:
    step = STEPS["small"]()
    program = compiled(step, threads=2)
    index = step.index(50)
    for _ in range(3):
        program(steps=50, index=index, **step.arrays)
    assert crews == [2, 2, 2]


def test_more_threads_than_cores_sleep_sooner() -> None:
    step = STEPS["small"]()
    cores = thread_pool_module.host().cores
    for threads, spins in ((cores, SPINS), (cores + 1, FEW_SPINS)):
        program = compiled(step, threads=threads)
        program(index=step.index(1)[0], **step.arrays)
        assert program._context[Slot.SPINS] == spins
