"""Memory: steps allocate nothing, and programs that are let go give theirs back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="reads the resident size from Linux's /proc"
)

NOISE = 256 << 10
"""Bytes by which the resident size may waver for reasons of the allocator's own."""

EACH = 20_000
"""Bytes that a program which has come and gone may leave behind."""

HEAD = """
import gc, os, sys
sys.path[:0] = sys.argv[1:]
os.environ["RANVIER_CACHE"] = ""
import numpy as np
import ranvier as rv
from networks import STEPS, compiled

def resident():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
"""


def measure(body: str) -> int:
    """Run `body` in a fresh process and return the number of bytes that it prints."""
    tests = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", HEAD + body, str(tests.parent), str(tests)],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


STEPPING = """
step = STEPS["small"]()
program = compiled(step, threads=THREADS)
index = step.index(100)

def run(calls):
    for _ in range(calls):
        program(steps=100, index=index, **step.arrays)

run(5)
before = resident()
run(100)
print(resident() - before)
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_ten_thousand_steps_allocate_nothing(threads: int) -> None:
    assert measure(STEPPING.replace("THREADS", str(threads))) < NOISE


CALLING = """
step = STEPS["small"]()
program = compiled(step)
index = step.index(1)[0]

def run(calls):
    for _ in range(calls):
        program(index=index, **step.arrays)

run(100)
before = resident()
run(10_000)
print(resident() - before)
"""


def test_ten_thousand_calls_keep_nothing() -> None:
    assert measure(CALLING) < NOISE


COMPILING = """
def program(number, release):
    n, m = 3 + number % 37, 5 + number % 41
    x = rv.input((n, m), name=f"x{number}")
    w = rv.Parameter(np.ones(m, np.float32), name=f"w{number}")
    y = x * w + float(number)
    made = rv.compile({f"x{number}": x}, {"y": y}, {w: w - y.sum(0)})
    made(**{f"x{number}": np.ones((n, m), np.float32)})
    if release:
        made.release()

def run(start, count):
    for number in range(start, start + count):
        program(number, RELEASE)

run(0, 150)  # until the heap has the size that compiling needs
before = resident()
run(150, COUNT)
print(resident() - before)
"""


@pytest.mark.parametrize("release", [True, False])
@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_programs_that_are_gone_leave_little(count: int, release: bool) -> None:
    """Released, or only forgotten: a program nobody holds gives its memory back by itself.

    A heap that grows by one arena of the allocator must not fail the short run.
    """
    body = COMPILING.replace("COUNT", str(count)).replace("RELEASE", str(release))
    assert measure(body) < EACH * count + NOISE
