"""Curves and clouds as inline SVG, by matplotlib, in the colours of the page.

Matplotlib is imported when the first figure is drawn. It draws with marker colours, which are
replaced by the variables of the page's style, so that figures follow light and dark.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK, _GRID, _FIRST, _SECOND = "#010203", "#020304", "#030405", "#040506"
_VARIABLES = {
    _INK: "var(--soft)",
    _GRID: "var(--line)",
    _FIRST: "var(--first)",
    _SECOND: "var(--second)",
}
_SIZE = (4.6, 2.7)
_SETTINGS: Any = {
    "svg.fonttype": "none",  # text stays text, in the page's own font
    "svg.hashsalt": "ranvier",
    "font.size": 9,
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": _GRID,
    "grid.linewidth": 0.8,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "text.color": _INK,
    "legend.frameon": False,
}

Series = Mapping[str, Sequence[float | None]]


def curves(name: str, epochs: Sequence[int], series: Series) -> str:
    """Return a figure of one quantity over epochs: training and validation in one frame."""

    columns = {
        label: [math.nan if v is None else float(v) for v in values]
        for label, values in series.items()
    }
    ends = {
        label: [v for v in values if math.isfinite(v)][-1:] for label, values in columns.items()
    }
    upper = max(ends, key=lambda label: ends[label] or [-math.inf])

    from matplotlib.ticker import MaxNLocator

    def draw(axes: Axes) -> None:
        for (label, numbers), colour in zip(columns.items(), (_FIRST, _SECOND), strict=False):
            axes.plot(
                epochs,
                numbers,
                color=colour,
                linewidth=1.8,
                marker="o",
                markersize=3 if len(epochs) <= 30 else 0.1,
                label=label,
            )
            shown = [(x, y) for x, y in zip(epochs, numbers, strict=True) if math.isfinite(y)]
            if shown:
                axes.annotate(
                    f"{shown[-1][1]:.4g}",
                    shown[-1],
                    xytext=(5, 0 if len(columns) == 1 else 4 if label == upper else -4),
                    textcoords="offset points",
                    color=colour,
                    va="center" if len(columns) == 1 else "bottom" if label == upper else "top",
                )
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.margins(x=0.04 if len(epochs) > 1 else 0.5)
        if len(series) > 1:
            axes.legend(loc="best", labelcolor="linecolor", handlelength=1.2)

    return _figure(name, draw)


def scatter(predicted: np.ndarray, true: np.ndarray) -> str:
    """Return a figure of predicted against true numbers, with the line where they agree."""

    def draw(axes: Axes) -> None:
        low, high = float(min(true.min(), predicted.min())), float(max(true.max(), predicted.max()))
        axes.plot([low, high], [low, high], color=_SECOND, linewidth=1.2)
        axes.scatter(true, predicted, s=5, color=_FIRST, alpha=0.4, linewidths=0)
        axes.set_xlabel("true")
        axes.set_ylabel("predicted")

    return _figure("predicted and true", draw)


def _figure(name: str, draw: Any) -> str:
    """Draw into a new figure and return its SVG, ready to stand inside a page."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with rc_context(_SETTINGS):
        figure = Figure(figsize=_SIZE, layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.add_subplot())
        content = io.StringIO()
        figure.savefig(content, format="svg", transparent=True, metadata={"Date": None})
    return _inline(content.getvalue(), name)


def _inline(text: str, name: str) -> str:
    """Cut the document down to its drawing, with identifiers of its own and the page's colours."""
    svg = text[text.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    prefix = re.sub(r"\W+", "-", name)
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    svg = re.sub(r"url\(#", f"url(#{prefix}-", svg)
    svg = re.sub(r'xlink:href="#', f'xlink:href="#{prefix}-', svg)
    for marker, variable in _VARIABLES.items():
        svg = svg.replace(marker, variable)
    svg = re.sub(r"font: [^;\"]*?(\d[\d.]*)px [^;\"]*", r"font: \1px var(--sans)", svg)
    return re.sub(r'<svg ([^>]*?)width="[^"]*"', r'<svg role="img" \1', svg, count=1)
