"""The order of an epoch and its batches: fixed by the seed and the epoch alone."""

from __future__ import annotations

import numpy as np
import pytest
from data_files import says

from ranvier.data import batches, permutation
from ranvier.data.batching import split_order


@pytest.mark.parametrize("n", [1, 2, 7, 1000])
def test_a_permutation_names_every_observation_once(n: int) -> None:
    order = permutation(n, epoch=3, seed=11)
    assert order.dtype == np.int64
    assert np.array_equal(np.sort(order), np.arange(n))


def test_the_order_is_fixed_for_ever() -> None:
    """Golden values: a change breaks every run that is resumed after it."""
    assert permutation(10, epoch=0, seed=0).tolist() == GOLDEN[0, 0]
    assert permutation(10, epoch=1, seed=0).tolist() == GOLDEN[1, 0]
    assert permutation(10, epoch=0, seed=1).tolist() == GOLDEN[0, 1]


GOLDEN = {
    (0, 0): [0, 2, 9, 1, 8, 5, 4, 3, 6, 7],
    (1, 0): [5, 3, 7, 8, 2, 4, 1, 0, 6, 9],
    (0, 1): [3, 5, 2, 9, 7, 0, 8, 6, 1, 4],
}


def test_the_global_generator_has_no_part_in_it() -> None:
    np.random.seed(1)
    first = permutation(50, 4, 9)
    np.random.seed(2)
    assert np.array_equal(first, permutation(50, 4, 9))


def test_seed_epoch_and_purpose_give_different_orders() -> None:
    orders = [permutation(50, e, s).tolist() for e in range(3) for s in (0, 1, 2**63)]
    orders += [split_order(50, s).tolist() for s in (0, 1)]
    assert len({tuple(order) for order in orders}) == len(orders)


def test_places_are_evenly_spread() -> None:
    """Over many epochs each observation comes first about as often as any other."""
    first = [permutation(4, epoch, 0)[0] for epoch in range(2000)]
    counts = np.bincount(first, minlength=4)
    assert np.all(abs(counts - 500) < 100)  # more than 5 standard deviations of 19


@pytest.mark.parametrize(("epoch", "seed", "word"), [(-1, 0, -1), (0, -5, -5), (0, 2**64, 2**64)])
def test_a_seed_out_of_range(epoch: int, seed: int, word: int) -> None:
    with says(f"a seed or epoch of {word}: use a whole number from 0 to 2**64 - 1"):
        permutation(3, epoch, seed)


def test_the_last_batch_is_filled_with_weight_zero() -> None:
    indices, weights = batches(5, 3, np.array([4, 2, 0, 3, 1]))
    assert indices.dtype == np.int64
    assert weights.dtype == np.float32
    assert indices.tolist() == [[4, 2, 0], [3, 1, 0]]
    assert weights.tolist() == [[1, 1, 1], [1, 1, 0]]


@pytest.mark.parametrize(("n", "size"), [(6, 3), (1, 1), (1, 8), (7, 2), (100, 128)])
def test_every_observation_counts_once(n: int, size: int) -> None:
    order = permutation(n, 0, 0)
    indices, weights = batches(n, size, order)
    assert indices.shape == weights.shape == (-(-n // size), size)
    assert np.array_equal(indices[weights == 1], order)
    assert weights.sum() == n


def test_without_an_order_rows_follow_each_other() -> None:
    indices, _ = batches(4, 2)
    assert indices.tolist() == [[0, 1], [2, 3]]


@pytest.mark.parametrize(("n", "size"), [(0, 4), (4, 0), (-1, 2)])
def test_batches_of_nothing(n: int, size: int) -> None:
    with says(f"batches of {size} out of {n} observations: both must be 1 or more"):
        batches(n, size)


def test_an_order_of_another_length() -> None:
    with says("the order names 2 observations, not 3; pass one of each"):
        batches(3, 2, np.array([0, 1]))
