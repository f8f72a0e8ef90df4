"""Losses: functions of (predictions, targets) that return one number for each sample, [batch].

Predictions are what the network gives, before any link: logits for the classifiers. The link
(softmax, sigmoid or none) makes of them what `predict` shows. Axes between the batch and the
classes, or after the batch, are averaged: every sample has one loss. `total` combines them.

All raise ShapeError for shapes that do not fit, DTypeError for predictions or targets of the
wrong kind, and InputError for options out of range. What targets hold is known only when a
program runs: `check_targets` looks at arrays beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field, replace
from inspect import signature
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ranvier import dtypes
from ranvier import validation as checks
from ranvier.class_weights import balanced as balanced
from ranvier.class_weights import class_table as class_table
from ranvier.class_weights import class_weights as class_weights
from ranvier.errors import DTypeError, InputError, ShapeError
from ranvier.graph import functions as f
from ranvier.graph.compositions import log_softmax, mean, one_hot, softmax
from ranvier.graph.tensor import Tensor
from ranvier.guidance.calls import explain, explain_class, explained
from ranvier.guidance.names import missing_names
from ranvier.guidance.values import instead
from ranvier.links import linked, refuse_linked
from ranvier.records import dataclass

LossFunction = Callable[..., Tensor]
"""(predictions, targets, **options) to [batch]."""
Link = Callable[[Tensor], Tensor]


# ---------------------------------------------------------------- classes


def cross_entropy(
    logits: Tensor,
    targets: Tensor,
    label_smoothing: float = 0.0,
    ignore: int | None = None,
    from_logits: bool = True,
) -> Tensor:
    """-Σ_k t_k log softmax(logits)_k, in nats.

    logits: [batch, ..., classes]. targets: integers [batch, ...], or distributions, floats
    of the shape of the logits. An integer that is no class costs nothing.
    label_smoothing: this share of the target, 0 by default, is spread evenly over all classes
    (Szegedy et al., "Rethinking the Inception architecture", 2016).
    ignore: integer targets with this value do not count; a sample's loss is then the mean
    over the positions that do, 0 where none does. None by default: all count.
    from_logits: True by default. False where the network gives probabilities, by a softmax of its
    own; those of other origin are divided by their sum, and count as no less than the dtype's
    epsilon. With True an output that a softmax or sigmoid has made raises InputError.
    """
    checks.number("cross_entropy: label_smoothing", label_smoothing, low=0, below=1)
    _check_floating("cross_entropy", logits)
    classes = logits.shape[-1] if logits.ndim > 1 else 0
    if classes < 2:
        raise ShapeError(
            f"cross_entropy: logits are [batch, ..., classes] with 2 classes or more, not "
            f"{logits.shape}; use binary_cross_entropy for one output"
        )
    losses = -_expected(_log_shares(logits, from_logits), targets, logits, label_smoothing)
    if label_smoothing and _are_labels(targets, logits):
        labels = f.cast(targets, dtypes.int64)
        losses = f.where((labels >= 0) & (labels < classes), losses, 0.0)
    if ignore is None:
        return per_sample(losses)
    unseen = checks.whole_number("cross_entropy: ignore", ignore, None)
    if not _are_labels(targets, logits):
        raise DTypeError(
            f"ignore={ignore} needs integer targets {losses.shape}, not {targets.dtype} "
            f"{targets.shape}"
        )
    counts = f.cast(targets, dtypes.int64) != unseen
    axes = tuple(range(1, losses.ndim))
    number = f.sum(f.cast(counts, losses.dtype), axes)
    return f.sum(f.where(counts, losses, 0.0), axes) / f.maximum(number, 1.0)


def _log_shares(output: Tensor, from_logits: bool) -> Tensor:
    """The logarithm of the probability of each class."""
    if from_logits:
        refuse_linked("cross_entropy", output)
        return log_softmax(output)
    found = linked(output)
    if found is not None and found.link == "softmax" and found.logits is not None:
        return log_softmax(found.logits)
    least = float(np.finfo(output.dtype).eps)
    total = f.sum(output, -1, keepdims=True)
    return f.subtract(f.log(f.maximum(output, least)), f.log(f.maximum(total, least)))


def _are_labels(targets: Tensor, logits: Tensor) -> bool:
    """Whether the targets are class numbers, one for each row of logits; bools are 0 and 1."""
    return targets.dtype in (*dtypes.INTEGER, dtypes.bool_) and targets.shape == logits.shape[:-1]


def _expected(values: Tensor, targets: Tensor, logits: Tensor, smoothing: float) -> Tensor:
    """Σ_k t_k values_k, where a class without a share counts as 0, even if its value is infinite.

    smoothing: the share of the targets that is spread evenly over all classes.
    """
    if _are_labels(targets, logits) and not smoothing:
        labels = f.cast(targets, dtypes.int64)
        return f.sum(f.where(one_hot(labels, logits.shape[-1], dtypes.bool_), values, 0.0), -1)
    shares = distribution(targets, logits)
    if smoothing:
        shares = shares * (1 - smoothing) + smoothing / logits.shape[-1]
    return f.sum(f.where(shares == 0, 0.0, shares * values), -1)


def distribution(targets: Tensor, logits: Tensor) -> Tensor:
    """Return targets with the shape and dtype of the logits: integers become one-hot rows."""
    if _are_labels(targets, logits):
        return one_hot(f.cast(targets, dtypes.int64), logits.shape[-1], logits.dtype)
    if targets.shape == logits.shape:
        return f.cast(targets, logits.dtype)
    raise ShapeError(
        f"logits {logits.shape} and targets {targets.dtype} {targets.shape} do not fit; targets "
        f"are integers {logits.shape[:-1]} or distributions {logits.shape}"
        f"{_flattened(logits, targets)}"
    )


def _flattened(found: Tensor, targets: Tensor) -> str:
    """The mend where predictions have kept axes that no target has."""
    one = targets.dtype in dtypes.INTEGER and found.ndim - targets.ndim == 1
    if found.ndim < 3 or found.ndim <= targets.ndim or one:
        return ""
    return "; where each sample has one target, put nn.Flatten() before the first nn.Linear"


def binary_cross_entropy(logits: Tensor, targets: Tensor, from_logits: bool = True) -> Tensor:
    """-t log p - (1 - t) log(1 - p) with p = sigmoid(logits), in nats.

    logits: [batch, ...]. targets: 0 to 1, of the same shape ([batch] may stand for [batch, 1]).
    from_logits: True by default. False where the network gives p, by a sigmoid of its own; of other
    origin p and 1 - p count as no less than the dtype's epsilon. With True an output that a
    sigmoid or softmax has made raises InputError.
    """
    _check_floating("binary_cross_entropy", logits)
    targets = aligned(logits, targets)
    if from_logits:
        refuse_linked("binary_cross_entropy", logits)
    elif (known := _logits_of_sigmoid(logits)) is None:
        least = float(np.finfo(logits.dtype).eps)
        p = f.minimum(f.maximum(logits, least), 1 - least)
        return per_sample(-targets * f.log(p) - (1 - targets) * f.log1p(-p))
    else:
        logits = known
    # log(1 + exp(|x|)) = |x| + log(1 + exp(-|x|)), whose first part only the wrong side pays: so
    # neither value nor slope is a small difference. The slope of `size` at 0 is -1, not 0.
    size = f.maximum(logits, -logits)
    wrong = f.where(logits > 0, 1 - targets, targets)
    return per_sample(f.where(wrong == 0, 0.0, wrong * size) + f.log1p(f.exp(-size)))


def _logits_of_sigmoid(output: Tensor) -> Tensor | None:
    found = linked(output)
    return found.logits if found is not None and found.link == "sigmoid" else None


def hinge(scores: Tensor, targets: Tensor) -> Tensor:
    """max(0, 1 - s y), where y is -1 for target 0 and 1 for target 1.

    scores: [batch, ...]. targets: 0 or 1, of the same shape. Cortes & Vapnik, "Support-vector
    networks", 1995.
    """
    _check_floating("hinge", scores)
    sides = aligned(scores, targets) * 2 - 1
    return per_sample(f.maximum(1 - scores * sides, 0))


# ---------------------------------------------------------------- quantities


def mean_squared_error(predictions: Tensor, targets: Tensor) -> Tensor:
    """(p - t)², averaged over all axes but the batch.

    predictions: floats [batch, ...]. targets: numbers of the same shape ([batch] may stand for
    [batch, 1]).
    """
    _check_floating("mean_squared_error", predictions)
    error = predictions - aligned(predictions, targets)
    return per_sample(error * error)


def mean_absolute_error(predictions: Tensor, targets: Tensor) -> Tensor:
    """|p - t|, averaged over all axes but the batch; arguments as in `mean_squared_error`."""
    _check_floating("mean_absolute_error", predictions)
    return per_sample(f.abs(predictions - aligned(predictions, targets)))


def huber(predictions: Tensor, targets: Tensor, delta: float = 1.0) -> Tensor:
    """e² / 2 where |e| <= delta, else delta (|e| - delta / 2), with e = p - t.

    Arguments as in `mean_squared_error`; delta: positive, 1 by default. Huber, "Robust estimation
    of a location parameter", 1964.
    """
    delta = checks.number("huber: delta", delta, above=0)
    _check_floating("huber", predictions)
    size = f.abs(predictions - aligned(predictions, targets))
    near = f.minimum(size, delta)
    return per_sample(near * (size - near * 0.5))


def aligned(predictions: Tensor, targets: Tensor) -> Tensor:
    """Return targets with the shape and dtype of the predictions; only axes of 1 are added."""
    flat = [tuple(n for n in t.shape[1:] if n != 1) for t in (predictions, targets)]
    if predictions.shape[:1] != targets.shape[:1] or flat[0] != flat[1]:
        raise ShapeError(
            f"predictions {predictions.shape} and targets {targets.shape} do not fit; "
            f"give both the same shape{_flattened(predictions, targets)}"
        )
    return f.cast(targets.reshape(predictions.shape), predictions.dtype)


def _check_floating(name: str, predictions: Tensor) -> None:
    if not dtypes.is_floating(predictions.dtype):
        raise DTypeError(
            f"{name} takes floating predictions, not {predictions.dtype} {predictions.shape}; "
            "convert with .astype(...)"
        )


def per_sample(losses: Tensor) -> Tensor:
    """Average over all axes but the first: [batch, ...] to [batch]."""
    if losses.ndim == 0:
        raise ShapeError("a loss needs predictions with a batch axis, not a scalar")
    return mean(losses.reshape(losses.shape[0], prod(losses.shape[1:])), 1)


# ---------------------------------------------------------------- combination


def total(losses: Tensor, weights: Tensor | None = None) -> Tensor:
    """Σwℓ / Σw over the samples, a scalar; weights [batch], all 1 by default.

    NaN where the weights are all 0. Raises ShapeError for weights of another shape.
    """
    if weights is None:
        return mean(losses)
    if weights.shape != losses.shape:
        raise ShapeError(f"weights {weights.shape} and losses {losses.shape} must both be [batch]")
    weights = f.cast(weights, losses.dtype)
    return f.divide(f.sum(weights * losses), f.sum(weights))


# ---------------------------------------------------------------- the registry


def identity(x: Tensor) -> Tensor:
    """The link of losses that take predictions as they are."""
    return x


def _scores(p: Tensor) -> Tensor:
    """The logits behind probabilities, where they are known."""
    known = _logits_of_sigmoid(p)
    return p if known is None else known


explain(globals())


class Wanted(NamedTuple):
    """What elements of targets may be: in words, and as a test of an array."""

    words: str
    holds: Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Loss:
    """A loss with its link and options; call it with (predictions, targets) for [batch].

    link: makes of the network's output what `predict` shows and metrics see.
    scores: what metrics that rank samples see instead, where the link makes unequal outputs
        equal; by default what the link gives.
    wanted: what targets may be, for `check_targets`; by default anything.
    multilabel: whether several outputs are labels of their own, any number of which may hold,
        rather than classes that exclude each other; so metrics judge them.
    """

    name: str
    function: LossFunction
    link: Link = identity
    options: Mapping[str, Any] = field(default_factory=dict)
    scores: Link | None = None
    wanted: Wanted | None = None
    multilabel: bool = False

    def __call__(self, predictions: Tensor, targets: Tensor) -> Tensor:
        losses = self.function(predictions, targets, **self.options)
        if losses.shape != predictions.shape[:1]:
            raise ShapeError(
                f"the loss {self.name} gave {losses.shape}; it must give {predictions.shape[:1]}, "
                "one number for each sample"
            )
        return losses

    @property
    def own(self) -> bool:
        """Whether its function is the user's own, and none of this module."""
        return self.name not in LOSSES or LOSSES[self.name].function is not self.function

    def config(self) -> dict[str, Any]:
        """Return the name and the options, ready for JSON."""
        return {"name": self.name, **self.options}


