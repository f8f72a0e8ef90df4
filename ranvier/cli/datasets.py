"""`ranvier datasets`: the data by name."""

from __future__ import annotations

import click

from ranvier.cli.options import json_option, show, table
from ranvier.data import registry


@click.command("datasets")
@json_option
def command(as_json: bool) -> None:
    """List the datasets that have a name, and which are here without a network."""
    found = registry.describe()
    rows = [[d.name, "here" if d.available else "-", d.summary, d.where] for d in found]
    listed = [
        {"name": d.name, "available": d.available, "summary": d.summary, "where": d.where}
        for d in found
    ]
    show({"datasets": listed}, table(rows), as_json)
