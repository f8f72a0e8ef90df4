"""Learning curves and scatters as charts, from plain records of epochs and plain numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from ranvier.report.chart import Chart, Dots, Line, Mark, Rule

Records: TypeAlias = Sequence[Mapping[str, Any]]

SERIES = {"training": "", "validation": "validation_"}
"""What is drawn in one frame, with what its quantities begin with; the order gives the colours."""

_DECADES = 2
"""A loss that spans more powers of ten has a logarithmic scale."""
_COUNTERS = ("epoch", "step")


def learning_curves(history: Records) -> list[Chart]:
    """Return a chart of each quantity over the epochs, training and validation in one frame.

    The best epoch, that with the lowest validation loss, is marked where there is one to choose.
    """
    best = best_epoch(history) if len(history) > 1 else None
    return [_chart(history, key, best) for key in quantities(history)]


def quantities(history: Records) -> list[str]:
    """Return the names of the quantities, each once for training and validation."""
    found: dict[str, None] = {}
    for record in history:
        for key, value in record.items():
            if key not in _COUNTERS and isinstance(value, int | float):
                found[key.removeprefix(SERIES["validation"])] = None
    return list(found)


def best_epoch(history: Records) -> int | None:
    """Return the epoch with the lowest validation loss, the first of equals; None without any."""
    losses = {int(r["epoch"]): r.get("validation_loss") for r in history}
    known = [(v, n) for n, v in losses.items() if isinstance(v, float) and math.isfinite(v)]
    return min(known)[1] if known else None


def scatter(predicted: np.ndarray, true: np.ndarray) -> Chart:
    """Return a chart of predicted against true numbers, with the line where they agree."""
    both = np.concatenate([predicted, true])
    ends = [float(both.min()), float(both.max())]
    marks = (Dots(true, predicted, "a test sample"), Line(ends, ends, "both agree"))
    return Chart("predicted and true", marks, x="true", y="predicted", square=True)


def _chart(history: Records, key: str, best: int | None) -> Chart:
    epochs = [int(record["epoch"]) for record in history]
    columns = {
        label: np.array([_number(record.get(prefix + key)) for record in history])
        for label, prefix in SERIES.items()
    }
    measured = {label: column for label, column in columns.items() if not np.isnan(column).all()}
    # What training alone has, such as the learning rate, needs no legend.
    alone = list(measured) == ["training"]
    marks: list[Mark] = []
    for label, column in measured.items():
        marks.append(Line(epochs, column, "" if alone else label))
    if best is not None and "validation" in measured:
        marks.append(Rule(x=best, label="best epoch"))
    name = key.replace("_", " ")
    log = key.endswith("loss") and _spans_decades(measured.values())
    note = _last(measured)
    return Chart(name, marks, x="epoch", y=name, log_y=log, note=note, series=tuple(SERIES))


def _last(measured: Mapping[str, np.ndarray]) -> str:
    """Where the curves have come to."""
    ends = {label: column[np.isfinite(column)][-1:] for label, column in measured.items()}
    said = [f"{end.item():.4g} ({label})" for label, end in ends.items() if end.size]
    return f"Last: {', '.join(said)}." if said else ""


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _spans_decades(columns: Iterable[np.ndarray]) -> bool:
    """Whether all numbers are positive, and the largest is many times the smallest."""
    finite = [v for column in columns for v in column.tolist() if math.isfinite(v)]
    return bool(finite) and min(finite) > 0 and max(finite) > 10**_DECADES * min(finite)
