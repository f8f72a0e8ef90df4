"""Sections on what a network has learned, as pictures: its filters, and reconstructions."""

from __future__ import annotations

from html import escape

import numpy as np

from ranvier.nn.module import TIMES
from ranvier.report.markup import section
from ranvier.report.pictures import MOST_FILTERS, MOST_INPUTS, data_uri, filter_pictures
from ranvier.report.report import Report
from ranvier.wording import counted


def reconstructions(report: Report) -> str:
    """Return test pictures and what an autoencoder makes of them."""
    if report.reconstructions is None:
        return ""
    rows = "".join(
        "<div>"
        + "".join(f'<img alt="{name} {i}" src="{data_uri(p)}">' for i, p in enumerate(each))
        + "</div>"
        for name, each in zip(("input", "output"), report.reconstructions, strict=True)
    )
    note = "Test pictures above, what the network makes of them below."
    return section("Reconstructions", f'<div class="pairs">{rows}</div>', note)


def filters(report: Report) -> str:
    """Return the filters of each layer that has some to be seen."""
    shown = "".join(_layer(path, weights) for path, weights in report.filters.items())
    if not shown:
        return ""
    note = (
        "Red is positive, blue negative, white zero. A filter that sees several inputs is drawn "
        "once for each, from top to bottom."
    )
    return section("Learned filters", shown, note)


def _layer(path: str, weights: np.ndarray) -> str:
    height, width, inputs, outputs = weights.shape
    title = (
        f"{path}: {counted(outputs, 'filter')} of {height}{TIMES}{width} "
        f"over {counted(inputs, 'input')}"
    )
    left_out = [
        f"the first {most} {what}"
        for count, most, what in (
            (outputs, MOST_FILTERS, "filters"),
            (inputs, MOST_INPUTS, "inputs of each"),
        )
        if count > most
    ]
    title += f"; {' and '.join(left_out)} are drawn" if left_out else ""
    pictures = "".join(f'<img alt="" src="{data_uri(p)}">' for p in filter_pictures(weights))
    return (
        f'<div class="filter"><h3>{escape(title)}</h3><div class="filters">{pictures}</div></div>'
    )
