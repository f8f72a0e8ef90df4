"""Metrics: how good predictions are, in terms that people use.

Those of `METRICS` are functions of tensors that return one number for each sample, [batch],
so that a program computes them and Σwm/Σw is the metric. Those of `EPOCH_METRICS` need all
samples at once and are functions of arrays. Both take predictions as `predict` gives them,
after the loss's link: probabilities, not logits. Metrics that rank samples take scores of any
scale. Each sample is of one class; with `multilabel=True` each output is a label of its own, of
which any number may hold, as the losses `binary_cross_entropy` and `hinge` have it. Shapes that do
not fit raise ShapeError, classes that there are not InputError.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ranvier import dtypes
from ranvier import validation as checks
from ranvier.epoch_metrics import (
    AVERAGES,
    EPOCH_METRICS,
    EpochMetric,
    check_one_class,
    confusion_matrix,
    epoch_metric,
    f1,
    precision,
    r2,
    recall,
    roc_auc,
)
from ranvier.errors import InputError, ShapeError
from ranvier.graph import functions as f
from ranvier.graph.tensor import Tensor
from ranvier.guidance.calls import explain, explained
from ranvier.guidance.names import missing_names
from ranvier.guidance.values import meant
from ranvier.losses import aligned, mean_absolute_error, mean_squared_error, per_sample
from ranvier.records import dataclass

__all__ = [
    "AVERAGES",
    "EPOCH_METRICS",
    "METRICS",
    "EpochMetric",
    "Metric",
    "accuracy",
    "confusion_matrix",
    "epoch_metric",
    "f1",
    "get",
    "precision",
    "r2",
    "recall",
    "roc_auc",
    "top_k",
]

# ---------------------------------------------------------------- of tensors, per sample


def accuracy(
    predictions: Tensor, targets: Tensor, threshold: float = 0.5, multilabel: bool = False
) -> Tensor:
    """1 where the class is right, else 0; averaged over axes between batch and classes.

    predictions [batch, ..., classes] with integer targets [batch, ...] or distributions: the
    class is the first largest. predictions [batch] or [batch, 1], or of any shape with
    `multilabel`: class 1 where the prediction is above `threshold`, 0.5 by default, and the
    target above one half; the share of outputs that are right. Raises ShapeError for shapes that
    do not fit.
    """
    threshold = checks.number("accuracy: threshold", threshold)
    if multilabel or predictions.ndim == 1 or predictions.shape[-1] == 1:
        wanted = aligned(predictions, targets) > 0.5
        right = f.equal(predictions > threshold, wanted)
    else:
        right = f.equal(f.argmax(predictions, -1), _labels(predictions, targets))
    return per_sample(f.cast(right, dtypes.float32))


def top_k(predictions: Tensor, targets: Tensor, k: int = 5, multilabel: bool = False) -> Tensor:
    """1 where the target is among the k largest predictions, else 0; of equals the first wins.

    predictions [batch, ..., classes]; targets integers [batch, ...] or distributions; k: 5 by
    default, at most the number of classes, else InputError. Averaged over axes between batch and
    classes. Raises ShapeError for shapes that do not fit, and InputError for `multilabel`.
    """
    check_one_class("top_k", multilabel)
    classes = predictions.shape[-1] if predictions.ndim > 1 else 0
    if checks.whole_number("top_k: k", k) > classes:
        raise InputError(f"top_k: k is {k} for predictions {predictions.shape}; use 1 to classes")
    labels = f.expand_dims(_labels(predictions, targets), predictions.ndim - 1)
    numbers = f.as_tensor(np.arange(classes))
    score = f.sum(f.where(labels == numbers, predictions, 0.0), -1, keepdims=True)
    # Count what is not certainly behind the target, so that NaN is never right.
    behind = (predictions < score) | ((predictions == score) & (numbers > labels))
    ahead = f.sum(f.cast(~behind, dtypes.int32), -1)
    return per_sample(f.cast(ahead <= k, dtypes.float32))


def _labels(predictions: Tensor, targets: Tensor) -> Tensor:
    if targets.dtype == dtypes.bool_:
        targets = f.cast(targets, dtypes.uint8)
    if targets.dtype in dtypes.INTEGER and targets.shape == predictions.shape[:-1]:
        return f.cast(targets, dtypes.int64)
    if targets.shape == predictions.shape:
        return f.argmax(targets, -1)
    raise ShapeError(
        f"predictions {predictions.shape} and targets {targets.dtype} {targets.shape} do not fit; "
        f"targets are integers {predictions.shape[:-1]} or distributions {predictions.shape}"
    )


# ---------------------------------------------------------------- the registry


@dataclass(frozen=True)
class Metric:
    """A metric of tensors with its options; call it with (predictions, targets) for [batch].

    classifies: whether it judges classes; it may then be told that outputs are `multilabel`.
    """

    name: str
    function: Callable[..., Tensor]
    options: dict[str, Any] = field(default_factory=dict)
    classifies: bool = False

    def __call__(self, predictions: Tensor, targets: Tensor, multilabel: bool = False) -> Tensor:
        beside = {"multilabel": True} if multilabel and self.classifies else {}
        values = self.function(predictions, targets, **self.options, **beside)
        if values.shape != predictions.shape[:1]:
            raise ShapeError(
                f"the metric {self.name} gave {values.shape}; it must give "
                f"{predictions.shape[:1]}, one number for each sample"
            )
        return values


explain(globals())
METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", accuracy, classifies=True),
        Metric("top_k", top_k, classifies=True),
        Metric("mean_squared_error", mean_squared_error),
        Metric("mean_absolute_error", mean_absolute_error),
    )
}


@explained
def get(metric: str | Metric | Callable[..., Tensor]) -> Metric:
    """Return the metric of tensors of a name or function; `top_3` is `top_k` with k = 3.

    Raises InputError for a name that is not known or names an epoch metric.
    """
    if isinstance(metric, Metric):
        return metric
    if not isinstance(metric, str):
        if not callable(metric):
            raise InputError(f"{checks.shown(metric)} is no metric; use a name or a function")
        known = [each for each in METRICS.values() if each.function is metric]
        return known[0] if known else Metric(getattr(metric, "__name__", "custom"), metric)
    if match := re.fullmatch(r"top_(\d+)", metric):
        return replace(METRICS["top_k"], name=metric, options={"k": int(match[1])})
    if metric not in METRICS:
        names = [*METRICS, *EPOCH_METRICS]
        near = "" if metric in names else meant(metric, names)
        found = near or f"metrics are {', '.join(names)}"
        raise InputError(f"there is no metric of tensors {metric!r}; {found}")
    return METRICS[metric]


if not TYPE_CHECKING:  # checkers would let any name pass
    __getattr__ = missing_names(__name__)
