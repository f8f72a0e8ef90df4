"""The main job beside PyTorch: `python benchmarks/recipe.py --peer-python PATH`.

Whole commands, from their start to their end (ours writes a report besides), take turns; a
ratio is formed in each round. `--accuracy` also trains with seeds 0 to 4 and prints test errors.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean, median
from time import perf_counter

from rounds import ratios

HERE = Path(__file__).parent
MODES = ("tensors", "loader", "torchvision")


def run(command: list[str]) -> tuple[float, dict[str, float]]:
    """Seconds of a command, and the JSON of its last line."""
    started = perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=HERE.parent)
    return perf_counter() - started, json.loads(done.stdout.splitlines()[-1])


def ours(epochs: int, seed: int) -> list[str]:
    """Our command, into a new folder."""
    out = tempfile.mkdtemp(prefix="ranvier-recipe-") + "/run"
    settings = ["--epochs", str(epochs), "--seed", str(seed), "--out", out, "--quiet", "--json"]
    return [sys.executable, "-m", "ranvier", "train", "lenet5", *settings]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", help="a Python that has PyTorch and torchvision")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--accuracy", action="store_true")
    given = parser.parse_args()
    seconds: dict[str, list[float]] = {"ours": []}
    for _ in range(given.rounds if given.peer_python else 0):
        seconds["ours"].append(run(ours(given.epochs, 0))[0])
        for mode in given.modes:
            script = [given.peer_python, str(HERE / "peer_recipe.py"), mode]
            taken, _ = run([*script, str(given.epochs), "0"])
            seconds.setdefault(mode, []).append(taken)
    for mode in list(seconds)[1:]:
        faster = ratios(seconds[mode], seconds["ours"])
        print(
            f"{mode}: PyTorch {median(seconds[mode]):.1f} s, ours {median(seconds['ours']):.1f} s, "
            f"{faster.text('.1f')} times as fast",
            flush=True,
        )
    if given.accuracy:
        errors = []
        for seed in range(5):
            taken, found = run(ours(given.epochs, seed))
            errors.append(100 * found["test_error"])
            print(f"seed {seed}: test error {errors[-1]:.2f} %, {taken:.1f} s", flush=True)
        print(f"mean test error {mean(errors):.3f} %")


if __name__ == "__main__":
    main()
