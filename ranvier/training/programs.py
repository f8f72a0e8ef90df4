"""The three programs of a model: a training step, an evaluation step, a prediction step.

They are separate graphs over the same state: the parameters and buffers of the network, and
the optimizer's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import reduce
from typing import Any

from ranvier import dtypes
from ranvier.engines.compile import compile as compile_program
from ranvier.engines.program import Program
from ranvier.errors import InputError
from ranvier.graph import functions as f
from ranvier.graph.leaves import State
from ranvier.graph.leaves import input as make_input
from ranvier.graph.tensor import Tensor
from ranvier.nn.module import Module
from ranvier.nn.trace import CallRecord, trace
from ranvier.optim import Optimizer
from ranvier.records import dataclass
from ranvier.schedules import as_schedule
from ranvier.training.feed.feeds import Batch, Feed
from ranvier.training.feed.preprocess import preprocessed
from ranvier.training.objective import Objective, Tensors, by_name
from ranvier.training.weight_rules import WeightRules

PREDICTION = "prediction"
TARGET = "target"
LEARNING_RATE = "learning_rate"
PENALTY = "penalty"


@dataclass(frozen=True)
class Learner:
    """What programs are made of: a network, what it is judged by, and how it learns."""

    net: Module
    objective: Objective
    optimizer: Optimizer
    preprocess: Mapping[str, Any]
    rules: WeightRules
    engine: str
    options: Mapping[str, Any]

    def compile(
        self, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor], updates: Any = None
    ) -> Program:
        """Compile with the engine and the options of the model."""
        return compile_program(inputs, outputs, updates, self.engine, **self.options)


def training_program(learner: Learner, feed: Feed) -> Program:
    """Return the step that learns from a batch; inputs: the feed's, and `seed`, int64.

    Outputs: the sums of `Objective.sums`, `learning_rate`, and `penalty` if there are penalties, of
    weights or of layers.
    """
    batch = feed.batch()
    seed = make_input((), dtypes.int64, "seed")
    optimizer, objective = learner.optimizer, learner.objective
    parameters = learner.net.parameters()
    if not parameters:
        raise InputError("the network has no parameters to train; unfreeze some, or add layers")
    with trace(True, seed, optimizer.step, batch.weights) as t:
        x = preprocessed(batch.inputs, learner.preprocess)
        found = apply_net(learner.net, x)
        sums = objective.sums(found, targets_of(batch, x, found), batch.weights)
    learner.rules.check(learner.net.parameters(frozen=True), objective.penalties)
    beside = [_mean(penalty, batch.weights) for penalty in t.penalties]
    made = [*sums.values(), *beside, *t.updates.values()]
    made = learner.rules.dropped(made, parameters, seed, optimizer.step)
    sums = dict(zip(sums, made, strict=False))
    beside = made[len(sums) : len(sums) + len(beside)]
    statistics = dict(zip(t.updates, made[len(sums) + len(beside) :], strict=True))
    outputs = dict(sums)
    loss = objective.mean_loss(sums)
    if objective.penalties:
        beside.append(objective.penalty(parameters))
    if beside:
        outputs[PENALTY] = reduce(f.add, beside)
        loss = loss + outputs[PENALTY]
    rate = as_schedule(optimizer.learning_rate)(optimizer.step) * optimizer.learning_rate_scale
    outputs[LEARNING_RATE] = f.cast(rate, dtypes.float32)
    updates = {**optimizer.updates(loss, parameters), **statistics}
    counters = (seed, optimizer.step, feed.steps)
    updates = learner.rules.applied(updates, parameters, rate, counters)
    return learner.compile({**batch.placeholders, "seed": seed}, outputs, updates)


def evaluation_program(learner: Learner, feed: Feed) -> Program:
    """Return the step that measures a batch; outputs: the sums, and what metrics need."""
    batch = feed.batch()
    with trace(False, weights=batch.weights):
        x = preprocessed(batch.inputs, learner.preprocess)
        found = apply_net(learner.net, x)
        targets = targets_of(batch, x, found)
        outputs = learner.objective.sums(found, targets, batch.weights)
    if learner.objective.needs_predictions:
        outputs |= _named(PREDICTION, learner.objective.measured(found))
        outputs |= _named(TARGET, by_name(targets))
    return learner.compile(batch.placeholders, outputs)


def prediction_program(learner: Learner, feed: Feed, logits: bool) -> Program:
    """Return the step that predicts a batch, before the loss's link with `logits`."""
    batch = feed.batch()
    with trace(False):
        found = apply_net(learner.net, preprocessed(batch.inputs, learner.preprocess))
        shown = by_name(found) if logits else learner.objective.linked(found)
    placeholders = {name: t for name, t in batch.placeholders.items() if t is not batch.weights}
    return learner.compile(placeholders, _named(PREDICTION, shown))


