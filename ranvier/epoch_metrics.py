"""Metrics that need all samples at once: functions of arrays, over an epoch.

Predictions are those of `predict`; see `ranvier.metrics`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field, replace
from math import prod
from typing import Any, NamedTuple

import numpy as np

from ranvier import validation as checks
from ranvier.errors import InputError, ShapeError
from ranvier.guidance.calls import explain, explained
from ranvier.records import dataclass


def several_outputs(shape: tuple[int, ...]) -> bool:
    """Whether predictions of this shape, [batch, ...], are more than one number a sample."""
    return prod(shape[1:]) > 1


def check_one_class(name: str, multilabel: bool) -> None:
    """Refuse labels that do not exclude each other, for a metric of classes that do."""
    if multilabel:
        raise InputError(
            f"{name} needs samples of one class, and here each output is a label of its own; use "
            "accuracy, precision, recall, f1 or roc_auc"
        )


# ---------------------------------------------------------------- what is counted


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


def confusion_matrix(
    predictions: Any, targets: Any, weights: Any = None, multilabel: bool = False
) -> np.ndarray:
    """The weight of the samples of each true class (row) and predicted class (column).

    predictions: [n, classes], or [n] or [n, 1] with the probability of class 1. targets: [n]
    integers, or distributions. weights: [n], all 1 by default. Returns float64 [classes, classes].
    Raises InputError for several outputs with `multilabel`.
    """
    check_one_class("confusion_matrix", multilabel and several_outputs(np.shape(predictions)))
    found, true, weight, classes = _classified(predictions, targets, weights)
    matrix = np.zeros((classes, classes))
    np.add.at(matrix, (true, found), weight)
    return matrix


AVERAGES = ("binary", "macro", "micro", "weighted")
"""How a number for each class or label becomes one, by scikit-learn's names.

binary: that of class 1, where there are two classes. macro: the mean over the classes that
occur, or over all labels. micro: that of all decisions together. weighted: the mean, each class
counting by the weight of its samples. The default, None, is binary where there are two classes,
else macro.
"""


class _Counts(NamedTuple):
    """The weights of samples by class: rightly predicted, predicted, and of the class."""

    right: np.ndarray
    predicted: np.ndarray
    present: np.ndarray
    two: bool
    """Whether the classes are 0 and 1."""


def _counts(predictions: Any, targets: Any, weights: Any, multilabel: bool) -> _Counts:
    if multilabel and several_outputs(np.shape(predictions)):
        scores, true, weight = _labelled(predictions, targets, weights)
        found, each = scores > 0.5, weight[:, None]
        right, predicted, present = ((each * held).sum(0) for held in (found & true, found, true))
        return _Counts(right, predicted, present, two=False)
    matrix = confusion_matrix(predictions, targets, weights)
    right, predicted, present = matrix.diagonal(), matrix.sum(0), matrix.sum(1)
    if len(matrix) == 2:
        return _Counts(right, predicted, present, two=True)
    occurs = (predicted + present) > 0
    return _Counts(right[occurs], predicted[occurs], present[occurs], two=False)


def _labelled(
    predictions: Any, targets: Any, weights: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores and truth, both [n, labels], and weights [n], of labels that do not exclude."""
    scores, wanted = np.asarray(predictions, np.float64), np.asarray(targets)
    if scores.shape[:1] != wanted.shape[:1] or scores.size != wanted.size:
        raise ShapeError(f"predictions {scores.shape} and targets {wanted.shape} do not fit")
    flat = (len(scores), -1)
    return scores.reshape(flat), wanted.reshape(flat) > 0.5, _weights(weights, len(scores))


def _kind_of(average: str | None, two: bool) -> str:
    if average is None:
        return "binary" if two else "macro"
    if average not in AVERAGES:
        raise InputError(f"average is {checks.shown(average)}; use {', '.join(AVERAGES)} or None")
    if average == "binary" and not two:
        raise InputError("average='binary' is for two classes; use macro, micro or weighted")
    return average


def _averaged(above: np.ndarray, below: np.ndarray, counts: _Counts, average: str | None) -> float:
    """`above / below` of each class, 0 where nothing is below, averaged."""
    kind = _kind_of(average, counts.two)
    if kind == "micro":
        above, below = above.sum(keepdims=True), below.sum(keepdims=True)
    shares = np.where(below > 0, above / np.where(below > 0, below, 1), 0)
    if kind == "binary":
        return float(shares[1])
    if kind == "weighted":
        return float((shares * counts.present).sum() / max(counts.present.sum(), 1e-300))
    return float(shares.mean()) if shares.size else 0.0


