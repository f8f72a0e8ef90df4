"""The page: sections of HTML, each from one part of a report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from typing import Any

import numpy as np

from ranvier.nn.module import TIMES
from ranvier.report.charts import figures, scripts
from ranvier.report.classes import confusion, each_class, mistakes
from ranvier.report.curves import (
    SERIES,
    Records,
    best_epoch,
    learning_curves,
    quantities,
    scatter,
)
from ranvier.report.learned import filters, reconstructions
from ranvier.report.markup import cards, dotted, section, table
from ranvier.report.report import Report
from ranvier.wording import counted, duration

_WORDS = {
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
        confusion(report),
        each_class(report),
        mistakes(report),
        _scatter(report),
        reconstructions(report),
        filters(report),
        _network(report),
        _settings(report),
    ]
    body = "\n".join(section for section in sections if section)
    drawing = scripts() if report.history or report.scatter is not None else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(report.title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"{body}\n<footer>Written by Ranvier. The numbers behind the curves stand in "
        f"<code>history.jsonl</code> of the run.</footer>\n{drawing}</body>\n</html>\n"
    )


def _head(report: Report) -> str:
    facts = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
        for name, value in report.facts.items()
    )
    shown = f'<dl class="facts">{facts}</dl>\n' if facts else ""
    results = cards((_value(key, value), _words(key)) for key, value in report.headline.items())
    return f"<h1>{escape(report.title)}</h1>\n{shown}{results}"


def _curves(report: Report) -> str:
    if not report.history:
        return ""
    shown = f"<noscript>{_epochs(report.history)}</noscript>"
    return section("Learning curves", shown + figures(learning_curves(report.history)))


def _epochs(history: Records) -> str:
    """The last and the best epoch as a table, for readers without JavaScript."""
    last, best = history[-1], best_epoch(history)
    columns = {f"last epoch, {last['epoch']}": last}
    columns |= {f"best epoch, {best}": r for r in history if r["epoch"] == best and r is not last}
    rows = [
        [
            f"{_words(key)}, {label}",
            *(_measured(record.get(prefix + key)) for record in columns.values()),
        ]
        for key in quantities(history)
        for label, prefix in SERIES.items()
        if any(prefix + key in record for record in history)
    ]
    return table(["", *columns], rows)


def _measured(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else "none"


def _speed(report: Report) -> str:
    if not report.seconds:
        return ""
    median = duration(float(np.median(report.seconds)))
    count = len(report.seconds)
    each = f"for {counted(count, 'epoch')}" + (f", {median} each (median)" if count > 1 else "")
    shown = [(duration(sum(report.seconds)), each)]
    if report.samples_per_second is not None:
        shown.append((f"{report.samples_per_second:,.0f}", "training samples per second"))
    note = "Time and samples per second include validation."
    if report.share_of_peak is not None:
        shown.append((f"{100 * report.share_of_peak:.0f} %", "of the processor's peak"))
        note += (
            " The share of the peak is that of the training step alone: steps and a loop of "
            "nothing but multiply-adds in registers were timed in turns, on as many threads; only "
            "the arithmetic that the step needs is counted."
        )
        if report.share_of_peak > 1:
            note += (
                " It can pass 100 %: some products are computed with fewer multiplications than "
                "are counted, and a shared processor changes its speed between the turns."
            )
    return section("Speed", cards(shown), note)


def _scatter(report: Report) -> str:
    if report.scatter is None:
        return ""
    shown = figures([scatter(*report.scatter)])
    return section("Predicted and true", shown, "Numbers of the test set.")


def _network(report: Report) -> str:
    if not report.summary:
        return ""
    head = ("layer", "output", "parameters", "multiply-adds")
    rows = [
        (
            f"{row['path']} ({row['kind']})",
            TIMES.join(str(n) for n in row["shape"]),
            f"{row['parameters']:,}",
            f"{row['multiply_adds']:,}",
        )
        for row in report.summary
    ]
    totals = [f"{report.totals.get(key, 0):,}" for key in ("parameters", "multiply_adds")]
    return section("The network", table(head, rows, ("in all, for one sample", "", *totals)))


def _settings(report: Report) -> str:
    if not report.settings:
        return ""
    rows = "".join(
        f'<tr><th>{dotted(name)}</th><td class="path">{escape(value)}</td></tr>'
        for name, value in _flat(report.settings)
    )
    content = f'<table class="rows settings">{rows}</table>'
    again = f"<p>Run it again: <code>{escape(report.command)}</code></p>" if report.command else ""
    return section("Settings", again + content)


def _flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Settings as names and texts: what is nested by dots, and what stands in a list by numbers."""
    if value is None:
        return []
    if isinstance(value, str):
        return [(name, value)]
    if isinstance(value, Mapping):
        parts = {str(key): each for key, each in value.items()}
    elif isinstance(value, list | tuple) and any(isinstance(each, Mapping) for each in value):
        parts = {str(number): each for number, each in enumerate(value, 1)}
    else:
        return [(name, json.dumps(value))]
    return [
        found
        for key, each in parts.items()
        for found in _flat(each, f"{name}.{key}" if name else key)
    ]


def _value(key: str, value: float) -> str:
    """A share as per cent, any other number with four digits."""
    share = key.endswith(_SHARES) and not key.endswith(("squared_error", "absolute_error"))
    return f"{100 * value:.2f} %" if share else f"{value:.4g}"


def _words(key: str) -> str:
    return _WORDS.get(key, key.replace("_", " "))
