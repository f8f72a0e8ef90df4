"""Five tables, four splits each: `ranvier train mlp --data FILE.csv` beside scikit-learn.

`python tables.py` prints the means as a table, `python tables.py iris wine` those of some. Of each
table a quarter of the rows, stratified by class, is held out. Ours sees the other rows as a .csv
file, from which it takes its own validation and test sets, a tenth each, so it trains on four
fifths of the rows that scikit-learn has. Nothing is chosen by the rows that are held out. Needs
scikit-learn (the extra `bench`).
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from sklearn import datasets
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

ROOT = Path(__file__).parents[1]
TABLES: dict[str, Callable[..., Any]] = {
    "iris": datasets.load_iris,
    "wine": datasets.load_wine,
    "breast cancer": datasets.load_breast_cancer,
    "digits": datasets.load_digits,
    "diabetes": datasets.load_diabetes,
}
REGRESSION = ("diabetes",)
SPLITS = 4
HELD_OUT = 0.25


@dataclass(frozen=True)
class Halves:
    """The rows to learn from and those that are held out."""

    inputs: np.ndarray
    targets: np.ndarray
    held_inputs: np.ndarray
    held_targets: np.ndarray


@dataclass(frozen=True)
class Scores:
    """Accuracy, or R², on the rows held out; and the seconds that our commands took in all."""

    ours: float
    network: float
    linear: float
    seconds: float


def halves(name: str, split: int) -> Halves:
    """Divide a table at random, by the number of the split."""
    x, y = TABLES[name](return_X_y=True)
    strata = None if name in REGRESSION else y
    x, held_x, y, held_y = train_test_split(
        x, y, test_size=HELD_OUT, random_state=split, stratify=strata
    )
    return Halves(x, y, held_x, held_y)


def measured(name: str, split: int) -> Scores:
    """Train all three on one split and measure them."""
    parts = halves(name, split)
    if name in REGRESSION:
        peers = (MLPRegressor(random_state=split), Ridge())
    else:
        peers = (MLPClassifier(random_state=split), LogisticRegression(max_iter=1000))
    network, linear = (score(peer, parts) for peer in peers)
    started = perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        ours = our_score(Path(folder), parts, name in REGRESSION)
    return Scores(ours, network, linear, perf_counter() - started)


def score(peer: Any, parts: Halves) -> float:
    """Fit an estimator of scikit-learn with its default settings to standardized inputs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        made = make_pipeline(StandardScaler(), peer).fit(parts.inputs, parts.targets)
    return float(made.score(parts.held_inputs, parts.held_targets))


def our_score(folder: Path, parts: Halves, regression: bool) -> float:
    """Train and evaluate by the command line with its default settings."""
    learnt = write(folder / "learnt.csv", parts.inputs, parts.targets)
    held = write(folder / "held.csv", parts.held_inputs, parts.held_targets)
    kind = ["--regression"] if regression else []
    run = folder / "run"
    command("train", "mlp", "--data", learnt, *kind, "--out", run, "--quiet")
    found = json.loads(command("evaluate", run, "--data", held, "--json").splitlines()[-1])
    return float(found["r2" if regression else "accuracy"])


def write(path: Path, inputs: np.ndarray, targets: np.ndarray) -> Path:
    """Write a table with a header, the target last."""
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow([*(f"x{place}" for place in range(inputs.shape[1])), "target"])
        pairs = zip(inputs.tolist(), targets.tolist(), strict=True)
        table.writerows([*row, target] for row, target in pairs)
    return path


def command(*arguments: str | Path) -> str:
    """Run `ranvier` and return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    given = [sys.executable, "-m", "ranvier", *map(str, arguments)]
    done = subprocess.run(given, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout


def main(names: Sequence[str]) -> dict[str, list[Scores]]:
    """Print a line for each table: means over the splits, accuracies in per cent."""
    print("| table | measure | `ranvier train mlp` | scikit-learn's MLP | linear | seconds |")
    print("|---|---|---|---|---|---|")
    found = {}
    for name in names:
        found[name] = [measured(name, split) for split in range(SPLITS)]
        regression = name in REGRESSION
        shown = [
            f"{mean:.3f}" if regression else f"{100 * mean:.1f} %"
            for kind in ("ours", "network", "linear")
            for mean in [np.mean([getattr(each, kind) for each in found[name]])]
        ]
        seconds = np.mean([each.seconds for each in found[name]])
        cells = [name, "R²" if regression else "accuracy", *shown, f"{seconds:.1f}"]
        print(f"| {' | '.join(cells)} |", flush=True)
    return found


if __name__ == "__main__":
    main(sys.argv[1:] or list(TABLES))
