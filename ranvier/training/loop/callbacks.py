"""Callbacks: what may happen beside training, after each call of the program and each epoch.

A function of (training, record) serves as one too; it is called after each epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ranvier import validation as checks
from ranvier.errors import InputError
from ranvier.guidance.calls import explain
from ranvier.guidance.values import meant
from ranvier.training.loop.history import Record
from ranvier.wording import counted

if TYPE_CHECKING:
    from ranvier.training.loop.loop import Training

_HIGHER_IS_BETTER = ("accuracy", "precision", "recall", "f1", "roc_auc", "r2")


class Callback:
    """Base; a subclass overrides what it needs.

    `state`, JSON, and `arrays` are part of each checkpoint; `restore` gets them back, so that a
    resumed run goes on as if nothing had happened.
    """

    def reset(self, training: Training) -> None:
        """Called first, before `restore`: forget what earlier trainings have left."""

    def on_start(self, training: Training) -> None:
        """Called before the first step, after a checkpoint has been restored."""

    def on_steps(self, training: Training) -> None:
        """Called after each call of the program, which is one step or many."""

    def on_epoch(self, training: Training, record: Record) -> None:
        """Called after each epoch; `record` may be added to."""

    def on_end(self, training: Training) -> None:
        """Called when training is over."""

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs to know."""
        return {}

    def arrays(self) -> dict[str, np.ndarray]:
        """Return arrays that a resumed run needs."""
        return {}

    def restore(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Take over what `state` and `arrays` returned."""


class _Function(Callback):
    """A user's function, called after each epoch."""

    def __init__(self, function: Callable[[Training, Record], Any]) -> None:
        self._function = function

    def on_epoch(self, training: Training, record: Record) -> None:
        self._function(training, record)


CallbackLike: TypeAlias = "Callback | Callable[[Training, Record], Any]"


def as_callback(given: CallbackLike) -> Callback:
    """Return a callback for itself or for a function of (training, record)."""
    if isinstance(given, Callback):
        return given
    if isinstance(given, type) or not callable(given):
        what = given.__name__ if isinstance(given, type) else repr(given)
        raise InputError(f"{what} is no callback; pass an object or a function, not a class")
    return _Function(given)


def as_callbacks(given: CallbackLike | Iterable[CallbackLike]) -> list[Callback]:
    """Return the callbacks that are given, one alone or several."""
    if isinstance(given, Iterable) and not isinstance(given, str):
        return [as_callback(each) for each in given]
    return [as_callback(given)]


class Watching(Callback):
    """Base of what looks for the best value of one quantity of the record.

    monitor: the quantity. mode: "min", "max", or "auto", which knows that accuracy and its like
    shall be high. A change of at most `min_delta` is no improvement, NaN never is.
    """

    def __init__(
        self, monitor: str = "validation_loss", min_delta: float = 0.0, mode: str = "auto"
    ) -> None:
        if mode not in ("auto", "min", "max"):
            raise InputError(f'mode is {mode!r}; use "auto", "min" or "max"')
        higher = monitor.endswith(_HIGHER_IS_BETTER) or "top_" in monitor
        self.monitor = monitor
        self.sign = 1.0 if mode == "max" or (mode == "auto" and higher) else -1.0
        self.min_delta = abs(min_delta)
        self.best: float | None = None
        self.best_epoch = 0

    def reset(self, training: Training) -> None:
        self.best, self.best_epoch = None, training.epoch

    def improved(self, record: Record) -> bool:
        """Whether the record is the best so far, which it then is."""
        if self.monitor not in record:
            mend = meant(self.monitor, record) or (
                f"the record has {', '.join(record)}; pass validation=... or another monitor"
            )
            raise InputError(
                f"{type(self).__name__} watches {self.monitor!r}, which is not measured; {mend}"
            )
        value = record[self.monitor]
        if value is None or not np.isfinite(value):
            return False
        better = self.best is None or self.sign * (value - self.best) > self.min_delta
        if better:
            self.best, self.best_epoch = float(value), int(record["epoch"])
        return better

    def state(self) -> dict[str, Any]:
        return {"best": self.best, "best_epoch": self.best_epoch}

    def restore(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        best, epoch = state["best"], state["best_epoch"]
        if not isinstance(best, int | float | None) or not isinstance(epoch, int):
            raise TypeError("the best value and its epoch are numbers")
        self.best, self.best_epoch = best, epoch


class EarlyStopping(Watching):
    """Stop when the quantity has not improved for `patience` epochs (Prechelt, 1998).

    `Model(early_stopping=...)` gives every training one, and keeps it with the run.
    """

    def __init__(
        self,
        monitor: str = "validation_loss",
        patience: int = 5,
        min_delta: float = 0.0,
        mode: str = "auto",
    ) -> None:
        super().__init__(monitor, min_delta, mode)
        if patience < 1:
            raise InputError(f"EarlyStopping: patience is {patience}; use 1 epoch or more")
        self.patience = patience

    def on_epoch(self, training: Training, record: Record) -> None:
        if not self.improved(record) and record["epoch"] - self.best_epoch >= self.patience:
            training.stop(f"{self.monitor} has not improved for {counted(self.patience, 'epoch')}")

    def config(self) -> dict[str, Any]:
        """Return the arguments, ready for JSON."""
        return {
            "monitor": self.monitor,
            "patience": self.patience,
            "min_delta": self.min_delta,
            "mode": "max" if self.sign > 0 else "min",
        }


def as_early_stopping(given: int | Mapping[str, Any] | EarlyStopping | None) -> Any:
    """Return early stopping for itself, its patience or its arguments; None for None."""
    if given is None or isinstance(given, EarlyStopping):
        return given
    if isinstance(given, Mapping):
        return EarlyStopping(**given)
    return EarlyStopping(patience=checks.whole_number("early_stopping", given))


class BestWeights(Watching):
    """Keep the weights of the best epoch, and give them back to the network at the end."""

    def __init__(self, monitor: str = "validation_loss", mode: str = "auto") -> None:
        super().__init__(monitor, 0.0, mode)
        self._kept: dict[str, np.ndarray] = {}

    def reset(self, training: Training) -> None:
        super().reset(training)
        self._kept = {}

    def on_epoch(self, training: Training, record: Record) -> None:
        if self.improved(record):
            self._kept = dict(training.net.weights)

    def on_end(self, training: Training) -> None:
        if self._kept:
            training.net.load_weights(self._kept)

    def arrays(self) -> dict[str, np.ndarray]:
        return self._kept

    def restore(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        super().restore(state, arrays)
        self._kept = dict(arrays)


class Convergence(Callback):
    """Stop when the loss has changed by at most `tolerance` from one epoch to the next."""

    def __init__(self, tolerance: float = 1e-4, monitor: str = "loss") -> None:
        if not tolerance >= 0:
            raise InputError(f"Convergence: tolerance is {tolerance}; use 0 or more")
        self.tolerance = tolerance
        self.monitor = monitor

    def on_epoch(self, training: Training, record: Record) -> None:
        if self.monitor not in record:
            raise InputError(f"Convergence watches {self.monitor!r}, which is not measured")
        values = [*training.history[self.monitor], record[self.monitor]][-2:]
        if len(values) == 2 and None not in values and abs(values[1] - values[0]) <= self.tolerance:
            training.stop(f"converged: {self.monitor} changed by no more than {self.tolerance:g}")


class TimeBudget(Callback):
    """Stop after so many minutes, in the middle of an epoch if need be; a resumed run goes on."""

    def __init__(self, minutes: float) -> None:
        if not minutes > 0:
            raise InputError(f"TimeBudget: minutes is {minutes}; use more than 0")
        self.minutes = minutes

    def on_steps(self, training: Training) -> None:
        if training.elapsed >= 60 * self.minutes:
            training.stop(f"{self.minutes:g} min are over", final=False)


explain(globals())
