"""Charts drawn by matplotlib, where that is installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ranvier.errors import InputError
from ranvier.report.chart import Bars, Cells, Chart, Dots, Line, Mark, Rule

_WIDTH, _HEIGHT = 5.2, 3.4
_COLUMNS = 2


def plot(charts: Sequence[Chart]) -> Any:
    """Return the matplotlib axes of charts, an array [n]; raises InputError without matplotlib."""
    try:
        from matplotlib import pyplot
    except ImportError:
        raise InputError(
            "drawing needs matplotlib, which is not installed; install it with "
            "pip install 'ranvier[plot]'"
        ) from None
    rows = -(-len(charts) // _COLUMNS)
    columns = min(len(charts), _COLUMNS)
    figure, axes = pyplot.subplots(
        rows, columns, figsize=(_WIDTH * columns, _HEIGHT * rows), squeeze=False
    )
    for axis, chart in zip(axes.flat, charts, strict=False):
        _draw(axis, chart)
    for axis in axes.flat[len(charts) :]:
        axis.remove()
    figure.tight_layout()
    return axes.ravel()[: len(charts)]


def _draw(axis: Any, chart: Chart) -> None:
    colours = {label: f"C{number}" for label, number in chart.colours().items()}
    for mark in chart.marks:
        _mark(axis, mark, colours)
    axis.set(title=chart.title, xlabel=chart.x, ylabel=chart.y)
    if chart.log_x:
        axis.set_xscale("log")
    if chart.log_y:
        axis.set_yscale("log")
    if chart.square:
        axis.set_aspect("equal")
    if axis.get_legend_handles_labels()[1]:
        axis.legend(fontsize="small")


def _mark(axis: Any, mark: Mark, colours: Mapping[str, str]) -> None:
    match mark:
        case Line():
            colour = colours.get(mark.label)
            (line,) = axis.plot(mark.x, mark.y, c=colour, label=mark.label or None)
            if mark.low is not None and mark.high is not None:
                axis.fill_between(mark.x, mark.low, mark.high, color=line.get_color(), alpha=0.16)
        case Dots():
            names = [mark.label] * len(mark.x) if mark.labels is None else list(mark.labels)
            for name in dict.fromkeys(names):
                chosen = [i for i, other in enumerate(names) if other == name]
                at = [[float(side[i]) for i in chosen] for side in (mark.x, mark.y)]
                axis.scatter(*at, s=10, color=colours.get(name), label=name or None)
        case Bars():
            errors = None
            if mark.low is not None and mark.high is not None:
                values = np.asarray(mark.values)
                errors = [values - np.asarray(mark.low), np.asarray(mark.high) - values]
            axis.bar(list(mark.names), mark.values, yerr=errors)
            axis.tick_params(axis="x", rotation=25)
        case Rule():
            straight = axis.axhline if mark.x is None else axis.axvline
            straight(
                mark.y if mark.x is None else mark.x, ls="--", c="grey", label=mark.label or None
            )
        case Cells():
            box = (mark.left, mark.right, mark.bottom, mark.top)
            origin = "upper" if mark.picture else "lower"
            shades = {"vmin": mark.low, "vmax": mark.high, "cmap": "RdBu", "alpha": 0.6}
            axis.imshow(mark.values, extent=box, origin=origin, aspect="auto", **shades)