explain_class(Loss)
LOSSES: dict[str, Loss] = {
    loss.name: loss
    for loss in (
        Loss("cross_entropy", cross_entropy, softmax),
        Loss(
            "binary_cross_entropy",
            binary_cross_entropy,
            f.sigmoid,
            scores=identity,
            wanted=Wanted("numbers from 0 to 1", lambda t: (t >= 0) & (t <= 1)),
            multilabel=True,
        ),
        Loss("mean_squared_error", mean_squared_error),
        Loss("mean_absolute_error", mean_absolute_error),
        Loss("huber", huber),
        Loss(
            "hinge",
            hinge,
            f.step,
            scores=identity,
            wanted=Wanted("0 or 1", lambda t: (t == 0) | (t == 1)),
            multilabel=True,
        ),
    )
}
"""Every loss by name. The link of `hinge` is the decision, 0 or 1; the sigmoid of large logits
is 1 in float32, so both losses for two classes are ranked by the network's output."""


_ON_LOGITS = ("cross_entropy", "binary_cross_entropy")
"""The losses that apply a link themselves, unless told that the network has done so."""


@explained
def check_output(loss: Loss, output: Tensor) -> None:
    """Raise InputError for an output of a network that has gone through the loss's link already."""
    if not loss.own and loss.name in _ON_LOGITS and loss.options.get("from_logits", True):
        refuse_linked(loss.name, output)


