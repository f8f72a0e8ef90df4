"""A Hopfield network stores patterns in symmetric weights, and updates its units one after another
to the sign of their field. The energy -½ Σ w_ij x_i x_j then never rises, so that the states come
to rest, in the stored patterns if all goes well.

First digits. Ten pictures of MNIST, one of each class, are stored by the pseudo-inverse rule, which
bears patterns that are alike. From copies of which 30 % of the units are turned over, the network
must find back, and the energy is looked at after every sweep; also for random patterns that the
Hebbian rule stores.

Then the capacity of the Hebbian rule, by finite-size scaling. For networks of N units and loads
α = P / N the stored random patterns are the initial states; a pattern counts as recalled if the
overlap m = Σ x_i ξ_i / N at rest is above 0.9 (Amit, Gutfreund and Sompolinsky expect 0.967 just
below capacity, and about 0.35 above it). The share of recalled patterns falls from 1 to 0 round a
midpoint, over a width; both come from a logistic curve that is fitted to the shares. The larger the
network, the narrower the fall; an infinite one jumps. So a straight line is laid through the
midpoints of all sizes against the widths, and what it says at width zero is the capacity. No
exponent of N need be assumed (Stauffer and Aharony, "Introduction to percolation theory").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

import ranvier as rv
from ranvier.experiments.experiment import Finding, Trial, experiment
from ranvier.models.hopfield import Hopfield, Recall, corrupted
from ranvier.report.chart import Cells, Chart, Dots, Line, Mark, Rule

CAPACITY = 0.138
"""Patterns a unit, by the theory of Amit, Gutfreund and Sompolinsky."""

_RECALLED = 0.9
"""The overlap from which a pattern counts as recalled."""

_NEAR, _NEAR_QUICK = 0.01, 0.03
"""How far the measured capacity may lie off."""

_DIGITS = 0.99
"""The share of corrupted digits that must be found back without an error."""

_NOISE, _COPIES = 0.3, 20
_ROUND_OFF = 1e-6
"""A rise of the energy, relative to it, that is one of its rounding."""

_SPREAD = (-0.3, 0.0, 0.3, 0.6, 0.9, 1.2, 1.6)
"""Loads are 0.14 plus these divided by sqrt(N), which is where the fall is."""

_AT_ONCE = 64
"""Patterns of a network that are recalled, at most."""


@dataclass(frozen=True)
class _Curve:
    """Networks of one size: loads, patterns tried and recalled, and the share of wrong units."""

    loads: np.ndarray
    tried: np.ndarray
    recalled: np.ndarray
    wrong: np.ndarray


@dataclass(frozen=True)
class _Fall:
    """Where half of the patterns are recalled, and over what width the share falls."""

    midpoint: float
    width: float


def _stored(patterns: np.ndarray, rule: str, seed: int, broken: bool) -> Hopfield:
    """A network that knows patterns; where `broken`, its weights are in each other's places."""
    network = Hopfield.store(patterns, rule)
    if not broken:
        return network
    upper = np.triu_indices(network.units, 1)
    mixed = np.zeros_like(network.weights)
    mixed[upper] = np.random.default_rng(seed).permutation(network.weights[upper])
    return Hopfield(mixed + mixed.T)


def _random(random: np.random.Generator, count: int, units: int) -> np.ndarray:
    return random.integers(0, 2, (count, units)) * 2 - 1


def _digits(seed: int) -> np.ndarray:
    """One test digit of each class, black or white, [10, 784]."""
    data = rv.datasets.load("mnist").test
    images, labels = np.asarray(data.inputs), np.asarray(data.targets)
    random = np.random.default_rng(seed)
    chosen = [random.choice(np.flatnonzero(labels == each)) for each in range(10)]
    return np.where(images[chosen].reshape(10, -1) > 127, 1, -1)


