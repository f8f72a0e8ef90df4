"""Rounds in which our step, the machine's peak and the peers take turns.

Shared machines change speed from second to second, so only neighbours in time are compared: a
ratio is taken in each round, and the median over the rounds is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from statistics import median
from time import sleep
from typing import Any

import numpy as np

from ranvier.bench.peers import Peer, start_peer
from ranvier.bench.step import BenchStep, milliseconds
from ranvier.models.recipe import Recipe
from ranvier.records import dataclass

TURN_SECONDS = 0.3
FIRST_STEPS = 20
_REFERENCE_SECONDS = 20.0
_REST = 0.02
"""Seconds between turns, in which the waiting threads of the last contender fall asleep."""


@dataclass(frozen=True)
class Request:
    """What to measure. batch_size None: the recipe's. peers: "torch", "jax"."""

    batch_size: int | None = None
    threads: int | None = None
    rounds: int = 7
    peers: tuple[str, ...] = ()
    peer_python: str | None = None


@dataclass(frozen=True)
class Result:
    """Medians over rounds. ms_single_step: with one step a call. losses: of the first steps,
    which differ from the reference engine's by `loss_difference` at most, relatively."""

    model: str
    batch_size: int
    threads: int
    ms_per_step: float
    ms_range: tuple[float, float]
    ms_single_step: float
    first_step_seconds: float
    gflop_per_step: float
    share_of_peak: float
    peak_gflops: float
    losses: Sequence[float]
    loss_difference: float
    peers: Mapping[str, Mapping[str, float]]

    def to_json(self) -> dict[str, Any]:
        """Return the result for `--json`."""
        return asdict(self)


def measure(recipe: Recipe, request: Request) -> Result:
    """Time a recipe's training step in interleaved rounds."""
    from ranvier.engines.native.host import host
    from ranvier.engines.native.inspect.peak import PeakLoop

    batch_size = request.batch_size or recipe.bench.batch_size
    threads = request.threads or host().cores
    step = BenchStep(recipe, batch_size, request.threads)
    losses, difference = _checked(recipe, step, batch_size)
    peak = PeakLoop(threads)
    with ExitStack() as stack:
        peers = [
            stack.enter_context(start_peer(name, recipe, step, threads, request.peer_python))
            for name in request.peers
        ]
        turns: dict[str, Callable[[], float]] = {
            "many": _turn(step.run),
            "single": _turn(step.run_singly),
            "peak": lambda: peak.rate(_peak_steps(peak)),
        }
        turns |= {f"{p.name} {mode}": _peer_turn(p, mode) for p in peers for mode in p.modes}
        found: dict[str, list[float]] = {name: [] for name in turns}
        for _ in range(request.rounds):
            for name, turn in turns.items():
                sleep(_REST)
                found[name].append(turn())
    gflop = step.flops / 1e9
    ours = found["many"]
    shares = [gflop / (ms / 1e3) / rate for ms, rate in zip(ours, found["peak"], strict=True)]
    return Result(
        model=recipe.name,
        batch_size=batch_size,
        threads=threads,
        ms_per_step=median(ours),
        ms_range=(min(ours), max(ours)),
        ms_single_step=median(found["single"]),
        first_step_seconds=step.first_step_seconds,
        gflop_per_step=gflop,
        share_of_peak=median(shares),
        peak_gflops=median(found["peak"]),
        losses=losses,
        loss_difference=difference,
        peers={peer.name: _best(peer, ours, found) for peer in peers},
    )


def _turn(run: Callable[[int], object]) -> Callable[[], float]:
    """A contender's turn, of a length that it finds out once."""
    steps = max(1, round(TURN_SECONDS * 1e3 / milliseconds(run, 3)))
    return lambda: milliseconds(run, steps)


def _peer_turn(peer: Peer, mode: str) -> Callable[[], float]:
    steps = max(1, round(TURN_SECONDS * 1e3 / peer.milliseconds(mode, 3)))
    return lambda: peer.milliseconds(mode, steps)


def _peak_steps(peak: Any) -> int:
    steps: int = round(0.02 * peak.rate(20) * 1e9 / peak.flops)
    return max(1, steps)


def _best(peer: Peer, ours: list[float], found: Mapping[str, list[float]]) -> dict[str, float]:
    """The peer's fastest mode, and the median of our time over its time in each round."""
    mode = min(peer.modes, key=lambda mode: median(found[f"{peer.name} {mode}"]))
    theirs = found[f"{peer.name} {mode}"]
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return {"ms_per_step": median(theirs), "ratio": median(ratios), "mode": mode}  # type: ignore[dict-item]


def _checked(recipe: Recipe, step: BenchStep, batch_size: int) -> tuple[list[float], float]:
    """The first losses, and how far they are from the reference engine's."""
    reference = BenchStep(recipe, batch_size, None, engine="reference")
    wanted = reference.first_losses(FIRST_STEPS, _REFERENCE_SECONDS)
    found = step.first_losses(FIRST_STEPS, np.inf)
    both = found[: len(wanted)]
    difference = float(np.max(np.abs(both - wanted) / np.maximum(np.abs(wanted), 1e-9)))
    return found.tolist(), difference
