"""`Objective`: what training minimizes and what is measured beside it, for each output."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from typing import Any, TypeAlias

import numpy as np

from ranvier import losses, metrics
from ranvier.epoch_metrics import EpochMetric, epoch_metric, several_outputs
from ranvier.errors import InputError
from ranvier.graph import functions as f
from ranvier.graph.leaves import Parameter
from ranvier.graph.tensor import Shape, Tensor
from ranvier.losses import Loss
from ranvier.metrics import Metric
from ranvier.records import dataclass
from ranvier.regularization import Penalty, penalty
from ranvier.training.feed.targets import Standardize, TargetScale, standardize

Tensors: TypeAlias = "Tensor | Mapping[str, Tensor]"
LossLike: TypeAlias = "str | Loss | Mapping[str, Any] | Callable[..., Tensor]"
MetricLike: TypeAlias = "str | Metric | EpochMetric | Callable[..., Any]"

ONE = ""
"""The name of the output of a network that has only one."""
SCORES = "|scores"
"""Ends the name of an output's scores, for metrics that rank samples."""


_TAKEN = ("epoch", "step", "loss", "weight", "penalty", "learning_rate", "prediction", "target")
"""What records and the outputs of programs have besides losses and metrics."""


def by_name(values: Any) -> dict[str, Any]:
    """Return several values by name as a dict, and one alone under `ONE`."""
    return dict(values) if isinstance(values, Mapping) else {ONE: values}


def label(output: str, name: str) -> str:
    """What a quantity of an output is called in records: `accuracy`, `digit_accuracy`."""
    return f"{output}_{name}" if output else name


