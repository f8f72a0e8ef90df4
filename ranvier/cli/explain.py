"""`ranvier explain`: one sample's way through a trained run, every number forward and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

from ranvier.cli.inputs import read_inputs
from ranvier.cli.options import engine_options, engine_settings, json_option, say, show
from ranvier.data.errors import DataError
from ranvier.training.model import Model
from ranvier.training.run.saving import load


@click.command("explain")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("input", type=click.Path(path_type=Path))
@click.option(
    "--target",
    metavar="CLASS|NUMBER",
    help="What the sample should give; the class that is predicted by default.",
)
@click.option("--row", type=click.IntRange(1), default=1, show_default=True, help="Of a table.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("explanation.html"),
    show_default=True,
    help="File for the page.",
)
@engine_options
@json_option
def command(
    run: Path,
    input: Path,  # noqa: A002 (as the help calls it)
    target: str | None,
    row: int,
    out: Path,
    engine: str,
    threads: int | None,
    as_json: bool,
) -> None:
    """Show how the trained RUN comes to its answer for INPUT, and what the loss asks of it.

    INPUT is a picture, or a table of which one row is taken. The page shows each unit's sum and
    activation, the derivative of the loss with respect to each unit and weight, and how these
    numbers come about.
    """
    model = load(run, engine=engine, **engine_settings(threads))
    read = read_inputs(model, [input], "auto")
    if row > len(read.rows):
        raise DataError(f"{input} has {len(read.rows)} rows, no row {row}")
    sample = read.rows[row - 1]
    found = model.explain(sample, _target(model, sample, target))
    page = found.write(out)
    say(f"the page is {page}")
    show({**found.to_json(), "page": str(page)}, str(found).splitlines(), as_json)


def _target(model: Model, sample: np.ndarray, given: str | None) -> Any:
    """The target as the model takes it: a class number, or numbers."""
    if model.classes:
        if given is None:
            prediction = np.asarray(model.predict(sample[None])[0])
            return np.int64(prediction.argmax() if prediction.size > 1 else prediction > 0.5)
        if given not in model.classes:
            raise DataError(
                f"--target {given}: there is no such class; there are {', '.join(model.classes)}"
            )
        return np.int64(model.classes.index(given))
    if given is None:
        raise DataError("the run does not tell classes apart; give the right number by --target")
    try:
        return np.array([float(part) for part in given.split(",")], np.float32)
    except ValueError:
        raise DataError(f"--target {given} is no number; write it as 1.5 or 0,1") from None
