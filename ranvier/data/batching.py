"""The order in which an epoch visits its observations, and their division into batches."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from ranvier.data.errors import DataError
from ranvier.guidance.calls import explain

Indices: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"

_EPOCHS, _SPLITS = 0, 1
"""Streams of random numbers that never meet, so that a split says nothing about an epoch."""


def permutation(n: int, epoch: int, seed: int) -> Indices:
    """Return the random order int64[n] in which this epoch visits n observations.

    It depends on n, `seed` and `epoch` alone: a resumed run goes on with the same order. Each
    observation draws 64 bits from NumPy's Philox generator, keyed by (seed, epoch), and the
    order is that of sorting them; the bits of a bit generator, unlike the methods of
    `np.random.Generator`, are the same on every platform and in every version of NumPy.
    """
    return _shuffle(n, (seed, epoch), _EPOCHS)


def split_order(n: int, seed: int) -> Indices:
    """Return the random order int64[n] by which a split is divided."""
    return _shuffle(n, (seed, 0), _SPLITS)


def batches(
    n: int, size: int, order: Indices | None = None
) -> tuple[Indices, np.ndarray[Any, np.dtype[np.float32]]]:
    """Divide n observations into batches: indices int64[steps, size], weights float32 likewise.

    `order` is the order of the visit, 0, 1, … n - 1 without it. The last, smaller batch is
    filled up with index 0 and weight 0, so that every batch runs through the same program and
    the filling counts for nothing. Raises DataError for n or size below 1.
    """
    if n < 1 or size < 1:
        raise DataError(f"batches of {size} out of {n} observations: both must be 1 or more")
    order = np.arange(n, dtype=np.int64) if order is None else order
    if len(order) != n:
        raise DataError(f"the order names {len(order)} observations, not {n}; pass one of each")
    steps = -(-n // size)
    indices = np.zeros(steps * size, np.int64)
    weights = np.zeros(steps * size, np.float32)
    indices[:n] = order
    weights[:n] = 1.0
    return indices.reshape(steps, size), weights.reshape(steps, size)


def _shuffle(n: int, key: tuple[int, int], stream: int) -> Indices:
    for word in key:
        if not 0 <= word < 1 << 64:
            raise DataError(f"a seed or epoch of {word}: use a whole number from 0 to 2**64 - 1")
    generator = np.random.Philox(
        key=np.array(key, np.uint64), counter=np.array((0, 0, 0, stream), np.uint64)
    )
    draws = generator.random_raw(n)
    # A stable sort, so that even equal draws have one order.
    return np.argsort(draws, kind="stable").astype(np.int64)


explain(globals())
