"""Programs and many threads, forks, and the interrupt from the keyboard."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from networks import STEPS, compiled, contents

import ranvier as rv

POSIX = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX")


def at_once(count: int, work: Callable[[int], None]) -> None:
    """Run work(0) … work(count - 1) in threads of their own; pass on the first failure."""
    failures: list[BaseException] = []
    gate = threading.Barrier(count)

    def run(i: int) -> None:
        gate.wait()
        try:
            work(i)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


# ------------------------------------------------------------ sixteen callers


@pytest.mark.parametrize("cached", [True, False])
def test_sixteen_threads_compile_and_run_programs(
    cached: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of them compile equal programs, the others one each; all with state of their own."""
    monkeypatch.setenv("RANVIER_CACHE", str(tmp_path) if cached else "")

    def work(i: int) -> None:
        size = 40 + (i if i % 2 else 0)
        x = rv.input((size, 8), name="x")
        w = rv.Parameter(np.eye(8, dtype=np.float32), name="w")
        program = rv.compile({"x": x}, {"y": (x @ w).sum(0)}, {w: w * 2.0}, threads=1 + i % 3)
        found = program(steps=5, x=np.full((size, 8), i, np.float32))["y"]
        want = size * i * 2.0 ** np.arange(5)
        np.testing.assert_array_equal(found, np.repeat(want[:, None], 8, 1))
        np.testing.assert_array_equal(w.value, 32 * np.eye(8))

    at_once(16, work)


def test_sixteen_threads_call_one_program() -> None:
    """Calls take turns: each sees whole steps only, and none is lost."""
    x = rv.input((), rv.float32, "x")
    counts = rv.Buffer(np.zeros(1000, np.float32))
    program = rv.compile({"x": x}, {"sum": counts + x}, {counts: counts + 1.0}, threads=2)

    def work(i: int) -> None:
        for _ in range(10):
            found = program(steps=4, x=np.float32(i))["sum"] - i
            assert (found == found[:, :1]).all()
            assert (np.diff(found[:, 0]) == 1).all()

    at_once(16, work)
    assert (counts.value == 16 * 10 * 4).all()


def test_sixteen_threads_train() -> None:
    """As many networks, at once, reach the same bits as one alone."""
    found: dict[int, bytes] = {}

    def work(i: int) -> None:
        step = STEPS["small"]()
        program = compiled(step, threads=1 + i % 2)
        index = step.index(20)
        found[i] = contents(program(steps=20, index=index, **step.arrays), step.updates)

    work(16)
    at_once(16, work)
    assert len(set(found.values())) == 1
    assert len(found) == 17


def test_programs_compile_while_others_run_and_close() -> None:
    x = rv.input((64,), name="x")
    array = np.arange(64, dtype=np.float32)

    def work(i: int) -> None:
        for turn in range(6):
            number = float(10 * i + turn)
            program = rv.compile({"x": x}, {"y": x * number})
            np.testing.assert_array_equal(program(x=array)["y"], array * np.float32(number))
            if i % 2:
                program.release()  # type: ignore[attr-defined]

    at_once(8, work)


# ------------------------------------------------------------ processes of their own

HEAD = """
import os, signal, sys, threading, time
sys.path[:0] = sys.argv[1:]
import numpy as np
import ranvier as rv
from networks import STEPS, compiled, contents, restore, values
"""


def script(body: str) -> str:
    """Run `body` in a process of its own and return what it prints."""
    tests = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", HEAD + body, str(tests.parent), str(tests)],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


FORK = """
step = STEPS["small"]()
states, index = list(step.updates), step.index(20)
start = values(states)
program = compiled(step, threads=2)
want = contents(program(steps=20, index=index, **step.arrays), states)

def same(program):
    restore(states, start)
    return contents(program(steps=20, index=index, **step.arrays), states) == want

def train_in_child():
    child = os.fork()
    if child == 0:
        fine = False
        try:
            other = rv.input((3,), name="other")
            fresh = rv.compile({"other": other}, {"y": other * 3.0})
            fine = same(program) and same(compiled(step, threads=3))
            fine = fine and (fresh(other=np.ones(3, np.float32))["y"] == 3).all()
        finally:
            os._exit(0 if fine else 1)
    return child

children = [train_in_child() for _ in range(3)]
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
print(codes, same(program))
"""


@POSIX
def test_a_child_forked_after_a_compile() -> None:
    """Children run the parent's program and compile; parent and children have own states."""
    assert script(FORK).split("\n")[0] == "[0, 0, 0] True"


FORK_WHILE_COMPILING = """
stop = threading.Event()
os.environ["RANVIER_CACHE"] = ""

def compile_all_the_time():
    number = 0.0
    while not stop.is_set():
        x = rv.input((5,), name="x")
        rv.compile({"x": x}, {"y": x + (number := number + 1)})

rv.compile({}, {"y": rv.constant(1.0) * 2.0})  # a fork amid first imports would hang in Python
compiler = threading.Thread(target=compile_all_the_time)
compiler.start()
codes = []
for turn in range(10):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(60)
            x = rv.input((5,), name="x")
            found = rv.compile({"x": x}, {"y": x * 2.5}, threads=2)(x=np.ones(5, np.float32))
            code = 0 if (found["y"] == 2.5).all() else 1
        finally:
            os._exit(code)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
stop.set()
compiler.join()
print(codes)
"""


@POSIX
def test_a_child_forked_while_another_thread_compiles() -> None:
    assert script(FORK_WHILE_COMPILING).strip() == str([0] * 10)


INTERRUPT = """
step = rv.Buffer(np.int64(0), name="step")
states = [rv.Buffer(np.zeros(shape, np.float32)) for shape in [(), (7,), (900, 33), (64, 65)]]
updates = {s: s + 1.0 for s in states}
matrix = rv.Buffer(np.zeros((50, 50), np.float32))
updates[matrix] = matrix @ np.eye(50, dtype=np.float32) + 1.0
updates[step] = step + 1
program = rv.compile({}, {}, updates, threads=THREADS)

def interrupt():
    before = int(step.storage)
    while step.storage < before + 20:
        time.sleep(0.0005)
    os.kill(os.getpid(), signal.SIGINT)

for _ in range(10):
    threading.Thread(target=interrupt).start()
    try:
        program(steps=1 << 40)
        print("ran to the end?")
    except KeyboardInterrupt:
        pass
    done = int(step.value)
    for state in (*states, matrix):
        assert (state.value == done).all(), (done, state.value)
    program(steps=3)
    assert step.value == done + 3
print("whole")
"""


@POSIX
@pytest.mark.parametrize("threads", ["1", "2", "3", "None"])
def test_ctrl_c_ends_a_long_call_after_a_whole_step(threads: str) -> None:
    assert script(INTERRUPT.replace("THREADS", threads)).strip() == "whole"


INTERRUPT_TRAINING = """
step = STEPS["norm_net"]()
states, index = list(step.updates), step.index(1)[0]
(count,) = (s for s in states if s.label == "step")
start = values(states)
program = compiled(step, threads=2)

def interrupt():
    while count.storage < 30:
        time.sleep(0.0005)
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt).start()
try:
    program(steps=10_000_000, index=index, **step.arrays)
except KeyboardInterrupt:
    done, found = int(count.value), contents({}, states)
    restore(states, start)
    program(steps=done, index=index, **step.arrays)
    print(done >= 30, contents({}, states) == found)
"""


@POSIX
def test_interrupted_training_stands_where_so_many_steps_lead() -> None:
    assert script(INTERRUPT_TRAINING).strip() == "True True"
