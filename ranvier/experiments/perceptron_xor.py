"""Rosenblatt's perceptron weighs its inputs, adds a bias and gives 1 where the sum is not negative.
On a mistake it adds the pair to its weights, or takes it away. Novikoff showed that, where weights
exist that separate the two classes with a margin γ, and no input (with the 1 of the bias) is longer
than R, the rule makes at most (R / γ)² such updates, in whatever order the pairs come.

The perceptron learns AND, OR and NAND from their four rows, in a new random order each epoch, and
its updates are counted beside the bound of the largest margin. So are those for 100 points in the
plane on either side of a random line, which keep a distance of 0.02 to 0.3 from it. Then it is
shown XOR, whose diagonals cross in the middle, so that no line separates them: Minsky and Papert's
example. Its mistakes are counted in every epoch, and that no weights exist is proved by the simplex
method, in whole numbers.

Two layers can. A unit that learnt AND, fed by units that learnt OR and NAND, computes XOR; and a
network 2-4-1 with tanh units learns it by back-propagation from random weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np

import ranvier as rv
from ranvier import nn, optim
from ranvier.experiments.experiment import Finding, Trial, experiment
from ranvier.models.perceptron import Learning, Perceptron, novikoff_bound
from ranvier.report.chart import Cells, Chart, Dots, Line

INPUTS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float64)
XOR = np.array([0, 1, 1, 0])
GATES = {
    "AND": np.array([0, 0, 0, 1]),
    "OR": np.array([0, 1, 1, 1]),
    "NAND": np.array([1, 1, 1, 0]),
}
"""What each gate gives for `INPUTS`."""

_WIDEST = {
    "AND": ((2.0, 2.0), -3.0),
    "OR": ((2.0, 2.0), -1.0),
    "NAND": ((-2.0, -2.0), 3.0),
}
"""Weights and bias of the largest margin, for which Novikoff's bound is least."""

_APART = {f"points {margin:g} away": margin for margin in (0.02, 0.05, 0.1, 0.3)}
"""How far the points keep from the line."""

_CELLS = 80
"""Of a picture of the plane, on either side."""

_NO_END = 10_000
"""Epochs that a perceptron gets where it must converge: enough never to be reached."""


@dataclass
class _Seen:
    """What the seeds have shown: updates and bounds by task, and how XOR went.

    gates, nets: those of the first seed, which are drawn. wrong: mistakes on XOR by epoch.
    """

    updates: dict[str, list[float]] = field(default_factory=dict)
    bounds: dict[str, list[float]] = field(default_factory=dict)
    gates: list[dict[str, Perceptron]] = field(default_factory=list)
    nets: list[rv.Model] = field(default_factory=list)
    wrong: list[np.ndarray] = field(default_factory=list)
    undecided: int = 0
    composed: int = 0
    learnt: int = 0

    def add(self, task: str, learning: Learning, bound: float) -> None:
        """Count the updates of a perceptron; infinitely many where it has not converged."""
        used = float(learning.updates[0]) if learning.converged[0] else np.inf
        self.updates.setdefault(task, []).append(used)
        self.bounds.setdefault(task, []).append(bound)


