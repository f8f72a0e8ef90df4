"""Gradient descent takes the same rate in every direction. Where the loss is steep across a valley
and almost flat along it, a rate that the walls allow hardly moves along the floor. Momentum adds
up the steps of directions in which the slope keeps its sign; Adam divides each weight's step by
the size that its slope has had of late.

First the valley, (w₁² + κ w₂²) / 2, whose walls are κ times as steep as its floor: the steps that
gradient descent, momentum and Adam need until they stay within a hundredth of their first distance
from the lowest point, from random starts, each with the best of thirteen rates, for κ from 1 to
1,000. The optimizers are the product's own; one compiled program of each does all of it.

Then a network, that of Kingma and Ba's figure 2: two hidden layers of rectified linear units, half
of which are dropped, learn MNIST from batches of 128. Each optimizer takes the rate of a small grid
that gives it the lowest training loss at the end, with a seed that is not used again. The short
form has 5,000 digits and 200 units in a layer, the full form 60,000 and 1,000.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

import ranvier as rv
from ranvier import nn
from ranvier.errors import NonFiniteError
from ranvier.experiments.digits import SCALED, Pairs, drawn, training_digits
from ranvier.experiments.experiment import Finding, Trial, experiment
from ranvier.optim import Optimizer
from ranvier.report.chart import Cells, Chart, Line

CONDITIONS = (1.0, 10.0, 100.0, 1000.0)
_ASKED = CONDITIONS.index(100.0)
"""The valley that the verdict asks about."""

_RATES = np.geomspace(1e-3, 1, 13)
_LOW = 0.01
"""The share of the first distance from the lowest point within which a way must stay."""

_SHARE = 0.5
"""The share of gradient descent's steps that momentum and Adam may need."""

_MARGIN = 0.95
"""The share of the others' training loss below which Adam's must be."""

_TUNING_SEED = 999

Make = Callable[[float], Optimizer]

_FLAT = 1e4
"""Adam's epsilon in the control, so large that all weights take steps of one rate."""


@dataclass(frozen=True)
class _Method:
    """An optimizer made for a rate, and the rates that are tried on digits."""

    make: Make
    rates: tuple[float, ...]


def methods(control: bool) -> dict[str, _Method]:
    """Return the optimizers; in the control without momentum and without Adam's adapting."""
    descent = _Method(rv.optim.SGD, (0.1, 0.2, 0.4))
    if not control:
        return {
            "gradient descent": descent,
            "momentum": _Method(rv.optim.Momentum, (0.02, 0.05, 0.1)),
            "Adam": _Method(rv.optim.Adam, (0.001, 0.002, 0.004)),
        }

    def flat_adam(rate: float) -> Optimizer:
        return rv.optim.Adam(rate * _FLAT, beta1=0.0, beta2=0.0, epsilon=_FLAT)

    still = _Method(lambda rate: rv.optim.Momentum(rate, momentum=0.0), descent.rates)
    return {
        "gradient descent": descent,
        "momentum": still,
        "Adam": _Method(flat_adam, descent.rates),
    }


# ------------------------------------------------------------ the valley


def starts(seeds: tuple[int, ...]) -> np.ndarray:
    """Return a place to start from for each seed, [seeds, 2], up a wall and far along the floor."""
    angles = [np.random.default_rng(seed).uniform(0.15, 0.5) for seed in seeds]
    signs = [np.random.default_rng(seed).choice([-1, 1], 2) for seed in seeds]
    places: np.ndarray = np.stack([np.cos(angles), np.sin(angles)], -1) * signs
    return places


