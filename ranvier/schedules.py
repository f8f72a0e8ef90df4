"""Schedules: the learning rate as a function of the number of finished steps.

A schedule is called with the int64 scalar tensor `step`, 0 at the first update, and returns a
float64 scalar tensor; so it is part of the training step's graph and survives resuming. In
float64 any number of steps is exact, and so is the rate of parameters in float64.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from ranvier import dtypes
from ranvier import validation as checks
from ranvier.graph import functions as f
from ranvier.graph.tensor import Tensor
from ranvier.guidance.calls import explain
from ranvier.guidance.names import missing_names
from ranvier.named import Named
from ranvier.records import dataclass


class Schedule(Named):
    """Base: a class gives `value_at`; `value` is the rate at which the schedule begins.

    Rates are 0 or more, counts of steps whole numbers of 1 or more; else InputError.
    """

    family: ClassVar[dict[str, type[Any]]] = {}

    def _title(self, label: str) -> str:
        return f"{self.name} schedule: {label}"

    def __call__(self, step: Tensor) -> Tensor:
        """Return the rate of the update that follows `step` finished ones, float64."""
        return self.value_at(f.cast(step, dtypes.float64))

    @abstractmethod
    def value_at(self, step: Tensor) -> Tensor:
        """Return the rate, float64, for the number of finished steps, float64."""


Rate: TypeAlias = float | Schedule | Mapping[str, Any]
"""A learning rate: a number, a schedule, or a schedule's configuration."""


def as_schedule(value: Rate) -> Schedule:
    """Return a schedule for itself, a constant rate, or a configuration; else InputError."""
    rate = as_rate("learning rate", value)
    return rate if isinstance(rate, Schedule) else Constant(rate)


def as_rate(name: str, value: Rate) -> float | Schedule:
    """Return a schedule for itself or its configuration, and a number as Python's own.

    Raises InputError, with the argument's `name`, for what makes no rate of 0 or more.
    """
    if isinstance(value, Schedule):
        return value
    if isinstance(value, Mapping):
        return Schedule.from_config(value)
    return checks.number(name, value, low=0, hint=", or a schedule")


@dataclass(frozen=True)
class Constant(Schedule):
    """The same rate at every step."""

    name = "constant"
    value: float

    def __post_init__(self) -> None:
        self._numbers("value", low=0)

    def value_at(self, step: Tensor) -> Tensor:
        return f.full_like(step, self.value)


@dataclass(frozen=True)
class StepDecay(Schedule):
    """value * factor ** floor(step / every); factor: 0.1 by default."""

    name = "step"
    value: float
    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        self._numbers("value", "factor", low=0)
        self._whole_numbers("every")

    def value_at(self, step: Tensor) -> Tensor:
        # The half keeps multiples of `every` off the edge, however the division is rounded.
        falls = f.floor((step + 0.5) / float(self.every))
        return f.multiply(f.power(self.factor, falls), self.value)


@dataclass(frozen=True)
class Exponential(Schedule):
    """value * factor ** (step / every), without jumps; factor: 0.1 by default."""

    name = "exponential"
    value: float
    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        self._numbers("value", "factor", low=0)
        self._whole_numbers("every")

    def value_at(self, step: Tensor) -> Tensor:
        return f.multiply(f.power(self.factor, step / float(self.every)), self.value)


@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a cosine from `value` down to `final` in `steps` steps, then `final`, 0 by default.

    final + (value - final) (1 + cos(pi step / steps)) / 2. Loshchilov & Hutter, "SGDR:
    stochastic gradient descent with warm restarts", 2017.
    """

    name = "cosine"
    value: float
    steps: int
    final: float = 0.0

    def __post_init__(self) -> None:
        self._numbers("value", "final", low=0)
        self._whole_numbers("steps")

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
    then: Rate

    def __post_init__(self) -> None:
        self._whole_numbers("steps")
        self._set("then", as_rate(self._title("then"), self.then))
        checks.shallow(self.name, self.config())

    def value_at(self, step: Tensor) -> Tensor:
        share = f.minimum((step + 1.0) / float(self.steps), 1.0)
        later = f.maximum(step - float(self.steps), 0.0)
        return share * as_schedule(self.then).value_at(later)


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Half a cosine up to `peak`, then one down to almost nothing, in `steps` steps in all.

    The rate starts at peak / start, is `peak` after the share `rise` of the steps, and ends at
    peak / end, and stays there. rise: 0.3 by default, between 0 and 1; start: 25, end: 10,000, both
    1 or more. Smith & Topin, "Super-convergence: very fast training of neural networks using large
    learning rates", 2018.
    """

    name = "one_cycle"
    peak: float
    steps: int
    rise: float = 0.3
    start: float = 25.0
    end: float = 1e4

    def __post_init__(self) -> None:
        self._numbers("peak", low=0)
        self._whole_numbers("steps")
        self._numbers("rise", above=0, below=1)
        self._numbers("start", "end", low=1)

    def value_at(self, step: Tensor) -> Tensor:
        top = self.rise * self.steps
        up = _swing(self.peak / self.start, self.peak, step / top)
        down = _swing(self.peak, self.peak / self.end, (step - top) / (self.steps - top))
        return f.where(step < top, up, down)


def _swing(first: float, last: float, share: Tensor) -> Tensor:
    """Half a cosine from `first` at share 0 to `last` at share 1, constant beyond."""
    inside = f.minimum(f.maximum(share, 0.0), 1.0)
    return f.add((f.cos(inside * math.pi) + 1.0) * ((first - last) / 2), last)


explain(globals())

if not TYPE_CHECKING:  # checkers would let any name pass
    __getattr__ = missing_names(__name__)
