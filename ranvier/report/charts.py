"""Charts on pages: figures that Observable Plot draws, and the scripts that a page needs for them.

Plot and the library below it, D3 (both ISC licence, in `vendor/`), are half a megabyte, inlined
once a page; they bring axes, log scales, values on hover and shapes for every kind of chart.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files

from ranvier.report.chart import Chart


def figure(chart: Chart) -> str:
    """Return the chart as a figure, drawn once the page is open."""
    spec = escape(json.dumps(chart.spec(), separators=(",", ":")), quote=True)
    note = f"<p>{escape(chart.note)}</p>" if chart.note else ""
    return (
        f'<figure class="chart" data-chart="{spec}"><h3>{escape(chart.title)}</h3>'
        f'<div class="drawing"></div><figcaption>{note}</figcaption></figure>'
    )


def figures(charts: Sequence[Chart]) -> str:
    """Return charts side by side where there is room."""
    return f'<div class="charts">{"".join(map(figure, charts))}</div>' if charts else ""


def scripts() -> str:
    """Return what a page with charts needs, once, at its end."""
    folder = files("ranvier.report")
    texts = [
        (folder / name).read_text("utf-8")
        for name in ("vendor/d3.min.js", "vendor/plot.min.js", "chart.js")
    ]
    return "".join(f"<script>{text}</script>\n" for text in texts)