def descend(make: Make, begin: np.ndarray, rates: np.ndarray, steps: int) -> np.ndarray:
    """Return the ways down all valleys, [rates, steps + 1, seeds, conditions, 2].

    An optimizer's rule is for each number by itself, so one program walks all ways of a rate.
    """
    curvature = np.stack([np.ones(len(CONDITIONS)), np.array(CONDITIONS)], -1)
    first = np.repeat(begin[:, None], len(CONDITIONS), axis=1)
    place = rv.Parameter(first, name="w")
    optimizer = make(1.0)
    loss = rv.sum(place * place * rv.constant(curvature)) / 2
    program = rv.compile({}, {}, optimizer.updates(loss, [place]))
    fresh = {name: buffer.value for name, buffer in optimizer.state().items()}
    found = np.empty((len(rates), steps + 1, *first.shape))
    for ways, rate in zip(found, rates, strict=True):
        place.value = first
        for name, buffer in optimizer.state().items():
            buffer.value = fresh[name]
        optimizer.learning_rate_scale.value = np.float32(rate)
        ways[0] = first
        for step in range(steps):
            program()
            ways[step + 1] = place.value
    return found


def steps_needed(ways: np.ndarray) -> np.ndarray:
    """Return after how many steps a way stays near, [rates, seeds, conditions]; inf for never."""
    with np.errstate(over="ignore", invalid="ignore"):
        distances = np.hypot(ways[..., 0], ways[..., 1])
        far = ~(distances <= _LOW * distances[:, :1])
    count = ways.shape[1]
    last = count - np.argmax(far[:, ::-1], axis=1)  # the step after the last that is far
    found: np.ndarray = np.where(last < count, last, np.inf)
    return found


# ------------------------------------------------------------ the digits


def learn(optimizer: Optimizer, digits: Pairs, width: int, epochs: int, seed: int) -> list[float]:
    """Return the training loss of each epoch, with dropout, as Kingma and Ba draw it."""
    hidden = [layer for _ in range(2) for layer in (nn.Linear(width), nn.ReLU(), nn.Dropout(0.5))]
    net = nn.Sequential(*hidden, nn.Linear(10))
    model = rv.Model(net, "cross_entropy", optimizer, preprocess=SCALED)
    try:
        history = model.fit(*digits, epochs=epochs, batch_size=128, seed=seed, progress=False)
    except NonFiniteError:
        return [float("inf")] * epochs
    return [float(loss) for loss in history["loss"]]


def _train(
    trial: Trial, tried: Mapping[str, _Method]
) -> tuple[dict[str, float], dict[str, list[list[float]]]]:
    """Return the rate chosen for each optimizer, and its losses by seed and epoch."""
    count, width, epochs = (5000, 200, 4) if trial.quick else (60000, 1000, 3)
    digits = training_digits()
    rates: dict[str, float] = {}
    losses: dict[str, list[list[float]]] = {name: [] for name in tried}
    grid = [(name, rate) for name, method in tried.items() for rate in method.rates]
    ends: dict[tuple[str, float], float] = {}
    share = len(grid) / (len(grid) + len(tried) * len(trial.seeds))
    part = drawn(digits, count, _TUNING_SEED)
    for name, rate in trial.track(grid, of=0.9 * share, begin=0.1):
        optimizer = tried[name].make(rate)
        ends[name, rate] = learn(optimizer, part, width, epochs, _TUNING_SEED)[-1]
    for name, method in tried.items():
        rates[name] = min(method.rates, key=lambda rate: ends[name, rate])
    for seed in trial.track(trial.seeds, of=0.9 * (1 - share), begin=0.1 + 0.9 * share):
        part = drawn(digits, count, seed)
        for name, method in tried.items():
            losses[name].append(learn(method.make(rates[name]), part, width, epochs, seed))
    return rates, losses