@dataclass(frozen=True)
class Head:
    """What one output is judged by.

    weight: how much its loss counts in the sum. measures: metrics of tensors. whole: metrics that
    need all samples at once. standardize: whether the network predicts standardized targets, and
    by which scale; without one yet it is as if it did not.
    """

    loss: Loss
    weight: float = 1.0
    measures: tuple[Metric, ...] = ()
    whole: tuple[EpochMetric, ...] = ()
    standardize: Standardize = False

    @property
    def scale(self) -> TargetScale | None:
        """The scale of the targets, where they are standardized and it is known."""
        return self.standardize if isinstance(self.standardize, TargetScale) else None

    def losses(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the loss of each sample, [batch]: that of standardized targets, if they are."""
        return self.loss(prediction, self.scale.standardized(target) if self.scale else target)

    def shown(self, prediction: Tensor) -> Tensor:
        """Return what people see of a prediction: after the link, in the target's unit."""
        linked = self.loss.link(prediction)
        return self.scale.restored(linked) if self.scale else linked

    @property
    def metrics(self) -> list[Metric | EpochMetric]:
        """All metrics."""
        return [*self.measures, *self.whole]

    def labels(self, shape: Shape) -> bool:
        """Whether outputs of a shape, [batch, ...], are several labels of their own."""
        return self.loss.multilabel and several_outputs(shape)


@dataclass(frozen=True)
class Objective:
    """The losses, metrics and penalties of a model.

    heads: one for each output, by name. penalties: added to the loss that is differentiated.
    class_weights: one number for each class, for a network with one output.
    """

    heads: Mapping[str, Head]
    penalties: tuple[Penalty, ...] = ()
    class_weights: np.ndarray | None = field(default=None, compare=False)

    def in_words(self) -> list[str]:
        """Return the losses and the metrics in words, each after the output that it is of."""
        named = [(f"{name}: " if name else "", head) for name, head in self.heads.items()]
        judged = {
            "loss": [output + head.loss.name for output, head in named],
            "metrics": [output + metric.name for output, head in named for metric in head.metrics],
        }
        return [f"{what} {', '.join(names)}" for what, names in judged.items() if names]

    def sums(self, outputs: Tensors, targets: Tensors, weights: Tensor) -> dict[str, Tensor]:
        """Return Σwℓ and Σwm over a batch for each loss and metric, and the sums of weights.

        weights: float32 [batch]. The keys are those that `averages` reads; all are scalars.
        """
        found, wanted = self._matched(by_name(outputs)), self._matched(by_name(targets))
        sums = {"weight": f.sum(weights)}
        for name, head in self.heads.items():
            prediction, target = found[name], wanted[name]
            loss_weights = weights
            for share in self.shares(target):
                loss_weights = loss_weights * share
            sums[label(name, "loss_weight")] = f.sum(loss_weights)
            sums[label(name, "loss")] = f.sum(loss_weights * head.losses(prediction, target))
            shown = head.shown(prediction) if head.measures else prediction
            for metric in head.measures:
                each = metric(shown, target, head.labels(prediction.shape))
                sums[label(name, metric.name)] = f.sum(weights * each)
        return {key: f.cast(value, "float32") for key, value in sums.items()}

    def mean_loss(self, sums: Mapping[str, Tensor]) -> Tensor:
        """Return the loss of a batch, Σ over outputs of weight · Σwℓ / Σw; 0 without weight."""
        total = f.as_tensor(0.0)
        for name, head in self.heads.items():
            weight = sums[label(name, "loss_weight")]
            mean = f.divide(sums[label(name, "loss")], f.where(weight > 0, weight, 1.0))
            total = total + mean * head.weight
        return total

    def penalty(self, parameters: Mapping[str, Parameter]) -> Tensor:
        """Return what the penalties add to the loss."""
        return penalty(self.penalties, parameters)

    def averages(self, sums: Mapping[str, float]) -> dict[str, float]:
        """Return the loss and metrics of sums over many batches: `loss`, `accuracy`, …"""
        total = 0.0
        parts: dict[str, float] = {}
        for name, head in self.heads.items():
            weight = sums[label(name, "loss_weight")]
            mean = sums[label(name, "loss")] / weight if weight else 0.0
            total += mean * head.weight
            if name:
                parts[label(name, "loss")] = mean
            for metric in head.measures:
                key = label(name, metric.name)
                parts[key] = sums[key] / sums["weight"] if sums["weight"] else 0.0
        return {"loss": total, **parts}

    @property
    def needs_predictions(self) -> bool:
        """Whether a metric needs the predictions of all samples at once."""
        return any(head.whole for head in self.heads.values())

    @property
    def may_look_up(self) -> bool:
        """Whether targets may index something: of a loss of the user's own, or class weights."""
        return self.class_weights is not None or any(h.loss.own for h in self.heads.values())

    @property
    def ignored(self) -> dict[str, int]:
        """The class number that stands for none, by output, where a loss has one."""
        losses = {name: head.loss.options.get("ignore") for name, head in self.heads.items()}
        return {name: number for name, number in losses.items() if number is not None}

    def of_all(self, predictions: Any, targets: Any, weights: np.ndarray) -> dict[str, Any]:
        """Return the metrics that need all samples at once, of the arrays of `measured`."""
        found, wanted = by_name(predictions), by_name(targets)
        measures = {}
        for name, head in self.heads.items():
            for metric in head.whole:
                seen = found.get(name + SCORES, found[name]) if metric.ranks else found[name]
                several = head.labels(seen.shape)
                measures[label(name, metric.name)] = metric(seen, wanted[name], weights, several)
        return measures

    def measured(self, outputs: Tensors) -> dict[str, Tensor]:
        """Return what the metrics of `of_all` need: `linked`, and scores under `name|scores`."""
        found = self.linked(outputs)
        for name, output in by_name(outputs).items():
            head = self.heads[name]
            if head.loss.scores is not None and any(metric.ranks for metric in head.whole):
                found[name + SCORES] = head.loss.scores(output)
        return found

    def linked(self, outputs: Tensors) -> dict[str, Tensor]:
        """Return what `predict` shows of each output.

        That is probabilities where the loss has a link, and numbers in the target's unit.
        """
        return {name: self.heads[name].shown(output) for name, output in by_name(outputs).items()}

    def scaled_by(self, targets: Any) -> Objective:
        """Return the objective with the scales of these targets, where one is still wanted."""
        found = by_name(targets) if targets is not None else {}
        heads = {
            name: replace(head, standardize=TargetScale.of(found[name]))
            if head.standardize is True and name in found
            else head
            for name, head in self.heads.items()
        }
        return replace(self, heads=heads)

    @property
    def standardized(self) -> bool:
        """Whether `loss` is that of standardized targets, and so has no unit."""
        return any(head.standardize for head in self.heads.values())

    @property
    def scales(self) -> dict[str, Standardize]:
        """Whether and how each output's targets are standardized."""
        return {name: head.standardize for name, head in self.heads.items()}

    def shares(self, target: Tensor) -> list[Tensor]:
        """Return the class weights of a batch, [batch], if there are any."""
        if self.class_weights is None:
            return []
        return [losses.class_weights(target, self.class_weights)]

    def _matched(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        if set(tensors) != set(self.heads):
            raise InputError(
                f"the losses are for {_names(self.heads)}, the network or the targets have "
                f"{_names(tensors)}; give each output one loss and one array of targets"
            )
        return tensors


def objective(
    loss: LossLike | Mapping[str, LossLike],
    measures: Sequence[MetricLike] | Mapping[str, Sequence[MetricLike]] = (),
    penalties: Sequence[Penalty] = (),
    loss_weights: Mapping[str, float] | None = None,
    class_weights: Sequence[float] | np.ndarray | None = None,
    standardize_targets: Any = False,
) -> Objective:
    """Return the objective of names, functions and objects; see `Model` for the arguments."""
    several = isinstance(loss, Mapping) and "name" not in loss
    by_output: dict[str, Any] = by_name(loss) if several else {ONE: loss}
    wanted = dict(measures) if isinstance(measures, Mapping) else {ONE: measures}
    shares = dict(loss_weights or {})
    for what, given in (("metrics", wanted), ("loss_weights", shares)):
        for name in given:
            if name not in by_output and given[name]:
                raise InputError(
                    f"{what} name the output {_names([name])}, for which there is no loss; there "
                    f"are {_names(by_output)}"
                )
    if class_weights is not None and several:
        raise InputError("class_weights serve a network with one output; pass sample weights")
    heads = {
        name: _head(each, wanted.get(name, ()), float(shares.get(name, 1.0)))
        for name, each in by_output.items()
    }
    _check_names(heads)
    scales = standardize(standardize_targets, {name: _on_numbers(h) for name, h in heads.items()})
    heads = {name: replace(head, standardize=scales[name]) for name, head in heads.items()}
    table = None if class_weights is None else losses.class_table(class_weights)
    return Objective(heads, tuple(penalties), table)


def _head(loss: LossLike, measures: Sequence[MetricLike], weight: float) -> Head:
    if isinstance(measures, str):
        raise InputError(f"metrics is the text {measures!r}; pass a list, [{measures!r}]")
    registered = [each for each in losses.LOSSES.values() if each.function is loss]
    judged = registered[0] if registered else losses.get(loss)
    whole = tuple(found for m in measures if (found := epoch_metric(m)) is not None)
    tensors = tuple(metrics.get(m) for m in measures if epoch_metric(m) is None)
    return Head(judged, weight, tensors, whole)


def _on_numbers(head: Head) -> bool:
    """Whether a loss compares numbers, whose unit may be any: all that have no link."""
    return head.loss.link is losses.identity


def _check_names(heads: Mapping[str, Head]) -> None:
    """Refuse two quantities of one name, such as a metric that is called like a loss."""
    taken = set(_TAKEN)
    for output in heads:
        taken |= {label(output, "loss"), label(output, "loss_weight")}
    for output, head in heads.items():
        for metric in head.metrics:
            key = label(output, metric.name)
            if key in taken or key.startswith("validation_"):
                raise InputError(
                    f"a metric cannot be called {key!r}, which something else is called; rename it"
                )
            taken.add(key)


def _names(names: Any) -> str:
    return ", ".join(repr(name) if name else "one output without a name" for name in names)
