"""From a recipe, a dataset and a user's choices to a model that is ready to be trained."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field, replace
from typing import Any

import numpy as np

from ranvier import optim
from ranvier.data.errors import DataError
from ranvier.data.labels import unit_range
from ranvier.data.source import Dataset
from ranvier.errors import InputError
from ranvier.models.recipe import Recipe, outputs_for
from ranvier.optim import Optimizer
from ranvier.records import dataclass
from ranvier.regularization import Penalty
from ranvier.training.model import Model
from ranvier.training.weight_rules import as_rule

_RATES = ("value", "peak")
"""What schedules call the rate that they are scaled by."""

_PARTS = ("train", "validation", "test")

_REGULARIZERS = ("l1", "l2", "weight_decay", "max_norm", "dilution", "dropconnect")
"""Arguments of `Model`."""


@dataclass(frozen=True)
class Choices:
    """What the user asks for in place of the recipe's own; None keeps that.

    settings: the network's options by name, regularizers of `Model` by name, such as `l1`, and
    `optimizer.ARGUMENT`.
    """

    epochs: int | None = None
    batch_size: int | None = None
    optimizer: str | None = None
    learning_rate: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    engine: str = "native"
    threads: int | None = None


class ChoiceError(InputError):
    """A choice that does not fit.

    choice: the field of `Choices`, or the key of its settings. within: whether something inside
    its value is to blame, as with the configuration of a schedule.
    """

    def __init__(self, choice: str, message: str, within: bool = False) -> None:
        super().__init__(message)
        self.choice, self.within = choice, within


@contextmanager
def chosen(choice: str, value: Any = None) -> Iterator[None]:
    """Say of errors in the block which choice they come from."""
    try:
        yield
    except InputError as error:
        raise ChoiceError(choice, str(error), isinstance(value, Mapping)) from None


@dataclass(frozen=True)
class Prepared:
    """A model with the data and the numbers that `fit` takes.

    patience: how many epochs without a better validation loss end the training; the weights of
    the best epoch are kept then. None where it goes on to the last epoch.
    """

    model: Model
    data: Dataset
    epochs: int
    batch_size: int
    patience: int | None = None


@dataclass(frozen=True)
class _Plan:
    """How long a recipe trains on a dataset, and what that makes of its optimizer and penalties."""

    epochs: int
    batch_size: int
    optimizer: Optimizer
    penalties: tuple[Penalty, ...]
    patience: int | None


def prepare(recipe: Recipe, data: Dataset, choices: Choices) -> Prepared:
    """Return the recipe's model for a dataset; InputError for a choice that does not fit."""
    dataset = for_recipe(recipe, data)
    for name, value in (("epochs", choices.epochs), ("batch_size", choices.batch_size)):
        if value is not None and value < 1:
            raise ChoiceError(name, f"{name} is {value}; use 1 or more")
    options, regularizers, arguments = _sorted(recipe, choices.settings)
    inputs = dataset.train.inputs
    _check_text(recipe, dataset)
    if isinstance(inputs, Mapping) or inputs.dtype.kind not in "fiub":
        raise InputError(
            f"{recipe.name} does not learn from {data.name}, which is no table of "
            "numbers or pictures; choose other data"
        )
    shape = inputs.shape[1:]
    _check_forms(dataset)
    plan = _plan(recipe, choices, len(dataset.train))
    loss, metrics = _judged_by(recipe, dataset)
    optimizer = _chosen(plan.optimizer, choices, arguments)
    if "weight_decay" in regularizers and hasattr(optimizer, "weight_decay"):
        # AdamW has decay as part of its rule.
        arguments["weight_decay"] = regularizers.pop("weight_decay").strength
        optimizer = _chosen(plan.optimizer, choices, arguments)
    given: dict[str, Any] = {} if choices.threads is None else {"threads": choices.threads}
    outputs = outputs_for(dataset)
    for name, value in options.items():  # alone, to know which one does not fit
        with chosen(name):
            recipe.network(shape, outputs, **{name: value})
    model = Model(
        recipe.network(shape, outputs, **options),
        loss,
        optimizer,
        metrics,
        penalties=plan.penalties,
        **regularizers,
        standardize_targets=not dataset.classes and dataset.train.targets is not None,
        preprocess=dataset.preprocess,
        classes=() if recipe.self_taught else dataset.classes,
        engine=choices.engine,
        **given,
    )
    return Prepared(model, dataset, plan.epochs, plan.batch_size, plan.patience)


def _check_text(recipe: Recipe, data: Dataset) -> None:
    """Refuse a text for a recipe that would take its symbols for magnitudes."""
    inputs = data.train.inputs
    ids = "vocabulary" in data.preprocess
    text = ids or (not isinstance(inputs, Mapping) and inputs.dtype.kind in "US")
    if not text or recipe.reads_text:
        return
    from ranvier.models import RECIPES

    readers = ", ".join(each.name for each in RECIPES.values() if each.reads_text)
    count = f"({len(data.preprocess['vocabulary']['symbols'])}, 16)" if ids else ""
    mend = (
        f"models that read text are {readers}"
        if readers
        else (
            "no model by name reads text yet; in Python, begin a network with "
            f"nn.Embedding{count} and train it on rv.data.windows of the text"
        )
    )
    raise InputError(f"{recipe.name} learns from numbers, and {data.name} is text; {mend}")


