"""A small step beside busy neighbours: `python busy.py [NAME]`, by default the step `small`.

Prints milliseconds a step, the median over calls and the 10th and 90th percentiles, on one
thread, on one for each core whatever happens (`threads=`), on twice as many, and as the program
chooses. The contenders take turns, so that all meet the same machine.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

import numpy as np
import steps

import ranvier as rv
from ranvier.engines.native.host import host

ROUNDS, TURN_SECONDS, CALL = 8, 0.5, 50

_SPIN = "import os, sys\nos.sched_setaffinity(0, {int(sys.argv[1])})\nwhile True: pass"


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """So many processes that never rest, each on a core of its own (Linux)."""
    cores = sorted(os.sched_getaffinity(0))[:count]
    busy = [subprocess.Popen([sys.executable, "-c", _SPIN, str(core)]) for core in cores]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def turn(program: rv.Program, step: steps.Step, index: np.ndarray) -> list[float]:
    """Milliseconds a step, of each call in a turn."""
    found = []
    end = perf_counter() + TURN_SECONDS
    while (start := perf_counter()) < end:
        program(steps=CALL, index=index, **step.arrays)
        found.append((perf_counter() - start) / CALL * 1e3)
    return found


def main(name: str) -> None:
    """Time a step of `steps.py` without neighbours, beside one, and with every core taken."""
    cores = host().cores
    step = steps.STEPS[name]()
    index = step.index(CALL)
    choices = {"1": 1, f"{cores}": cores, f"{2 * cores}": 2 * cores, "chosen": None}
    programs = {label: step.compile(threads=threads) for label, threads in choices.items()}
    print(f"{name}, {cores} cores; load {os.getloadavg()[0]:.1f} before")
    for count in sorted({0, 1, cores}):
        times: dict[str, list[float]] = {label: [] for label in programs}
        with neighbours(count):
            for _ in range(ROUNDS):
                for label, program in programs.items():
                    times[label] += turn(program, step, index)
        for label, found in times.items():
            low, median, high = np.quantile(found, [0.1, 0.5, 0.9])
            print(f"{count} busy, threads {label:>6}: {median:6.3f} ms ({low:.3f} to {high:.3f})")


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["small"]))
