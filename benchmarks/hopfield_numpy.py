"""The same sweeps in NumPy, on the BLAS that it comes with: `python hopfield_numpy.py`."""

from __future__ import annotations

import functools
import os

# OpenBLAS's threads go on looking for work for 30 ms after a product, in the next one's turn.
os.environ["OPENBLAS_THREAD_TIMEOUT"] = "18"

import hopfield_data as data
import numpy as np
import worker


def sweeps(name: str) -> worker.Case:
    """ "weights": x @ W and its sign. "factored": (x @ Pᵀ) @ P. "product": x @ W alone."""
    patterns, states = data.patterns(), data.states()
    weights = patterns.T @ patterns
    np.fill_diagonal(weights, 0)
    count_of_patterns = np.float32(len(patterns))
    field, overlaps = np.empty_like(states), np.empty((len(states), len(patterns)), np.float32)

    def run(count: int) -> None:
        for _ in range(count):
            x = states.copy()
            for _ in range(data.SWEEPS):
                if name == "factored":
                    np.matmul(x, patterns.T, out=overlaps)
                    np.matmul(overlaps, patterns, out=field)
                    np.subtract(field, x * count_of_patterns, out=field)
                else:
                    np.matmul(x, weights, out=field)
                if name != "product":
                    x = np.where(field == 0, x, np.sign(field))

    run(1)
    return run


if __name__ == "__main__":
    worker.serve({name: functools.partial(sweeps, name) for name in data.CASES})