def _plan(recipe: Recipe, choices: Choices, samples: int) -> _Plan:
    """The recipe's plan for so many training samples, with the user's epochs and batch size.

    Samples are few where the recipe's own epochs would be fewer steps than `recipe.few` has.
    """
    few, make, penalties = recipe.few, recipe.optimizer, recipe.penalties
    is_few = math.ceil(samples / recipe.batch_size) * recipe.epochs < few.steps
    size = choices.batch_size
    if size is None:
        size = few.batch_size(samples, recipe.batch_size) if is_few else recipe.batch_size
    epochs, patience = recipe.epochs, None
    if is_few:
        epochs = few.epochs(samples, size)
        patience = few.patience_in(epochs)
        make, penalties = few.optimizer or make, (*penalties, *few.penalties(samples))
    if choices.epochs is not None:
        epochs, patience = choices.epochs, None
    return _Plan(epochs, size, make(math.ceil(samples / size) * epochs), penalties, patience)


def digest(data: Dataset) -> str:
    """Return a short digest of the arrays of all parts, by which a run knows its data again."""
    found = hashlib.sha256()
    for part in _PARTS:
        for name, array in getattr(data, part).arrays().items():
            found.update(f"{part} {name} {array.shape} {array.dtype}".encode())
            found.update(np.ascontiguousarray(array).view(np.uint8).reshape(-1).data)
    return found.hexdigest()[:16]


def for_recipe(recipe: Recipe, data: Dataset) -> Dataset:
    """Return the dataset with the recipe's preprocessing.

    For autoencoders it has no targets, and floats are brought to 0 … 1, which is what they give.
    """
    if recipe.self_taught:
        parts = {part: replace(getattr(data, part), targets=None) for part in _PARTS}
        data = replace(data, **parts)
    inputs = data.train.inputs
    if isinstance(inputs, Mapping):
        return data
    if recipe.preprocess is not None and inputs.dtype == np.uint8:
        return replace(data, preprocess=recipe.preprocess)
    if recipe.self_taught and inputs.dtype.kind == "f":
        return replace(data, preprocess=unit_range(inputs))
    return data


def _check_forms(data: Dataset) -> None:
    """Refuse parts whose samples differ in shape or kind from those of the training set."""
    for part in _PARTS[1:]:
        held = getattr(data, part).arrays()
        for name, train in data.train.arrays().items():
            array = held.get(name, train)
            same = array.dtype.kind == train.dtype.kind
            becomes = train.dtype.kind == "f" and array.dtype.kind in "iub"
            if array.shape[1:] != train.shape[1:] or not (same or becomes):
                raise DataError(
                    f"{data.name}: {name} are {array.dtype} {list(array.shape[1:])} in the {part} "
                    f"set, {train.dtype} {list(train.shape[1:])} in the training set; "
                    "give all sets samples of one form"
                )


def _judged_by(recipe: Recipe, data: Dataset) -> tuple[str, tuple[str, ...]]:
    """Loss and metrics: those of the recipe, or of regression where the targets are numbers."""
    if recipe.loss == "cross_entropy" and not data.classes:
        return "mean_squared_error", ("mean_absolute_error", "r2")
    if recipe.loss != "cross_entropy" and not recipe.self_taught and data.classes:
        return "cross_entropy", ("accuracy",)
    return recipe.loss, recipe.metrics


def _sorted(
    recipe: Recipe, settings: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Divide settings into options of the network, regularizers, and optimizer's arguments."""
    options, arguments, regularizers = {}, {}, {}
    for key, value in settings.items():
        kind, _, rest = key.partition(".")
        if rest and kind == "optimizer":
            arguments[rest] = value
        elif key in _REGULARIZERS:
            with chosen(key):
                regularizers[key] = as_rule(key, value)
        elif key in recipe.options:
            options[key] = value
        else:
            known = [*recipe.options, *_REGULARIZERS, "optimizer.ARGUMENT"]
            raise InputError(f"{recipe.name} has no setting {key!r}; there are {', '.join(known)}")
    return options, regularizers, arguments


def _chosen(own: Optimizer, choices: Choices, arguments: Mapping[str, Any]) -> Optimizer:
    """The recipe's own optimizer or another one, with the rate and arguments that are asked for."""
    with chosen("optimizer"):
        made = optim.get(choices.optimizer) if choices.optimizer else own
    if choices.learning_rate is not None:
        config = made.config()
        config["learning_rate"] = _scaled(config["learning_rate"], choices.learning_rate)
        with chosen("learning_rate"):
            made = Optimizer.from_config(config)
    for key, value in arguments.items():
        with chosen(f"optimizer.{key}", value):
            made = Optimizer.from_config({**made.config(), key: value})
    return made


def _scaled(schedule: Any, rate: float) -> Any:
    """A schedule's configuration with another rate: its height, not its form."""
    if not isinstance(schedule, Mapping):
        return rate
    if "then" in schedule:
        return {**schedule, "then": _scaled(schedule["then"], rate)}
    return {**schedule, **{key: rate for key in _RATES if key in schedule}}
