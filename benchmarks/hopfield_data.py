"""What the Hopfield contenders work on: patterns of digits' size, and corrupted ones."""

from __future__ import annotations

import numpy as np

UNITS, PATTERNS, STATES, SWEEPS = 784, 50, 1000, 100

CASES = ("weights", "factored", "product")
"""Sweeps by the matrix of weights, by its factors, and its product alone."""


def patterns() -> np.ndarray:
    """Random patterns of -1 and 1, float32 [PATTERNS, UNITS]."""
    rng = np.random.default_rng(0)
    return (rng.integers(0, 2, (PATTERNS, UNITS)) * 2 - 1).astype(np.float32)


def states() -> np.ndarray:
    """Patterns of which every unit is wrong with probability 0.3, float32 [STATES, UNITS]."""
    rng = np.random.default_rng(1)
    chosen = patterns()[np.arange(STATES) % PATTERNS]
    return np.where(rng.random(chosen.shape) < 0.3, -chosen, chosen).astype(np.float32)
