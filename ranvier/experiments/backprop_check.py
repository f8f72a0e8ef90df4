"""Back-propagation walks once from the loss to the weights and gives the slope of the loss along
every weight. The plain way changes one weight at a time and computes the loss anew: one forward
pass for each weight.

First the values. A network of two hidden layers of tanh units, in float64, and its loss on 32
random observations: the gradient by back-propagation is compared with central differences,
(L(w + h) − L(w − h)) / 2h, for randomly chosen weights of every layer.

Then the cost. For networks of growing width the multiplications and additions of all matrix
products are counted, in the graph of the loss and in that of the loss and all gradients. The
lecture's claim is that all gradients together cost about two forward passes more, whatever the
number of weights, while one-at-a-time costs as many passes as there are weights. Both graphs are
compiled and timed in turns as well; times are drawn, but do not decide, for they depend on what
else the machine is doing.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from time import perf_counter

import numpy as np

from ranvier.engines.compile import compile as compiled
from ranvier.engines.program import Program
from ranvier.experiments.experiment import Finding, Trial, experiment
from ranvier.graph import compositions, functions
from ranvier.graph.backprop import gradients
from ranvier.graph.leaves import Parameter
from ranvier.graph.tensor import Tensor
from ranvier.report.chart import Chart, Dots, Line
from ranvier.training.loop.speed import needed_flops

_BATCH = 32
_STEP = 1e-5
"""h of the central differences."""

_AGREE = 1e-6
"""How far a gradient may lie off, relative to the largest of its layer."""

_PASSES = 3.0
"""Forward passes that loss and gradients may cost together: one and two more."""


@dataclass(frozen=True)
class _Net:
    """A network 16-n-n-1 on fixed data, its loss, and the slope along each weight."""

    weights: list[Parameter]
    loss: Tensor
    slopes: list[Tensor]


def build(width: int, seed: int, dtype: str, broken: bool) -> _Net:
    """Return the network; `broken` leaves the slope of the second layer's tanh out."""
    random = np.random.default_rng(seed)
    sizes = [16, width, width, 1]
    weights = [
        Parameter((random.normal(0, n**-0.5, (n, m))).astype(dtype), name=f"w{i}")
        for i, (n, m) in enumerate(pairwise(sizes), 1)
    ]
    x = functions.as_tensor(random.normal(0, 1, (_BATCH, 16)).astype(dtype))
    y = functions.as_tensor(random.normal(0, 1, (_BATCH, 1)).astype(dtype))
    hidden = functions.tanh(x @ weights[0])
    inner = hidden @ weights[1]
    second = functions.tanh(inner)
    if broken:  # its value is right, its slope is that of the identity
        second = inner + functions.stop_gradient(second - inner)
    loss = compositions.mean((second @ weights[2] - y) ** 2)
    return _Net(weights, loss, gradients(loss, weights))


def _differences(net: _Net, seed: int, count: int) -> tuple[list[float], list[float]]:
    """Slopes of randomly chosen weights by back-propagation and by central differences."""
    program = compiled({}, {"loss": net.loss})
    named = {f"g{i}": slope for i, slope in enumerate(net.slopes)}
    exact = list(compiled({}, named)().values())
    random = np.random.default_rng(seed)
    found, expected = [], []
    for weight, slope in zip(net.weights, exact, strict=True):
        scale = float(np.abs(slope).max())
        for flat in random.choice(weight.size, min(count, weight.size), replace=False):
            at = np.unravel_index(int(flat), weight.shape)
            found.append(float(slope[at]) / scale)
            expected.append(_central(program, weight, at) / scale)
    return found, expected


def _central(program: Program, weight: Parameter, at: tuple[np.intp, ...]) -> float:
    before = weight.value
    losses = []
    for sign in (1, -1):
        moved = before.copy()
        moved[at] += sign * _STEP
        weight.value = moved
        losses.append(float(program()["loss"]))
    weight.value = before
    return (losses[0] - losses[1]) / (2 * _STEP)


