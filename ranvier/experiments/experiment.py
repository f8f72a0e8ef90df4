"""`Experiment`: a claim, how it is measured, and when it holds.

Each experiment is one file of this folder that reads like a short paper: its docstring says what
is done, and one function does it. Verdicts are computed from the measured figures by a threshold
that is stated beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ranvier.report.chart import Chart

T = TypeVar("T")


@dataclass(frozen=True)
class Finding:
    """What an experiment found.

    holds: the verdict; because: the figures that it rests on, in a sentence.
    measurements: numbers and lists of numbers by name, as JSON values.
    charts: the figures of its page, the first of which stands for it in the gallery.
    """

    holds: bool
    because: str
    measurements: Mapping[str, Any]
    charts: Sequence[Chart] = ()


@dataclass
class Trial:
    """One run of an experiment: what it was asked for, and how far it has come.

    seeds: those to repeat the measurement with. quick: the short form. control: the sabotaged
    run, whose verdict must be that the claim does not hold.
    """

    seeds: tuple[int, ...]
    quick: bool = False
    control: bool = False
    advance: Callable[[float], None] = field(default=lambda share: None, repr=False)

    def track(self, items: Sequence[T], of: float = 1.0, begin: float = 0.0) -> Iterator[T]:
        """Yield the items and tell the progress bar; they are `of` of all work, from `begin` on."""
        for number, item in enumerate(items):
            self.advance(begin + of * number / len(items))
            yield item
        self.advance(begin + of)


@dataclass(frozen=True)
class Experiment:
    """A claim and its measurement.

    name: as on the command line. claim: one sentence; source: who made it.
    threshold: when the claim is said to hold. sabotage: what the control run does instead.
    seeds, quick_seeds: those of the full and of the short form, unless others are asked for.
    seconds, quick_seconds: how long they take with those seeds at `REFERENCE` GFLOP/s.
    method: what is done, in paragraphs; the docstring of the experiment's file.
    """

    name: str
    claim: str
    source: str
    threshold: str
    sabotage: str
    seeds: tuple[int, ...]
    quick_seeds: tuple[int, ...]
    seconds: float
    quick_seconds: float
    method: str
    measure: Callable[[Trial], Finding] = field(repr=False)


REFERENCE = 150.0
"""The peak, in GFLOP/s on two threads, of the machine on which the times were taken."""


def experiment(
    name: str,
    *,
    claim: str,
    source: str,
    threshold: str,
    sabotage: str,
    seeds: Sequence[int],
    quick_seeds: Sequence[int],
    seconds: float,
    quick_seconds: float,
) -> Callable[[Callable[[Trial], Finding]], Experiment]:
    """Make an experiment of the function that measures it."""

    def made(measure: Callable[[Trial], Finding]) -> Experiment:
        method = (measure.__globals__["__doc__"] or "").strip()
        return Experiment(
            name, claim, source, threshold, sabotage, tuple(seeds), tuple(quick_seeds),
            seconds, quick_seconds, method, measure,
        )  # fmt: skip

    return made