def _points(seed: int, margin: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """100 points of a square and their side of a line; the line's weights and bias."""
    random = np.random.default_rng(seed)
    angle, bias = random.uniform(0, 2 * np.pi), random.uniform(-0.3, 0.3)
    normal = np.array([np.cos(angle), np.sin(angle)])
    points = random.uniform(-1, 1, (2000, 2))
    points = points[np.abs(points @ normal + bias) >= margin][:100]
    return points, (points @ normal + bias > 0).astype(np.int64), normal, bias


def _perceptrons(seen: _Seen, seed: int, epochs: int) -> None:
    """Learn the gates, the points and XOR with this seed."""
    units: dict[str, Perceptron] = {}
    for name, targets in GATES.items():
        units[name] = Perceptron()
        found = units[name].fit(INPUTS, targets, epochs=_NO_END, seed=seed)
        weights, bias = _WIDEST[name]
        bound = novikoff_bound(INPUTS, targets, np.array(weights), bias)
        seen.add(name, found, bound)
    for task, margin in _APART.items():
        points, sides, normal, bias = _points(seed, margin)
        found = Perceptron().fit(points, sides, epochs=_NO_END, seed=seed)
        bound = novikoff_bound(points, sides, normal, bias)
        seen.add(task, found, bound)
    alone = Perceptron()
    found = alone.fit(INPUTS, XOR, epochs=epochs, seed=seed)
    seen.wrong.append(found.mistakes[:, 0])
    seen.undecided += found.separable[0] is not False
    first = np.hstack([units["OR"].predict(INPUTS), units["NAND"].predict(INPUTS)])
    seen.composed += np.array_equal(units["AND"].predict(first)[:, 0], XOR)
    seen.gates.append({**units, "XOR": alone})


def _two_layers(seen: _Seen, seed: int, linear: bool) -> None:
    """Learn XOR with a network 2-4-1; its hidden units are linear in the control."""
    net = nn.Sequential(nn.Linear(4), nn.Identity() if linear else nn.Tanh(), nn.Linear(1))
    model = rv.Model(net, "binary_cross_entropy", optim.Adam(0.05))
    model.fit(
        INPUTS.astype(np.float32), XOR[:, None], epochs=400, batch_size=4, seed=seed,
        progress=False,
    )  # fmt: skip
    found = model.predict(INPUTS.astype(np.float32))[:, 0]
    seen.learnt += np.array_equal(found > 0.5, XOR == 1)
    seen.nets.append(model)


@experiment(
    "perceptron-xor",
    claim="A perceptron learns AND, OR and NAND in finitely many updates and cannot do XOR; two "
    "layers can.",
    source="Rosenblatt 1958; Novikoff 1962; Minsky and Papert 1969",
    threshold="For every seed: each gate and each set of points is learnt without mistake, within "
    "Novikoff's bound; on XOR there is a mistake in every epoch, and it is proved that no weights "
    "do it; AND of OR and NAND, as learnt, is XOR, and the network 2-4-1 learns all four rows.",
    sabotage="The hidden units of the network are linear, which makes its two layers one.",
    seeds=range(20),
    quick_seeds=range(3),
    seconds=5,
    quick_seconds=1.5,
)
def EXPERIMENT(trial: Trial) -> Finding:  # noqa: N802 (it becomes the experiment)
    seen = _Seen()
    for seed in trial.track(trial.seeds):
        _perceptrons(seen, seed, 1000 if not trial.quick else 200)
        _two_layers(seen, seed, trial.control)
    count = len(trial.seeds)
    shares = {
        task: float(np.max(np.divide(used, seen.bounds[task])))
        for task, used in seen.updates.items()
    }
    fewest = min(int(wrong.min()) for wrong in seen.wrong)
    learns, cannot = max(shares.values()) <= 1, fewest > 0 and not seen.undecided
    gates = {name: max(seen.updates[name]) for name in GATES}
    return Finding(
        holds=learns and cannot and seen.composed == count and seen.learnt == count,
        because=f"the gates took {max(gates.values()):.0f} updates at most; no task took more "
        f"than {max(shares.values()):.0%} of its bound; {'every' if fewest else 'not every'} epoch "
        f"of XOR had mistakes; a network of two layers learnt it in {seen.learnt} of {count} runs",
        measurements={
            "updates": seen.updates,
            "novikoff_bounds": seen.bounds,
            "largest_share_of_the_bound": shares,
            "epochs_of_xor": len(seen.wrong[0]),
            "fewest_mistakes_in_an_epoch_of_xor": fewest,
            "xor_of_learnt_gates": seen.composed,
            "xor_by_two_layers": seen.learnt,
        },
        charts=[
            _drawn("XOR, two layers", XOR, partial(_chances, seen.nets[0]), "A network 2-4-1."),
            *[
                _drawn(f"{name}, a perceptron", GATES.get(name, XOR), partial(_answers, unit), "")
                for name, unit in reversed(seen.gates[0].items())
            ],
            _bounded(seen),
            _mistakes(seen),
        ],
    )


def _answers(unit: Perceptron, at: np.ndarray) -> np.ndarray:
    return unit.predict(at)[:, 0].astype(np.float64)


def _chances(model: rv.Model, at: np.ndarray) -> np.ndarray:
    found: np.ndarray = model.predict(at.astype(np.float32), batch_size=1024)
    return found[:, 0].astype(np.float64)


def _drawn(
    title: str, targets: np.ndarray, answer: Callable[[np.ndarray], np.ndarray], note: str
) -> Chart:
    """The answer over the plane, and the four rows."""
    steps = (np.arange(_CELLS) + 0.5) / _CELLS * 2 - 0.5
    grid = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
    values = answer(grid).reshape(_CELLS, _CELLS)
    cells = Cells(values, -0.5, 1.5, -0.5, 1.5, low=0.0, high=1.0)
    rows = [
        Dots(INPUTS[targets == kind, 0], INPUTS[targets == kind, 1], f"shall give {kind}")
        for kind in (1, 0)  # the first colour is that of the cells' high end
    ]
    return Chart(title, [cells, *rows], x="first input", y="second input", square=True, note=note)


def _bounded(seen: _Seen) -> Chart:
    marks = [Dots(seen.bounds[gate], seen.updates[gate], gate) for gate in GATES]
    bounds, used = (
        [each for task in _APART for each in found[task]] for found in (seen.bounds, seen.updates)
    )
    marks.append(Dots(bounds, used, "points"))
    ends = [min(map(min, seen.bounds.values())), max(map(max, seen.bounds.values()))]
    return Chart(
        "updates used and Novikoff's bound", [Line(ends, ends, "the bound"), *marks],
        x="Novikoff's bound", y="updates used", log_x=True, log_y=True,
        note="A dot for each seed and task. All lie below the line.",
    )  # fmt: skip


def _mistakes(seen: _Seen) -> Chart:
    wrong = seen.wrong[0][:60]
    return Chart(
        "a perceptron on XOR never ends", [Line(range(1, len(wrong) + 1), wrong, "of four rows")],
        x="epoch", y="mistakes", note="The first seed. Its weights come round again and again.",
    )  # fmt: skip
