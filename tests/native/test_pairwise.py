"""Long sums: every number once, and accurate though all roundings go one way."""

from __future__ import annotations

import numpy as np
import pytest

import ranvier as rv
from ranvier.engines.native.emit.loops.pairwise import FAN

LENGTHS = (FAN - 1, FAN, FAN + 1, 2 * FAN, FAN * FAN, FAN * FAN + 1, FAN**3 + FAN + 1)


def total(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """The sum of x by the native engine."""
    tensor = rv.input(x.shape, x.dtype, "x")
    program = rv.compile({"x": tensor}, {"sum": tensor.sum(axes)}, engine="native")
    return np.asarray(program(x=x)["sum"])


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("vectors", [1, 16, 64])
def test_every_number_counts_once(length: int, vectors: int) -> None:
    """Whole numbers of float32 have exact sums; lengths end at, before and after a part."""
    rng = np.random.default_rng(length)
    size = min(length * vectors, 1 << 20)
    for more in (0, 1, vectors - 1):
        flat = rng.integers(-9, 9, size + more).astype(np.float32)
        assert total(flat, (0,)) == flat.sum(dtype=np.float64)
        few = flat[: size // 5 * 5].reshape(-1, 5)
        assert np.array_equal(total(few, (0,)), few.sum(0, dtype=np.float64))
        nested = np.broadcast_to(flat[: min(size, 1000)], (3, 7, min(size, 1000)))
        assert np.array_equal(total(nested, (0, 2)), nested.sum((0, 2), dtype=np.float64))


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((1_000_003,), (0,)),
        ((10, 300_007), (1,)),
        ((300_007, 3), (0,)),
        ((100_003, 64), (0,)),
        ((64, 1009, 8), (0, 1)),
        ((1009, 1009), (0, 1)),
        ((70, 70, 9, 70), (0, 1, 3)),
    ],
)
def test_roundings_that_all_go_one_way(shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    """A running sum would be off by hundreds of units in the last place."""
    x = np.full(shape, 0.00077399, np.float32)
    exact = x.sum(axes, dtype=np.float64)
    error = np.max(np.abs(total(x, axes) - exact) / exact)
    assert error <= FAN / 2 * np.finfo(np.float32).eps, error


def test_an_empty_sum_and_one_of_negative_zeros() -> None:
    assert np.signbit(total(np.full((FAN * 40, 17), -0.0, np.float32), (0,))).all()
    assert not np.signbit(total(np.zeros((0, 17), np.float32), (0,))).any()
