"""An autoencoder learns to give back its input through a narrow middle, the code. If all its units
are linear, the best it can do is the projection on the first principal components. With non-linear
units a code of the same size can follow the curved surface on which the data lie.

Hinton and Salakhutdinov's network, 784-1000-500-250-30 and back, with rectified linear units in
place of layer-wise pre-training, learns MNIST's 60,000 digits with Adam, and its mean squared error
on the 10,000 test digits is compared with that of the first 30 principal components of the same
training digits, by NumPy's singular value decomposition. The short form has 5,000 digits, the
network 784-256-64-8, and 8 components. A second network has a code of two numbers, which are drawn,
coloured by the digit's class, beside the first two principal components.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import ranvier as rv
from ranvier import nn
from ranvier.experiments.digits import (
    SCALED,
    as_digit,
    drawn,
    test_digits,
    training_digits,
)
from ranvier.experiments.experiment import Finding, Trial, experiment
from ranvier.report.chart import Bars, Cells, Chart, Dots
from ranvier.wording import counted

_HALF = 0.5
"""The share of the components' error that the full form's network may have."""

_SHORT = 0.75
"""The share that the short form's may have."""

_SHOWN = 8
"""How many test digits are drawn with their reconstructions."""

_DOTS = 1500
"""How many test digits are drawn by their code of two numbers."""


@dataclass(frozen=True)
class _Form:
    """The sizes of one form of the experiment."""

    digits: int
    hidden: tuple[int, ...]
    code: int
    epochs: int
    batch: int
    rate: float
    share: float


_FULL = _Form(60000, (1000, 500, 250), 30, 12, 128, 2e-3, _HALF)
_QUICK = _Form(5000, (256, 64), 8, 16, 100, 4e-3, _SHORT)


