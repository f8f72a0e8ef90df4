"""A unit passes back what it gets times the slope of its activation function at its sum. The
sigmoid's slope is 1/4 at most and the tanh's 1, and both fall to zero where the sum is large: such
units are saturated. The step's slope is zero everywhere. The ReLU's is 1 for every positive sum.

Three things are measured. The mean slope over sums that are normally distributed, whose deviation
grows from 1/4 to 16. The norm of the loss's gradient with respect to the weights of each layer, at
the start, in a network of ten hidden layers of 64 units with Glorot's weights, on 128 digits. And
how many epochs a network of four hidden layers needs with each activation until the mean loss over
its training digits is below 0.001. It learns by stochastic gradient descent with batches of 32; for
each activation the learning rate is the best of some powers of two. Initial weights are those that
suit the activation: He's for ReLU and step, LeCun's for tanh, and 4 times Glorot's for the sigmoid,
as Glorot and Bengio advise. The loss of an epoch is its mean while the network learns.

With so good a start, and rates tuned for each, tanh keeps up with ReLU until most digits are
learnt; the low loss is what saturated units take long to reach. Narrow networks of eight layers
show no advantage of ReLU over tanh.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

import ranvier as rv
from ranvier import nn, optim
from ranvier.errors import NonFiniteError
from ranvier.experiments.digits import Pairs, drawn, training_digits
from ranvier.experiments.experiment import Finding, Trial, experiment
from ranvier.nn.initializers import GlorotNormal, HeNormal, Initializer, LeCunNormal
from ranvier.report.chart import Bars, Chart, Line
from ranvier.training.loop.history import Record
from ranvier.training.loop.loop import Training

_LOW = 0.001
"""The mean loss of an epoch, from which on a network counts as having learnt its digits."""

_CENTRED = {"scale": 1 / 255, "mean": [0.13], "std": [0.31]}
"""Makes the mean of all pixels about 0, and their deviation about 1."""

_SPREADS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
_SAME = GlorotNormal()
"""The initial weights where gradients are looked at, for all activations."""

_DEPTH = 10
"""Hidden layers of the network whose gradients are looked at."""

_SATURATED = 0.25
"""Mean slope at the widest sums over the greatest slope, below which a unit saturates."""

_VANISHED = 0.01
"""Norm of the first layer's gradient over the last hidden one's, below which it has vanished."""


@dataclass(frozen=True)
class _Unit:
    """An activation, the initial weights that suit it, and the rates that are tried."""

    layer: Callable[[], nn.Module]
    init: Initializer
    rates: tuple[float, ...]


UNITS = {
    "ReLU": _Unit(nn.ReLU, HeNormal(), (0.04, 0.08, 0.16, 0.32)),
    "tanh": _Unit(nn.Tanh, LeCunNormal(), (0.08, 0.16, 0.32, 0.64)),
    "sigmoid": _Unit(nn.Sigmoid, GlorotNormal(4.0), (0.32, 0.64, 1.28, 2.56)),
    "step": _Unit(nn.Step, HeNormal(), (0.02, 0.08, 0.32)),
}


@dataclass
class _Learning:
    """Losses and seconds by epoch of one activation's runs, by rate and then by seed."""

    losses: dict[float, list[list[float]]] = field(default_factory=dict)
    seconds: dict[float, list[float]] = field(default_factory=dict)

    def epochs(self, rate: float) -> list[float]:
        """Epochs that each seed needed, infinitely many where it did not get there."""
        found = [np.flatnonzero(np.array(losses) < _LOW) for losses in self.losses[rate]]
        return [float(each[0] + 1) if len(each) else np.inf for each in found]

    def best(self) -> float:
        """The rate that needs the fewest epochs, or failing that ends at the least loss."""
        return min(self.losses, key=lambda rate: (np.mean(self.epochs(rate)), self._end(rate)))

    def _end(self, rate: float) -> float:
        ends = [losses[-1] if losses else np.inf for losses in self.losses[rate]]
        return float(np.mean(ends))


def _unit(name: str, broken: bool) -> _Unit:
    """The activation of this name; where `broken`, the sigmoid whatever the name."""
    return UNITS["sigmoid" if broken else name]


