"""Curves and clouds as inline SVG, in the colours and the font of the page.

Drawn here and not by a plotting library: two kinds of figure need 200 lines, and the smallest
library that makes pictures as good would be a fifth of the whole installation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from ranvier.records import dataclass

_WIDTH, _HEIGHT = 460, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 66, 22, 36
_TICKS = 6
_MOST_POINTS = 30
"""Curves of up to so many epochs have a point for each."""

_FIRST, _SECOND = "var(--first)", "var(--second)"
_COLOURS = {"training": _FIRST, "validation": _SECOND}
"""A series has the same colour in every chart, whether or not the other is there."""
_LETTER = 7.5
"""The room for a letter of a legend, also in the larger type of narrow screens."""
_NEAR = 15
"""Labels that are closer than this are moved apart."""

Series = Mapping[str, Sequence[float | None]]


@dataclass(frozen=True)
class Axis:
    """Numbers from `low` to `high` on pixels from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Return the pixel of a number."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def curves(epochs: Sequence[int], series: Series) -> str:
    """Return a figure of one quantity over epochs: "training" and "validation" in one frame.

    None and NaN are gaps; a value at the end of each curve says where it has come to. A legend
    says which curve is which, unless there is none but that of training.
    """
    columns = {
        label: [math.nan if v is None else float(v) for v in values]
        for label, values in series.items()
    }
    finite = [v for values in columns.values() for v in values if math.isfinite(v)]
    across = _axis([float(n) for n in epochs], _LEFT, _WIDTH - _RIGHT, 0.02)
    up = _axis(finite, _HEIGHT - _BOTTOM, _TOP, 0.06)
    parts = _frame(across, up, "epoch", whole=True)
    ends: list[tuple[float, str, str]] = []
    for label, values in columns.items():
        points = [
            (across.at(x), up.at(y)) if math.isfinite(y) else None
            for x, y in zip(epochs, values, strict=True)
        ]
        parts += _line(points, _COLOURS[label])
        shown = [y for y in values if math.isfinite(y)]
        if shown:
            ends.append((up.at(shown[-1]), _brief(shown[-1]), _COLOURS[label]))
    parts += _ends(ends)
    if list(columns) != ["training"]:
        parts += _legend({label: _COLOURS[label] for label in columns})
    return _svg(parts)


def scatter(predicted: np.ndarray, true: np.ndarray) -> str:
    """Return a figure of predicted against true numbers, with the line where they agree."""
    both = [*map(float, predicted), *map(float, true)]
    across = _axis(both, _LEFT, _WIDTH - _RIGHT, 0.04)
    up = _axis(both, _HEIGHT - _BOTTOM, _TOP, 0.04)
    parts = _frame(across, up, "true", whole=False)
    low, high = min(both), max(both)
    parts += _line([(across.at(v), up.at(v)) for v in (low, high)], _SECOND)
    parts += [
        f'<circle cx="{across.at(float(x)):.1f}" cy="{up.at(float(y)):.1f}" r="1.8" '
        f'fill="{_FIRST}" fill-opacity="0.4"/>'
        for x, y in zip(true, predicted, strict=True)
    ]
    parts += _legend({"a test sample": _FIRST, "both agree": _SECOND})
    parts.append(_text(0, _TOP - 1, "predicted", "start"))
    return _svg(parts)


def _axis(values: Sequence[float], start: float, end: float, margin: float) -> Axis:
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if high - low <= 1e-12 * max(abs(low), abs(high)):
        low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
    room = margin * (high - low)
    return Axis(low - room, high + room, start, end)


def ticks(low: float, high: float, most: int = _TICKS) -> list[float]:
    """Return round numbers inside [low, high]: multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(m for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [n * step for n in range(first, last + 1)]


def _frame(across: Axis, up: Axis, name: str, whole: bool) -> list[str]:
    """Lines of the grid, numbers along both axes, and the name of the lower one."""
    parts = []
    for value in ticks(up.low, up.high):
        y = up.at(value)
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
            'stroke="var(--line)"/>'
        )
        parts.append(_text(_LEFT - 7, y + 4, f"{value:.6g}", "end"))
    for value in ticks(across.low, across.high, 8):
        if not whole or value == round(value):
            parts.append(_text(across.at(value), _HEIGHT - _BOTTOM + 16, f"{value:.6g}", "middle"))
    parts.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 3, name, "middle"))
    return parts


def _line(points: Sequence[tuple[float, float] | None], colour: str) -> list[str]:
    """A line through the points, broken where there is none, and the points if they are few."""
    path, pen = [], "M"
    for point in points:
        if point is None:
            pen = "M"
        else:
            path.append(f"{pen}{point[0]:.1f} {point[1]:.1f}")
            pen = "L"
    parts = [
        f'<path d="{" ".join(path)}" fill="none" stroke="{colour}" stroke-width="2" '
        'stroke-linejoin="round" stroke-linecap="round"/>'
    ]
    if len(points) <= _MOST_POINTS:
        parts += [
            f'<circle cx="{point[0]:.1f}" cy="{point[1]:.1f}" r="2.6" fill="{colour}"/>'
            for point in points
            if point is not None
        ]
    return parts


def _ends(ends: list[tuple[float, str, str]]) -> list[str]:
    """The last values beside their curves, moved apart where they would overlap."""
    ordered = sorted(ends)
    if len(ordered) == 2 and ordered[1][0] - ordered[0][0] < _NEAR:
        middle = (ordered[0][0] + ordered[1][0]) / 2
        moved = (middle - _NEAR / 2, middle + _NEAR / 2)
        ordered = [(y, *rest) for y, (_, *rest) in zip(moved, ordered, strict=True)]  # type: ignore[misc]
    return [_text(_WIDTH - _RIGHT + 8, y + 4, text, "start", colour) for y, text, colour in ordered]


def _brief(value: float) -> str:
    """Four digits, or fewer where the number needs a power of ten."""
    text = f"{value:.4g}"
    return f"{value:.2g}" if "e" in text else text


def _legend(colours: Mapping[str, str]) -> list[str]:
    """The names of the series and their colours, in a line above the figure, to the right."""
    parts: list[str] = []
    x = float(_WIDTH - _RIGHT)
    for label, colour in reversed(list(colours.items())):
        x -= _LETTER * len(label) + 26
        parts.append(f'<circle cx="{x:.1f}" cy="{_TOP - 5}" r="4" fill="{colour}"/>')
        parts.append(_text(x + 9, _TOP - 1, label, "start"))
    return parts


def _text(x: float, y: float, text: str, anchor: str, colour: str = "var(--soft)") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">'
        f"{escape(text)}</text>"
    )


def _svg(parts: Sequence[str]) -> str:
    return (
        f'<svg role="img" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )
