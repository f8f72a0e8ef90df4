"""Running an experiment: its seeds, its time, its verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Any

from ranvier import validation as checks
from ranvier.errors import InputError
from ranvier.experiments.experiment import REFERENCE, Experiment, Finding, Trial

HOLDS = {True: "holds", False: "does not hold"}


@dataclass(frozen=True)
class Result:
    """What one run of an experiment found, and how it was made.

    seconds: how long it took; predicted: how long it was expected to take.
    """

    experiment: Experiment
    finding: Finding
    seeds: tuple[int, ...]
    quick: bool
    control: bool
    seconds: float
    predicted: float

    @property
    def holds(self) -> bool:
        """The verdict."""
        return self.finding.holds

    @property
    def verdict(self) -> str:
        """The verdict in words, with the figures that it rests on."""
        return f"{HOLDS[self.holds]}: {self.finding.because}"

    @property
    def command(self) -> str:
        """The command that makes this run again."""
        seeds = f" --seeds {','.join(map(str, self.seeds))}"
        flags = (" --quick" if self.quick else "") + (" --control" if self.control else "")
        return f"ranvier experiment {self.experiment.name}{seeds}{flags}"

    def plot(self) -> Any:
        """Draw the figures with matplotlib and return its axes, an array [n]."""
        from ranvier.report.axes import plot

        return plot(self.finding.charts)

    def write(self, folder: str | Path) -> Path:
        """Write the page and the measurements into a folder, and return the page's path."""
        from ranvier.experiments.page import write

        return write(self, Path(folder))

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {
            "name": self.experiment.name,
            "claim": self.experiment.claim,
            "holds": self.holds,
            "verdict": self.verdict,
            "measurements": dict(self.finding.measurements),
            "seeds": list(self.seeds),
            "quick": self.quick,
            "control": self.control,
            "seconds": self.seconds,
            "predicted_seconds": self.predicted,
        }


def execute(
    experiment: Experiment,
    seeds: Sequence[int] | None,
    quick: bool,
    control: bool,
    advance: Callable[[float], None] | None,
) -> Result:
    """Run an experiment; see `ranvier.experiments.run`."""
    chosen = own_seeds(experiment, quick) if seeds is None else _checked(seeds)
    expected = predicted(experiment, len(chosen), quick)
    trial = Trial(chosen, quick, control, advance or (lambda share: None))
    start = perf_counter()
    finding = experiment.measure(trial)
    seconds = perf_counter() - start
    return Result(experiment, finding, chosen, quick, control, seconds, expected)


def own_seeds(experiment: Experiment, quick: bool) -> tuple[int, ...]:
    """Return the seeds of an experiment where none are asked for."""
    return experiment.quick_seeds if quick else experiment.seeds


def predicted(experiment: Experiment, seeds: int, quick: bool) -> float:
    """Return how many seconds a run with so many seeds should take on this machine.

    The time that the experiment states, by the number of seeds and by the machine's peak.
    """
    stated = experiment.quick_seconds if quick else experiment.seconds
    return stated * seeds / len(own_seeds(experiment, quick)) * REFERENCE / _rate()


@cache
def _rate() -> float:
    """The machine's peak in GFLOP/s, as of two threads; measured once."""
    from ranvier.engines.native.host import host
    from ranvier.engines.native.inspect.peak import measure_peak

    threads = host().cores
    return max(measure_peak(threads) * 2 / max(threads, 2), 1.0)


def _checked(seeds: Sequence[int]) -> tuple[int, ...]:
    if not len(seeds):
        raise InputError("seeds is empty; name one or more, such as 101,102,103")
    return tuple(checks.whole_number("a seed", seed, 0) for seed in seeds)
