"""Bisecting: which kernel is the first whose result differs from the reference.

A step runs with every kernel as compiled, but with nothing in place, so that all that kernels
store can be looked at afterwards. Each kernel is then judged by itself: NumPy computes its
results from the values that it really read, so that an error is blamed on the kernel that
made it and not on those that it spread to. NumPy rounds too: what differs from it is compared
with the same in double precision before it counts as an error.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ranvier import dtypes
from ranvier.engines.native.schedule.kernels import Kernel
from ranvier.graph.evaluate import evaluate_all
from ranvier.graph.printing import type_text
from ranvier.graph.tensor import Tensor
from ranvier.graph.walk import topological
from ranvier.records import dataclass

TOLERANCE = {dtypes.float32: 1e-4, dtypes.float64: 1e-9, dtypes.bfloat16: 1e-2}
"""How far a value may be off, relative to the largest magnitude of its tensor."""

_TINY = {dtypes.float32: 2.0**-126, dtypes.float64: 2.0**-1022, dtypes.bfloat16: 2.0**-126}
"""The smallest normal number; smaller ones may count as zero."""


@dataclass(frozen=True)
class Difference:
    """The first difference: `kernel` computed `found` at `position` of `tensor`."""

    kernel: Kernel
    tensor: Tensor
    position: tuple[int, ...]
    found: float
    expected: float

    def __str__(self) -> str:
        return (
            f"kernel {self.kernel.name} gave {self.found} at {self.position} of "
            f"{self.tensor.op.name} {type_text(self.tensor)}; the reference gives {self.expected}"
        )


def first_difference(
    kernels: tuple[Kernel, ...], values: Mapping[Tensor, np.ndarray]
) -> Difference | None:
    """Compare kernel by kernel; `values` holds leaves and all that the kernels stored."""
    for kernel in kernels:
        own = set(kernel.nodes)
        results = [node for node in kernel.nodes if node in values]
        known = {tensor: value for tensor, value in values.items() if tensor not in own}
        order = topological(results, set(known))
        expected = evaluate_all(order, known)
        for node in results:
            difference = _compare(kernel, node, values[node], expected[node])
            if difference is not None:
                exact = evaluate_all(order, known, widen=True)
                if _compare(kernel, node, values[node], exact[node]) is not None:
                    return difference
    return None


def _compare(
    kernel: Kernel, node: Tensor, found: np.ndarray, expected: np.ndarray
) -> Difference | None:
    if found.size == 0:
        return None
    same = (found == expected) | ((found != found) & (expected != expected))
    if node.dtype in TOLERANCE:
        a, b = found.astype(np.float64), expected.astype(np.float64)
        finite = np.isfinite(b)
        largest = float(np.max(np.abs(b[finite]), initial=0.0))
        with np.errstate(invalid="ignore"):
            same |= finite & (np.abs(a - b) <= TOLERANCE[node.dtype] * largest + _TINY[node.dtype])
    if same.all():
        return None
    at = tuple(int(i) for i in np.unravel_index(np.argmin(same), same.shape))
    return Difference(kernel, node, at, float(found[at]), float(expected[at]))
