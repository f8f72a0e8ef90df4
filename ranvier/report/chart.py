"""Charts as plain data: what is drawn, said once for pages and for matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from ranvier.errors import InputError
from ranvier.records import dataclass

Numbers: TypeAlias = Sequence[float] | np.ndarray

_MOST_POINTS = 4000
"""Points of a mark that a page gets at most: evenly taken out of more."""


@dataclass(frozen=True, eq=False)
class Line:
    """A line through (x, y); `low` and `high`, if given, bound a band round it."""

    x: Numbers
    y: Numbers
    label: str = ""
    low: Numbers | None = None
    high: Numbers | None = None


@dataclass(frozen=True, eq=False)
class Dots:
    """Points at (x, y), of one series or, with `labels`, of one for each label."""

    x: Numbers
    y: Numbers
    label: str = ""
    labels: Sequence[str] | None = None


@dataclass(frozen=True, eq=False)
class Bars:
    """One bar for each name; `low` and `high`, if given, are the ends of its error bar."""

    names: Sequence[str]
    values: Numbers
    low: Numbers | None = None
    high: Numbers | None = None


@dataclass(frozen=True)
class Rule:
    """A straight line across the whole chart, at one x or one y."""

    x: float | None = None
    y: float | None = None
    label: str = ""


@dataclass(frozen=True, eq=False)
class Cells:
    """Numbers [rows, columns] as colours over the box from (left, bottom) to (right, top).

    The first row is the lowest, unless `picture`, whose first row is on top. Colours run from
    `low` to `high`, by default the smallest and the largest number.
    """

    values: np.ndarray
    left: float = 0.0
    right: float = 1.0
    bottom: float = 0.0
    top: float = 1.0
    low: float | None = None
    high: float | None = None
    picture: bool = False


Mark: TypeAlias = Line | Dots | Bars | Rule | Cells


@dataclass(frozen=True, eq=False)
class Chart:
    """A frame with marks in it, drawn in their order.

    title: what it shows, in a few words; note: what to see in it, in a sentence or two.
    x, y: the names of the axes, with units; log_x, log_y: whether they are logarithmic.
    square: whether both axes have the same scale.
    series: labels that take the first colours, in this order, whether or not a mark has them, so
    that a series has one colour in several charts.
    """

    title: str
    marks: Sequence[Mark]
    x: str = ""
    y: str = ""
    log_x: bool = False
    log_y: bool = False
    square: bool = False
    note: str = ""
    series: Sequence[str] = ()

    def __post_init__(self) -> None:
        for mark in self.marks:
            _check(self.title, mark)

    def colours(self) -> dict[str, int]:
        """Return the number of the colour of each label: those of `series`, then as they come."""
        drawn = [label for mark in self.marks for label in _labels(mark)]
        found = dict.fromkeys([*self.series, *drawn])
        return {label: number for number, label in enumerate(found)}

    def spec(self) -> dict[str, Any]:
        """Return the chart as JSON values, as `chart.js` reads them."""
        return {
            "title": self.title,
            "x": self.x,
            "y": self.y,
            "logX": self.log_x,
            "logY": self.log_y,
            "square": self.square,
            "colours": self.colours(),
            "marks": [_mark(mark) for mark in self.marks],
        }


def _check(title: str, mark: Mark) -> None:
    if isinstance(mark, Line | Dots) and len(mark.x) != len(mark.y):
        raise InputError(
            f"chart {title!r}: a mark has {len(mark.x)} x and {len(mark.y)} y; give as many"
        )
    if isinstance(mark, Bars) and len(mark.names) != len(mark.values):
        raise InputError(
            f"chart {title!r}: there are {len(mark.names)} names for {len(mark.values)} bars; "
            "give as many"
        )
    if isinstance(mark, Rule) and (mark.x is None) is (mark.y is None):
        raise InputError(f"chart {title!r}: a rule needs one of x and y")


def _labels(mark: Mark) -> list[str]:
    """The labels of the series that a mark draws."""
    if isinstance(mark, Dots) and mark.labels is not None:
        return [str(label) for label in mark.labels]
    return [mark.label] if isinstance(mark, Line | Dots) and mark.label else []


def _mark(mark: Mark) -> dict[str, Any]:
    match mark:
        case Line():
            keep = _kept(len(mark.x))
            band = {"low": _plain(mark.low, keep), "high": _plain(mark.high, keep)}
            found = {"kind": "line", "x": _plain(mark.x, keep), "y": _plain(mark.y, keep)}
            return {**found, "label": mark.label, **band}
        case Dots():
            keep = _kept(len(mark.x))
            labels = None if mark.labels is None else [str(mark.labels[i]) for i in keep]
            found = {"kind": "dots", "x": _plain(mark.x, keep), "y": _plain(mark.y, keep)}
            return {**found, "label": mark.label, "labels": labels}
        case Bars():
            keep = range(len(mark.names))
            ends = {"low": _plain(mark.low, keep), "high": _plain(mark.high, keep)}
            names = [str(name) for name in mark.names]
            return {"kind": "bars", "names": names, "values": _plain(mark.values, keep), **ends}
        case Rule():
            return {"kind": "rule", "x": mark.x, "y": mark.y, "label": mark.label}
        case Cells():
            return _cells(mark)


def _cells(mark: Cells) -> dict[str, Any]:
    values = np.asarray(mark.values, np.float64)
    upright = values[::-1] if mark.picture else values
    low = float(np.nanmin(values)) if mark.low is None else mark.low
    high = float(np.nanmax(values)) if mark.high is None else mark.high
    span = high - low or 1.0
    levels = np.clip(np.nan_to_num((upright - low) / span * 255), 0, 255).round().astype(int)
    box: Mapping[str, float] = {
        "left": mark.left, "right": mark.right, "bottom": mark.bottom, "top": mark.top
    }  # fmt: skip
    size = {"rows": values.shape[0], "columns": values.shape[1]}
    return {"kind": "cells", "levels": levels.ravel().tolist(), **size, **box}


def _kept(count: int) -> Sequence[int]:
    """The numbers of the points that a page gets."""
    if count <= _MOST_POINTS:
        return range(count)
    found: list[int] = np.linspace(0, count - 1, _MOST_POINTS).round().astype(int).tolist()
    return found


def _plain(values: Numbers | None, keep: Sequence[int]) -> list[float | None] | None:
    """Numbers with six digits, None for those that are not finite."""
    if values is None:
        return None
    chosen = [float(values[i]) for i in keep]
    return [float(f"{value:.6g}") if np.isfinite(value) else None for value in chosen]