@dataclass(frozen=True)
class Components:
    """The first principal components of rows: their mean and the axes, [components, numbers]."""

    mean: np.ndarray
    axes: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray, count: int) -> Components:
        """Find the first `count` of them, by the singular values of the rows' covariance."""
        mean = rows.mean(0)
        centred = rows - mean
        _, _, axes = np.linalg.svd(centred.T @ centred, hermitian=True)
        return cls(mean, axes[:count])

    def encode(self, rows: np.ndarray) -> np.ndarray:
        """Return how far along each axis the rows lie, [n, components]."""
        found: np.ndarray = (rows - self.mean) @ self.axes.T
        return found

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Return the rows that lie so far along the axes."""
        found: np.ndarray = codes @ self.axes + self.mean
        return found


def network(hidden: tuple[int, ...], code: int, linear: bool) -> nn.Module:
    """Return encoder and decoder; `linear` leaves the non-linear units out."""

    def dense(sizes: tuple[int, ...]) -> list[nn.Module]:
        unit = nn.Identity if linear else nn.ReLU
        return [layer for size in sizes for layer in (nn.Linear(size), unit())]

    return nn.Sequential(
        encoder=nn.Sequential(*dense(hidden), nn.Linear(code)),
        decoder=nn.Sequential(
            *dense(hidden[::-1]), nn.Linear(784), nn.Identity() if linear else nn.Sigmoid()
        ),
    )


def _trained(form: _Form, code: int, rows: np.ndarray, seed: int, linear: bool) -> rv.Model:
    steps = form.epochs * -(-len(rows) // form.batch)
    # A falling rate spares the noise of the last steps; linear units stand no more than a third.
    rate = rv.schedules.OneCycle(form.rate / 3 if linear else form.rate, steps)
    net = network(form.hidden, code, linear)
    model = rv.Model(net, "mean_squared_error", rv.optim.Adam(rate), preprocess=SCALED)
    model.fit(rows, epochs=form.epochs, batch_size=form.batch, seed=seed, progress=False)
    return model


def _codes(model: rv.Model, rows: np.ndarray) -> np.ndarray:
    """What the encoder alone gives; its weights are those of the network."""
    net: Any = model.net
    found: np.ndarray = rv.Model(net.encoder, preprocess=SCALED).predict(rows)
    return found


def _apart(codes: np.ndarray, classes: np.ndarray) -> float:
    """The share of codes whose nearest other code is of the same class."""
    near = ((codes[:, None] - codes[None]) ** 2).sum(-1)
    np.fill_diagonal(near, np.inf)
    return float(np.mean(classes[near.argmin(1)] == classes))


@experiment(
    "autoencoder",
    claim="A bottleneck reduces dimensions better than principal components do.",
    source="Hinton and Salakhutdinov 2006",
    threshold="For every seed, the error of the test digits' reconstruction is at most "
    f"{_HALF:.0%} of that from as many principal components, 30; in the short form, which has 8 "
    f"numbers in the code and a twelfth of the digits, {_SHORT:.0%}.",
    sabotage="All units are linear, so that principal components are the best there is.",
    seeds=range(2),
    quick_seeds=(0, 1),
    seconds=250,
    quick_seconds=5,
)
def EXPERIMENT(trial: Trial) -> Finding:  # noqa: N802 (it becomes the experiment)
    form = _QUICK if trial.quick else _FULL
    digits, (test, classes) = training_digits(), test_digits()
    pixels = test / np.float32(255)
    errors: list[float] = []
    bounds: list[float] = []
    made: dict[str, np.ndarray] = {}
    for seed in trial.track(trial.seeds, of=0.7):
        rows = drawn(digits, form.digits, seed)[0]
        plain = Components.of(rows / np.float32(255), form.code)
        model = _trained(form, form.code, rows, seed, trial.control)
        errors.append(float(model.evaluate(test)["loss"]))
        restored = plain.decode(plain.encode(pixels))
        bounds.append(float(np.mean((restored - pixels) ** 2)))
        made = made or {"network": model.predict(test[:_SHOWN]), "components": restored[:_SHOWN]}
    model = _trained(form, 2, rows, seed, trial.control)  # of the last seed, to be drawn
    codes = {
        "autoencoder": _codes(model, test[:_DOTS]),
        "components": plain.encode(pixels[:_DOTS])[:, :2],
    }
    trial.advance(1)
    shares = [error / bound for error, bound in zip(errors, bounds, strict=True)]
    return Finding(
        holds=max(shares) <= form.share,
        because=f"through {form.code} numbers digits come back with at most {max(shares):.0%} of "
        f"the error of as many principal components, over {counted(len(shares), 'seed')}; at most "
        f"{form.share:.0%} was asked for",
        measurements={
            "test_error": errors,
            "components_test_error": bounds,
            "share": shares,
            "nearest_code_of_the_same_class": {
                name: _apart(found, classes[:_DOTS]) for name, found in codes.items()
            },
        },
        charts=[
            _reconstructions(pixels[:_SHOWN], made, form.code),
            _errors(errors, bounds, form.code),
            _plane("codes of two numbers", codes["autoencoder"], classes),
            _plane("first two principal components", codes["components"], classes),
        ],
    )


def _reconstructions(true: np.ndarray, pictures: dict[str, np.ndarray], code: int) -> Chart:
    # From -1 on, so that 0 has the colour of the card.
    rows = [true, pictures["network"], pictures["components"]]
    sheet = np.vstack([np.hstack([as_digit(each) for each in row]) for row in rows])
    return Chart(
        "test digits and what came back",
        [Cells(sheet, 0, float(len(true)), 0, 3, low=-1, high=1, picture=True)], square=True,
        note="Above the digits, in the middle what the network made of them, below what as many "
        f"principal components ({code}) did.",
    )  # fmt: skip


def _errors(errors: list[float], bounds: list[float], code: int) -> Chart:
    names = ["autoencoder", "components"]
    both = (errors, bounds)
    return Chart(
        f"error through {code} numbers",
        [Bars(names, [float(np.mean(e)) for e in both], [min(e) for e in both],
              [max(e) for e in both])],
        y="mean squared error of a pixel",
        note="Test digits; mean over the seeds, and from the lowest to the highest.",
    )  # fmt: skip


def _plane(title: str, codes: np.ndarray, classes: np.ndarray) -> Chart:
    order = np.argsort(classes[:_DOTS], kind="stable")  # so that the legend counts from 0
    x, y = codes[:_DOTS][order].T
    labels = [str(classes[i]) for i in order]
    return Chart(title, [Dots(x, y, labels=labels)], x="first number", y="second number")
