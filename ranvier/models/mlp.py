"""A multi-layer feed-forward network.

Rumelhart, Hinton & Williams, "Learning representations by back-propagating errors", 1986; with
rectified linear units (Nair & Hinton, 2010).
"""

from __future__ import annotations

from collections.abc import Sequence

from ranvier import nn, optim, schedules
from ranvier.models.few import TABLES
from ranvier.models.recipe import Bench, Recipe
from ranvier.nn.module import Module


def mlp(
    shape: tuple[int, ...],
    outputs: int,
    *,
    hidden: Sequence[int] = (256, 256),
    activation: str = "relu",
    dropout: float = 0.0,
) -> Module:
    """Return a network of dense layers for samples of any shape.

    hidden: the sizes of the hidden layers, any number of them. activation: the name of their
    units, see `nn.activation`. dropout: the rate at which hidden neurons are left out.
    """
    layers: list[Module] = [nn.Flatten()]
    for size in hidden:
        layers += [nn.Linear(size), nn.activation(activation)]
        if dropout:
            layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers, nn.Linear(outputs))


RECIPE = Recipe(
    name="mlp",
    title="Multi-layer perceptron",
    source="Rumelhart, Hinton & Williams, 1986",
    build=mlp,
    dataset="mnist",
    loss="cross_entropy",
    metrics=("accuracy",),
    optimizer=lambda steps: optim.Momentum(schedules.OneCycle(0.1, steps)),
    epochs=15,
    batch_size=128,
    bench=Bench(128, (784,), 10, lambda: optim.Momentum(0.01)),
    few=TABLES,
)
