"""`ranvier models`: the networks by name."""

from __future__ import annotations

import click

from ranvier.cli.options import json_option, show, table
from ranvier.models import RECIPES


@click.command("models")
@json_option
def command(as_json: bool) -> None:
    """List the networks that can be trained by name."""
    found = [
        {
            "name": recipe.name,
            "title": recipe.title,
            "source": recipe.source,
            "data": recipe.dataset,
            "epochs": recipe.epochs,
            "settings": recipe.options,
        }
        for recipe in RECIPES.values()
    ]
    lines = table([[r.name, r.title, r.source, f"on {r.dataset}"] for r in RECIPES.values()])
    show({"models": found}, lines, as_json)
