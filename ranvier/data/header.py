"""Whether the first row of a table names its columns, or is a row like those below it.

Names over numbers are words as a rule. Where they are numbers too, as years are, or the 0, 1, 2 …
that tables without names are saved with, they count evenly, and the rows below do not.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from enum import Enum

SEEN = 1000
"""So many rows are looked at, at most."""
_FIELDS = 200_000
"""And about so many fields, where there are many columns."""
_FEW = 10
"""With fewer rows their least and largest values say little of what others may be."""
_MISSING = frozenset(("", "?", "-", "na", "n/a", "nan", "null", "none"))
"""How missing numbers are written, which says nothing of a row."""


class First(Enum):
    """What the first row of a table is."""

    NAMES = "names"
    VALUES = "values"
    UNCLEAR = "unclear"


def first_row(first: Sequence[str], below: Sequence[Sequence[str]]) -> First:
    """Return what the first row is, given the rows below it, which are as long."""
    rows = below[: min(SEEN, max(2 * _FEW, _FIELDS // len(first)))]
    columns = list(zip(*rows, strict=True)) or [() for _ in first]
    numeric = [place for place, column in enumerate(columns) if _of_numbers(column)]
    above = [first[place] for place in numeric if first[place].lower() not in _MISSING]
    numbers = [number_in(text) for text in above]
    found = [each for each in numbers if each is not None]
    words = [place for place in range(len(first)) if place not in numeric]
    if not numeric and rows and all(first[place] in columns[place] for place in words):
        return First.VALUES
    if len(found) < len(numbers) or not found:
        return First.NAMES
    if any(first[place] in columns[place] for place in words) or len(set(first)) < len(first):
        return First.VALUES
    counts = _counts(above)
    if any(2 * len(set(columns[place])) <= len(rows) for place in words):
        return First.NAMES  # above classes, of which it is none
    if counts and not any(_counts([row[place] for place in numeric]) for row in rows):
        return First.NAMES
    usual = [_usual(first[place], columns[place]) for place in numeric]
    if 2 * sum(usual) >= len(usual):
        return First.VALUES
    return First.NAMES if counts else First.UNCLEAR


def number_in(text: str) -> float | None:
    """Return the number that a field holds, if it holds one."""
    try:
        return float(text)
    except ValueError:
        return None


def _of_numbers(column: Sequence[str]) -> bool:
    """Whether most fields are numbers, so that the others are mistakes."""
    return 2 * sum(number_in(text) is not None for text in column) > len(column)


def _counts(fields: Sequence[str]) -> bool:
    """Whether fields are numbers in equal steps; two of them, whole ones in a step of 1."""
    values = [number_in(text) for text in fields]
    known = [value for value in values if value is not None and math.isfinite(value)]
    if len(known) < len(values) or len(known) < 2:
        return False
    step = known[1] - known[0]
    if len(known) == 2:
        return abs(step) == 1 and known[0].is_integer()
    steps = [after - before for before, after in itertools.pairwise(known)]
    return step != 0 and all(math.isclose(each, step, rel_tol=1e-6) for each in steps)


def _usual(field: str, column: Sequence[str]) -> bool:
    """Whether a field is missing or lies where the column's values do, or hardly beyond."""
    value = number_in(field)
    if value is None or not math.isfinite(value):
        return True
    known = [found for text in column if (found := number_in(text)) is not None]
    finite = [each for each in known if math.isfinite(each)]
    if not finite:
        return True
    low, high = min(finite), max(finite)
    few = len(finite) < _FEW
    beyond = 2 * max(abs(low), abs(high)) if few else 2 * (high - low) / len(finite)
    return low - beyond <= value <= high + beyond
