"""Growth of the resident size: `python memory.py steps NAME` `python memory.py compiles N`
or `python memory.py arena NAME`."""

from __future__ import annotations

import gc
import json
import os
import sys
from pathlib import Path

import numpy as np
import steps

import ranvier as rv


def resident() -> int:
    """Bytes of this process in main memory (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def over_steps(name: str, total: int = 10_000) -> dict[str, float]:
    """Growth over `total` steps in calls of 200, after two calls."""
    step = steps.STEPS[name]()
    program = step.compile()
    index = step.index(200)
    sizes = []
    for _ in range(2 + total // len(index)):
        program(steps=len(index), index=index, **step.arrays)
        sizes.append(resident())
    return {"kilobytes": (sizes[-1] - sizes[1]) / 1e3, "steps": total}


def over_compiles(count: int) -> dict[str, float]:
    """Growth for each of `count` programs that differ, compiled, run once and released."""
    before = 0
    warm = 20
    for i in range(warm + count):
        if i == warm:
            gc.collect()
            before = resident()
        _compile_and_release(8 + i % 50, 1e-3 * (i + 1))
    gc.collect()
    return {"kilobytes": (resident() - before) / 1e3 / count, "compiles": count}


def arena(name: str) -> dict[str, float]:
    """The temporaries of a step."""
    program = steps.STEPS[name]().compile()
    return {"kilobytes": program.schedule.arena.size / 1e3}


def _compile_and_release(width: int, rate: float) -> None:
    x = rv.input((32, 8))
    weight = rv.Parameter(np.ones((8, width), np.float32))
    loss = rv.mean(rv.tanh(x @ weight))
    (grad,) = rv.gradients(loss, [weight])
    program = rv.compile({"x": x}, {"loss": loss}, {weight: weight - grad * rate})
    program(x=np.ones((32, 8), np.float32))
    program.release()


if __name__ == "__main__":
    kind, argument = sys.argv[1:]
    measures = {"steps": over_steps, "arena": arena, "compiles": lambda n: over_compiles(int(n))}
    print(json.dumps(measures[kind](argument)))