def build(
    learner: Learner, example: Tensors, seed: int, drawing: bool = True
) -> tuple[dict[str, Tensor], list[CallRecord]]:
    """Create the state of the network for raw inputs.

    drawing: whether it gets initial values, or is going to be written. Returns its outputs
    by name, and every call of a module.
    """
    with trace(False, seed) as t:
        t.drawing, t.calls = drawing, []
        outputs = apply_net(learner.net, preprocessed(example, learner.preprocess))
    return by_name(outputs), t.calls


def traced(learner: Learner, example: Tensors) -> dict[str, Tensor]:
    """Return the outputs of a built network for raw inputs, by name."""
    with trace(False):
        return by_name(apply_net(learner.net, preprocessed(example, learner.preprocess)))


def judging(learner: Learner, example: Tensors, targets: Mapping[str, Tensor]) -> list[Tensor]:
    """Return what is made of targets by losses of the user's own and by class weights."""
    outputs, found = traced(learner, example), []
    for name, head in learner.objective.heads.items():
        if name in outputs and name in targets:
            if head.loss.own:
                found.append(head.losses(outputs[name], targets[name]))
            found += learner.objective.shares(targets[name])
    return found


def drop_states(net: Module, kept: Collection[State]) -> list[State]:
    """Take the state that is not among `kept` out of a network, and return it."""
    found = []
    for module in net.modules().values():
        for name, value in list(vars(module).items()):
            if isinstance(value, State) and value not in kept:
                delattr(module, name)
                found.append(value)
    return found


def make(kind: str, learner: Learner, feed: Feed) -> Program:
    """Return the program of a kind: "train", "evaluate", "predict" or "logits"."""
    if kind == "train":
        return training_program(learner, feed)
    if kind == "evaluate":
        return evaluation_program(learner, feed)
    return prediction_program(learner, feed, kind == "logits")


def of_kind(wanted: str, outputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the predictions, or targets, among a program's outputs, by the network's outputs."""
    found = {}
    for key, value in outputs.items():
        kind, _, name = key.partition(".")
        if kind == wanted:
            found[name] = value
    return found


def apply_net(net: Module, inputs: Tensors) -> Tensors:
    """Call the network; several inputs go to its arguments of the same names."""
    outputs: Tensors = net(**inputs) if isinstance(inputs, Mapping) else net(inputs)
    wrong = [x for x in by_name(outputs).values() if not isinstance(x, Tensor)]
    if wrong:
        raise InputError(
            f"the network returned a {type(wrong[0]).__name__}; return a tensor, or a dict of "
            "tensors by name"
        )
    return outputs


def targets_of(batch: Batch, inputs: Tensors, outputs: Tensors) -> Tensors:
    """The batch's targets; where there are none, the inputs in the shape of the output."""
    if batch.targets is not None:
        return batch.targets
    if isinstance(inputs, Tensor) and isinstance(outputs, Tensor) and inputs.size == outputs.size:
        return inputs.reshape(outputs.shape)
    raise InputError(
        "there are no targets, and the network does not give back one input of the same size; "
        "pass targets"
    )


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    """The weighted mean of [batch], a float32 scalar; 0 without weight."""
    if values.shape != weights.shape:
        raise InputError(f"a layer's penalty is {values.shape}, the batch {weights.shape}")
    total = f.sum(weights)
    mean = f.sum(f.cast(values, dtypes.float32) * weights) / f.where(total > 0, total, 1.0)
    return f.cast(mean, dtypes.float32)


def _named(kind: str, outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{kind}.{name}" if name else kind: tensor for name, tensor in outputs.items()}
