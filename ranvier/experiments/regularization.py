"""A network with many more weights than observations can learn its training data by heart. It then
makes no mistake there, and many elsewhere; it overfits. The lecture names four remedies: penalties
on the weights (L1 and L2), dilution, which leaves a random part of the weights out of each update,
and dropout, which leaves a random part of the neurons out of each pass.

1,000 training digits, drawn by the seed, are learnt by a network of rectified linear units with
momentum and a rate that rises and falls, once without a remedy and once with each. In the full form
the strength of each is the one of a small grid that gives the lowest loss on 5,000 further training
digits, with a seed that is not used again; the short form has a smaller network and takes the
strengths that are stated in its file. After training, loss and error are measured on the training
digits and on test digits. The gap is the test loss less the training loss. A remedy may close it
and yet not make fewer mistakes: the loss also counts how sure a network is of its mistakes. How
slow a remedy is shows in the epochs until the loss in training has come down to 0.1.

The full form then trains 784-1024-1024-1024-10 on all 60,000 digits, as Srivastava et al. did:
without a remedy, and with dropout of a fifth of the inputs and half of the hidden units, where the
weights into a unit have a norm of at most 3, as the authors advise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import ranvier as rv
from ranvier import nn
from ranvier.experiments.digits import SCALED, Pairs, drawn, test_digits, training_digits
from ranvier.experiments.experiment import Finding, Trial, experiment
from ranvier.regularization import L1, L2, Dilution
from ranvier.report.chart import Bars, Chart, Line, Rule

_CLOSED = 0.95
"""The share of the plain network's gap that each remedy may leave."""

_BETTER = 0.95
"""The share of the plain network's test error that dropout may make."""

_SLOWER = 1.5
"""How many times the plain network's epochs dropout must take."""

_PUBLISHED = 1.25
"""Srivastava et al.'s test error with dropout, in percent, that the full form must reach."""

_LEARNT = 0.1
"""The loss in training by which the pace is told."""

_TUNING_SEED = 999


@dataclass(frozen=True)
class Remedy:
    """What is done against overfitting, for a strength, and the strengths that are tried."""

    strengths: tuple[float, ...] = (0.0,)
    penalty: Callable[[float], L1 | L2] | None = None
    dilutes: bool = False
    drops: bool = False

    def options(self, strength: float) -> dict[str, Any]:
        """Return what the model is told."""
        if self.penalty is not None:
            return {"penalties": [self.penalty(strength)]}
        return {"dilution": Dilution(strength)} if self.dilutes else {}


NONE, DROPOUT = "no remedy", "dropout"
REMEDIES = {
    NONE: Remedy(),
    "L1": Remedy((1e-5, 1e-4, 3e-4), L1),
    "L2": Remedy((1e-4, 1e-3, 3e-3), L2),
    "dilution": Remedy((0.5, 0.75, 0.9), dilutes=True),
    DROPOUT: Remedy((0.25, 0.5, 0.65), drops=True),
}
SHORT = {NONE: 0.0, "L1": 1e-4, "L2": 1e-3, "dilution": 0.9, DROPOUT: 0.5}
"""The strengths that the short form takes."""


@dataclass(frozen=True)
class _Form:
    """The sizes of one form of the experiment, for 1,000 digits."""

    layers: int
    width: int
    epochs: int
    tests: int


_FULL, _QUICK = _Form(2, 800, 80, 10_000), _Form(2, 256, 40, 2_000)
_BATCH, _RATE = 50, 0.05
_WATCHED = 500
"""How many test digits the loss is measured on after each epoch, for the curves."""


@dataclass(frozen=True)
class _Learnt:
    """What a training came to: losses and errors (in percent) at its end, and its course."""

    train_loss: float
    test_loss: float
    train_error: float
    test_error: float
    losses: list[float] = field(default_factory=list)
    course: list[float] = field(default_factory=list)

    @property
    def gap(self) -> float:
        """How much higher the loss is on test digits."""
        return self.test_loss - self.train_loss

    @property
    def pace(self) -> int:
        """After how many epochs the loss in training was low; one more than all for never."""
        reached = [i for i, loss in enumerate(self.losses, 1) if loss <= _LEARNT]
        return reached[0] if reached else len(self.losses) + 1


def network(layers: int, width: int, dropout: float) -> nn.Module:
    """Return hidden layers of rectified linear units, some left out, and ten outputs.

    dropout: the rate for hidden units; that for inputs is two fifths of it.
    """
    parts: list[nn.Module] = [nn.Dropout(0.4 * dropout)] if dropout else []
    for _ in range(layers):
        parts += [nn.Linear(width), nn.ReLU()]
        if dropout:
            parts.append(nn.Dropout(dropout))
    return nn.Sequential(*parts, nn.Linear(10))


