"""A variational autoencoder, whose codes are normally distributed, so that new ones can be drawn.

Kingma & Welling, "Auto-encoding variational Bayes", 2014.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from ranvier import nn, optim
from ranvier.models.autoencoder import between
from ranvier.models.recipe import Bench, Recipe
from ranvier.nn.module import Module


def variational_autoencoder(
    shape: tuple[int, ...],
    outputs: int,
    *,
    hidden: Sequence[int] = (500,),
    code: int = 20,
    activation: str = "tanh",
    beta: float = 1.0,
) -> Module:
    """Return encoder and decoder for samples of any shape, with values from 0 to 1.

    hidden: the sizes of the encoder's layers; the decoder has them in reverse. code: how many
    numbers the code has. activation: the name of the hidden units. beta: how much the codes'
    divergence from the standard normal distribution counts, 1 being the bound of the paper.

    The encoder gives a code's means, drawn about while training; the decoder gives logits, of
    which `predict` and `decode` make the probability of each input to be 1.
    """
    size = prod(shape)
    inward = [nn.Linear(width) for width in (*hidden, 2 * code)]
    outward = [nn.Linear(width) for width in (*reversed(hidden), size)]
    # The loss is a mean over inputs, the bound a sum.
    latent = nn.GaussianLatent(beta / size)
    return nn.Sequential(
        encoder=nn.Sequential(nn.Flatten(), *between(inward, activation), latent),
        decoder=nn.Sequential(*between(outward, activation)),
    )


RECIPE = Recipe(
    name="variational-autoencoder",
    title="Variational autoencoder",
    source="Kingma & Welling, 2014",
    build=variational_autoencoder,
    dataset="mnist",
    loss="binary_cross_entropy",
    metrics=(),
    optimizer=lambda steps: optim.Adam(1e-3),
    epochs=20,
    batch_size=128,
    bench=Bench(128, (784,), 784, lambda: optim.Adam(1e-3)),
    preprocess={"scale": 1 / 255},
    self_taught=True,
)
