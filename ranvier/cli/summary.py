"""`ranvier summary`: what a network is made of."""

from __future__ import annotations

import re
from pathlib import Path

import click

from ranvier import models
from ranvier.cli.options import json_option, settings, show
from ranvier.errors import InputError
from ranvier.models.prepare import chosen
from ranvier.nn.summary import Summary, summarize
from ranvier.training.run.folder import CONFIG
from ranvier.training.run.saving import load


@click.command("summary")
@click.argument("model", metavar="MODEL|RUN")
@click.option(
    "--input",
    "shape",
    metavar="HxWxC",
    help="The shape of a sample, such as 224x224x3; the model's by default.",
)
@click.option(
    "--outputs",
    type=click.IntRange(1),
    help="How many outputs, such as 10 for ten classes; the model's by default.",
)
@click.option(
    "--set",
    "pairs",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting of the network; may be repeated.",
)
@json_option
def command(
    model: str, shape: str | None, outputs: int | None, pairs: tuple[str, ...], as_json: bool
) -> None:
    """Print layers, shapes, parameters, multiply-adds and memory of a MODEL or a trained RUN."""
    if model not in models.RECIPES and (Path(model) / CONFIG).exists():
        if shape or outputs or pairs:
            raise InputError(f"{model} is a run, whose network is fixed; leave out the options")
        found = load(model).summary()
    else:
        found = _of_recipe(model, shape, outputs, settings(pairs))
    show(found.to_json(), str(found).splitlines(), as_json)


def _of_recipe(
    name: str, shape: str | None, outputs: int | None, asked: dict[str, object]
) -> Summary:
    recipe = models.get(name)
    sample = recipe.bench.shape if shape is None else _shape(shape)
    count = outputs or recipe.bench.outputs
    for key, value in asked.items():
        with chosen(key):
            recipe.network(sample, count, **{key: value})
    net = recipe.network(sample, count, **asked)
    return summarize(net, (1, *sample))


def _shape(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"[1-9]\d*(x[1-9]\d*)*", text):
        raise InputError(f"--input {text}: write the shape of a sample as 224x224x3")
    return tuple(int(number) for number in text.split("x"))