def _learn(
    remedy: Remedy, strength: float, form: _Form, train: Pairs, test: Pairs, seed: int
) -> _Learnt:
    net = network(form.layers, form.width, strength if remedy.drops else 0.0)
    steps = form.epochs * -(-len(train[0]) // _BATCH)
    optimizer = rv.optim.Momentum(rv.schedules.OneCycle(_RATE, steps))
    model = rv.Model(
        net, "cross_entropy", optimizer, ["accuracy"], preprocess=SCALED,
        **remedy.options(strength),
    )  # fmt: skip
    some = test[0][:_WATCHED], test[1][:_WATCHED]
    history = model.fit(
        *train, epochs=form.epochs, batch_size=_BATCH, seed=seed, validation=some, progress=False
    )  # fmt: skip
    known, new = model.evaluate(*train), model.evaluate(*test)
    return _Learnt(
        known["loss"],
        new["loss"],
        100 * (1 - known["accuracy"]),
        100 * (1 - new["accuracy"]),
        [float(loss) for loss in history["loss"]],
        [float(loss) for loss in history["validation_loss"]],
    )


def _strengths(trial: Trial, form: _Form, digits: Pairs, share: float) -> dict[str, float]:
    """The strengths of the remedies, in the full form by the loss on digits set apart."""
    if trial.control:
        return dict.fromkeys(REMEDIES, 0.0)
    if trial.quick:
        return SHORT
    train = drawn(digits, 1000, _TUNING_SEED)
    validation = drawn(digits, 5000, _TUNING_SEED, after=1000)
    tried = [(name, one) for name, remedy in REMEDIES.items() for one in remedy.strengths]
    losses: dict[str, dict[float, float]] = {name: {} for name in REMEDIES}
    for name, strength in trial.track(tried, of=share):
        found = _learn(REMEDIES[name], strength, form, train, validation, _TUNING_SEED)
        losses[name][strength] = found.test_loss
    return {name: min(found, key=lambda one: found[one]) for name, found in losses.items()}


def _few(trial: Trial, share: float) -> tuple[dict[str, list[_Learnt]], dict[str, float]]:
    """Learn 1,000 digits with each remedy; return what came of it by seed, and the strengths."""
    form = _QUICK if trial.quick else _FULL
    digits, (inputs, classes) = training_digits(), test_digits()
    test = inputs[: form.tests], classes[: form.tests]
    begin = 0.0 if trial.quick or trial.control else 0.3 * share
    strengths = _strengths(trial, form, digits, begin)
    found: dict[str, list[_Learnt]] = {name: [] for name in REMEDIES}
    jobs = [(seed, name) for seed in trial.seeds for name in REMEDIES]
    for seed, name in trial.track(jobs, of=share - begin, begin=begin):
        train = drawn(digits, 1000, seed)
        found[name].append(_learn(REMEDIES[name], strengths[name], form, train, test, seed))
    return found, strengths


# ------------------------------------------------------------ all digits

_EPOCHS = {NONE: 12, DROPOUT: 50}
"""Epochs on all digits; without a remedy the training digits are known by heart after ten."""


def _all(trial: Trial, begin: float) -> dict[str, list[float]]:
    """Learn all 60,000 digits; return the test errors in percent, by seed."""
    digits, test = training_digits(), test_digits()
    errors: dict[str, list[float]] = {name: [] for name in _EPOCHS}
    jobs = [(seed, name) for seed in trial.seeds for name in _EPOCHS]
    for seed, name in trial.track(jobs, of=1 - begin, begin=begin):
        net = network(3, 1024, 0.5 if name == DROPOUT else 0.0)
        rate = rv.schedules.OneCycle(0.1, _EPOCHS[name] * -(-len(digits[0]) // 128))
        optimizer = rv.optim.Momentum(rate)
        model = rv.Model(
            net, "cross_entropy", optimizer, ["accuracy"], preprocess=SCALED,
            max_norm=3.0 if name == DROPOUT else None,
        )  # fmt: skip
        model.fit(*digits, epochs=_EPOCHS[name], batch_size=128, seed=seed, progress=False)
        errors[name].append(100 * (1 - model.evaluate(*test)["accuracy"]))
    return errors


@experiment(
    "regularization",
    claim="Large networks overfit; L1, L2, dilution and dropout close the gap between training "
    "and test, of which dropout is slower and better.",
    source="Tibshirani 1996; Hertz, Krogh and Palmer 1991; Srivastava et al. 2014",
    threshold="With 1,000 digits, as means over the seeds: the plain network makes mistakes in at "
    f"most 1 % of the training digits and in 8 % or more of the test digits; each remedy leaves "
    f"at most {_CLOSED:.0%} of its gap in loss; dropout makes at most {_BETTER:.0%} of its test "
    f"mistakes, fewer than any other remedy, and takes {_SLOWER} times its epochs or more. In the "
    f"full form also: with all digits dropout makes mistakes in at most {_PUBLISHED} % of the test "
    "digits, and in fewer than the plain network.",
    sabotage="Every remedy has strength 0, and all digits are left out.",
    seeds=range(3),
    quick_seeds=(0, 1),
    seconds=1500,
    quick_seconds=5,
)
def EXPERIMENT(trial: Trial) -> Finding:  # noqa: N802 (it becomes the experiment)
    large = not trial.quick and not trial.control
    found, strengths = _few(trial, 0.15 if large else 1.0)
    errors = _all(trial, 0.15) if large else {}
    gap, train, test, pace = (
        {name: float(np.mean([getattr(run, what) for run in runs])) for name, runs in found.items()}
        for what in ("gap", "train_error", "test_error", "pace")
    )
    remedies = [name for name in REMEDIES if name != NONE]
    closed = [name for name in remedies if gap[name] <= _CLOSED * gap[NONE]]
    best = test[DROPOUT] <= min(_BETTER * test[NONE], *(test[name] for name in remedies))
    slower = pace[DROPOUT] >= _SLOWER * pace[NONE]
    overfits = train[NONE] <= 1 and test[NONE] >= 8
    published = all(np.mean(errors[DROPOUT]) < bar for bar in _bars(errors))
    return Finding(
        holds=overfits and closed == remedies and best and slower and published,
        because=f"on 1,000 digits the plain network errs in {train[NONE]:.1f} % of them and "
        f"{test[NONE]:.1f} % of the test digits; {len(closed)} of {len(remedies)} remedies close "
        f"the gap in loss; dropout errs in {test[DROPOUT]:.1f} %, with {pace[DROPOUT]:.0f} epochs "
        f"for {pace[NONE]:.0f}" + _said(errors),
        measurements={
            "strengths": strengths,
            "gap_in_loss": gap,
            "training_error_in_percent": train,
            "test_error_in_percent": test,
            "epochs_until_learnt": pace,
            **({"test_error_with_all_digits": errors} if errors else {}),
        },
        charts=_charts(found, errors),
    )


def _bars(errors: Mapping[str, list[float]]) -> list[float]:
    """What dropout's mean error with all digits must be below; nothing where they are left out."""
    return [_PUBLISHED + 1e-9, float(np.mean(errors[NONE]))] if errors else []


def _said(errors: Mapping[str, list[float]]) -> str:
    if not errors:
        return ""
    return (
        f"; with all digits the plain network errs in {np.mean(errors[NONE]):.2f} % and dropout "
        f"in {np.mean(errors[DROPOUT]):.2f} %"
    )


def _charts(found: Mapping[str, list[_Learnt]], errors: Mapping[str, list[float]]) -> list[Chart]:
    seeds = "Mean over the seeds, and from the lowest to the highest."
    tests = {name: [run.test_error for run in runs] for name, runs in found.items()}
    gaps = {name: [run.gap for run in runs] for name, runs in found.items()}
    charts = [
        Chart("mistakes, 1,000 digits", [_bars_of(tests)], y="test error in %", note=seeds),
        Chart("the gap, 1,000 digits", [_bars_of(gaps)], y="test less training loss", note=seeds),
        _curves("test loss", {name: runs[0].course for name, runs in found.items()}, []),
        _curves(
            "loss in training", {name: runs[0].losses for name, runs in found.items()},
            [Rule(y=_LEARNT, label="learnt")],
        ),
    ]  # fmt: skip
    if errors:
        rule = Rule(y=_PUBLISHED, label=f"{_PUBLISHED} %")
        charts.append(
            Chart("mistakes, all digits", [_bars_of(errors), rule], y="test error in %", note=seeds)
        )
    return charts


def _bars_of(found: Mapping[str, list[float]]) -> Bars:
    values = list(found.values())
    return Bars(
        list(found),
        [float(np.mean(each)) for each in values],
        [min(each) for each in values],
        [max(each) for each in values],
    )


def _curves(title: str, found: Mapping[str, list[float]], rules: list[Rule]) -> Chart:
    lines = [Line(range(1, len(each) + 1), each, name) for name, each in found.items()]
    return Chart(
        title, [*lines, *rules], x="epoch", y="mean loss", log_y=True, note="The first seed."
    )
