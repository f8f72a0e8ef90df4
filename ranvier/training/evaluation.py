"""Sums and predictions over all calls of a feed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

import numpy as np

from ranvier.engines.program import Program
from ranvier.training.feed.feeds import Feed
from ranvier.training.loop.history import Measures
from ranvier.training.loop.pace import Pace
from ranvier.training.objective import ONE, Objective
from ranvier.training.programs import PREDICTION, TARGET, of_kind

Told = Callable[[int], None]
"""Called with the number of samples that a call has done."""


def add_up(sums: dict[str, float], outputs: Mapping[str, np.ndarray]) -> None:
    """Add each step's scalars to the sums, one step after the other.

    The order is that of the steps, however they are sliced into calls, so the bits are too.
    """
    for key, values in outputs.items():
        chain = np.concatenate([[sums.get(key, 0.0)], values.astype(np.float64)])
        sums[key] = float(np.add.accumulate(chain)[-1])


def evaluated(
    program: Program, feed: Feed, objective: Objective, told: Told | None = None
) -> tuple[dict[str, Any], int]:
    """Return the loss and metrics over all samples of a feed, and how many there were."""
    sums: dict[str, float] = {}
    found = _Gathered()
    samples = 0
    pace = Pace()
    for call in feed.calls(0, 0, pace):
        started = perf_counter()
        outputs = program(steps=call.steps, **call.arrays)
        pace.took(call.steps, perf_counter() - started)
        shown = of_kind(PREDICTION, outputs)
        add_up(sums, {k: v for k, v in outputs.items() if v.ndim == 1})
        samples += call.samples
        if shown:
            found.add("predictions", shown, call.samples)
            found.add("weights", {ONE: call.arrays["weights"]}, call.samples)
            found.add("targets", of_kind(TARGET, outputs), call.samples)
        if told is not None:
            told(call.samples)
    result: dict[str, Any] = objective.averages(sums)
    if objective.needs_predictions:
        weights = found.joined("weights")[ONE]
        result |= objective.of_all(found.joined("predictions"), found.joined("targets"), weights)
    return Measures(result), samples


def predicted(program: Program, feed: Feed, told: Told | None = None) -> dict[str, np.ndarray]:
    """Return the predictions for all samples of a feed, by the name of the output."""
    found = _Gathered()
    pace = Pace()
    for call in feed.calls(0, 0, pace):
        arrays = {name: a for name, a in call.arrays.items() if name in program.signature.inputs}
        started = perf_counter()
        outputs = program(steps=call.steps, **arrays)
        pace.took(call.steps, perf_counter() - started)
        found.add("predictions", of_kind(PREDICTION, outputs), call.samples)
        if told is not None:
            told(call.samples)
    return found.joined("predictions")


class _Gathered:
    """Arrays [steps, batch, …] of calls, joined to [samples, …]."""

    def __init__(self) -> None:
        self._parts: dict[tuple[str, str], list[np.ndarray]] = {}

    def add(self, kind: str, arrays: Mapping[str, np.ndarray], samples: int) -> None:
        for name, array in arrays.items():
            rows = array.reshape(-1, *array.shape[2:])[:samples]
            self._parts.setdefault((kind, name), []).append(rows)

    def joined(self, kind: str) -> dict[str, np.ndarray]:
        parts = {name: p for (of, name), p in self._parts.items() if of == kind}
        return {name: np.concatenate(p) for name, p in parts.items()}