@dataclass
class _Digits:
    """What the recall of digits has shown, and the energies of random patterns beside it.

    perfect: for each seed, the share of copies that were found back without an error. rises: the
    largest rise of the energy between two sweeps, relative to the energy. rows: stored, corrupted
    and recalled digits of the first seed, and paths: energies [sweeps + 1] of random patterns.
    """

    perfect: list[float] = field(default_factory=list)
    rises: list[float] = field(default_factory=list)
    rows: list[np.ndarray] = field(default_factory=list)
    paths: list[np.ndarray] = field(default_factory=list)

    def add(self, seed: int, broken: bool) -> None:
        """Recall digits, and random patterns, from corrupted copies."""
        digits = _digits(seed)
        wanted = np.repeat(digits, _COPIES, axis=0)
        begun = corrupted(wanted, _NOISE, seed)
        network = _stored(digits, "pseudo_inverse", seed, broken)
        found = network.recall(begun, seed=seed, trajectory=True)
        self.perfect.append(float((found.states == wanted).all(axis=1).mean()))
        self.rises.append(_rise(found))
        if not self.rows:
            self.rows = [each[::_COPIES] for each in (wanted, begun, found.states)]
        patterns = _random(np.random.default_rng(seed), 40, 400)
        network = _stored(patterns, "hebbian", seed, broken)
        begun = corrupted(patterns, _NOISE, seed)
        found = network.recall(begun, seed=seed, trajectory=True)
        self.rises.append(_rise(found))
        self.paths = self.paths or list(_energies(found).T[:12])

    def picture(self) -> Chart:
        """The digits of the first seed, one row on the other."""
        strips = [np.hstack(list(row.reshape(-1, 28, 28))) for row in self.rows]
        return Chart(
            "digits stored, corrupted, recalled",
            [Cells(np.vstack(strips), right=10.0, top=3.0, picture=True)], square=True,
            note=f"Above what was stored; then {_NOISE:.0%} of the units turned over; below what "
            "the network made of them.",
        )  # fmt: skip

    def descent(self) -> Chart:
        """The energies of some random patterns, sweep by sweep."""
        return Chart(
            "energy", [Line(range(len(path)), path) for path in self.paths],
            x="sweep", y="energy",
            note="Random patterns of the first seed, stored by the Hebbian rule at a load of 0.1. "
            "No line rises.",
        )  # fmt: skip


def _energies(found: Recall) -> np.ndarray:
    """The energies of a recall whose trajectory was asked for, [sweeps + 1, states]."""
    if found.energies is None:
        raise ValueError("the recall was without trajectory")
    return found.energies


def _rise(found: Recall) -> float:
    """The largest rise between two sweeps, relative to the energy."""
    energies = _energies(found)
    return float(np.diff(energies, axis=0).max() / np.abs(energies).max())


def _curve(units: int, networks: int, seed: int, broken: bool) -> _Curve:
    """Recall stored patterns at each load, in so many networks."""
    random = np.random.default_rng((seed, units))
    counts = [round((0.14 + each / units**0.5) * units) for each in _SPREAD]
    starts = min(_AT_ONCE, counts[0])
    overlaps = np.empty((len(counts), networks * starts))
    for row, count in enumerate(counts):
        found = []
        for _ in range(networks):
            patterns = _random(random, count, units)
            network = _stored(patterns, "hebbian", seed, broken)
            last = network.recall(patterns[:starts], seed=seed).states
            found.append((last * patterns[:starts]).mean(axis=1))
        overlaps[row] = np.concatenate(found)
    return _Curve(
        np.array(counts) / units,
        np.full(len(counts), overlaps.shape[1]),
        (overlaps > _RECALLED).sum(axis=1),
        ((1 - overlaps) / 2).sum(axis=1),
    )


def _pooled(curves: list[_Curve]) -> _Curve:
    """The curves of several seeds as one."""
    tried, recalled, wrong = (
        np.sum([getattr(curve, name) for curve in curves], axis=0)
        for name in ("tried", "recalled", "wrong")
    )
    return _Curve(curves[0].loads, tried, recalled, wrong)


def _fall(curve: _Curve) -> _Fall:
    """Fit log (share / (1 - share)) by a line, weighted by what each share tells (Berkson 1944)."""
    share = (curve.recalled + 0.5) / (curve.tried + 1)
    if share.max() < 0.5 or share.min() > 0.5:
        return _Fall(float("nan"), float("nan"))
    weight = np.sqrt(curve.tried * share * (1 - share))
    slope, level = np.polyfit(curve.loads, np.log(share / (1 - share)), 1, w=weight)
    return _Fall(float(-level / slope), float(-1 / slope))


def _capacity(falls: list[_Fall]) -> tuple[float, float]:
    """The midpoint at width zero, and how it grows with the width; NaN where there is no fall."""
    widths, midpoints = [fall.width for fall in falls], [fall.midpoint for fall in falls]
    if not np.isfinite(widths).all():
        return float("nan"), float("nan")
    slope, level = np.polyfit(widths, midpoints, 1)
    return float(level), float(slope)


def _standard_error(curves: Mapping[int, list[_Curve]]) -> float:
    """The capacity's standard error, by leaving out one seed after another; NaN for one seed."""
    count = len(next(iter(curves.values())))
    if count < 2:
        return float("nan")
    without = [
        _capacity([_fall(_pooled(each[:out] + each[out + 1 :])) for each in curves.values()])[0]
        for out in range(count)
    ]
    return float(np.std(without) * (count - 1) ** 0.5)


