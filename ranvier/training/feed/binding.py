"""How a model takes data: as feeds for its programs, and what it learns of the first of them.

The first data decides the forms of the inputs, the preprocessing, the names of the classes and
the scale of the targets, and builds the network; later data must be like it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ranvier.data.errors import DataError
from ranvier.data.source import Dataset, Split, split_off
from ranvier.training import programs
from ranvier.training.feed import preprocess as pre
from ranvier.training.feed.arrays import (
    NAMELESS,
    Array,
    ByInput,
    as_pair,
    names_by_input,
    whole_split,
)
from ranvier.training.feed.feeds import Feed, InOrder, Resident, Streamed
from ranvier.training.feed.first_pass import check_owned, check_pictures, check_symbols
from ranvier.training.feed.lookups import Tables
from ranvier.training.feed.validation import (
    check_class_weights,
    check_finite,
    check_labels,
    check_metrics,
    check_outputs,
    check_targets,
    fitting,
    try_metrics,
)
from ranvier.training.run.settings import Settings, with_columns

if TYPE_CHECKING:
    from ranvier.training.model import Model

EVALUATION_BATCH = 128


def training_feeds(
    model: Model, data: Any, split: Split | None, validation: Any, batch_size: int, seed: int
) -> tuple[Feed, Feed | None]:
    """Return what `fit` learns from, and what it measures after each epoch, if anything.

    split: the data as arrays, where they are no batches.
    """
    if isinstance(data, Dataset) and validation is None:
        validation = data.validation
    if isinstance(validation, Dataset):
        validation = validation.validation
    if isinstance(validation, float):
        split, validation = _set_apart(split, validation, seed)
    feed = feed_for(model, data, split, seed, lambda clean: Resident(clean, batch_size, seed))
    if validation is None:
        return feed, None
    return feed, evaluation_feed(model, as_pair(validation), what="validation")


def evaluation_feed(
    model: Model,
    data: Any,
    targets: Any = None,
    weights: Any = None,
    size: int = EVALUATION_BATCH,
    what: str = "data",
) -> Feed:
    """Return what a model is measured by, each sample once; of a `Dataset` its test set."""
    if isinstance(data, Dataset):
        data = data.test
    split = whole_split(data, targets, weights, what, model.settings.columns)
    return feed_for(model, data, split, 0, lambda clean: InOrder(clean, size), learning=False)


def feed_for(
    model: Model,
    data: Any,
    split: Split | None,
    seed: int,
    make: Callable[[Split], Feed],
    learning: bool = True,
) -> Feed:
    """Return the feed of a split, or of batches where there is none; build the network.

    What the first data says of itself is taken over; later data must be like it. Data that
    says nothing of preprocessing decides that there is none only in `learning`.
    """
    feed: Feed
    if split is None:
        feed = Streamed(data, lambda batch: _accepted(model, batch), lambda: model.settings.columns)
        first = feed.first
    else:
        first = fitting(model.settings.inputs, split) if model.settings.inputs else split
        feed = make(first)
    if model.preprocess is None and (learning or first.preprocess):
        model.preprocess = pre.check(first.preprocess)
    model.classes = model.classes or first.classes
    check_targets(model.objective, first)
    if learning:
        _learn_scales(model, split)
    check_finite(first, "batch 0: " if split is None else "")
    prepare(model, feed, seed, names_by_input(first))
    check_class_weights(model.objective, model.output_shapes)
    check_labels(model.objective, model.output_shapes, first)
    assert model.tables is not None
    model.tables.check(first)
    taught = learning and first.targets is None
    judged = replace(first, targets=first.inputs) if taught else first
    check_metrics(model.objective, model.output_shapes, judged)
    try_metrics(model.objective, model.output_shapes, judged)
    return feed


def prepare(model: Model, feed: Feed, seed: int, columns: ByInput = NAMELESS) -> None:
    """Build the network for what a feed gives, unless it is built.

    columns: the names of the columns of the inputs.
    """
    if not model.settings.inputs:
        forms = with_columns(feed.forms, columns)
        build(model, Settings(inputs=forms, seed=int(seed)), feed.inputs)


def build(
    model: Model,
    settings: Settings,
    inputs: Mapping[str, Array] | None = None,
    drawing: bool = True,
) -> None:
    """Create the state of the network for inputs of the form that the settings have.

    inputs: arrays that it will see, by name; DataError where its layers would take them for
        what they are not. drawing: whether it gets initial values; without them it must be
        written at once.
    """
    learner = model.learner()
    built, calls = programs.build(learner, settings.example(), settings.seed, drawing)
    model.output_shapes = {name: output.shape for name, output in built.items()}
    check_owned(model.net, calls)
    if inputs is not None:
        check_pictures(calls, inputs)
        check_symbols(calls, model.preprocess or {})
    check_outputs(model.objective, built)
    model.tables = Tables(learner, settings)
    model.settings = settings


def _learn_scales(model: Model, split: Split | None) -> None:
    """Take over the scale of the targets, where they are to be standardized by it."""
    if True not in model.objective.scales.values():
        return
    if split is None or split.targets is None:
        what = "targets that come in batches" if split is None else "inputs that are targets"
        raise DataError(
            f"the scale of {what} is not known beforehand; "
            'pass standardize_targets={"mean": …, "std": …}'
        )
    model.objective = model.objective.scaled_by(split.targets)


def _accepted(model: Model, batch: Split) -> Split:
    """A batch as the network takes it; DataError for one that it cannot take."""
    if not model.settings.inputs:
        return batch
    batch = fitting(model.settings.inputs, batch)
    check_targets(model.objective, batch)
    check_labels(model.objective, model.output_shapes, batch)
    if model.tables is not None:
        model.tables.check(batch)
    check_metrics(model.objective, model.output_shapes, batch)
    return batch


def _set_apart(split: Split | None, share: float, seed: int) -> tuple[Split, Split]:
    if split is None:
        raise DataError("a share for validation needs arrays; pass batches for validation")
    return split_off(split, share, seed)
