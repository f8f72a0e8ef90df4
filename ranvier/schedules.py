"""Schedules: the learning rate as a function of the number of finished steps.

A schedule is called with the int64 scalar tensor `step`, 0 at the first update, and returns a
float32 scalar tensor; so it is part of the training step's graph and survives resuming. Sums
are done in float64, in which any number of steps is exact.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ranvier import dtypes
from ranvier.errors import InputError
from ranvier.graph import functions as f
from ranvier.graph.tensor import Tensor
from ranvier.named import Named


class Schedule(Named):
    """Base: a class gives `value_at`; `value` is the rate at which the schedule begins."""

    family: ClassVar[dict[str, type[Any]]] = {}

    def __call__(self, step: Tensor) -> Tensor:
        """Return the rate of the update that follows `step` finished ones, float32."""
        return f.cast(self.value_at(f.cast(step, dtypes.float64)), dtypes.float32)

    @abstractmethod
    def value_at(self, step: Tensor) -> Tensor:
        """Return the rate, float64, for the number of finished steps, float64."""


def as_schedule(value: float | Schedule | Mapping[str, Any]) -> Schedule:
    """Return a schedule for itself, a constant rate, or a configuration."""
    if isinstance(value, Schedule):
        return value
    return Schedule.from_config(value) if isinstance(value, Mapping) else Constant(float(value))


def _check(name: str, rates: Mapping[str, float], steps: Mapping[str, float]) -> None:
    for label, value in rates.items():
        if not (value >= 0 and math.isfinite(value)):
            raise InputError(f"{name}: {label} is {value}; use a finite number, 0 or more")
    for label, value in steps.items():
        if value < 1:
            raise InputError(f"{name}: {label} is {value}; use a number of steps, 1 or more")


@dataclass(frozen=True)
class Constant(Schedule):
    """The same rate at every step."""

    name = "constant"
    value: float

    def __post_init__(self) -> None:
        _check("learning rate", {"value": self.value}, {})

    def value_at(self, step: Tensor) -> Tensor:
        return f.full_like(step, self.value)


@dataclass(frozen=True)
class StepDecay(Schedule):
    """value * factor ** floor(step / every)."""

    name = "step"
    value: float
    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        _check("step schedule", {"value": self.value, "factor": self.factor}, {"every": self.every})

    def value_at(self, step: Tensor) -> Tensor:
        # The half keeps multiples of `every` off the edge, however the division is rounded.
        falls = f.floor((step + 0.5) / float(self.every))
        return f.multiply(f.power(self.factor, falls), self.value)


@dataclass(frozen=True)
class Exponential(Schedule):
    """value * factor ** (step / every), without jumps."""

    name = "exponential"
    value: float
    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        rates = {"value": self.value, "factor": self.factor}
        _check("exponential schedule", rates, {"every": self.every})

    def value_at(self, step: Tensor) -> Tensor:
        return f.multiply(f.power(self.factor, step / float(self.every)), self.value)


@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a cosine from `value` down to `final` in `steps` steps, then `final`.

    Loshchilov & Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017.
    """

    name = "cosine"
    value: float
    steps: int
    final: float = 0.0

    def __post_init__(self) -> None:
        rates = {"value": self.value, "final": self.final}
        _check("cosine schedule", rates, {"steps": self.steps})

    def value_at(self, step: Tensor) -> Tensor:
        return _swing(self.value, self.final, step / float(self.steps))


@dataclass(frozen=True)
class WarmUp(Schedule):
    """(step + 1) / steps of the first rate of `then` at first, after `steps` steps `then`.

    `then` is a rate or another schedule, which counts from the end of the warm-up (Goyal et
    al., "Accurate, large minibatch SGD", 2017).
    """

    name = "warm_up"
    steps: int
    then: float | Schedule | Mapping[str, Any]

    def __post_init__(self) -> None:
        if isinstance(self.then, Mapping):
            object.__setattr__(self, "then", as_schedule(self.then))
        as_schedule(self.then)  # refuses a bad rate
        _check("warm-up", {}, {"steps": self.steps})

    def value_at(self, step: Tensor) -> Tensor:
        share = f.minimum((step + 1.0) / float(self.steps), 1.0)
        later = f.maximum(step - float(self.steps), 0.0)
        return share * as_schedule(self.then).value_at(later)


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Half a cosine up to `peak`, then one down to almost nothing, in `steps` steps in all.

    The rate starts at peak / start, is `peak` after the share `rise` of the steps, and ends at
    peak / end. Smith & Topin, "Super-convergence", 2018.
    """

    name = "one_cycle"
    peak: float
    steps: int
    rise: float = 0.3
    start: float = 25.0
    end: float = 1e4

    def __post_init__(self) -> None:
        _check("one-cycle schedule", {"peak": self.peak}, {"steps": self.steps})
        if not 0 < self.rise < 1 or self.start < 1 or self.end < 1:
            raise InputError("one-cycle schedule: rise is in (0, 1), start and end are 1 or more")

    def value_at(self, step: Tensor) -> Tensor:
        top = self.rise * self.steps
        up = _swing(self.peak / self.start, self.peak, step / top)
        down = _swing(self.peak, self.peak / self.end, (step - top) / (self.steps - top))
        return f.where(step < top, up, down)


def _swing(first: float, last: float, share: Tensor) -> Tensor:
    """Half a cosine from `first` at share 0 to `last` at share 1, constant beyond."""
    inside = f.minimum(f.maximum(share, 0.0), 1.0)
    return f.add((f.cos(inside * math.pi) + 1.0) * ((first - last) / 2), last)
