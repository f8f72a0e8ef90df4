"""Whether data are linearly separable, decided exactly.

By Gordan's theorem (1873) just one of two things exists for vectors z_i = s_i (x_i, 1), with
s_i = 1 for the pairs of class 1 and -1 for those of class 0: weights w with w · z_i > 0 for all
i, which separate the classes; or multipliers λ_i >= 0, not all 0, with Σ λ_i z_i = 0, which show
that none do. (A point that is the same weighted mean of either class is the picture of the
second: XOR's two diagonals cross in the middle.) The simplex method (Dantzig, 1951) with Bland's
rule (1977) finds one of them in whole numbers, since every float is a fraction.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from math import gcd

import numpy as np

from ranvier.errors import InputError
from ranvier.records import dataclass

Whole = np.ndarray
"""An array of Python's whole numbers, of any length."""


@dataclass(frozen=True)
class Separability:
    """What `separability` finds: weights or multipliers, and None for the other.

    weights: float64 [features + 1], the bias last: positive sums on the pairs of class 1, negative
        ones on those of class 0. They are rounded from fractions; that they exist is exact.
    multipliers: float64 [pairs], sum 1: the weighted mean of the pairs of class 1, with these
        weights, is that of the pairs of class 0. Likewise rounded.
    """

    weights: np.ndarray | None
    multipliers: np.ndarray | None

    @property
    def separable(self) -> bool:
        """Whether weights and a bias separate the classes."""
        return self.weights is not None


def separability(inputs: np.ndarray, targets: np.ndarray) -> Separability:
    """Decide exactly whether one unit can tell two classes apart.

    inputs: finite numbers [pairs, features]. targets: 0 or 1, [pairs]. The time grows with the
    pairs and with the square of the features: some milliseconds for a truth table, seconds for
    a thousand pairs of ten features. Raises InputError for arrays of another form.
    """
    x, y = np.asarray(inputs, np.float64), np.asarray(targets)
    if x.ndim != 2 or y.shape != x.shape[:1] or not len(y):
        raise InputError(
            f"separability takes inputs [pairs, features] and targets [pairs], not "
            f"{list(x.shape)} and {list(y.shape)}; reshape them"
        )
    if not np.isfinite(x).all() or not np.isin(y, (0, 1)).all():
        raise InputError("separability takes finite inputs, and targets that are 0 or 1")
    columns = [_whole(column) for column in x.T]
    signs = np.where(y == 1, 1, -1).astype(object)
    vectors = np.stack([*(c for c, _ in columns), _objects([1] * len(y))], axis=1) * signs[:, None]
    found, numbers = _gordan(vectors)
    if found == "multipliers":
        return Separability(None, _scaled(numbers, sum(numbers)))
    # A column was multiplied by its unit, so its weight is, too.
    units = [*(unit for _, unit in columns), Fraction(1)]
    weights = [n * unit for n, unit in zip(numbers, units, strict=True)]
    return Separability(_scaled(weights, max(abs(w) for w in weights)), None)


def _gordan(vectors: Whole) -> tuple[str, Whole]:
    """Return ("weights", w) with vectors @ w > 0, or ("multipliers", λ) with λ @ vectors = 0.

    The simplex method for: minimize the sum of artificial variables a >= 0 over λ, a >= 0 with
    Σ λ_i z_i + a = 0 and Σ λ_i + a' = 1. The tableau stays whole: it is the rational one times
    `unit`, the determinant of the basis (Edmonds, 1967; Bareiss, 1968).
    """
    count, rows = len(vectors), vectors.shape[1] + 1
    table = np.zeros((rows + 1, count + rows + 1), object)
    table[: rows - 1, :count] = vectors.T
    table[rows - 1, :count] = 1
    table[range(rows), range(count, count + rows)] = 1
    table[rows - 1, -1] = 1
    # The last row holds what each variable would change in the sum.
    table[rows, :count] = -table[:rows, :count].sum(axis=0)
    table[rows, -1] = -1
    basis, unit, idle = list(range(count, count + rows)), 1, 0
    while True:
        falling = np.flatnonzero(table[rows, :count] < 0)
        if not len(falling):
            break
        # The steepest variable, or where that has led nowhere for a while, the first.
        steepest = falling[np.argmin(table[rows, falling])]
        entering = int(falling[0] if idle > rows else steepest)
        leaving = _leaving(table, basis, entering)
        idle = idle + 1 if table[leaving, -1] == 0 else 0
        pivot, pivot_row = table[leaving, entering], table[leaving].copy()
        table = (table * pivot - np.outer(table[:, entering], pivot_row)) // unit
        table[leaving] = pivot_row
        basis[leaving], unit = entering, pivot
    if table[rows, -1] == 0:
        multipliers = _objects([0] * count)
        for row, variable in enumerate(basis):
            if variable < count:
                multipliers[variable] = table[row, -1]
        return "multipliers", multipliers
    prices = unit - table[rows, count : count + rows]
    return "weights", -prices[:-1]


def _leaving(table: Whole, basis: list[int], entering: int) -> int:
    """The row that limits the entering variable; of several, that of the first variable."""
    best = -1
    for row, variable in enumerate(basis):
        slope, level = table[row, entering], table[row, -1]
        if slope <= 0:
            continue
        if best >= 0:
            ahead = level * table[best, entering] - table[best, -1] * slope
            if ahead > 0 or (ahead == 0 and variable > basis[best]):
                continue
        best = row
    return best


def _whole(column: np.ndarray) -> tuple[Whole, Fraction]:
    """A column of floats times the unit that makes them whole and coprime; and that unit."""
    ratios = [float(value).as_integer_ratio() for value in column]
    unit = max(denominator for _, denominator in ratios)  # powers of two
    whole = [numerator * (unit // denominator) for numerator, denominator in ratios]
    common = gcd(*whole) or 1
    return _objects([n // common for n in whole]), Fraction(unit, common)


def _objects(values: list[int]) -> Whole:
    return np.array(values, dtype=object)


def _scaled(numbers: Iterable[int | Fraction], size: int | Fraction) -> np.ndarray:
    return np.array([float(Fraction(n) / size) for n in numbers])
