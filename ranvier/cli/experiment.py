"""`ranvier experiment`: one claim, or all of them, run, measured, drawn and judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from ranvier.cli.options import json_option, say, show
from ranvier.experiments.run import Result
from ranvier.wording import duration

_ALL = "all"
_FOLDER = "runs/experiments"


def _seeds(context: click.Context, option: click.Parameter, text: str | None) -> list[int] | None:
    """The numbers of a text such as 101,102."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise click.BadParameter(f"{text!r} is no list of seeds; write it as 101,102,103")
    return [int(part) for part in parts]


@click.command("experiment")
@click.argument("name")
@click.option(
    "--seeds",
    metavar="101,102",
    callback=_seeds,
    help="Seeds to repeat the measurement with; the experiment's own by default.",
)
@click.option("--quick", is_flag=True, help="The short form: smaller sizes, fewer seeds.")
@click.option(
    "--control", is_flag=True, help="The sabotaged run; its claim must be found not to hold."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(_FOLDER),
    show_default=True,
    help="Folder for the pages.",
)
@json_option
def command(
    name: str, seeds: list[int] | None, quick: bool, control: bool, out: Path, as_json: bool
) -> None:
    """Measure the claim NAME and judge it; `all` does so for every one.

    Each run writes a page with its figures into a folder of its name; `all` writes a gallery too.
    """
    from ranvier import experiments
    from ranvier.experiments.page import PAGE, gallery
    from ranvier.experiments.run import own_seeds, predicted
    from ranvier.training.run.files import write_atomically

    names = experiments.NAMES if name == _ALL else (name,)
    known = [experiments.get(each) for each in names]
    expected = [predicted(e, len(seeds or own_seeds(e, quick)), quick) for e in known]
    say(f"this will take about {duration(sum(expected))}")
    results: list[Result] = []
    for each in names:
        with _bar(each) as advance:
            result = experiments.run(
                each, seeds=seeds, quick=quick, control=control, advance=advance
            )
        page = result.write(out / each)
        results.append(result)
        say(f"{each} {result.verdict} ({duration(result.seconds)}; {page})")
    found = [{**result.to_json(), "page": str(out / each / PAGE)}
             for each, result in zip(names, results, strict=True)]  # fmt: skip
    if name != _ALL:
        show(found[0], [f"{name} {results[0].verdict}"], as_json)
        return
    write_atomically(out / PAGE, gallery(results).encode())
    say(f"the gallery is {out / PAGE}")
    lines = [f"{each} {result.verdict}" for each, result in zip(names, results, strict=True)]
    summary = {"experiments": found, "holds": all(r.holds for r in results),
               "page": str(out / PAGE), "seconds": sum(r.seconds for r in results)}  # fmt: skip
    show(summary, lines, as_json)


@contextmanager
def _bar(name: str) -> Iterator[Callable[[float], None]]:
    """A progress bar on stderr where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(24),
        TextColumn("{task.percentage:3.0f} %"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    hidden = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=hidden) as bar:
        task = bar.add_task(name, total=1.0)
        yield lambda share: bar.update(task, completed=share)
