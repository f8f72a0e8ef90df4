"""Labels as class numbers, and the statistics that inputs are normalized by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ranvier.data.errors import DataError
from ranvier.data.known import known_classes
from ranvier.data.source import Array

_MOST = 1 << 16
"""A class number from here on is taken for a mistake."""
_LONGEST = 1000
"""Digits of a whole number; Python refuses to read some thousands of them."""
_TOGETHER = 256
"""Pictures that are counted at once, so that their copies stay small."""


def class_numbers(labels: Sequence[str], classes: Sequence[str], name: str) -> Array:
    """Return the place int32[n] of each label in `classes`; DataError for one that is absent."""
    numbers = {label: number for number, label in enumerate(classes)}
    try:
        return np.array([numbers[label] for label in labels], np.int32)
    except KeyError as error:
        raise DataError(
            f"{name}: the label {error.args[0]!r} is none of the {len(classes)} classes of the "
            "training set; mend the label, or add training rows that have it"
        ) from None


def class_names(labels: Sequence[str]) -> tuple[str, ...]:
    """Return the distinct labels: by value if all are whole numbers, else by code point."""
    distinct = set(labels)
    if all(is_whole(label) for label in distinct):
        return tuple(sorted(distinct, key=int))
    return tuple(sorted(distinct))


def is_whole(text: str) -> bool:
    """Whether a text is a whole number in plain decimal digits."""
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdecimal() and len(digits) <= _LONGEST


def numbered_classes(labels: Array, name: str) -> tuple[str, ...]:
    """Return the names of the classes that the labels of the training set number.

    These are "0", "1", … up to the largest label, unless the data set is a known one.

    Raises DataError for a label that is no class number, and for fewer than two classes.
    """
    bad = np.flatnonzero((labels < 0) | (labels >= _MOST))
    if len(bad):
        raise DataError(
            f"{name}: the label of row {bad[0]} is {labels[bad[0]]}; number the classes from 0"
        )
    check_classes([str(label) for label in np.unique(labels)], name)
    count = int(labels.max()) + 1
    return known_classes(labels) or tuple(str(number) for number in range(count))


def check_range(labels: Array, count: int, name: str) -> None:
    """Raise DataError unless every label is a class number, 0 to count - 1."""
    bad = np.flatnonzero((labels < 0) | (labels >= count))
    if len(bad):
        raise DataError(
            f"{name}: the label of row {bad[0]} is {labels[bad[0]]}; "
            f"{count} classes are numbered 0 to {count - 1}"
        )


def check_classes(classes: Sequence[str], name: str) -> None:
    """Raise DataError unless there are at least two classes."""
    if len(classes) < 2:
        raise DataError(
            f"{name}: every label is {classes[0]!r}; a classifier needs at least two classes"
        )


def normalization(inputs: Array) -> dict[str, Any]:
    """Return the `preprocess` that gives training inputs mean 0 and deviation 1.

    Bytes [n, h, w, c] are images: scaled to 0…1, then by channel, from exact sums. Other bytes
    are only scaled. Floats [n, …, f] go by feature; a feature that never changes keeps its
    scale. Whole numbers are ids and stay. Figures are rounded, so that they do not depend on
    how a machine adds.
    """
    if inputs.dtype == np.uint8:
        scaled: dict[str, Any] = {"scale": 1 / 255}
        return scaled | _channel_statistics(inputs) if inputs.ndim == 4 else scaled
    if inputs.dtype.kind != "f" or inputs.ndim < 2:
        return {}
    mean, std = standard_scores(inputs.reshape(-1, inputs.shape[-1]))
    return {"mean": mean, "std": std}


def standard_scores(columns: Array) -> tuple[list[float], list[float]]:
    """Return the mean and the deviation of each column of [n, f]; 1 for one that never changes.

    Deviations have six digits, and means six or as many as bring them to a millionth of it.
    """
    means = columns.mean(axis=0, dtype=np.float64)
    deviations = _deviations(columns.std(axis=0, dtype=np.float64))
    pairs = zip(means, deviations, strict=True)
    return [float(f"{mean:.{_digits(mean, std)}g}") for mean, std in pairs], deviations


def _digits(mean: float, deviation: float) -> int:
    """How many digits bring a mean to a millionth of a deviation: 6 to 15."""
    ahead = math.ceil(math.log10(abs(mean) / deviation)) if mean else 0
    return min(max(6, 6 + ahead), 15)


def unit_range(inputs: Array) -> dict[str, Any]:
    """Return the `preprocess` that brings floats [n, …, f] to 0 … 1, by feature."""
    axes = tuple(range(inputs.ndim - 1))
    low, high = inputs.min(axis=axes), inputs.max(axis=axes)
    return {"mean": _exact(low), "std": [each or 1.0 for each in _exact(high - low)]}


def _channel_statistics(images: Array) -> dict[str, Any]:
    values = np.arange(256) / 255
    means, deviations = [], []
    for channel in range(images.shape[3]):
        counts = np.zeros(256, np.int64)
        for start in range(0, len(images), _TOGETHER):  # np.bincount makes them int64
            some = images[start : start + _TOGETHER, ..., channel]
            counts += np.bincount(some.ravel(), minlength=256)
        shares = counts / counts.sum()
        mean = shares @ values
        means.append(mean)
        deviations.append(np.sqrt(shares @ (values - mean) ** 2))
    return {"mean": _rounded(np.array(means)), "std": _deviations(np.array(deviations))}


def _deviations(values: Array) -> list[float]:
    return [deviation or 1.0 for deviation in _rounded(values)]


def _exact(values: Array) -> list[float]:
    return [float(value) for value in values]


def _rounded(values: Array) -> list[float]:
    return [float(f"{value:.6g}") for value in values]