@experiment(
    "optimizers",
    claim="Momentum speeds up directions in which the slope keeps its sign, Adam adapts the step "
    "of each weight, and both go down where plain gradient descent creeps.",
    source="Polyak 1964; Rumelhart, Hinton and Williams 1986; Kingma and Ba 2015, figure 2",
    threshold=f"In the valley of condition {CONDITIONS[_ASKED]:g}, from every start, momentum and "
    f"Adam each need at most {_SHARE:.0%} of gradient descent's steps; and on digits, for every "
    f"seed, Adam's training loss in the last epoch is at most {_MARGIN:.0%} of the lowest of the "
    "other two.",
    sabotage="Momentum is 0, and Adam's epsilon is so large that it adapts nothing.",
    seeds=range(3),
    quick_seeds=(0, 1),
    seconds=240,
    quick_seconds=3,
)
def EXPERIMENT(trial: Trial) -> Finding:  # noqa: N802 (it becomes the experiment)
    tried = methods(trial.control)
    steps = 400 if trial.quick else 3000
    begin = starts(trial.seeds)
    ways, needed = {}, {}
    for name in trial.track(list(tried), of=0.1):
        ways[name] = descend(tried[name].make, begin, _RATES, steps)
        needed[name] = steps_needed(ways[name])
    best = {name: found.min(0) for name, found in needed.items()}
    plain = best["gradient descent"][:, _ASKED]
    sped = [best[name][:, _ASKED] for name in ("momentum", "Adam")]
    quicker = [np.isfinite(steps) & (steps <= _SHARE * plain) for steps in sped]
    rates, losses = _train(trial, tried)
    last = {name: [found[-1] for found in runs] for name, runs in losses.items()}
    others = np.minimum(last["gradient descent"], last["momentum"])
    lowest = np.array(last["Adam"]) <= _MARGIN * others
    medians = {name: np.median(found, 0).tolist() for name, found in best.items()}
    return Finding(
        holds=all(bool(found.all()) for found in (*quicker, lowest)),
        because="down the valley gradient descent, momentum and Adam need "
        + ", ".join(f"{medians[name][_ASKED]:.0f}" for name in tried)
        + f" steps; on digits Adam's loss was the lowest in {lowest.sum()} of {len(lowest)} runs",
        measurements={
            "steps_by_condition": medians,
            "rates": rates,
            "last_training_loss": last,
        },
        charts=[
            _paths(ways, needed),
            _conditions(best),
            _losses(losses, rates),
        ],
    )


def _paths(ways: dict[str, np.ndarray], needed: dict[str, np.ndarray]) -> Chart:
    """The ways of the first seed, each at its best rate, on the loss."""
    marks = []
    for name, found in ways.items():
        way = found[int(np.argmin(needed[name][:, 0, _ASKED])), :60, 0, _ASKED]
        marks.append(Line(way[:, 0], way[:, 1], name))
    across, along = np.linspace(-0.5, 0.5, 81), np.linspace(-1.1, 1.1, 121)
    loss = (along[None] ** 2 + CONDITIONS[_ASKED] * across[:, None] ** 2) / 2
    cells = Cells(np.log10(loss + 1e-3), -1.1, 1.1, -0.5, 0.5)
    return Chart(
        "ways down a valley", [cells, *marks], x="along the floor", y="up the walls",
        note="The first 60 steps from one start, each optimizer at its best rate; walls 100 times "
        "as steep as the floor. Colours show the logarithm of the loss.",
    )  # fmt: skip


def _conditions(best: dict[str, np.ndarray]) -> Chart:
    marks = [
        Line(CONDITIONS, np.median(found, 0), name, found.min(0), found.max(0))
        for name, found in best.items()
    ]
    return Chart(
        "steps down a valley", marks, x="steepness of the walls over that of the floor",
        y="steps until it stays near", log_x=True, log_y=True,
        note="Median over the starts, each with its best rate; the bands reach from the fewest to "
        "the most. A line ends where no rate got there.",
    )  # fmt: skip


def _losses(losses: dict[str, list[list[float]]], rates: dict[str, float]) -> Chart:
    marks = []
    for name, runs in losses.items():
        epochs = range(1, len(runs[0]) + 1)
        label = f"{name}, rate {rates[name]:g}"
        low, high = np.min(runs, 0), np.max(runs, 0)
        marks.append(Line(epochs, np.mean(runs, 0), label, low, high))
    return Chart(
        "training loss on digits", marks, x="epoch", y="mean loss in training", log_y=True,
        note="Mean over the seeds; the bands reach from the lowest to the highest.",
    )  # fmt: skip
