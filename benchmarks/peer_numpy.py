"""NumPy's products as a contender, on the BLAS that it comes with: `python peer_numpy.py`."""

from __future__ import annotations

import functools
import os

# OpenBLAS's threads go on looking for work for 30 ms after a product, in the next one's turn.
os.environ["OPENBLAS_THREAD_TIMEOUT"] = "18"

import numpy as np
import ours
import worker


def matmul_case(name: str) -> worker.Case:
    """One product a step, of the same operands."""
    m, k, n, left, right = ours.MATMULS[name]
    rng = np.random.default_rng(0)
    a = rng.standard_normal((k, m) if left else (m, k)).astype(np.float32)
    b = rng.standard_normal((n, k) if right else (k, n)).astype(np.float32)
    result = np.empty((m, n), np.float32)

    def run(count: int) -> None:
        for _ in range(count):
            np.matmul(a.T if left else a, b.T if right else b, out=result)

    run(1)
    return run


if __name__ == "__main__":
    worker.serve({f"matmul-{name}": functools.partial(matmul_case, name) for name in ours.MATMULS})
