"""Metrics: how good predictions are, in terms that people use.

Those of `METRICS` are functions of tensors that return one number for each sample, [batch],
so that a program computes them and Σwm/Σw is the metric. Those of `EPOCH_METRICS` need all
samples at once and are functions of arrays. Both take predictions as `predict` gives them,
after the loss's link: probabilities, not logits. `RANKING` ones take scores of any scale.
Each sample is of one class. Shapes that do not fit raise ShapeError, classes that there are not
InputError.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import field
from typing import TYPE_CHECKING, Any

import numpy as np

from ranvier import checks, dtypes
from ranvier.errors import InputError, ShapeError
from ranvier.graph import functions as f
from ranvier.graph.tensor import Tensor
from ranvier.guidance.calls import explain, explained
from ranvier.guidance.names import missing_names
from ranvier.guidance.values import meant
from ranvier.losses import aligned, mean_absolute_error, mean_squared_error, per_sample
from ranvier.records import dataclass

# ---------------------------------------------------------------- of tensors, per sample


def accuracy(predictions: Tensor, targets: Tensor, threshold: float = 0.5) -> Tensor:
    """1 where the class is right, else 0; averaged over axes between batch and classes.

    predictions [batch, ..., classes] with integer targets [batch, ...] or distributions: the
    class is the first largest. predictions [batch] or [batch, 1]: class 1 where the prediction
    is above `threshold`, 0.5 by default, and the target above one half. Raises ShapeError for
    shapes that do not fit.
    """
    threshold = checks.number("accuracy: threshold", threshold)
    if predictions.ndim == 1 or predictions.shape[-1] == 1:
        wanted = aligned(predictions, targets) > 0.5
        right = f.equal(predictions > threshold, wanted)
    else:
        right = f.equal(f.argmax(predictions, -1), _labels(predictions, targets))
    return per_sample(f.cast(right, dtypes.float32))


def top_k(predictions: Tensor, targets: Tensor, k: int = 5) -> Tensor:
    """1 where the target is among the k largest predictions, else 0; of equals the first wins.

    predictions [batch, ..., classes]; targets integers [batch, ...] or distributions; k: 5 by
    default, at most the number of classes, else InputError. Averaged over axes between batch and
    classes. Raises ShapeError for shapes that do not fit.
    """
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
    if targets.dtype in dtypes.INTEGER and targets.shape == predictions.shape[:-1]:
        return f.cast(targets, dtypes.int64)
    if targets.shape == predictions.shape:
        return f.argmax(targets, -1)
    raise ShapeError(
        f"predictions {predictions.shape} and targets {targets.dtype} {targets.shape} do not fit; "
        f"targets are integers {predictions.shape[:-1]} or distributions {predictions.shape}"
    )


# ---------------------------------------------------------------- of arrays, over an epoch


def _classified(
    predictions: Any, targets: Any, weights: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Predicted classes, true classes and weights, flat, and the number of classes."""
    scores, wanted = np.asarray(predictions), np.asarray(targets)
    if scores.ndim == 2 and scores.shape[1] > 1:
        classes = scores.shape[1]
        found = scores.argmax(-1)
        true = wanted.argmax(-1) if wanted.shape == scores.shape else wanted.reshape(-1)
    else:
        classes = 2
        found, true = (scores.reshape(-1) > 0.5).astype(int), wanted.reshape(-1) > 0.5
    true = true.astype(np.int64)
    if found.shape != true.shape:
        raise ShapeError(f"predictions {scores.shape} and targets {wanted.shape} do not fit")
    if true.size and (true.min() < 0 or true.max() >= classes):
        raise InputError(f"a target is outside 0 to {classes - 1}, the classes of the predictions")
    return found, true, _weights(weights, len(true)), classes


def _weights(weights: Any, count: int) -> np.ndarray:
    found = np.ones(count) if weights is None else np.asarray(weights, np.float64)
    if found.shape != (count,):
        raise ShapeError(f"weights {found.shape} for {count} samples; give one each")
    return found


def confusion_matrix(predictions: Any, targets: Any, weights: Any = None) -> np.ndarray:
    """The weight of the samples of each true class (row) and predicted class (column).

    predictions: [n, classes], or [n] or [n, 1] with the probability of class 1. targets: [n]
    integers, or distributions. weights: [n], all 1 by default. Returns float64 [classes, classes].
    """
    found, true, weight, classes = _classified(predictions, targets, weights)
    matrix = np.zeros((classes, classes))
    np.add.at(matrix, (true, found), weight)
    return matrix


def _of_classes(values: np.ndarray, predictions: Any) -> float:
    """The mean over classes; for one output, the value of class 1."""
    shape = np.shape(predictions)
    return float(values.mean() if len(shape) == 2 and shape[1] > 1 else values[1])


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.where(below > 0, above / np.where(below > 0, below, 1), 0)


def precision(predictions: Any, targets: Any, weights: Any = None) -> float:
    """The share of samples predicted to be of a class that are; mean over the classes.

    Arguments are those of `confusion_matrix`. With one output, that of class 1. A class that
    is never predicted counts as 0.
    """
    matrix = confusion_matrix(predictions, targets, weights)
    return _of_classes(_ratio(matrix.diagonal(), matrix.sum(0)), predictions)


