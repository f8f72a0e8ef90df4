"""The page: sections of HTML, each from one part of a report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np

from ranvier.nn.module import TIMES
from ranvier.report.figures import curves, scatter
from ranvier.report.pictures import data_uri, filter_rows
from ranvier.report.report import Mistake, Report

_NUMBERED = 20
"""Confusion matrices of up to so many classes show their numbers."""
_MOST_CLASSES = 100
"""Of more classes, those with the most mistakes are drawn: the page grows with the square."""

_WORDS = {
    "test_error": "test error",
    "test_accuracy": "test accuracy",
    "test_loss": "test loss",
    "test_mean_absolute_error": "mean absolute error",
    "test_r2": "R², variance explained",
}
_SHARES = ("error", "accuracy")


def render(report: Report) -> str:
    """Return the report as one HTML document without any reference to elsewhere."""
    style = (files("ranvier.report") / "style.css").read_text("utf-8")
    sections = [
        _head(report),
        _curves(report),
        _speed(report),
        _confusion(report),
        _mistakes(report),
        _scatter(report),
        _reconstructions(report),
        _filters(report),
        _network(report),
        _settings(report),
    ]
    body = "\n".join(section for section in sections if section)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(report.title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"{body}\n<footer>Written by Ranvier. The numbers behind the curves stand in "
        "<code>history.jsonl</code> beside this file.</footer>\n</body>\n</html>\n"
    )


def _section(title: str, content: str, note: str = "") -> str:
    shown = f'<p class="note">{note}</p>\n' if note else ""
    return f"<section>\n<h2>{escape(title)}</h2>\n{shown}{content}\n</section>"


def _head(report: Report) -> str:
    figures = "".join(
        f'<div class="figure"><b>{_value(key, value)}</b><span>{_words(key)}</span></div>'
        for key, value in report.headline.items()
    )
    return f'<h1>{escape(report.title)}</h1>\n<div class="headline">{figures}</div>'


def _curves(report: Report) -> str:
    if not report.history:
        return ""
    epochs = [int(record["epoch"]) for record in report.history]
    charts = []
    for key in _drawn(report.history):
        series = {"training": [record.get(key) for record in report.history]}
        beside = [record.get(f"validation_{key}") for record in report.history]
        if any(value is not None for value in beside):
            series["validation"] = beside
        if all(value is None for value in series["training"]):
            del series["training"]
        name = key.replace("_", " ")
        charts.append(f'<div class="chart"><h3>{escape(name)}</h3>{curves(epochs, series)}</div>')
    return _section("Learning curves", f'<div class="charts">{"".join(charts)}</div>')


def _drawn(history: Sequence[Mapping[str, Any]]) -> list[str]:
    """The quantities with a curve, each once for training and validation."""
    found: dict[str, None] = {}
    for record in history:
        for key, value in record.items():
            if key not in ("epoch", "step") and isinstance(value, int | float):
                found[key.removeprefix("validation_")] = None
    return list(found)


def _speed(report: Report) -> str:
    if not report.seconds:
        return ""
    figures = [(f"{sum(report.seconds):.1f} s", f"for {len(report.seconds)} epochs")]
    figures.append((f"{float(np.median(report.seconds)):.2f} s", "an epoch, median"))
    if report.samples_per_second is not None:
        figures.append((f"{report.samples_per_second:,.0f}", "samples a second"))
    if report.share_of_peak is not None:
        figures.append((f"{100 * report.share_of_peak:.0f} %", "of the processor's peak"))
    shown = "".join(f'<div class="figure"><b>{b}</b><span>{s}</span></div>' for b, s in figures)
    note = (
        "Validation included. The peak is what a loop of multiply-adds in registers reached on "
        "the same threads; only the arithmetic that training needs is counted."
    )
    return _section("Speed", f'<div class="headline">{shown}</div>', note)


def _confusion(report: Report) -> str:
    if report.confusion is None or not len(report.classes):
        return ""
    rows = _most_mistaken(report.confusion)
    totals = np.maximum(report.confusion.sum(1, keepdims=True), 1e-12)
    matrix = report.confusion[np.ix_(rows, rows)]
    shares = matrix / totals[rows]
    names = [escape(str(report.classes[row])) for row in rows]
    numbered = len(names) <= _NUMBERED
    lines = []
    for i, name in enumerate(names):
        cells = "".join(
            _cell(float(matrix[i, j]), float(shares[i, j]), i == j, numbered, name, other)
            for j, other in enumerate(names)
        )
        lines.append(f"<tr>{f'<th>{name}</th>' if numbered else ''}{cells}</tr>")
    head = ""
    if numbered:
        head = f"<thead><tr><th></th>{''.join(f'<th>{n}</th>' for n in names)}</tr></thead>"
    kind = "confusion" if numbered else "confusion dense"
    body = f"<tbody>{''.join(lines)}</tbody>"
    table = f'<div class="scroll"><table class="{kind}">{head}{body}</table></div>'
    note = "Rows are the true classes, columns what the network said, on the test data."
    if len(rows) < len(report.classes):
        note += f" Of {len(report.classes)} classes, the {len(rows)} with the most mistakes."
    return _section("Confusion matrix", table, note)


def _most_mistaken(matrix: np.ndarray) -> np.ndarray:
    """The classes to draw, in their order."""
    mistakes = matrix.sum(0) + matrix.sum(1) - 2 * np.diagonal(matrix)
    return np.sort(np.argsort(-mistakes, kind="stable")[:_MOST_CLASSES])


def _cell(
    count: float, share: float, right: bool, numbered: bool, true: str, predicted: str
) -> str:
    colour = "--hit" if right else "--miss"
    # Mistakes are few: their square root can be seen.
    strength = 0.75 * share if right else 0.9 * float(np.sqrt(share))
    text = f"{count:g}" if numbered and count else ""
    title = f"{true} taken for {predicted}: {count:g}"
    return f'<td style="background:rgba(var({colour}),{strength:.3f})" title="{title}">{text}</td>'


def _mistakes(report: Report) -> str:
    if not report.mistakes:
        return ""
    shown = "".join(_mistake(mistake) for mistake in report.mistakes)
    note = "Test samples that the network was surest of and wrong about."
    return _section("The worst mistakes", f'<div class="mistakes">{shown}</div>', note)


def _mistake(mistake: Mistake) -> str:
    if mistake.picture is not None:
        sample = f'<img alt="test sample {mistake.row}" src="{data_uri(mistake.picture)}">'
    else:
        numbers = ", ".join(
            f"{float(v):.4g}" for v in (() if mistake.values is None else mistake.values)
        )
        sample = f'<div class="values">row {mistake.row}: {numbers} …</div>'
    return (
        f'<div class="mistake">{sample}said <b>{escape(mistake.predicted)}</b>, '
        f"{100 * mistake.probability:.1f} %<br>is <b>{escape(mistake.true)}</b></div>"
    )


def _scatter(report: Report) -> str:
    if report.scatter is None:
        return ""
    figure = f'<div class="charts"><div class="chart">{scatter(*report.scatter)}</div></div>'
    return _section(
        "Predicted and true", figure, "Numbers of the test data; the line is where both agree."
    )


def _reconstructions(report: Report) -> str:
    if report.reconstructions is None:
        return ""
    rows = "".join(
        "<div>"
        + "".join(f'<img alt="{name} {i}" src="{data_uri(p)}">' for i, p in enumerate(each))
        + "</div>"
        for name, each in zip(("input", "output"), report.reconstructions, strict=True)
    )
    note = "Test pictures above, what the network makes of them below."
    return _section(
        "Reconstructions", f'<div class="scroll"><div class="pairs">{rows}</div></div>', note
    )


def _filters(report: Report) -> str:
    shown = []
    for path, weights in report.filters.items():
        h, w, inputs, outputs = weights.shape
        rows = "".join(
            "<div>" + "".join(f'<img alt="" src="{data_uri(p)}">' for p in row) + "</div>"
            for row in filter_rows(weights)
        )
        title = f"{path}: {outputs} filters of {h}{TIMES}{w} over {inputs} inputs"
        shown.append(
            f'<div class="filter"><h3>{escape(title)}</h3>'
            f'<div class="scroll"><div class="filters">{rows}</div></div></div>'
        )
    if not shown:
        return ""
    note = (
        "Red is positive, blue negative, white zero; a column for each filter, a row for each "
        "input."
    )
    return _section("Learned filters", "".join(shown), note)


def _network(report: Report) -> str:
    if not report.summary:
        return ""
    head = "".join(
        f"<th{_number(i)}>{name}</th>"
        for i, name in enumerate(("layer", "kind", "output", "parameters", "multiply-adds"))
    )
    lines = []
    for row in report.summary:
        shape = TIMES.join(str(n) for n in row["shape"])
        cells = (
            row["path"],
            row["kind"],
            shape,
            f"{row['parameters']:,}",
            f"{row['multiply_adds']:,}",
        )
        line = "".join(f"<td{_number(i)}>{escape(cell)}</td>" for i, cell in enumerate(cells))
        lines.append(f"<tr>{line}</tr>")
    totals = [f"{report.totals.get(key, 0):,}" for key in ("parameters", "multiply_adds")]
    numbers = "".join(f'<td class="number">{total}</td>' for total in totals)
    foot = f'<td colspan="3">in all, for one sample</td>{numbers}'
    table = (
        f'<div class="scroll"><table class="rows"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody><tfoot><tr>{foot}</tr></tfoot></table></div>"
    )
    return _section("The network", table)


def _number(column: int) -> str:
    return ' class="number"' if column > 2 else ""


def _settings(report: Report) -> str:
    if not report.settings:
        return ""
    rows = "".join(
        f'<tr><th>{escape(name)}</th><td class="path">{escape(value)}</td></tr>'
        for name, value in _flat(report.settings)
    )
    table = f'<div class="scroll"><table class="rows">{rows}</table></div>'
    again = f"<p>Run it again: <code>{escape(report.command)}</code></p>" if report.command else ""
    return _section("Settings", again + table)


def _flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in settings.items():
        if isinstance(value, Mapping):
            found += _flat(value, f"{prefix}{key}.")
        elif value is not None:
            found.append((f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value)))
    return found


def _value(key: str, value: float) -> str:
    """A share as per cent, any other number with four digits."""
    share = key.endswith(_SHARES) and not key.endswith(("squared_error", "absolute_error"))
    return f"{100 * value:.2f} %" if share else f"{value:.4g}"


def _words(key: str) -> str:
    return escape(_WORDS.get(key, key.replace("_", " ")))