def _slopes(unit: _Unit) -> list[float]:
    """The mean slope over normal sums of each deviation."""
    normal = np.random.default_rng(0).standard_normal(20_000)
    found = []
    for spread in _SPREADS:
        sums = rv.Parameter(spread * normal, name="sums")
        (slope,) = rv.gradients(rv.sum(unit.layer()(sums)), [sums])
        found.append(float(rv.compile({}, {"slope": rv.mean(slope)})()["slope"]))
    return found


def _norms(unit: _Unit, digits: Pairs, seed: int) -> list[float]:
    """The norm of the gradient of each layer's weights at the start, [_DEPTH + 1]."""
    random = np.random.default_rng(seed)
    sizes = [784, *[64] * _DEPTH, 10]
    shapes = list(pairwise(sizes))
    weights = [rv.Parameter(_SAME(random, shape), name=f"w{i}") for i, shape in enumerate(shapes)]
    h = rv.constant(digits[0][:128].astype(np.float32) / 255)
    for weight in weights[:-1]:
        h = unit.layer()(h @ weight)
    loss = rv.mean(rv.losses.cross_entropy(h @ weights[-1], rv.constant(digits[1][:128])))
    named = {str(i): rv.sum(slope * slope) for i, slope in enumerate(rv.gradients(loss, weights))}
    return [float(each) ** 0.5 for each in rv.compile({}, named)().values()]


def _learn(
    unit: _Unit, rate: float, seed: int, digits: Pairs, width: int, epochs: int
) -> tuple[list[float], float]:
    """The mean loss of each epoch until it is low, and the seconds that this took."""
    layers: list[nn.Module] = []
    for _ in range(4):
        layers += [nn.Linear(width, init=unit.init), unit.layer()]
    net = nn.Sequential(*layers, nn.Linear(10))
    model = rv.Model(net, "cross_entropy", optim.SGD(rate), preprocess=_CENTRED)
    try:
        history = model.fit(
            *digits, epochs=epochs, batch_size=32, seed=seed, progress=False,
            callbacks=_stop_when_low,
        )  # fmt: skip
    except NonFiniteError:  # the rate is too large
        return [], float("nan")
    return [float(each) for each in history["loss"]], sum(t["seconds"] for t in model.timings)


def _stop_when_low(training: Training, record: Record) -> None:
    if record["loss"] < _LOW:
        training.stop("the loss is low")


