"""How fast training was: samples per second, and the step's share of the machine's peak."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from statistics import median
from time import perf_counter
from typing import Any

from ranvier.data.source import Split
from ranvier.engines.program import Program
from ranvier.graph.tensor import Tensor
from ranvier.nn.summary import multiply_adds
from ranvier.records import dataclass
from ranvier.training.feed.feeds import Resident
from ranvier.training.loop.pace import Pace
from ranvier.training.model import Model

_STEP_SECONDS, _PEAK_SECONDS = 0.05, 0.02
"""A turn of the steps and one of the peak loop take about this long."""
_PEAK_CALLS = 4
"""The best of these is the peak of the turn: whatever disturbs it makes it lower."""
_FIRST_CALLS, _ROUNDS, _MOST_SECONDS = 4, 7, 1.0
"""Turns are taken so many times, or until so much time is spent on them."""


@dataclass(frozen=True)
class Speed:
    """None where there is nothing to measure by."""

    samples_per_second: float | None
    share_of_peak: float | None


def speed(model: Model, train: Split | None, timings: Sequence[Mapping[str, Any]]) -> Speed:
    """Return the rate of the epochs in `timings`, validation included, and the step's share.

    train: the training set, which the share is measured with; without it there is none.
    """
    seconds = sum(each["seconds"] for each in timings)
    samples = sum(each["samples"] for each in timings)
    rate = samples / seconds if seconds else None
    if train is None or model.engine != "native":
        return Speed(rate, None)
    return Speed(rate, share_of_peak(model, train))


def share_of_peak(model: Model, train: Split) -> float:
    """Return the training step's share of the machine's peak, measured now on as many threads.

    Steps and the peak loop take turns, since a shared machine changes its speed from second to
    second; the share is the median over the rounds. Only arithmetic that the step needs is
    counted: two for each multiply-add of its products and convolutions. The model's state is
    afterwards what it was.
    """
    from ranvier.engines.native.host import host
    from ranvier.engines.native.inspect.peak import PeakLoop

    feed = Resident(train, model.settings.batch_size, 0)
    program = model.training_program(feed)
    flops = needed_flops(program.simplified.roots) / feed.batch_size
    peak = PeakLoop(model.options.get("threads") or host().cores)
    turns = max(1, round(_PEAK_SECONDS / _PEAK_CALLS * peak.rate(20) * 1e9 / peak.flops))
    with _unchanged(program):
        return median(
            rate * flops / 1e9 / max(peak.rate(turns) for _ in range(_PEAK_CALLS))
            for rate in _rates(program, feed)
        )


def _rates(program: Program, feed: Resident) -> Iterator[float]:
    """Yield the samples per second of call after call, `_ROUNDS` of them or fewer.

    The first calls, which find out how many steps fill a turn, do not count.
    """
    pace, began, yielded = Pace(_STEP_SECONDS), perf_counter(), 0
    every = (call for epoch in count() for call in feed.calls(epoch, 0, pace))
    for number, call in enumerate(every):
        started = perf_counter()
        program(steps=call.steps, seed=0, **call.arrays)
        seconds = perf_counter() - started
        pace.took(call.steps, seconds)
        if number < _FIRST_CALLS and seconds < _STEP_SECONDS / 2:
            continue
        yield call.samples / seconds
        yielded += 1
        if yielded == _ROUNDS or perf_counter() - began > _MOST_SECONDS:
            return


@contextmanager
def _unchanged(program: Program) -> Iterator[None]:
    """Give the state that a program updates its values back at the end."""
    before = {state: state.value for state in program.signature.updates}
    try:
        yield
    finally:
        for state, value in before.items():
            state.value = value


def needed_flops(roots: Sequence[Tensor]) -> int:
    """Return the arithmetic of all products and convolutions that the roots need."""
    return 2 * multiply_adds(roots)
