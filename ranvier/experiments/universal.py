"""One hidden layer of enough non-linear units can come as close to a continuous function as one
likes, said Cybenko (1989) and Hornik (1991); and a network without non-linearity is one linear
function, however many layers it has.

Networks 1-n-1 with tanh units, whose first weights and biases are drawn from [-6, 6], learn four
functions on [-1, 1] from 256 points each, with Adam and a rate that falls to zero. The share of
the function's variance that is left unexplained is measured on points between them, for n from 1
to 64. Beside them, networks of one to four linear layers of 64 units learn the same functions; the
best straight line, by least squares, bounds what they can reach.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ranvier import optim, schedules
from ranvier.experiments.experiment import Finding, Trial, experiment
from ranvier.nn.initializers import Uniform
from ranvier.nn.layers.activations import Tanh
from ranvier.nn.layers.linear import Linear
from ranvier.nn.module import Module
from ranvier.nn.sequential import Sequential
from ranvier.report.chart import Chart, Line, Rule
from ranvier.training.model import Model

FUNCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "sin 2πx": lambda x: np.sin(2 * np.pi * x),
    "|x|": np.abs,
    "bump": lambda x: np.exp(-20 * x**2),
    "two waves": lambda x: np.sin(np.pi * x) + 0.5 * np.cos(3 * np.pi * x),
}
WIDTHS = (1, 2, 4, 8, 16, 32, 64)
DEPTHS = (1, 2, 3, 4)
_GOOD = 0.01
"""The share of the variance that may be left unexplained by a wide layer."""


def _layer_net(width: int, linear: bool) -> Module:
    """One hidden layer; its weights and biases are drawn wide, so that units bend everywhere."""
    first = Linear(width, use_bias=False, init=Uniform(6.0))
    return Sequential(first, Linear(1)) if linear else Sequential(first, Tanh(), Linear(1))


def _deep_linear(depth: int) -> Module:
    return Sequential(*[Linear(64) for _ in range(depth - 1)], Linear(1))


def unexplained(
    net: Module, function: Callable[[np.ndarray], np.ndarray], seed: int, epochs: int
) -> tuple[float, np.ndarray]:
    """Train a network on a function; return the share of variance that it leaves, and its fit."""
    x = np.linspace(-1, 1, 256, dtype=np.float32)[:, None]
    between = (x[1:] + x[:-1]) / 2
    ones = np.ones_like(x)  # beside x, so that the first layer's biases are weights as well
    steps = epochs * 8
    rate = schedules.Cosine(0.02, steps)
    model = Model(net, "mean_squared_error", optim.Adam(rate))
    inputs, targets = np.hstack([x, ones]), function(x).astype(np.float32)
    model.fit(inputs, targets, epochs=epochs, batch_size=32, seed=seed, progress=False)
    found, true = model.predict(np.hstack([between, ones[1:]])), function(between)
    return float(np.mean((found - true) ** 2) / np.var(true)), found[:, 0]


def straight_line(function: Callable[[np.ndarray], np.ndarray]) -> float:
    """Return the share of variance that the best straight line leaves."""
    x = np.linspace(-1, 1, 256)
    line = np.polyval(np.polyfit(x, function(x), 1), x)
    return float(np.mean((line - function(x)) ** 2) / np.var(function(x)))


@experiment(
    "universal",
    claim="One wide hidden layer represents non-linear functions; without a non-linearity, depth "
    "adds nothing.",
    source="Cybenko 1989; Hornik 1991",
    threshold=f"For every function, the median over the seeds of the variance left unexplained is "
    f"at most {_GOOD:.0%} with the widest layer, and less than a tenth of that with one unit; no "
    "linear network, of any depth, explains more than one hundredth more than the straight line.",
    sabotage="The hidden units of the one-layer networks are linear too.",
    seeds=range(3),
    quick_seeds=(0,),
    seconds=45,
    quick_seconds=3,
)
def EXPERIMENT(trial: Trial) -> Finding:  # noqa: N802 (it becomes the experiment)
    widths, depths = (WIDTHS, DEPTHS) if not trial.quick else ((1, 4, 64), (1, 3))
    epochs = 400 if not trial.quick else 150
    left: dict[str, dict[int, list[float]]] = {}
    deep: dict[str, dict[int, list[float]]] = {}
    fits: dict[str, np.ndarray] = {}
    jobs = [(name, seed) for name in FUNCTIONS for seed in trial.seeds]
    for name, seed in trial.track(jobs):
        function = FUNCTIONS[name]
        for width in widths:
            share, fit = unexplained(_layer_net(width, trial.control), function, seed, epochs)
            left.setdefault(name, {}).setdefault(width, []).append(share)
            fits[name] = fit
        for depth in depths:
            share, _ = unexplained(_deep_linear(depth), function, seed, epochs // 2)
            deep.setdefault(name, {}).setdefault(depth, []).append(share)
    lines = {name: straight_line(function) for name, function in FUNCTIONS.items()}
    widest = {name: float(np.median(found[widths[-1]])) for name, found in left.items()}
    gains = {name: widest[name] < 0.1 * float(np.median(found[1])) for name, found in left.items()}
    no_better = {
        name: min(min(shares) for shares in found.values()) > lines[name] - 0.01
        for name, found in deep.items()
    }
    good = all(share <= _GOOD for share in widest.values())
    return Finding(
        holds=good and all(gains.values()) and all(no_better.values()),
        because=f"{widths[-1]} tanh units leave {max(widest.values()):.2%} of the variance at "
        f"most; linear networks were no better than a straight line for {sum(no_better.values())} "
        f"of {len(no_better)} functions",
        measurements={
            "left_by_width": {n: {str(w): v for w, v in f.items()} for n, f in left.items()},
            "left_by_linear_depth": {n: {str(d): v for d, v in f.items()} for n, f in deep.items()},
            "left_by_straight_line": lines,
        },
        charts=[
            _errors("one hidden layer", left, "hidden units", True),
            *[_fit(name, fits[name]) for name in FUNCTIONS],
            _errors("linear layers only", deep, "layers", False),
        ],
    )


def _errors(title: str, found: dict[str, dict[int, list[float]]], x: str, log: bool) -> Chart:
    marks = [
        Line(
            list(by_size),
            [float(np.median(shares)) for shares in by_size.values()],
            name,
            [min(shares) for shares in by_size.values()],
            [max(shares) for shares in by_size.values()],
        )
        for name, by_size in found.items()
    ]
    return Chart(
        title, [*marks, Rule(y=_GOOD, label="1 %")] if log else marks, x=x,
        y="variance left unexplained", log_x=log, log_y=log,
        note="Median over the seeds; the bands reach from the best to the worst.",
    )  # fmt: skip


def _fit(name: str, fit: np.ndarray) -> Chart:
    x = np.linspace(-1, 1, 256)
    between = (x[1:] + x[:-1]) / 2
    marks = [Line(between, FUNCTIONS[name](between), "the function"), Line(between, fit, "its fit")]
    return Chart(f"{name}, widest layer", marks, x="x", y="y")