@experiment(
    "activations",
    claim="Sigmoid and tanh saturate, the step gives no gradient, and ReLU trains faster.",
    source="Glorot and Bengio 2010; Nair and Hinton 2010; Krizhevsky, Sutskever and Hinton 2012",
    threshold=f"The mean slope of sigmoid and tanh at the widest sums is below {_SATURATED} of "
    "the greatest, the ReLU's is not; for every seed, the step's gradient is zero in all hidden "
    f"layers; on average the sigmoid's in the first hidden layer is below {_VANISHED} of that in "
    "the last, the ReLU's is not; ReLU needs the fewest epochs, the mean over the seeds.",
    sabotage="All units are sigmoids, whatever they are called.",
    seeds=range(3),
    quick_seeds=(0,),
    seconds=100,
    quick_seconds=7,
)
def EXPERIMENT(trial: Trial) -> Finding:  # noqa: N802 (it becomes the experiment)
    count, width, epochs = (2000, 256, 40) if not trial.quick else (1000, 128, 40)
    units = {name: _unit(name, trial.control) for name in UNITS}
    slopes = {name: _slopes(unit) for name, unit in units.items()}
    digits = {seed: drawn(training_digits(), count, seed) for seed in trial.seeds}
    norms = {
        name: [_norms(unit, digits[seed], seed) for seed in trial.seeds]
        for name, unit in units.items()
    }
    learning = {name: _Learning() for name in units}
    jobs = [
        (name, rate, seed) for name in units for rate in units[name].rates for seed in trial.seeds
    ]
    for name, rate, seed in trial.track(jobs):
        found = _learn(units[name], rate, seed, digits[seed], width, epochs)
        learning[name].losses.setdefault(rate, []).append(found[0])
        learning[name].seconds.setdefault(rate, []).append(found[1])
    best = {name: found.best() for name, found in learning.items()}
    needed = {name: found.epochs(best[name]) for name, found in learning.items()}
    means = {name: float(np.mean(each)) for name, each in needed.items()}
    kept = {name: each[-1] / max(each) if max(each) else 0.0 for name, each in slopes.items()}
    first = {n: float(np.mean([_share(s) for s in each])) for n, each in norms.items()}
    saturate = max(kept["sigmoid"], kept["tanh"]) < _SATURATED < kept["ReLU"]
    nothing = max(max(each[:-1]) for each in norms["step"]) == 0
    fastest = means["ReLU"] < min(means["tanh"], means["sigmoid"], means["step"])
    return Finding(
        holds=saturate and nothing and first["sigmoid"] < _VANISHED < first["ReLU"] and fastest,
        because=f"at wide sums sigmoid, tanh and ReLU keep {kept['sigmoid']:.0%}, "
        f"{kept['tanh']:.0%} and {kept['ReLU']:.0%} of their slope; the step's gradient is "
        f"{'zero' if nothing else 'not zero'}; epochs until the loss was low: "
        + ", ".join(f"{name} {_epochs(mean)}" for name, mean in means.items()),
        measurements={
            "epochs_to_low_loss": needed,
            "seconds": {name: learning[name].seconds[rate] for name, rate in best.items()},
            "best_rate": best,
            "epochs_by_rate": {
                name: {f"{rate:g}": found.epochs(rate) for rate in found.losses}
                for name, found in learning.items()
            },
            "slope_kept_at_wide_sums": kept,
            "first_to_last_hidden_gradient": first,
        },
        charts=[
            _curves(learning, best),
            *_clock(learning, best),
            _by_layer(norms),
            _by_sum(slopes),
        ],
    )


def _share(norms: list[float]) -> float:
    """The first layer's gradient over that of the last hidden layer, 0 where there is none."""
    return norms[0] / norms[-2] if norms[-2] else 0.0


def _epochs(mean: float) -> str:
    return f"{mean:.1f}" if np.isfinite(mean) else "never"


def _curves(learning: Mapping[str, _Learning], best: Mapping[str, float]) -> Chart:
    marks = []
    for name, rate in best.items():
        losses = learning[name].losses[rate][0]
        marks.append(Line(range(1, len(losses) + 1), losses, f"{name}, rate {rate:g}"))
    return Chart(
        "loss by epoch", marks, x="epoch", y="mean loss", log_y=True,
        note=f"The first seed, each with its best rate. A line ends below {_LOW}.",
    )  # fmt: skip


def _clock(learning: Mapping[str, _Learning], best: Mapping[str, float]) -> list[Chart]:
    """The seconds of those that got there, which decide nothing: the machine may be busy."""
    there = [name for name, rate in best.items() if np.isfinite(learning[name].epochs(rate)).all()]
    seconds = [float(np.mean(learning[name].seconds[best[name]])) for name in there]
    note = "Compilation left out. The verdict does not rest on it."
    return (
        [Chart("seconds to the low loss", [Bars(there, seconds)], y="seconds", note=note)]
        if there
        else []
    )


def _by_layer(norms: Mapping[str, list[list[float]]]) -> Chart:
    marks = [
        Line(range(1, _DEPTH + 2), [each or np.nan for each in found[0]], name)
        for name, found in norms.items()
    ]
    return Chart(
        "gradient by layer at the start", marks, x="layer", y="norm of the gradient", log_y=True,
        note="Ten hidden layers. The step's is zero but for the last layer, where nothing lies "
        "between the weights and the loss.",
    )  # fmt: skip


def _by_sum(slopes: Mapping[str, list[float]]) -> Chart:
    marks = [Line(_SPREADS, found, name) for name, found in slopes.items()]
    return Chart(
        "mean slope", marks, x="deviation of the sums", y="slope", log_x=True,
        note="Sums are normally distributed round zero.",
    )  # fmt: skip
