"""The pages of experiments: one for each, and the gallery that shows them all."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from importlib.resources import files
from pathlib import Path
from statistics import median
from typing import Any

from ranvier.experiments.run import HOLDS, Result
from ranvier.report.charts import figure, figures, scripts
from ranvier.report.markup import section, table
from ranvier.training.loop.history import plain
from ranvier.training.run.files import write_atomically
from ranvier.wording import counted, duration

PAGE = "index.html"

_LISTED = 8
"""Numbers of a list that the page shows; of more it says how they are spread."""


def write(result: Result, folder: Path) -> Path:
    """Write `result.json` and the page into `folder`, and return the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(plain(result.to_json()), indent=1) + "\n"
    write_atomically(folder / "result.json", text.encode())
    write_atomically(folder / PAGE, page(result).encode())
    return folder / PAGE


def page(result: Result) -> str:
    """Return the page of one experiment."""
    experiment = result.experiment
    form = ("the short form" if result.quick else "the full form") + (
        ", sabotaged as a control" if result.control else ""
    )
    made = f"{form}, {counted(len(result.seeds), 'seed')}, {duration(result.seconds)}"
    body = [
        f"<h1>{escape(experiment.name)}</h1>",
        f'<p class="claim">{escape(experiment.claim)}</p><p>{escape(experiment.source)}</p>',
        _verdict(result),
        section("What was measured", figures(result.finding.charts)),
        section("How", _paragraphs(experiment.method)),
        section("The verdict's threshold", f"<p>{escape(experiment.threshold)}</p>"),
        section("The control", f"<p>{escape(experiment.sabotage)}</p>"),
        section("Figures", _measurements(result.finding.measurements)),
        f"<p>{escape(made)}. Run it again: <code>{escape(result.command)}</code></p>",
    ]
    return _document(experiment.name, "\n".join(body))


def gallery(results: Sequence[Result]) -> str:
    """Return the page that shows every experiment: its picture, its verdict and its time."""
    kept = sum(result.holds for result in results)
    head = (
        "<h1>Experiments</h1><p>Claims of the field's introductory lecture, measured: "
        f"{kept} of {counted(len(results), 'claim')} "
        f"{'holds' if kept == 1 else 'hold'}, in {duration(sum(r.seconds for r in results))}.</p>"
    )
    return _document("Experiments", head + "".join(map(_card, results)))


def _card(result: Result) -> str:
    name = result.experiment.name
    picture = figure(result.finding.charts[0]) if result.finding.charts else ""
    return (
        f'<section class="experiment"><h2><a href="{name}/{PAGE}">{name}</a></h2>'
        f"<p>{escape(result.experiment.claim)}</p>{_verdict(result)}"
        f'<div class="charts">{picture}</div><p>{duration(result.seconds)}</p></section>'
    )


def _verdict(result: Result) -> str:
    kind = "holds" if result.holds else "fails"
    return (
        f'<p class="verdict {kind}"><b>{HOLDS[result.holds].capitalize()}</b> '
        f"{escape(result.finding.because)}</p>"
    )


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{escape(part)}</p>" for part in text.split("\n\n"))


def _measurements(found: Mapping[str, Any]) -> str:
    rows = [row for name, value in found.items() for row in _rows(_words(name), plain(value))]
    return table(("measurement", "value"), rows)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _rows(name: str, value: Any) -> list[tuple[str, str]]:
    """A measurement's rows, as texts: one for each name that it has a value for."""
    if isinstance(value, Mapping):
        return [row for key, each in value.items() for row in _rows(f"{name}: {key}", each)]
    return [(name, _shown(value))]


def _shown(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return "none" if value is None else "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        known = [each for each in value if isinstance(each, int | float)]
        if len(value) <= _LISTED or len(known) < len(value):
            return ", ".join(map(_shown, value))
        ends = f"{_shown(min(known))} to {_shown(max(known))}"
        return f"{ends}, median {_shown(float(median(known)))} of {len(known)}"
    return str(value)


def _document(title: str, body: str) -> str:
    from ranvier import __version__

    style = (files("ranvier.report") / "style.css").read_text("utf-8")
    date, python = datetime.now(UTC), platform.python_version()
    made = f"Ranvier {__version__}, {date:%Y-%m-%d}, Python {python}"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"{body}\n<footer>{escape(made)}</footer>\n{scripts()}</body>\n</html>\n"
    )
