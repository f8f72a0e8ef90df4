"""`ranvier evaluate`: a trained run, measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from ranvier import models
from ranvier.cli.data import features_of, load_data, names_a_table
from ranvier.cli.options import (
    data_options,
    engine_options,
    engine_settings,
    json_option,
    percent,
    show,
)
from ranvier.data.errors import DataError
from ranvier.data.source import Dataset, Split, joined
from ranvier.models.prepare import digest, for_recipe
from ranvier.training.model import Model
from ranvier.training.run.saving import load

_PARTS = ("test", "validation", "train", "all")


@click.command("evaluate")
@click.argument("run", type=click.Path(path_type=Path))
@data_options
@click.option(
    "--part",
    type=click.Choice(_PARTS),
    help="Which set; test, or all of other data without one, by default.",
)
@engine_options
@json_option
def command(
    run: Path,
    data: str | None,
    label: str | None,
    regression: bool,
    part: str | None,
    engine: str,
    threads: int | None,
    as_json: bool,
) -> None:
    """Measure the trained RUN on the test set of its data, or of other data."""
    model = load(run, engine=engine, **engine_settings(threads))
    dataset = _dataset(run, model, data, label, regression)
    dataset = _with_classes(model.classes, dataset, run)
    split = _part(dataset, part or ("test" if data is None or dataset.own_test else "all"))
    found = model.evaluate(split)
    result = {**found, "samples": len(split)}
    if "accuracy" in found:
        result["error"] = 1 - found["accuracy"]
    show(result, _lines(result, model.objective.standardized), as_json)


def _dataset(
    run: Path, model: Model, data: str | None, label: str | None, regression: bool
) -> Dataset:
    """The data that are named, or those of the training, read as these were."""
    about = model.settings.about
    name = about.get("data") if data is None else data
    if name is None:
        raise DataError(f"{run} does not say what data it was trained on; pass --data")
    own = data is None and label is None and not regression
    features = None
    if names_a_table(name):
        label, features = label or about.get("label"), features_of(model)
        regression = regression or bool(about.get("regression"))
    dataset = load_data(name, label, regression, features)
    if about.get("model") in models.RECIPES:
        dataset = for_recipe(models.get(about["model"]), dataset)
    if own and "digest" in about and digest(dataset) != about["digest"]:
        raise DataError(
            f"{name} has changed since {run} was trained on it; "
            "restore it, or pass --data to measure the run on what is there now"
        )
    return dataset


def _part(dataset: Dataset, part: str) -> Split:
    if part == "all":
        return joined([dataset.train, dataset.validation, dataset.test])
    found: Split = getattr(dataset, part)
    return found


def _with_classes(learnt: tuple[str, ...], dataset: Dataset, run: Path) -> Dataset:
    """The data with the class numbers that the run has learnt; DataError for other classes."""
    if not learnt or not dataset.classes or learnt == dataset.classes:
        return dataset
    if not set(dataset.classes) <= set(learnt):
        raise DataError(
            f"{dataset.name} has the classes {_short(dataset.classes)}, {run} has learnt "
            f"{_short(learnt)}; use data of the same classes"
        )

    numbers = np.array([learnt.index(name) for name in dataset.classes], np.int32)
    parts = {
        name: replace(split, targets=numbers[split.targets])
        for name in ("train", "validation", "test")
        if isinstance((split := getattr(dataset, name)).targets, np.ndarray)
    }
    return replace(dataset, **parts, classes=learnt)


def _short(names: tuple[str, ...]) -> str:
    return ", ".join(names[:4]) + (", …" if len(names) > 4 else "")


def _lines(result: dict[str, Any], standardized: bool) -> list[str]:
    shares = ("accuracy", "error")
    lines = [
        f"{key:<10}  {percent(value) if key in shares else _text(value)}"
        for key, value in result.items()
    ]
    return [f"{lines[0]} (of standardized targets)", *lines[1:]] if standardized else lines


def _text(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
