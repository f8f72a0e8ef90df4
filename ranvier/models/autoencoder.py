"""A deep autoencoder: pictures through a narrow middle, and back.

Hinton & Salakhutdinov, "Reducing the dimensionality of data with neural networks", 2006; with
rectified linear units in place of layer-wise pre-training.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from ranvier import nn, optim, schedules
from ranvier.models.recipe import Bench, Recipe
from ranvier.nn.module import Module


def autoencoder(
    shape: tuple[int, ...],
    outputs: int,
    *,
    hidden: Sequence[int] = (1000, 500, 250),
    code: int = 30,
) -> Module:
    """Return encoder and decoder for samples of any shape, with values from 0 to 1.

    hidden: the sizes of the encoder's layers; the decoder has them in reverse. code: the size
    of the middle. The parts are `encoder` and `decoder`, to be used in other networks.
    """

    def dense(sizes: Sequence[int]) -> list[Module]:
        return [layer for size in sizes for layer in (nn.Linear(size), nn.ReLU())]

    return nn.Sequential(
        encoder=nn.Sequential(nn.Flatten(), *dense(hidden), nn.Linear(code)),
        decoder=nn.Sequential(*dense(hidden[::-1]), nn.Linear(prod(shape)), nn.Sigmoid()),
    )


RECIPE = Recipe(
    name="autoencoder",
    title="Deep autoencoder",
    source="Hinton & Salakhutdinov, 2006",
    build=autoencoder,
    dataset="mnist",
    loss="mean_squared_error",
    metrics=(),
    optimizer=lambda steps: optim.Adam(schedules.Cosine(1e-3, steps)),
    epochs=20,
    batch_size=128,
    bench=Bench(128, (784,), 784, lambda: optim.Adam(1e-3)),
    preprocess={"scale": 1 / 255},
    self_taught=True,
)