def precision(
    predictions: Any,
    targets: Any,
    weights: Any = None,
    average: str | None = None,
    multilabel: bool = False,
) -> float:
    """The share of samples predicted to be of a class that are.

    Arguments are those of `confusion_matrix`; with `multilabel`, predictions and targets
    [n, ..., labels]. average: see `AVERAGES`; by default that of class 1 where there are two
    classes, else the mean over the classes. A class that is never predicted counts as 0.
    """
    counts = _counts(predictions, targets, weights, multilabel)
    return _averaged(counts.right, counts.predicted, counts, average)


def recall(
    predictions: Any,
    targets: Any,
    weights: Any = None,
    average: str | None = None,
    multilabel: bool = False,
) -> float:
    """The share of samples of a class that are predicted to be.

    Arguments are those of `precision`. A class without samples, if it is predicted or a label,
    counts as 0.
    """
    counts = _counts(predictions, targets, weights, multilabel)
    return _averaged(counts.right, counts.present, counts, average)


def f1(
    predictions: Any,
    targets: Any,
    weights: Any = None,
    average: str | None = None,
    multilabel: bool = False,
) -> float:
    """The harmonic mean of a class's precision and recall.

    2 right / (predicted + present) (van Rijsbergen, "Information retrieval", 1979); arguments are
    those of `precision`. A label neither predicted nor present counts as 0.
    """
    counts = _counts(predictions, targets, weights, multilabel)
    return _averaged(2 * counts.right, counts.predicted + counts.present, counts, average)


def roc_auc(
    predictions: Any,
    targets: Any,
    weights: Any = None,
    average: str | None = None,
    multilabel: bool = False,
) -> float:
    """The probability that a sample of class 1 scores above one of class 0, ties half.

    predictions: [n] or [n, 1], scores of any scale. With [n, classes], each class against the
    rest, and with `multilabel` each label, averaged over those that have samples of both kinds;
    average: see `AVERAGES`. NaN where there are none, and where a score is NaN. A pair counts by
    the product of its weights. Hanley & McNeil, "The meaning and use of the area under a receiver
    operating characteristic curve", 1982.
    """
    scores, wanted = np.asarray(predictions, np.float64), np.asarray(targets)
    if not several_outputs(scores.shape):
        if scores.size != wanted.size:
            raise ShapeError(f"predictions {scores.shape} and targets {wanted.shape} do not fit")
        _kind_of(average, two=True)
        weight = _weights(weights, scores.size)
        return _auc(scores.reshape(-1), wanted.reshape(-1) > 0.5, weight)
    if multilabel:
        scores, positive, weight = _labelled(predictions, targets, weights)
    else:
        _, true, weight, classes = _classified(predictions, targets, weights)
        positive = true[:, None] == np.arange(classes)
    if _kind_of(average, two=False) == "micro":
        return _auc(scores.reshape(-1), positive.reshape(-1), np.repeat(weight, scores.shape[1]))
    areas = np.array([_auc(*both, weight) for both in zip(scores.T, positive.T, strict=True)])
    shares = (weight[:, None] * positive).sum(0) if average == "weighted" else np.ones(len(areas))
    known = ~np.isnan(areas) & (shares > 0)
    return float(np.average(areas[known], weights=shares[known])) if known.any() else float("nan")


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
class EpochMetric:
    """A metric of arrays: (predictions, targets, weights=None) to a number or an array.

    classifies: as that of `Metric`. averages: whether it is a mean over classes, whose kind an
    option says. ranks: whether it ranks samples, and sees scores that no link has made equal.
    """

    name: str
    function: Callable[..., Any]
    options: dict[str, Any] = field(default_factory=dict)
    classifies: bool = True
    averages: bool = True
    ranks: bool = False

    def __call__(
        self, predictions: Any, targets: Any, weights: Any = None, multilabel: bool = False
    ) -> Any:
        beside = {"multilabel": True} if multilabel and self.classifies else {}
        return self.function(predictions, targets, weights, **self.options, **beside)


explain(globals())
EPOCH_METRICS: dict[str, EpochMetric] = {
    metric.name: metric
    for metric in (
        EpochMetric("precision", precision),
        EpochMetric("recall", recall),
        EpochMetric("f1", f1),
        EpochMetric("roc_auc", roc_auc, ranks=True),
        EpochMetric("confusion_matrix", confusion_matrix, averages=False),
        EpochMetric("r2", r2, classifies=False, averages=False),
    )
}


@explained
def epoch_metric(metric: Any) -> EpochMetric | None:
    """Return the epoch metric of a name or function, None for what is none.

    `f1_micro` is `f1` with `average="micro"`, as scikit-learn names its scorers.
    """
    if isinstance(metric, EpochMetric):
        return metric
    for known in EPOCH_METRICS.values():
        if metric in (known.name, known.function):
            return known
        name, _, average = metric.rpartition("_") if isinstance(metric, str) else ("", "", "")
        if known.averages and name == known.name and average in AVERAGES:
            return replace(known, name=metric, options={"average": average})
    return None
