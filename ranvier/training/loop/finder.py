"""A search for a learning rate: the loss over steps whose rate grows from tiny to too large.

Smith, "Cyclical learning rates for training neural networks", 2017.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ranvier.data.errors import DataError
from ranvier.errors import InputError
from ranvier.guidance.calls import explain
from ranvier.optim import Optimizer
from ranvier.records import dataclass
from ranvier.training import programs
from ranvier.training.feed.arrays import whole_split
from ranvier.training.feed.binding import feed_for
from ranvier.training.feed.feeds import Feed, Resident
from ranvier.training.loop.pace import Pace

if TYPE_CHECKING:
    from ranvier.training.model import Model

_SMOOTHING = 0.9
_NOISY = 10
"""The smoothed loss of so many first steps says more about their batches than of rates."""

_DIVERGED = 4.0
"""The search ends where the smoothed loss is this many times its least value."""


@dataclass(frozen=True, eq=False)
class RateSearch:
    """rates and smoothed losses, [n]; `suggestion` is where the loss falls fastest."""

    rates: np.ndarray
    losses: np.ndarray
    suggestion: float


def find_learning_rate(
    model: Model,
    data: Any,
    targets: Any = None,
    *,
    lowest: float = 1e-6,
    highest: float = 10.0,
    steps: int = 200,
    batch_size: int = 32,
    seed: int = 0,
) -> RateSearch:
    """Train for some steps with rates from `lowest` to `highest`, and undo that.

    The weights, the optimizer and what it has learnt stay as they were. Raises InputError for
    rates that make no range.
    """
    if not 0 < lowest < highest or steps < 10:
        raise InputError(
            f"rates from {lowest} to {highest} in {steps} steps; use a rising range above 0 and "
            "10 steps or more"
        )
    split = whole_split(data, targets, columns=model.settings.columns)
    if split is None:
        raise DataError("the search needs arrays; pass a part of the data as arrays")
    with model.undone():
        feed = feed_for(model, data, split, seed, lambda clean: Resident(clean, batch_size, seed))
    before = dict(model.weights)
    try:
        losses = _losses(model, feed, np.geomspace(lowest, highest, steps), seed)
    finally:
        model.load_weights(before)
    rates = np.geomspace(lowest, highest, steps)[: len(losses)]
    return RateSearch(rates, losses, _suggestion(rates, losses))


def _suggestion(rates: np.ndarray, losses: np.ndarray) -> float:
    """Where the loss falls fastest, between the first noisy steps and its least value."""
    end = int(np.argmin(losses)) + 1
    start = min(_NOISY, max(end - 2, 0))
    if end - start < 2:
        return float(rates[end - 1])
    slopes = np.gradient(losses[start:end], np.log(rates[start:end]))
    return float(rates[start + int(np.argmin(slopes))])


def _losses(model: Model, feed: Feed, rates: np.ndarray, seed: int) -> np.ndarray:
    """The smoothed losses, up to where they diverge."""
    config = {**model.optimizer.config(), "learning_rate": 1.0}
    optimizer = Optimizer.from_config(config)
    learner = replace(model.learner(), optimizer=optimizer)
    program = programs.training_program(learner, feed)
    mean, least = 0.0, np.inf
    found: list[float] = []
    epoch = 0
    pace = Pace(0.0)  # one step a call, since each has its own rate
    while True:
        for call in feed.calls(epoch, 0, pace):
            optimizer.learning_rate_scale.value = rates[len(found)]
            sums = program(steps=1, seed=seed, **call.arrays)
            pace.took(1, 1.0)
            averages = learner.objective.averages({k: float(v[0]) for k, v in sums.items()})
            mean = _SMOOTHING * mean + (1 - _SMOOTHING) * averages["loss"]
            smooth = mean / (1 - _SMOOTHING ** (len(found) + 1))
            if not np.isfinite(smooth) or smooth > _DIVERGED * least:
                return np.array(found)
            least = min(least, smooth)
            found.append(smooth)
            if len(found) == len(rates):
                return np.array(found)
        epoch += 1


explain(globals())
