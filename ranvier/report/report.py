"""`Report`: what a report shows, as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

import numpy as np

from ranvier.records import dataclass


@dataclass(frozen=True, eq=False)
class Mistake:
    """A wrong prediction. picture: uint8 [h, w, 1 or 3]; else the first `values` are shown."""

    row: int
    true: str
    predicted: str
    probability: float
    picture: np.ndarray | None = None
    values: Sequence[float] | None = None


@dataclass(frozen=True, eq=False)
class Report:
    """What is known of a run; sections without data are left out.

    headline: the results that are shown large; shares by names that end in error or accuracy.
    facts: what is said below the title, such as date, version, machine, numbers of samples.
    history: a record for each epoch, with `x` and `validation_x` drawn together.
    seconds: the time of each epoch. share_of_peak: of the training step, see `training.speed`.
    summary, totals: see `nn.summary`.
    confusion: weights [true class, predicted class]. filters: weights [h, w, in, out] by path.
    reconstructions: pictures and what an autoencoder makes of them, uint8 [n, h, w, c].
    scatter: predicted and true numbers, [n].
    """

    title: str
    headline: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    history: Sequence[Mapping[str, Any]] = ()
    seconds: Sequence[float] = ()
    samples_per_second: float | None = None
    share_of_peak: float | None = None
    summary: Sequence[Mapping[str, Any]] = ()
    totals: Mapping[str, int] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    command: str | None = None
    confusion: np.ndarray | None = None
    classes: Sequence[str] = ()
    mistakes: Sequence[Mistake] = ()
    filters: Mapping[str, np.ndarray] = field(default_factory=dict)
    reconstructions: tuple[np.ndarray, np.ndarray] | None = None
    scatter: tuple[np.ndarray, np.ndarray] | None = None
