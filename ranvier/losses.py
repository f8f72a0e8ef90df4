"""Losses: functions of (predictions, targets) that return one number for each sample, [batch].

Predictions are what the network gives, before any link: logits for the classifiers. The link
(softmax, sigmoid or none) makes of them what `predict` shows. Axes between the batch and the
classes, or after the batch, are averaged: every sample has one loss. `total` combines them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np

from ranvier import dtypes
from ranvier.errors import DTypeError, InputError, ShapeError
from ranvier.graph import functions as f
from ranvier.graph.compositions import log_softmax, mean, one_hot, softmax
from ranvier.graph.tensor import Tensor
from ranvier.nn.layers.activations import softplus

LossFunction = Callable[..., Tensor]
"""(predictions, targets, **options) to [batch]."""
Link = Callable[[Tensor], Tensor]


# ---------------------------------------------------------------- classes


def cross_entropy(
    logits: Tensor, targets: Tensor, label_smoothing: float = 0.0, ignore: int | None = None
) -> Tensor:
    """-Σ_k t_k log softmax(logits)_k, in nats.

    logits: [batch, ..., classes]. targets: integers [batch, ...], or distributions, floats
    of the shape of the logits.
    label_smoothing: this share of the target is spread evenly over all classes (Szegedy et
    al., "Rethinking the Inception architecture", 2016).
    ignore: integer targets with this value do not count; a sample's loss is then the mean
    over the positions that do, 0 where none does.
    """
    if not 0 <= label_smoothing < 1:
        raise InputError(f"label_smoothing is {label_smoothing}; use a number in [0, 1)")
    classes = logits.shape[-1] if logits.ndim > 1 else 0
    if classes < 2:
        raise ShapeError(
            f"cross_entropy: logits are [batch, ..., classes] with 2 classes or more, not "
            f"{logits.shape}; use binary_cross_entropy for one output"
        )
    wanted = distribution(targets, logits)
    smooth = wanted * (1 - label_smoothing) + label_smoothing / classes
    losses = -f.sum((smooth if label_smoothing else wanted) * log_softmax(logits), -1)
    if ignore is None:
        return per_sample(losses)
    if targets.dtype not in dtypes.INTEGER:
        raise DTypeError(f"ignore={ignore} needs integer targets, not {targets.dtype}")
    counts = f.cast(targets != ignore, losses.dtype)
    axes = tuple(range(1, losses.ndim))
    return f.sum(losses * counts, axes) / f.maximum(f.sum(counts, axes), 1.0)


def distribution(targets: Tensor, logits: Tensor) -> Tensor:
    """Return targets with the shape and dtype of the logits: integers become one-hot rows."""
    if targets.dtype in dtypes.INTEGER and targets.shape == logits.shape[:-1]:
        return one_hot(f.cast(targets, dtypes.int64), logits.shape[-1], logits.dtype)
    if targets.shape == logits.shape:
        return f.cast(targets, logits.dtype)
    raise ShapeError(
        f"logits {logits.shape} and targets {targets.dtype} {targets.shape} do not fit; targets "
        f"are integers {logits.shape[:-1]} or distributions {logits.shape}"
    )


def binary_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """-t log p - (1 - t) log(1 - p) with p = sigmoid(logits), in nats.

    logits: [batch, ...]. targets: 0 to 1, of the same shape ([batch] may stand for [batch, 1]).
    """
    targets = aligned(logits, targets)
    return per_sample(softplus(logits) - logits * targets)


def hinge(scores: Tensor, targets: Tensor) -> Tensor:
    """max(0, 1 - s y), where y is -1 for target 0 and 1 for target 1.

    scores: [batch, ...]. targets: 0 or 1, of the same shape. Cortes & Vapnik, "Support-vector
    networks", 1995.
    """
    sides = aligned(scores, targets) * 2 - 1
    return per_sample(f.maximum(1 - scores * sides, 0))


# ---------------------------------------------------------------- quantities


def mean_squared_error(predictions: Tensor, targets: Tensor) -> Tensor:
    """(p - t)², averaged over all axes but the batch."""
    error = predictions - aligned(predictions, targets)
    return per_sample(error * error)


def mean_absolute_error(predictions: Tensor, targets: Tensor) -> Tensor:
    """|p - t|, averaged over all axes but the batch."""
    return per_sample(f.abs(predictions - aligned(predictions, targets)))


def huber(predictions: Tensor, targets: Tensor, delta: float = 1.0) -> Tensor:
    """e² / 2 where |e| <= delta, else delta (|e| - delta / 2), with e = p - t.

    Huber, "Robust estimation of a location parameter", 1964.
    """
    if delta <= 0:
        raise InputError(f"huber: delta is {delta}; use a positive number")
    size = f.abs(predictions - aligned(predictions, targets))
    near = f.minimum(size, delta)
    return per_sample(near * (size - near * 0.5))


def aligned(predictions: Tensor, targets: Tensor) -> Tensor:
    """Return targets with the shape and dtype of the predictions; only axes of 1 are added."""
    flat = [tuple(n for n in t.shape[1:] if n != 1) for t in (predictions, targets)]
    if predictions.shape[:1] != targets.shape[:1] or flat[0] != flat[1]:
        raise ShapeError(
            f"predictions {predictions.shape} and targets {targets.shape} do not fit; "
            "give both the same shape"
        )
    return f.cast(targets.reshape(predictions.shape), predictions.dtype)


def per_sample(losses: Tensor) -> Tensor:
    """Average over all axes but the first: [batch, ...] to [batch]."""
    if losses.ndim == 0:
        raise ShapeError("a loss needs predictions with a batch axis, not a scalar")
    return mean(losses.reshape(losses.shape[0], prod(losses.shape[1:])), 1)


# ---------------------------------------------------------------- combination


def total(losses: Tensor, weights: Tensor | None = None) -> Tensor:
    """Σwℓ / Σw over the samples, a scalar; weights [batch], all 1 by default."""
    if weights is None:
        return mean(losses)
    if weights.shape != losses.shape:
        raise ShapeError(f"weights {weights.shape} and losses {losses.shape} must both be [batch]")
    weights = f.cast(weights, losses.dtype)
    return f.divide(f.sum(weights * losses), f.sum(weights))


def class_weights(targets: Tensor, weights: Sequence[float] | np.ndarray) -> Tensor:
    """The weight of each sample by its class, [batch]: multiply them to the samples' weights.

    targets: integers [batch] or distributions [batch, classes]. weights: one for each class;
    `balanced` computes them.
    """
    table = np.asarray(weights, np.float32)
    if table.ndim != 1 or not (table >= 0).all():
        raise InputError("class weights are one number for each class, 0 or more")
    if targets.dtype in dtypes.INTEGER:
        if targets.ndim != 1:
            raise ShapeError(f"class weights need targets [batch], not {targets.shape}")
        wanted = one_hot(f.cast(targets, dtypes.int64), len(table))
    else:
        wanted = f.cast(targets, dtypes.float32)
        if wanted.ndim != 2 or wanted.shape[1] != len(table):
            raise ShapeError(f"{len(table)} class weights do not fit targets {targets.shape}")
    return f.sum(wanted * table, -1)


def balanced(labels: Any, classes: int) -> np.ndarray:
    """Return class weights n / (classes * count), float32 [classes]; 0 for an absent class."""
    counts = np.bincount(np.asarray(labels).reshape(-1), minlength=classes)
    if len(counts) != classes:
        raise InputError(f"a label is {len(counts) - 1}; {classes} classes end at {classes - 1}")
    shares = counts.sum() / (classes * np.maximum(counts, 1))
    return np.where(counts > 0, shares, 0).astype(np.float32)


# ---------------------------------------------------------------- the registry


def identity(x: Tensor) -> Tensor:
    """The link of losses that take predictions as they are."""
    return x


@dataclass(frozen=True)
class Loss:
    """A loss with its link and options; call it with (predictions, targets) for [batch].

    link: makes of the network's output what `predict` shows and metrics see.
    scores: what metrics that rank samples see instead, where the link makes unequal outputs
        equal; by default what the link gives.
    """

    name: str
    function: LossFunction
    link: Link = identity
    options: Mapping[str, Any] = field(default_factory=dict)
    scores: Link | None = None

    def __call__(self, predictions: Tensor, targets: Tensor) -> Tensor:
        losses = self.function(predictions, targets, **self.options)
        if losses.shape != predictions.shape[:1]:
            raise ShapeError(
                f"the loss {self.name} gave {losses.shape}; it must give {predictions.shape[:1]}, "
                "one number for each sample"
            )
        return losses

    def config(self) -> dict[str, Any]:
        """Return the name and the options, ready for JSON."""
        return {"name": self.name, **self.options}


LOSSES: dict[str, Loss] = {
    loss.name: loss
    for loss in (
        Loss("cross_entropy", cross_entropy, softmax),
        Loss("binary_cross_entropy", binary_cross_entropy, f.sigmoid, scores=identity),
        Loss("mean_squared_error", mean_squared_error),
        Loss("mean_absolute_error", mean_absolute_error),
        Loss("huber", huber),
        Loss("hinge", hinge, f.step, scores=identity),
    )
}
"""Every loss by name. The link of `hinge` is the decision, 0 or 1; the sigmoid of large logits
is 1 in float32, so both losses for two classes are ranked by the network's output."""


def get(loss: str | Loss | LossFunction | Mapping[str, Any], **options: Any) -> Loss:
    """Return the loss of a name, with its options, of a configuration, or of a function.

    A function of (predictions, targets) that returns [batch] has no link; `Loss(...)` gives it
    one. Raises InputError for a name or option that is not known.
    """
    if isinstance(loss, Mapping):
        given = dict(loss)
        return get(str(given.pop("name", "")), **given, **options)
    if isinstance(loss, Loss):
        return loss
    if not isinstance(loss, str):
        return Loss(getattr(loss, "__name__", "custom"), loss, identity, options)
    if loss not in LOSSES:
        raise InputError(f"there is no loss {loss!r}; there are {', '.join(LOSSES)}")
    found = LOSSES[loss]
    known = found.function.__code__.co_varnames[2 : found.function.__code__.co_argcount]
    for name in options:
        if name not in known:
            raise InputError(f"{loss} has no option {name!r}; it has {', '.join(known) or 'none'}")
    return replace(found, options=options)
