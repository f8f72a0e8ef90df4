"""The digits that experiments learn from: MNIST as rows of 784 numbers, and parts of it."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

import ranvier as rv
from ranvier.data.source import Split

Pairs: TypeAlias = tuple[np.ndarray, np.ndarray]

SCALED = {"scale": 1 / 255}
"""What is done to the rows inside the program, which makes pixels numbers from 0 to 1."""


def training_digits() -> Pairs:
    """Return all 60,000 digits for training, uint8 [60000, 784], and their classes, [60000]."""
    data = rv.datasets.load("mnist")
    parts = _rows(data.train), _rows(data.validation)
    return np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])


def test_digits() -> Pairs:
    """Return the 10,000 digits for testing, uint8 [10000, 784], and their classes, [10000]."""
    return _rows(rv.datasets.load("mnist").test)


def _rows(split: Split) -> Pairs:
    x, y = np.asarray(split.inputs), np.asarray(split.targets)
    return x.reshape(len(x), -1), y


def drawn(digits: Pairs, count: int, seed: int, after: int = 0) -> Pairs:
    """Return `count` digits in an order drawn by the seed, without the `after` first of it."""
    rows = np.random.default_rng(seed).permutation(len(digits[0]))[after : after + count]
    return digits[0][rows], digits[1][rows]


def as_digit(row: np.ndarray) -> np.ndarray:
    """Return a row of 784 numbers as a picture, [28, 28]."""
    return row.reshape(28, 28)
