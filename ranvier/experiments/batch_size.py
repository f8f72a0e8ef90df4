"""The gradient of the loss over all observations is the mean of the gradients of each. A batch of B
that are drawn at random gives the same on average, with a noise whose variance falls as 1 / B: to
halve the error of a gradient takes four times the work.

A network 784-64-10 with ReLU units learns 2,000 digits. At its initial weights, the squared
distance of a batch's gradient from the gradient over all digits is measured, the mean of 200
batches for each B from 1 to 512, and a power of B is fitted to it.

Then the network learns: one observation at a time, in batches of 32, and with all observations at
once. Each has the learning rate, out of some powers of two, with which its loss is least after the
last epoch, and all see each digit as many times. The loss over all digits is drawn against the
samples seen, where small batches make many more steps, and against the seconds of training, where
large ones do their arithmetic faster. Seconds are drawn, and decide nothing, for they depend on
what else the machine is doing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

import ranvier as rv
from ranvier import nn, optim
from ranvier.errors import NonFiniteError
from ranvier.experiments.digits import SCALED, Pairs, drawn, training_digits
from ranvier.experiments.experiment import Finding, Trial, experiment
from ranvier.nn.initializers import HeNormal
from ranvier.report.chart import Chart, Line

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_NEAR = 0.1
"""How far the power of B may be from -1."""

_DIGITS = 2000
RATES = {
    1: (0.005, 0.01, 0.02, 0.04),
    32: (0.16, 0.32, 0.64, 1.28),
    _DIGITS: (0.16, 0.32, 0.64, 1.28),
}
"""The learning rates that are tried with each size of a batch."""


@dataclass(frozen=True)
class _Run:
    """The loss over all digits after each epoch, and the seconds of training until then."""

    losses: list[float]
    seconds: list[float]


def noise(digits: Pairs, seed: int, sizes: tuple[int, ...], times: int, one: bool) -> list[float]:
    """Return the mean squared distance of a batch's gradient from the gradient over all digits.

    sizes: those of batches. times: how many batches of each size are drawn. one: whether a batch
    is one digit over and over, as the control has it.
    """
    random = np.random.default_rng(seed)
    x = rv.constant(digits[0].astype(np.float32) / 255)
    y = rv.constant(digits[1].astype(np.int64))
    shapes = [(784, 64), (64, 10)]
    weights = [rv.Parameter(HeNormal()(random, shape)) for shape in shapes]

    def gradients(x: rv.Tensor, y: rv.Tensor) -> list[rv.Tensor]:
        logits = rv.relu(x @ weights[0]) @ weights[1]
        return rv.gradients(rv.mean(rv.losses.cross_entropy(logits, y)), weights)

    whole = rv.compile({}, {str(i): each for i, each in enumerate(gradients(x, y))})()
    found = []
    for size in sizes:
        index = rv.input((size,), rv.int64, "index")
        parts = gradients(rv.take(x, index), rv.take(y, index))
        apart = [(part - each) ** 2 for part, each in zip(parts, whole.values(), strict=True)]
        program = rv.compile({"index": index}, {"apart": rv.sum(apart[0]) + rv.sum(apart[1])})
        picks = random.integers(0, len(digits[0]), (times, size))
        if one:
            picks[:] = picks[:, :1]
        found.append(float(program(steps=times, index=picks)["apart"].mean()))
    return found


def _learn(digits: Pairs, size: int, rate: float, seed: int, epochs: int) -> _Run:
    net = nn.Sequential(nn.Linear(64, init=HeNormal()), nn.ReLU(), nn.Linear(10))
    model = rv.Model(net, "cross_entropy", optim.SGD(rate), preprocess=SCALED)
    try:
        history = model.fit(
            *digits, epochs=epochs, batch_size=size, validation=digits, seed=seed, progress=False
        )
    except NonFiniteError:  # the rate is too large
        return _Run([float("inf")], [float("nan")])
    seconds = np.cumsum([each["seconds"] for each in model.timings])
    return _Run([float(each) for each in history["validation_loss"]], seconds.tolist())


def _best(runs: Mapping[float, list[_Run]]) -> float:
    """The rate with the least mean loss at the end."""
    return min(runs, key=lambda rate: np.mean([run.losses[-1] for run in runs[rate]]))


@experiment(
    "batch-size",
    claim="The variance of a batch's gradient falls as one over its size, and small batches learn "
    "more from each sample seen, as they make more steps.",
    source="Robbins and Monro 1951; Bottou and Bousquet 2008",
    threshold=f"The variance goes with B to a power within {_NEAR} of -1; for every seed, after "
    "the same number of samples and with the best rate of each, the loss with batches of 1 and of "
    "32 is less than half of that with all observations at once.",
    sabotage="A batch is one observation, over and over, where the noise is measured.",
    seeds=range(5),
    quick_seeds=(0, 1),
    seconds=30,
    quick_seconds=5,
)
def EXPERIMENT(trial: Trial) -> Finding:  # noqa: N802 (it becomes the experiment)
    sizes, times = (BATCHES, 200) if not trial.quick else (BATCHES[::4], 100)
    epochs = 20 if not trial.quick else 5
    everything = training_digits()
    digits = {seed: drawn(everything, _DIGITS, seed) for seed in trial.seeds}
    variances = [
        noise(digits[seed], seed, sizes, times, trial.control)
        for seed in trial.track(trial.seeds, of=0.3)
    ]
    power = float(np.polyfit(np.log(sizes), np.log(np.mean(variances, axis=0)), 1)[0])
    runs: dict[int, dict[float, list[_Run]]] = {size: {} for size in RATES}
    jobs = [(size, rate, seed) for size in RATES for rate in RATES[size] for seed in trial.seeds]
    for size, rate, seed in trial.track(jobs, of=0.7, begin=0.3):
        run = _learn(digits[seed], size, rate, seed, epochs)
        runs[size].setdefault(rate, []).append(run)
    best = {size: _best(found) for size, found in runs.items()}
    chosen = {size: runs[size][rate] for size, rate in best.items()}
    ends = {size: [run.losses[-1] for run in found] for size, found in chosen.items()}
    halved = [max(one, some) < whole / 2 for one, some, whole in zip(*ends.values(), strict=True)]
    return Finding(
        holds=abs(power + 1) <= _NEAR and all(halved),
        because=f"the variance goes with B to the power {power:.2f}; after {epochs} epochs the "
        f"loss is {np.mean(ends[1]):.2g} one at a time, {np.mean(ends[32]):.2g} in batches of 32 "
        f"and {np.mean(ends[_DIGITS]):.2g} all at once",
        measurements={
            "power_of_the_variance": power,
            "variance_by_batch_size": dict(
                zip(map(str, sizes), np.mean(variances, 0), strict=True)
            ),
            "final_loss": {str(size): each for size, each in ends.items()},
            "steps": {str(size): epochs * -(-_DIGITS // size) for size in runs},
            "seconds": {str(n): [run.seconds[-1] for run in each] for n, each in chosen.items()},
            "best_rate": {str(size): rate for size, rate in best.items()},
        },
        charts=[_noise(sizes, variances), *_losses(chosen)],
    )


def _noise(sizes: tuple[int, ...], variances: list[list[float]]) -> Chart:
    middle = np.mean(variances, axis=0)
    low, high = np.min(variances, axis=0), np.max(variances, axis=0)
    marks = [
        Line(sizes, middle, "measured", low, high),
        Line(sizes, middle[0] / np.array(sizes), "1 / B of the first"),
    ]
    return Chart(
        "noise of the gradient", marks, x="batch size B", y="variance", log_x=True, log_y=True,
        note="Mean squared distance from the gradient over all digits, over the seeds.",
    )  # fmt: skip


def _losses(chosen: Mapping[int, list[_Run]]) -> list[Chart]:
    """The losses against the samples seen and against the seconds, of the first seed."""
    names = {1: "one at a time", 32: "batches of 32", _DIGITS: "all at once"}

    def lines(at: Callable[[_Run], list[float]]) -> list[Line]:
        return [Line(at(runs[0]), runs[0].losses, names[size]) for size, runs in chosen.items()]

    def seen(run: _Run) -> list[float]:
        return [_DIGITS * (epoch + 1.0) for epoch in range(len(run.losses))]

    return [
        Chart("loss and samples", lines(seen), x="samples seen", y="loss", log_y=True,
              note="The first seed, each with its best rate."),
        Chart("loss and seconds", lines(lambda run: run.seconds), x="seconds", y="loss",
              log_x=True, log_y=True, note="Compilation and evaluation left out."),
    ]  # fmt: skip