@explained
def check_targets(loss: Loss, targets: np.ndarray) -> None:
    """Raise InputError for an array of targets that the loss cannot learn from."""
    if loss.wanted is None or targets.dtype.kind not in "fiub":
        return
    right = loss.wanted.holds(targets)
    if not right.all():
        row = np.argwhere(~right)[0]
        raise InputError(
            f"the target of row {row[0]} is {targets[tuple(row)]}; targets of {loss.name} are "
            f"{loss.wanted.words}"
        )


@explained
def get(loss: str | Loss | LossFunction | Mapping[str, Any], **options: Any) -> Loss:
    """Return the loss of a name, with its options, of a configuration, or of a function.

    A function of (predictions, targets) that returns [batch] has no link; `Loss(...)` gives it
    one. Raises InputError for a name or option that is not known, and for what is no loss.
    """
    if isinstance(loss, Mapping):
        given = dict(loss)
        return get(str(given.pop("name", "")), **given, **options)
    if isinstance(loss, Loss):
        return loss
    if not isinstance(loss, str):
        if not callable(loss):
            raise InputError(f"{checks.shown(loss)} is no loss; use a name or a function")
        return Loss(getattr(loss, "__name__", "custom"), loss, identity, options)
    if loss not in LOSSES:
        raise InputError(f"there is no loss {loss!r}; {instead(loss, LOSSES)}")
    found = LOSSES[loss]
    if "from_logits" in options and not isinstance(options["from_logits"], bool):
        raise InputError(f"{loss}: from_logits is {options['from_logits']!r}; use True or False")
    known = list(signature(found.function).parameters)[2:]
    for name in options:
        if name not in known:
            raise InputError(f"{loss} has no option {name!r}; it has {', '.join(known) or 'none'}")
    made = replace(found, options=options)
    if options.get("from_logits", True):
        return made
    # `predict` shows what the network gives, and metrics that rank see what is behind it.
    return replace(made, link=identity, scores=found.scores and _scores)


if not TYPE_CHECKING:  # checkers would let any name pass
    __getattr__ = missing_names(__name__)
