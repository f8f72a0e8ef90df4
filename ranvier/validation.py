"""Arguments that must be numbers, checked where an object is made.

What comes out is Python's own `int`, `float` or `bool`, so that it has a JSON form. NumPy's
numbers are taken; texts, None, truth values and what float32 cannot hold are refused with an
InputError that names the argument, its value and what it may be.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, nan
from numbers import Integral, Real
from reprlib import repr as shortened
from typing import Any

import numpy as np

from ranvier.errors import InputError

_TOO_LONG = 1 << 63
"""Whole numbers are int64 in programs."""

_DEEPEST = 16
"""Levels of a configuration: a schedule in a schedule, and so on."""


def number(
    name: str,
    value: Any,
    *,
    low: float = -inf,
    high: float = inf,
    above: float = -inf,
    below: float = inf,
    hint: str = "",
) -> float:
    """Return a finite number in [low, high] and (above, below), also when rounded to float32.

    name: the class and the argument, such as "Dropout: rate". hint: ends the error's sentence.
    """
    given = _as_float(value)
    with np.errstate(over="ignore"):
        rounded = float(np.float32(given))
    if low <= given <= high and above < given < below:
        if above < rounded < below:
            return int(value) if isinstance(value, Integral) else given
        found = f"{shown(value)}, which is {rounded:g} in float32"
    else:
        found = shown(value)
    raise InputError(f"{name} is {found}; use {_wanted(low, high, above, below)}{hint}")


def whole_number(name: str, value: Any, low: int | None = 1) -> int:
    """Return a whole number, `low` or more (any for None), that int64 holds."""
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if whole and -_TOO_LONG <= value < _TOO_LONG and (low is None or value >= low):
        return int(value)
    least = "" if low is None else f", {low} or more"
    most = ", below 2**63" if whole and value >= _TOO_LONG else ""
    raise InputError(f"{name} is {shown(value)}; use a whole number{least}{most}")


def flag(name: str, value: Any) -> bool:
    """Return True or False."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise InputError(f"{name} is {shown(value)}; use True or False")


def shallow(name: str, config: Any) -> None:
    """Refuse a configuration that is nested so deeply that reading it would not end well."""
    level = [config]
    for _ in range(_DEEPEST):
        level = [item for each in level if isinstance(each, Mapping) for item in each.values()]
        if not level:
            return
    raise InputError(f"the {name} is nested deeper than {_DEEPEST}; use fewer levels")


def per_axis(name: str, value: Any) -> int | tuple[int, ...]:
    """Return a size of 1 or more for all spatial axes, or a tuple with one for each."""
    if not _is_sequence(value):
        return whole_number(name, value)
    if len(value) not in (1, 2):
        raise InputError(f"{name} is {shown(value)}; use one number, or one for each spatial axis")
    return tuple(whole_number(name, each) for each in value)


def padding(name: str, value: Any) -> str | int | tuple[int | tuple[int, int], ...]:
    """Return "valid", "same", zeros for all borders, or zeros or a pair for each spatial axis."""
    if isinstance(value, str) and value in ("valid", "same"):
        return value
    if isinstance(value, str) or (_is_sequence(value) and len(value) not in (1, 2)):
        raise InputError(
            f'{name} is {shown(value)}; use "valid", "same", a number, or a number or pair '
            "(before, after) for each spatial axis"
        )
    if not _is_sequence(value):
        return whole_number(name, value, 0)
    return tuple(_border(name, each) for each in value)


def _border(name: str, value: Any) -> int | tuple[int, int]:
    if not _is_sequence(value):
        return whole_number(name, value, 0)
    if len(value) != 2:
        raise InputError(f"{name} holds {shown(value)}; use pairs (before, after)")
    return whole_number(name, value[0], 0), whole_number(name, value[1], 0)


def _is_sequence(value: Any) -> bool:
    return isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim > 0)


def _as_float(value: Any) -> float:
    """The number as Python's float; NaN, which lies in no range, for what is none."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return nan
    try:
        return float(value)
    except OverflowError:  # a whole number of hundreds of digits
        return inf


def shown(value: Any) -> str:
    """The value as an error prints it, at most some 40 characters."""
    try:
        return shortened(value.item() if isinstance(value, np.generic) else value)
    except ValueError:  # Python prints no whole number of thousands of digits
        return "a number of thousands of digits"


def _wanted(low: float, high: float, above: float, below: float) -> str:
    """The numbers of a range, in words."""
    least, most = max(low, above), min(high, below)
    if most < inf:
        return f"a number in {'[('[above == least]}{least:g}, {most:g}{'])'[below == most]}"
    if above == 0:
        return "a positive number"
    return "a finite number" + (f", {least:g} or more" if least > -inf else "")
