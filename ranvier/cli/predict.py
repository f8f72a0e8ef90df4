"""`ranvier predict`: what a trained run makes of pictures, or of the rows of a table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np

from ranvier.cli.options import (
    SOME_FAILED,
    USAGE,
    engine_options,
    engine_settings,
    json_option,
    percent,
    say,
    show,
    table,
)
from ranvier.data.corpora import MNIST_PREPROCESS
from ranvier.data.csvfile import read_rows
from ranvier.data.errors import DataError
from ranvier.data.images import MNIST_MANNER, SUFFIXES, Manner, picture
from ranvier.training.model import Model
from ranvier.training.objective import ONE
from ranvier.training.saving import load
from ranvier.wording import counted

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

    INPUTS are pictures of any size and colour, folders of these, or tables (.csv) with a column
    for each number that the network takes. Those that cannot be read are named on stderr; the
    exit status is then 1, or 2 where there is nothing else.
    """
    model = load(run, engine=engine, **engine_settings(threads))
    form = model.settings.inputs.get(ONE)
    if form is None:
        raise DataError("the network has several inputs; use it from Python")
    read = _Read()
    for path in inputs:
        _read(read, path, model, tuple(form["shape"]), ink)
    if not read.names and len(read.errors) == 1:
        raise DataError(next(iter(read.errors.values())))
    results = _results(model, run, read) if read.names else []
    for error in read.errors.values():
        say(f"ranvier: {error}")
    errors = [{"input": name, "error": error} for name, error in read.errors.items()]
    shown = {"predictions": results, **({"errors": errors} if errors else {})}
    show(shown, table([_cells(result) for result in results]) if results else [], as_json)
    if errors:
        click.get_current_context().exit(SOME_FAILED if results else USAGE)


class _Read:
    """The name and the array of each sample that the inputs hold, and why others hold none."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.rows: list[np.ndarray] = []
        self.errors: dict[str, str] = {}


def _read(read: _Read, path: Path, model: Model, shape: tuple[int, ...], ink: str) -> None:
    """Add what an input holds, or the error."""
    try:
        if path.suffix.lower() in _TABLES:
            about = model.settings.about
            label, features = about.get("label"), about.get("features")
            numbers = read_rows(path, int(np.prod(shape)), label, features)
            read.names += [f"{path}:{line}" for line in numbers.lines]
            read.rows += list(numbers.values.reshape(-1, *shape))
        elif len(shape) != 3:
            raise DataError(
                f"{path}: the network takes rows of {int(np.prod(shape))} numbers, no pictures; "
                "use a .csv file"
            )
        elif path.is_dir():
            for each in _pictures(path):
                _read(read, each, model, shape, ink)
        else:
            seen = _manner(model)
            pixels = picture(path, shape, centre=seen.centred, ink=ink, paper=seen.paper)
            read.names.append(str(path))
            read.rows.append(pixels)
    except DataError as error:
        read.errors[str(path)] = str(error)


def _pictures(folder: Path) -> list[Path]:
    """The pictures in a folder and the folders below it, by name; others are counted."""
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(p.startswith(".") for p in path.relative_to(folder).parts)
    )
    found = [path for path in files if path.suffix.lower() in SUFFIXES]
    if not found:
        raise DataError(f"{folder}: the folder holds no pictures; put some there")
    if others := len(files) - len(found):
        skipped = counted(others, "file that is no picture", "files that are no pictures")
        say(f"{folder}: skipped {skipped}")
    return found


def _results(model: Model, run: Path, read: _Read) -> list[dict[str, Any]]:
    found = model.predict(np.stack(read.rows))
    if isinstance(found, dict):
        raise DataError(f"{run} has several outputs; use it from Python")
    pairs = zip(read.names, found, strict=True)
    return [_result(name, values, model.classes) for name, values in pairs]


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
