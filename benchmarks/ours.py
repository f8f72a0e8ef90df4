"""Ranvier as a contender, and the peak loop beside it: `python ours.py`, then lines on stdin."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import data
import images
import numpy as np
import steps
import worker

import ranvier as rv
from ranvier.engines.native.host import host
from ranvier.engines.native.inspect.peak import PeakLoop

MATMULS: dict[str, tuple[int, int, int, bool, bool]] = {
    "1024-nn": (1024, 1024, 1024, False, False),
    "1024-nt": (1024, 1024, 1024, False, True),
    "1024-tn": (1024, 1024, 1024, True, False),
    "1024-tt": (1024, 1024, 1024, True, True),
    "odd": (1000, 37, 513, False, False),
    "mlp-forward": (128, 784, 256, False, False),
    "mlp-input-gradient": (128, 256, 256, False, True),
    "mlp-weight-gradient": (784, 128, 256, True, False),
}
"""m, k, n and which operands lie transposed, by name."""


def matmul_case(name: str) -> worker.Case:
    """One product a step, of the same operands."""
    m, k, n, left, right = MATMULS[name]
    shapes = ((k, m) if left else (m, k), (n, k) if right else (k, n))
    a, b = (rv.input(shape) for shape in shapes)
    result = rv.Buffer(np.zeros((m, n), np.float32))
    product = (a.T if left else a) @ (b.T if right else b)
    program = rv.compile({"a": a, "b": b}, {}, {result: product}, threads=host().cores)
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {
        key: rng.standard_normal(shape).astype(np.float32)
        for key, shape in zip("ab", shapes, strict=True)
    }
    program(steps=1, **arrays)
    return lambda count: program(steps=count, **arrays)


def layer_case(name: str, kind: str) -> worker.Case:
    """One pass of a single convolution."""
    result, kept = images.layer(name, kind)
    program = rv.compile({}, {}, {kept: result}, threads=host().cores)
    program(steps=1)
    return lambda count: program(steps=count)


def many_case(name: str) -> worker.Case:
    """All steps in one call."""
    step = steps.STEPS[name]()
    program = step.compile()
    index = step.index(4096)
    program(steps=2, index=index[:2], **step.arrays)

    def run(count: int) -> None:
        for start in range(0, count, len(index)):
            rows = index[: min(len(index), count - start)]
            program(steps=len(rows), index=rows, **step.arrays)

    return run


def single_case(name: str) -> worker.Case:
    """One call for each step."""
    step = steps.STEPS[name]()
    program = step.compile()
    index = step.index(4096)
    program(index=index[0], **step.arrays)

    def run(count: int) -> None:
        for i in range(count):
            program(index=index[i % len(index)], **step.arrays)

    return run


def peak_case() -> worker.Case:
    """The peak loop on all cores; one step is `peak_flops()` of arithmetic."""
    return PeakLoop(host().cores).rate


def peak_flops() -> int:
    """The arithmetic of one step of the peak loop."""
    return PeakLoop(host().cores).flops


def cases() -> dict[str, Callable[[], worker.Case]]:
    """Every case by name."""
    found: dict[str, Callable[[], worker.Case]] = {"peak": peak_case}
    for name in MATMULS:
        found[f"matmul-{name}"] = functools.partial(matmul_case, name)
    for name in data.LAYERS:
        for kind in data.passes(name):
            found[f"{name}-{kind}"] = functools.partial(layer_case, name, kind)
    for name in steps.STEPS:
        found[f"{name}-many"] = functools.partial(many_case, name)
        found[f"{name}-single"] = functools.partial(single_case, name)
    return found


if __name__ == "__main__":
    worker.serve(cases())
