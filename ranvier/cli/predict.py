"""`ranvier predict`: what a trained run makes of pictures, or of the rows of a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

from ranvier.cli.inputs import Samples, read_inputs
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
from ranvier.data.errors import DataError
from ranvier.training.model import Model
from ranvier.training.objective import ONE
from ranvier.training.run.saving import load

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
    read = read_inputs(model, inputs, ink)
    results = _results(model, run, read) if read.names else []
    for error in read.errors.values():
        say(f"ranvier: {error}")
    errors = [{"input": name, "error": error} for name, error in read.errors.items()]
    shown = {"predictions": results, **({"errors": errors} if errors else {})}
    show(shown, table([_cells(result) for result in results]) if results else [], as_json)
    if errors:
        click.get_current_context().exit(SOME_FAILED if results else USAGE)


def _results(model: Model, run: Path, read: Samples) -> list[dict[str, Any]]:
    found = model.predict(np.stack(read.rows))
    if isinstance(found, dict):
        raise DataError(f"{run} has several outputs; use it from Python")
    # Several labels have no largest one that would be the answer.
    classes = () if model.objective.heads[ONE].labels(found.shape) else model.classes
    return [_result(name, values, classes) for name, values in zip(read.names, found, strict=True)]


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
