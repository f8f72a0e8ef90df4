"""`ranvier train`: a network of the canon on real data, from start to report."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

import click

from ranvier import models
from ranvier.cli.data import description, load_data, names_a_table
from ranvier.cli.errors import by_options
from ranvier.cli.options import (
    data_options,
    engine_options,
    json_option,
    percent,
    regularization_options,
    say,
    settings,
    show,
)
from ranvier.models.prepare import Choices, Prepared, chosen, digest, prepare
from ranvier.training.loop.callbacks import (
    BestWeights,
    Callback,
    Convergence,
    EarlyStopping,
    TimeBudget,
)
from ranvier.training.loop.history import History
from ranvier.training.objective import ONE
from ranvier.training.run.folder import STATE, RunFolder
from ranvier.training.run.reporting import write_report
from ranvier.training.run.saving import known_columns
from ranvier.wording import counted, duration

RUNS = Path("runs")

_MOST = (1 << 31) - 1


@click.command("train")
@click.argument("model")
@data_options
@click.option(
    "--epochs",
    type=click.IntRange(1, _MOST),
    help="How many times the training set is visited; the model's by default.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(1, _MOST),
    help="Samples in each step; the model's by default.",
)
@click.option(
    "--optimizer",
    metavar="NAME",
    help="sgd, momentum, nesterov, rmsprop, adam or adamw; the model's by default.",
)
@click.option(
    "--learning-rate", type=float, help="The largest that it becomes; the model's by default."
)
@click.option("--seed", type=click.IntRange(0, (1 << 63) - 1), default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="The run folder; new by default.")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint of the run folder.")
@click.option(
    "--tolerance",
    type=float,
    help="Stop when the loss changes by at most this from one epoch to the next.",
)
@click.option(
    "--patience",
    type=click.IntRange(1),
    help="Stop after so many epochs without a better validation loss.",
)
@click.option(
    "--max-minutes", type=float, help="Stop after so many minutes; the run can be resumed."
)
@regularization_options
@click.option(
    "--set", "pairs", multiple=True, metavar="KEY=VALUE", help="Any other setting; may be repeated."
)
@engine_options
@click.option("--quiet", is_flag=True, help="Show no progress.")
@json_option
def command(
    model: str,
    data: str | None,
    label: str | None,
    regression: bool,
    epochs: int | None,
    batch_size: int | None,
    optimizer: str | None,
    learning_rate: float | None,
    seed: int,
    out: Path | None,
    resume: bool,
    tolerance: float | None,
    patience: int | None,
    max_minutes: float | None,
    pairs: tuple[str, ...],
    engine: str,
    threads: int | None,
    quiet: bool,
    as_json: bool,
    **regularizers: float | None,
) -> None:
    """Train MODEL, measure it on the test data, and write a run folder with a report.

    `ranvier models` lists the models, `ranvier datasets` the data. DATA may also be a folder of
    IDX files, a folder with one subfolder of pictures a class, an .npz or a .csv file.
    """
    started = perf_counter()
    recipe = models.get(model)
    run = RunFolder(out if out is not None else _folder(model, resume))
    run.check(resume)
    asked = settings(pairs)
    asked |= {name: value for name, value in regularizers.items() if value is not None}
    named = recipe.dataset if data is None else data
    known = known_columns(run).get(ONE) if resume and names_a_table(named) else None
    dataset = load_data(named, label, regression, known)
    choices = Choices(epochs, batch_size, optimizer, learning_rate, asked, engine, threads)
    with by_options(regularizers):
        ready = prepare(recipe, dataset, choices)
    about = {
        "model": model,
        **description(named, dataset, label, regression),
        "digest": digest(ready.data),
        "settings": asked,
    }
    if not quiet:
        say(_announcement(recipe, ready))
    given = ["ranvier", *click.get_current_context().obj]
    try:
        history = ready.model.fit(
            ready.data.train,
            validation=ready.data.validation,
            epochs=ready.epochs,
            batch_size=ready.batch_size,
            seed=seed,
            callbacks=_callbacks(ready, tolerance, patience, max_minutes),
            out=run.path,
            resume=resume,
            progress=not quiet,
            about=about,
        )
    except KeyboardInterrupt:
        if (run.path / STATE).exists():
            say(f"saved in {run}; to go on, repeat the command with --resume --out {run}")
        raise
    test = ready.model.evaluate(ready.data.test)
    title = f"{recipe.title} on {dataset.name}"
    report = write_report(
        ready.model, ready.data, run.path, title=title, command=shlex.join(given), measured=test
    )
    seconds = perf_counter() - started
    result = {f"test_{key}": value for key, value in test.items()}
    if "accuracy" in test:
        result["test_error"] = 1 - test["accuracy"]
    result |= {
        "epochs": len(history),
        "seconds": seconds,
        "run": str(run.path),
        "report": str(report),
    }
    lines = [_test_line(test, ready.model.objective.standardized)]
    show(result, [*lines, *_lines(history, seconds, run.path, report)], as_json)


def _folder(model: str, resume: bool) -> Path:
    """The newest run of the model, which has the highest number, to resume; or the next one."""
    found = re.compile(re.escape(model) + r"-([1-9]\d*)")
    numbers = [int(m[1]) for path in RUNS.glob("*") if (m := found.fullmatch(path.name))]
    newest = max([1, *numbers] if (RUNS / model).exists() else [0, *numbers])
    number = newest if resume and newest else newest + 1
    return RUNS / (model if number == 1 else f"{model}-{number}")


def _callbacks(
    ready: Prepared, tolerance: float | None, patience: int | None, minutes: float | None
) -> list[Callback]:
    found: list[Callback] = []
    if tolerance is not None:
        with chosen("tolerance"):
            found.append(Convergence(tolerance))
    epochs = ready.patience if patience is None else patience
    if epochs is not None:
        found.append(EarlyStopping(patience=epochs))
    if ready.patience is not None:
        found.append(BestWeights())
    if minutes is not None:
        with chosen("minutes"):
            found.append(TimeBudget(minutes))
    return found


def _announcement(recipe: models.Recipe, ready: Prepared) -> str:
    parts = ", ".join(
        f"{len(getattr(ready.data, part)):,} {part}" for part in ("train", "validation", "test")
    )
    return f"{recipe.title} ({recipe.source}) on {ready.data.name}: {parts}"


def _test_line(test: Mapping[str, Any], standardized: bool) -> str:
    shown = [f"{key} {value:.4f}" for key, value in test.items() if isinstance(value, float)]
    if "accuracy" in test:
        error = percent(1 - test["accuracy"])
        shown = [f"error {error}", f"accuracy {percent(test['accuracy'])}", *shown[:1]]
    if standardized:
        shown[0] += " (of standardized targets)"
    return f"test    {'   '.join(shown)}"


def _lines(history: History, seconds: float, run: Path, report: Path) -> list[str]:
    stopped = f" ({history.stopped})" if history.stopped else ""
    return [
        f"time    {counted(len(history), 'epoch')}, {duration(seconds)} in all{stopped}",
        f"run     {run}",
        f"report  {report}",
    ]
