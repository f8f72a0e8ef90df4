"""`ranvier bench`: the time of a training step, beside the machine's peak and other libraries."""

from __future__ import annotations

from typing import Any

import click

from ranvier import models
from ranvier.cli.options import json_option, say, show, table, threads_option


@click.command("bench")
@click.argument("names", metavar="MODEL…", nargs=-1, required=True)
@click.option(
    "--batch-size",
    type=click.IntRange(1, (1 << 31) - 1),
    help="Samples in each step; that of the model's table by default.",
)
@threads_option
@click.option("--rounds", type=click.IntRange(1), default=7, show_default=True)
@click.option("--against", metavar="torch,jax", help="Libraries to run beside, if installed.")
@click.option(
    "--peer-python", metavar="PATH", help="The Python that has them; this one by default."
)
@json_option
def command(
    names: tuple[str, ...],
    batch_size: int | None,
    threads: int | None,
    rounds: int,
    against: str | None,
    peer_python: str | None,
    as_json: bool,
) -> None:
    """Time the training steps of MODELS: median of rounds that take turns with the peers.

    Each step gathers a fresh batch of random rows. The losses of the first 20 steps are compared
    with the reference engine's.
    """
    from ranvier.bench.measure import Request, measure

    recipes = [models.get(name) for name in names]
    peers = tuple(against.split(",")) if against else ()
    request = Request(batch_size, threads, rounds, peers, peer_python)
    results: list[dict[str, Any]] = []
    for recipe in recipes:
        say(f"measuring {recipe.name}")
        results.append(measure(recipe, request).to_json())
    show({"results": results}, table([_HEADER, *[_row(r) for r in results]]), as_json)


_HEADER = ["model", "batch", "ms/step", "one a call", "GFLOP", "of peak", "first step", "peers"]


def _row(result: dict[str, Any]) -> list[str]:
    peers = "  ".join(
        f"{name} {peer['ms_per_step']:.3g} ms, ratio {peer['ratio']:.2f}"
        for name, peer in result["peers"].items()
    )
    return [
        result["model"],
        str(result["batch_size"]),
        f"{result['ms_per_step']:.3g}",
        f"{result['ms_single_step']:.3g}",
        f"{result['gflop_per_step']:.3g}",
        f"{100 * result['share_of_peak']:.0f} %",
        f"{result['first_step_seconds']:.2f} s",
        peers,
    ]
