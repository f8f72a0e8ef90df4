"""`ranvier predict`: what a trained run makes of pictures, or of the rows of a table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np

from ranvier.cli.options import engine_options, engine_settings, json_option, percent, show, table
from ranvier.data.corpora import MNIST_PREPROCESS
from ranvier.data.csvfile import read_rows
from ranvier.data.errors import DataError
from ranvier.data.images import MNIST_MANNER, Manner, picture
from ranvier.training.model import Model
from ranvier.training.objective import ONE
from ranvier.training.saving import load

_TABLES = (".csv", ".tsv")


@click.command("predict")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--ink",
    type=click.Choice(("auto", "dark", "light")),
    default="auto",
    show_default=True,
    help="Whether grey pictures show dark ink on light paper, or light on dark.",
)
@engine_options
@json_option
def command(
    run: Path,
    inputs: tuple[Path, ...],
    ink: str,
    engine: str,
    threads: int | None,
    as_json: bool,
) -> None:
    """Print what the trained RUN says of each INPUT, with its probability.

    INPUTS are pictures of any size and colour, or tables (.csv) with a column for each number
    that the network takes.
    """
    model = load(run, engine=engine, **engine_settings(threads))
    names, rows = _rows(model, inputs, ink)
    found = model.predict(rows)
    if isinstance(found, dict):
        raise DataError(f"{run} has several outputs; use it from Python")
    pairs = zip(names, found, strict=True)
    results = [_result(name, values, model.classes) for name, values in pairs]
    lines = table([_cells(result) for result in results])
    show({"predictions": results}, lines, as_json)


def _rows(model: Model, inputs: tuple[Path, ...], ink: str) -> tuple[list[str], np.ndarray]:
    """The name and the array of each sample that the inputs hold."""
    form = model.settings.inputs.get(ONE)
    if form is None:
        raise DataError("the network has several inputs; use it from Python")
    shape = tuple(form["shape"])
    about, seen = model.settings.about, _manner(model)
    names: list[str] = []
    found: list[np.ndarray] = []
    for path in inputs:
        if path.suffix.lower() in _TABLES:
            label, features = about.get("label"), about.get("features")
            numbers = read_rows(path, int(np.prod(shape)), label, features)
            names += [f"{path}:{line}" for line in numbers.lines]
            found += list(numbers.values.reshape(-1, *shape))
        elif len(shape) == 3:
            names.append(str(path))
            found.append(picture(path, shape, centre=seen.centred, ink=ink, paper=seen.paper))
        else:
            raise DataError(
                f"{path}: the network takes rows of {int(np.prod(shape))} numbers, no pictures; "
                "use a .csv file"
            )
    return names, np.stack(found)


def _manner(model: Model) -> Manner:
    """How the pictures were made that the network has learnt from, as far as is known."""
    known = model.settings.about.get("pictures")
    if isinstance(known, Mapping):
        return Manner(known.get("paper"), bool(known.get("centred")))
    return MNIST_MANNER if model.preprocess == MNIST_PREPROCESS else Manner()


def _result(name: str, values: np.ndarray, classes: tuple[str, ...]) -> dict[str, Any]:
    if classes and values.shape == (len(classes),):
        best = int(values.argmax())
        return {"input": name, "label": classes[best], "probability": float(values[best])}
    if values.size == 1:
        return {"input": name, "value": float(values.reshape(()))}
    return {"input": name, "values": values.tolist()}


def _cells(result: dict[str, Any]) -> list[str]:
    if "label" in result:
        return [result["input"], result["label"], percent(result["probability"])]
    if "value" in result:
        return [result["input"], f"{result['value']:.6g}", ""]
    numbers = np.asarray(result["values"]).reshape(-1)
    return [result["input"], " ".join(f"{x:.4g}" for x in numbers[:8]), f"{numbers.size} numbers"]
