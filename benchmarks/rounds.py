"""Interleaved rounds: contenders in processes of their own take turns, one at a time.

Shared machines change speed from second to second, so that only ratios of neighbours count:
each round times every contender once, and a figure is the median over rounds with its range.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import sleep

ROUNDS = 9
SECONDS = 0.3
"""How long one contender's turn in one round lasts, about."""

_REST = 0.02
"""Seconds between turns, in which the waiting threads of the last contender fall asleep."""

_HERE = Path(__file__).parent


class Contender:
    """A worker process that times its cases on request (see worker.py)."""

    def __init__(self, python: str, script: str) -> None:
        self._process = subprocess.Popen(
            [python, str(_HERE / script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def milliseconds(self, case: str, steps: int) -> float:
        """Milliseconds per step over one run of `steps` steps."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(case, steps, file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process that runs {case} has ended")
        return float(json.loads(line)["ms"])

    def __enter__(self) -> Contender:
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


@dataclass(frozen=True)
class Entry:
    """One column of a comparison: a contender's case."""

    contender: Contender
    case: str


@dataclass(frozen=True)
class Figure:
    """A median over rounds with its least and greatest value."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.values)

    def text(self, style: str = ".3g") -> str:
        """The median, and the range in brackets."""
        low, high = min(self.values), max(self.values)
        return f"{self.median:{style}} ({low:{style}} to {high:{style}})"


def compare(entries: Mapping[str, Entry], rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Milliseconds per step of each entry in each round."""
    counts = {name: _calibrate(entry) for name, entry in entries.items()}
    found: dict[str, list[float]] = {name: [] for name in entries}
    for _ in range(rounds):
        for name, entry in entries.items():
            sleep(_REST)
            found[name].append(entry.contender.milliseconds(entry.case, counts[name]))
    return found


def ratios(above: Sequence[float], below: Sequence[float]) -> Figure:
    """The ratio in each round."""
    return Figure(tuple(a / b for a, b in zip(above, below, strict=True)))


def _calibrate(entry: Entry) -> int:
    """Warm an entry up, and return how many of its steps fill a turn."""
    count = 2
    for _ in range(4):  # compilers and caches settle during the first runs
        ms = entry.contender.milliseconds(entry.case, count)
        count = max(1, min(8 * count, round(SECONDS * 1e3 / ms)))
    return max(1, round(SECONDS * 1e3 / entry.contender.milliseconds(entry.case, count)))
