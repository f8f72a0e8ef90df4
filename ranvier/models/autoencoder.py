"""Deep autoencoders: samples through a narrow middle, and back.

Hinton & Salakhutdinov, "Reducing the dimensionality of data with neural networks", 2006; with
rectified linear units in place of layer-wise pre-training. Denoising: Vincent et al., "Extracting
and composing robust features with denoising autoencoders", 2008.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from ranvier import nn, optim, schedules
from ranvier.errors import InputError
from ranvier.models.recipe import Bench, Recipe
from ranvier.nn.module import Module
from ranvier.training.model import Model
from ranvier.training.objective import ONE


def autoencoder(
    shape: tuple[int, ...],
    outputs: int,
    *,
    hidden: Sequence[int] = (1000, 500, 250),
    code: int = 30,
    activation: str = "relu",
    noise: float = 0.0,
    tied: bool = False,
) -> Module:
    """Return encoder and decoder for samples of any shape, with values from 0 to 1.

    hidden: the sizes of the encoder's layers; the decoder has them in reverse. code: the size
    of the middle. activation: the name of the hidden units. noise: the share of inputs that are 0
    while training, where the network learns to give back what was there. tied: whether the
    decoder's weights are those of the encoder, transposed. The parts are `encoder` and `decoder`,
    to be used in other networks.
    """
    inward = [nn.Linear(size) for size in (*hidden, code)]
    outward: Sequence[Module]
    if tied:
        outward = [nn.TiedLinear(layer) for layer in reversed(inward)]
    else:
        outward = [nn.Linear(size) for size in (*reversed(hidden), prod(shape))]
    start = [nn.Flatten(), *([nn.MaskingNoise(noise)] if noise else [])]
    return nn.Sequential(
        encoder=nn.Sequential(*start, *between(inward, activation)),
        decoder=nn.Sequential(*between(outward, activation), nn.Sigmoid()),
    )


def between(layers: Sequence[Module], activation: str) -> list[Module]:
    """Return the layers with activations of a name between them."""
    found: list[Module] = [layers[0]]
    for layer in layers[1:]:
        found += [nn.activation(activation), layer]
    return found


def encode(model: Model, inputs: Any, batch_size: int = 128) -> Any:
    """Return the codes that the model's encoder gives for raw inputs, [n, code].

    The inputs are preprocessed as the model's are. Raises InputError for a network without parts
    `encoder` and `decoder`, and what `Model.predict` raises.
    """
    return _part(model, "encoder", preprocess=model.preprocess or {}).predict(
        inputs, batch_size=batch_size
    )


def decode(model: Model, codes: Any, batch_size: int = 128) -> Any:
    """Return what the model's decoder makes of codes [n, code], as `predict` shows it."""
    loss = model.objective.heads[ONE].loss
    return _part(model, "decoder", loss, preprocess={}).predict(codes, batch_size=batch_size)


def _part(model: Model, name: str, loss: Any = "mean_squared_error", **given: Any) -> Model:
    """A model of one part of the network, with the same weights."""
    part = getattr(model.net, name, None)
    if not isinstance(part, Module):
        raise InputError(f"the network has no part {name!r}; give it encoder= and decoder=")
    if not model.settings.inputs:
        raise InputError("the model has seen no data yet; fit it first")
    return Model(part, loss, engine=model.engine, **given, **model.options)


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
