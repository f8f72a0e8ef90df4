"""`ranvier experiments`: the claims that can be measured."""

from __future__ import annotations

import click

from ranvier.cli.options import json_option, show, table


@click.command("experiments")
@json_option
def command(as_json: bool) -> None:
    """List the experiments: claims of the field that can be run and judged."""
    from ranvier import experiments

    known = [experiments.get(name) for name in experiments.NAMES]
    found = [{"name": e.name, "claim": e.claim, "source": e.source} for e in known]
    show({"experiments": found}, table([[e.name, e.claim] for e in known]), as_json)