@experiment(
    "hopfield-recall",
    claim="Stored patterns are attractors, the energy never rises on the way to them, and 1,000 "
    "units can store about 138 random ones.",
    source="Hopfield 1982; Amit, Gutfreund and Sompolinsky 1985",
    threshold=f"Of digits with {_NOISE:.0%} of their units turned over, {_DIGITS:.0%} are found "
    "back without an error; no energy rises between two sweeps by more than rounding; the "
    f"capacity, extrapolated to networks of any size, is within {_NEAR} of {CAPACITY} (within "
    f"{_NEAR_QUICK} in the short form, whose networks are small).",
    sabotage="The weights are in each other's places, shuffled but symmetric.",
    seeds=range(3),
    quick_seeds=(0,),
    seconds=70,
    quick_seconds=5,
)
def EXPERIMENT(trial: Trial) -> Finding:  # noqa: N802 (it becomes the experiment)
    sizes = {100: 20, 200: 10, 500: 4, 1000: 2, 2000: 1}
    if trial.quick:
        sizes = {100: 20, 200: 10, 400: 5}
    seen = _Digits()
    curves: dict[int, list[_Curve]] = {units: [] for units in sizes}
    for seed in trial.track(trial.seeds, of=0.1):
        seen.add(seed, trial.control)
    jobs = [(units, seed) for units in sizes for seed in trial.seeds]
    for units, seed in trial.track(jobs, of=0.9, begin=0.1):
        curves[units].append(_curve(units, sizes[units], seed, trial.control))
    pooled = {units: _pooled(found) for units, found in curves.items()}
    falls = {units: _fall(curve) for units, curve in pooled.items()}
    capacity, growth = _capacity(list(falls.values()))
    perfect, rise = float(np.mean(seen.perfect)), max(seen.rises)
    near = _NEAR_QUICK if trial.quick else _NEAR
    error = _standard_error(curves)
    return Finding(
        holds=perfect >= _DIGITS and rise <= _ROUND_OFF and abs(capacity - CAPACITY) <= near,
        because=f"{perfect:.1%} of the corrupted digits were found back; the energy "
        + ("never rose" if rise <= _ROUND_OFF else f"rose by {rise:.1g} of it")
        + "; the capacity "
        + ("could not be measured" if np.isnan(capacity) else f"is {capacity:.4f} patterns a unit"),
        measurements={
            "digits_found_back": perfect,
            "greatest_relative_rise_of_energy": rise,
            "capacity": capacity,
            "standard_error_of_capacity": error,
            "midpoints": {str(units): fall.midpoint for units, fall in falls.items()},
            "widths": {str(units): fall.width for units, fall in falls.items()},
            "loads": {str(units): curve.loads for units, curve in pooled.items()},
            "share_recalled": {str(n): c.recalled / c.tried for n, c in pooled.items()},
            "share_of_wrong_units": {str(n): c.wrong / c.tried for n, c in pooled.items()},
        },
        charts=[
            _shares(pooled),
            _errors(pooled),
            _extrapolated(falls, capacity, growth),
            seen.picture(),
            seen.descent(),
        ],
    )


def _shares(curves: Mapping[int, _Curve]) -> Chart:
    marks: list[Mark] = [
        Line(curve.loads, curve.recalled / curve.tried, f"N = {units}")
        for units, curve in curves.items()
    ]
    return Chart(
        "patterns recalled", [*marks, Rule(x=CAPACITY, label="0.138")],
        x="load P / N", y="share of patterns",
        note="The larger the network, the nearer the fall is to a jump, and to the capacity.",
    )  # fmt: skip


def _errors(curves: Mapping[int, _Curve]) -> Chart:
    marks: list[Mark] = [
        Line(curve.loads, curve.wrong / curve.tried, f"N = {units}")
        for units, curve in curves.items()
    ]
    return Chart(
        "wrong units", [*marks, Rule(x=CAPACITY, label="0.138")],
        x="load P / N", y="share of units", log_y=all(c.wrong.min() > 0 for c in curves.values()),
    )  # fmt: skip


def _extrapolated(falls: Mapping[int, _Fall], capacity: float, growth: float) -> Chart:
    widths = [fall.width for fall in falls.values()]
    reach = np.array([0.0, np.nanmax([0.01, *widths])])
    return Chart(
        "the capacity of an infinite network",
        [
            Line(reach, capacity + growth * reach, "the line through all"),
            Dots(widths, [fall.midpoint for fall in falls.values()], "a size of network"),
            Rule(y=CAPACITY, label="0.138"),
        ],
        x="width of the fall", y="load at its midpoint",
        note=f"N is {', '.join(map(str, falls))}, from right to left. The capacity is where the "
        "line meets width zero.",
    )  # fmt: skip
