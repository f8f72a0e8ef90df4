"""The lecture's loop to the letter. For each observation, taken in a new random order each epoch,
the network's output is compared with the target, the gradient of the loss with respect to every
weight is computed by back-propagation, and each weight takes a step against its gradient:
w ← w − η ∂L/∂w. After an epoch the mean loss over all observations is looked at; if it changed by
less than 0.0001, the loop stops.

A network 2-16-16-1 with tanh units learns to tell the two arms of a spiral apart, 200 points each,
one pair at a time (batches of one). The learning rate η takes five values over two and a half
powers of ten. Two things are asked: whether the loop stops by itself at a low loss for a moderate
η, and whether η behaves as the lecture says: too small a rate learns slowly, too large a rate does
not settle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ranvier import optim
from ranvier.experiments.experiment import Finding, Trial, experiment
from ranvier.nn.layers.activations import Tanh
from ranvier.nn.layers.linear import Linear
from ranvier.nn.sequential import Sequential
from ranvier.report.chart import Chart, Dots, Line
from ranvier.training.loop.callbacks import Convergence
from ranvier.training.model import Model

RATES = (0.003, 0.01, 0.03, 0.1, 1.0)
MODERATE = 0.03
"""The rate that the verdict asks about."""

_LOW = 0.25
"""The loss, of ln 2 = 0.69 at the start, below which the task counts as learnt."""


@dataclass(frozen=True)
class _Run:
    """The loss after each epoch, and whether the loop stopped by itself."""

    losses: list[float]
    stopped: bool


def arms(seed: int, points: int) -> tuple[np.ndarray, np.ndarray]:
    """Return points [2 n, 2] on two arms of a spiral, half a turn each, and which arm, [2 n, 1]."""
    random = np.random.default_rng(seed)
    turn = np.sqrt(random.uniform(0.05, 1, (2, points))) * 1.2 * np.pi
    angle = turn + np.array([[0], [np.pi]])
    at = np.stack([turn * np.cos(angle), turn * np.sin(angle)], -1) / np.pi
    at += random.normal(0, 0.06, at.shape)
    labels = np.repeat([0.0, 1.0], points)[:, None]
    return at.reshape(-1, 2).astype(np.float32), labels.astype(np.float32)


def _learn(rate: float, seed: int, epochs: int, x: np.ndarray, y: np.ndarray) -> _Run:
    net = Sequential(Linear(16), Tanh(), Linear(16), Tanh(), Linear(1))
    model = Model(net, "binary_cross_entropy", optim.SGD(rate))
    history = model.fit(
        x, y, epochs=epochs, batch_size=1, seed=seed,
        callbacks=[Convergence(1e-4)], progress=False,
    )  # fmt: skip
    return _Run([float(loss) for loss in history["loss"]], bool(history.stopped))


@experiment(
    "sgd",
    claim="Stochastic gradient descent, one observation at a time in random order until the loss "
    "hardly changes, learns; too small a rate is slow and too large a rate does not settle.",
    source="the lecture's algorithm; Robbins and Monro 1951; Rumelhart, Hinton and Williams 1986",
    threshold=f"For each seed: at η = {MODERATE} the loop ends below a loss of {_LOW}; at the "
    "smallest η the loss is higher after as many epochs; at the largest η the loss changes from "
    "epoch to epoch at least ten times as much as at the moderate one.",
    sabotage="The labels are shuffled, so that there is nothing to learn.",
    seeds=range(5),
    quick_seeds=(0, 1),
    seconds=2,
    quick_seconds=0.5,
)
def EXPERIMENT(trial: Trial) -> Finding:  # noqa: N802 (it becomes the experiment)
    points, epochs = (200, 300) if not trial.quick else (100, 150)
    runs: dict[float, list[_Run]] = {rate: [] for rate in RATES}
    for seed in trial.track(trial.seeds):
        x, y = arms(seed, points)
        if trial.control:
            y = np.random.default_rng(seed).permutation(y)
        for rate in RATES:
            runs[rate].append(_learn(rate, seed, epochs, x, y))
    slow, moderate, fast = (runs[rate] for rate in (RATES[0], MODERATE, RATES[-1]))
    learnt = [run.losses[-1] < _LOW for run in moderate]
    slower = [
        small.losses[min(len(run.losses), len(small.losses)) - 1] > run.losses[-1]
        for small, run in zip(slow, moderate, strict=True)
    ]
    restless = [
        _change(large) >= 10 * _change(run) for large, run in zip(fast, moderate, strict=True)
    ]
    count = len(trial.seeds)
    final = {f"{rate:g}": [run.losses[-1] for run in found] for rate, found in runs.items()}
    return Finding(
        holds=all(learnt) and all(slower) and all(restless),
        because=f"the moderate rate learnt in {sum(learnt)} of {count} runs, the smallest was "
        f"slower in {sum(slower)}, the largest restless in {sum(restless)}",
        measurements={
            "final_loss_by_rate": final,
            "epochs_by_rate": {f"{r:g}": [len(run.losses) for run in f] for r, f in runs.items()},
            "stopped_by_itself_by_rate": {
                f"{r:g}": sum(run.stopped for run in found) for r, found in runs.items()
            },
        },
        charts=[_curves(runs), _plane(trial, points)],
    )


def _change(run: _Run) -> float:
    """The median change of the loss between the last twenty epochs."""
    return float(np.median(np.abs(np.diff(run.losses[-21:]))))


def _curves(runs: dict[float, list[_Run]]) -> Chart:
    marks = []
    for rate, found in runs.items():
        losses = found[0].losses
        marks.append(Line(range(1, len(losses) + 1), losses, f"η = {rate:g}"))
    return Chart(
        "loss by epoch", marks, x="epoch", y="mean loss", log_y=True,
        note="The first seed. A line ends where the loop stopped by itself.",
    )  # fmt: skip


def _plane(trial: Trial, points: int) -> Chart:
    x, y = arms(trial.seeds[0], points)
    labels = ["one arm" if value else "the other" for value in y[:, 0]]
    return Chart("the task", [Dots(x[:, 0], x[:, 1], labels=labels)], x="x", y="y", square=True)