@dataclass(frozen=True)
class _Cost:
    """What loss and gradients cost, in forward passes: by counting, and by the clock."""

    weights: int
    counted: float
    timed: float


def _cost(width: int, seed: int, rounds: int) -> _Cost:
    net = build(width, seed, "float32", False)
    counted = needed_flops([net.loss, *net.slopes]) / needed_flops([net.loss])
    forward = compiled({}, {"loss": net.loss})
    named = {f"g{i}": slope for i, slope in enumerate(net.slopes)}
    both = compiled({}, {"loss": net.loss, **named})
    times: tuple[list[float], list[float]] = ([], [])
    for program in (forward, both):
        program(steps=20)
    for _ in range(rounds):
        for program, taken in zip((forward, both), times, strict=True):
            start = perf_counter()
            program(steps=20)
            taken.append((perf_counter() - start) / 20)
    count = sum(weight.size for weight in net.weights)
    return _Cost(count, counted, float(np.median(times[1]) / np.median(times[0])))


@experiment(
    "backprop-check",
    claim="Back-propagation gives the gradient, at the cost of about two forward passes more, "
    "where changing one weight at a time costs one pass per weight.",
    source="Rumelhart, Hinton and Williams 1986; Baur and Strassen 1983 for the cost",
    threshold=f"Every checked slope agrees with its central difference to {_AGREE:g} of the "
    f"layer's largest; loss and gradients together need at most the arithmetic of {_PASSES:g} "
    "forward passes, at every size.",
    sabotage="The slope of one layer's tanh is left out, as a wrong rule would.",
    seeds=range(5),
    quick_seeds=(0, 1),
    seconds=20,
    quick_seconds=2,
)
def EXPERIMENT(trial: Trial) -> Finding:  # noqa: N802 (it becomes the experiment)
    widths = (16, 32, 64, 128, 256, 512) if not trial.quick else (32, 256)
    checked, rounds = (60, 15) if not trial.quick else (20, 7)
    found: list[float] = []
    expected: list[float] = []
    costs: dict[int, list[_Cost]] = {width: [] for width in widths}
    for seed in trial.track(trial.seeds):
        net = build(32, seed, "float64", trial.control)
        sides = _differences(net, seed, checked)
        found += sides[0]
        expected += sides[1]
        for width in widths:
            costs[width].append(_cost(width, seed, rounds))
    worst = float(np.max(np.abs(np.subtract(found, expected))))
    counts = [costs[width][0].weights for width in widths]
    passes = [costs[width][0].counted for width in widths]
    timed = [float(np.median([cost.timed for cost in costs[width]])) for width in widths]
    return Finding(
        holds=worst <= _AGREE and max(passes) <= _PASSES,
        because=f"of {len(found)} slopes the worst is {worst:.1e} of its layer's largest off; "
        f"loss and gradients need {max(passes):.2f} forward passes at most, where one weight at a "
        f"time would take {max(counts) + 1:,}",
        measurements={
            "worst_difference": worst,
            "slopes_checked": len(found),
            "weights": counts,
            "forward_passes": passes,
            "forward_passes_by_the_clock": timed,
        },
        charts=[_price(counts, passes, timed), _agreement(found, expected)],
    )


def _price(counts: list[int], passes: list[float], timed: list[float]) -> Chart:
    one_by_one = [float(count + 1) for count in counts]
    return Chart(
        "the price of a gradient",
        [
            Line(counts, passes, "back-propagation, counted"),
            Line(counts, timed, "back-propagation, timed"),
            Line(counts, one_by_one, "one weight at a time"),
        ],
        x="weights", y="forward passes", log_x=True, log_y=True,
        note="One weight at a time is counted, not timed: a pass for each, and one to start from.",
    )  # fmt: skip


def _agreement(found: list[float], expected: list[float]) -> Chart:
    return Chart(
        "slope by slope", [Line([-1, 1], [-1, 1], "equal"), Dots(expected, found, "a weight")],
        x="central difference", y="back-propagation", square=True,
        note="Each divided by the largest slope of its layer.",
    )  # fmt: skip