def recall(predictions: Any, targets: Any, weights: Any = None) -> float:
    """The share of samples of a class that are predicted to be; mean over the classes.

    Arguments are those of `confusion_matrix`. With one output, that of class 1. A class
    without samples counts as 0.
    """
    matrix = confusion_matrix(predictions, targets, weights)
    return _of_classes(_ratio(matrix.diagonal(), matrix.sum(1)), predictions)


def f1(predictions: Any, targets: Any, weights: Any = None) -> float:
    """The harmonic mean of a class's precision and recall; mean over the classes.

    2 right / (predicted + present) (van Rijsbergen, "Information retrieval", 1979); arguments are
    those of `confusion_matrix`. With one output, that of class 1. A class neither predicted nor
    present counts as 0.
    """
    matrix = confusion_matrix(predictions, targets, weights)
    return _of_classes(_ratio(2 * matrix.diagonal(), matrix.sum(0) + matrix.sum(1)), predictions)


def roc_auc(predictions: Any, targets: Any, weights: Any = None) -> float:
    """The probability that a sample of class 1 scores above one of class 0, ties half.

    predictions: [n] or [n, 1], scores of any scale. With [n, classes], each class against the
    rest, averaged over the classes that have samples of both kinds. NaN where there are none, and
    where a score is NaN. A pair counts by the product of its weights. Hanley & McNeil, "The meaning
    and use of the area under a receiver operating characteristic curve", 1982.
    """
    scores, wanted = np.asarray(predictions, np.float64), np.asarray(targets)
    if scores.ndim < 2 or scores.shape[1] == 1:
        if scores.size != wanted.size:
            raise ShapeError(f"predictions {scores.shape} and targets {wanted.shape} do not fit")
        weight = _weights(weights, scores.size)
        return _auc(scores.reshape(-1), wanted.reshape(-1) > 0.5, weight)
    _, true, weight, classes = _classified(predictions, targets, weights)
    areas = np.array([_auc(scores[:, c], true == c, weight) for c in range(classes)])
    return float(areas[~np.isnan(areas)].mean()) if not np.isnan(areas).all() else float("nan")


def _auc(scores: np.ndarray, positive: np.ndarray, weight: np.ndarray) -> float:
    if np.isnan(scores).any():
        return float("nan")
    levels, level = np.unique(scores, return_inverse=True)
    above = np.bincount(level, weight * positive, len(levels))
    below = np.bincount(level, weight * ~positive, len(levels))
    pairs = above.sum() * below.sum()
    won = (above * (np.cumsum(below) - below / 2)).sum()
    return float(won / pairs) if pairs > 0 else float("nan")


def r2(predictions: Any, targets: Any, weights: Any = None) -> float:
    """1 - Σw(t - p)² / Σw(t - mean t)², the share of variance explained; mean over outputs.

    predictions, targets: [n, ...] numbers of the same shape ([n] may stand for [n, 1]). An output
    whose targets are all equal counts as 1 if it is met exactly, else as 0. NaN without weight.
    """
    wanted, found = np.asarray(targets, np.float64), np.asarray(predictions, np.float64)
    if found.shape[:1] != wanted.shape[:1] or found.size != wanted.size or wanted.ndim == 0:
        raise ShapeError(f"predictions {found.shape} and targets {wanted.shape} do not fit")
    wanted = wanted.reshape(len(wanted), -1)
    weight = _weights(weights, len(wanted))[:, None]
    if not weight.sum() > 0:
        return float("nan")
    left = (weight * (wanted - found.reshape(wanted.shape)) ** 2).sum(0)
    beside = wanted - wanted[weight.argmax()]  # exactly 0 where all targets are equal
    middle = (weight * beside).sum(0) / weight.sum()
    spread = (weight * (beside - middle) ** 2).sum(0)
    exact = (left == 0).astype(np.float64)
    return float(np.where(spread > 0, 1 - left / np.where(spread > 0, spread, 1), exact).mean())


# ---------------------------------------------------------------- the registry


@dataclass(frozen=True)
class Metric:
    """A metric of tensors with its options; call it with (predictions, targets) for [batch]."""

    name: str
    function: Callable[..., Tensor]
    options: dict[str, Any] = field(default_factory=dict)

    def __call__(self, predictions: Tensor, targets: Tensor) -> Tensor:
        values = self.function(predictions, targets, **self.options)
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
        Metric("accuracy", accuracy),
        Metric("top_k", top_k),
        Metric("mean_squared_error", mean_squared_error),
        Metric("mean_absolute_error", mean_absolute_error),
    )
}
EpochMetric = Callable[..., Any]
"""(predictions, targets, weights=None) of arrays, to a number or an array."""
EPOCH_METRICS: dict[str, EpochMetric] = {
    function.__name__: function
    for function in (precision, recall, f1, roc_auc, confusion_matrix, r2)
}
RANKING = ("roc_auc",)
"""The epoch metrics that rank samples: they see scores that no link has made equal."""


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
        return Metric(getattr(metric, "__name__", "custom"), metric)
    if match := re.fullmatch(r"top_(\d+)", metric):
        return Metric(metric, top_k, {"k": int(match[1])})
    if metric not in METRICS:
        known = [*METRICS, *EPOCH_METRICS]
        near = "" if metric in known else meant(metric, known)
        found = near or f"metrics are {', '.join(known)}"
        raise InputError(f"there is no metric of tensors {metric!r}; {found}")
    return METRICS[metric]


if not TYPE_CHECKING:  # checkers would let any name pass
    __getattr__ = missing_names(__name__)
