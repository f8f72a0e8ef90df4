"""Options that several commands share, and how results are printed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

from ranvier.reading import parse_json
from ranvier.training.loop.history import plain

F = TypeVar("F", bound=Callable[..., Any])

_MOST_THREADS = 1024

ENGINES = ("native", "reference")

SOME_FAILED, USAGE = 1, 2
"""Exit statuses: some of the inputs could not be used; the command or all of its input is wrong."""


def json_option(function: F) -> F:
    """Add `--json`."""
    text = "Print one JSON object as the last line of stdout."
    return click.option("--json", "as_json", is_flag=True, help=text)(function)


def engine_options(function: F) -> F:
    """Add `--engine` and `--threads`."""
    engine = click.option(
        "--engine", type=click.Choice(ENGINES), default="native", show_default=True
    )
    return engine(threads_option(function))


def threads_option(function: F) -> F:
    """Add `--threads`."""
    text = "How many threads; at most one for each core by default."
    return click.option("--threads", type=click.IntRange(1, _MOST_THREADS), help=text)(function)


def data_options(function: F) -> F:
    """Add `--data`, `--label` and `--regression`."""
    for option in reversed(
        (
            click.option(
                "--data",
                metavar="NAME|PATH",
                help="A dataset's name, or the path of your own data.",
            ),
            click.option("--label", metavar="COLUMN", help="The column of a table to predict."),
            click.option("--regression", is_flag=True, help="The label is a number, no class."),
        )
    ):
        function = option(function)
    return function


REGULARIZERS = {
    "l1": "Strength of the L1 penalty, besides the model's own.",
    "l2": "Strength of the L2 penalty, besides the model's own.",
    "weight-decay": "Strength of decoupled weight decay.",
    "max-norm": "The most that the weights into a unit may have as their norm.",
    "dilution": "Share of weights that keep their value, chosen anew each batch.",
    "dropout": "Share of neurons left out while training, of models that have dropout.",
    "dropconnect": "Share of weights left out while training, chosen anew each batch.",
}
"""Options that are settings by a shorter name, and their help."""


def regularization_options(function: F) -> F:
    """Add `--l1`, `--l2`, …, which arrive as keywords; None where they are not given."""
    for name, text in reversed(REGULARIZERS.items()):
        function = click.option(f"--{name}", type=float, metavar="X", help=text)(function)
    return function


def say(text: str) -> None:
    """Print a message to stderr."""
    print(text, file=sys.stderr, flush=True)


def show(result: Mapping[str, Any], lines: Sequence[str], as_json: bool) -> None:
    """Print a command's result on stdout: lines to read, or with `--json` one object."""
    if as_json:
        print(json.dumps(plain(result)), flush=True)
    else:
        for line in lines:
            print(line)


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of text as lines with aligned columns."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def engine_settings(threads: int | None) -> dict[str, Any]:
    """Return the options of `rv.compile` that the command line sets."""
    return {} if threads is None else {"threads": threads}


def settings(pairs: Sequence[str]) -> dict[str, Any]:
    """Return `KEY=VALUE` texts as a dict; a value is JSON, or else a text."""
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise click.UsageError(f"--set {pair}: write it as KEY=VALUE")
        try:
            found[key] = parse_json(value)
        except ValueError:
            found[key] = value
    return found


def percent(share: float) -> str:
    """Return a share as per cent."""
    return f"{100 * share:.2f} %"
