"""A convolutional autoencoder: pictures through a narrow middle, and back.

Masci et al., "Stacked convolutional auto-encoders for hierarchical feature extraction", 2011; with
strides in place of pooling, and with repeated pixels and a convolution on the way back (Odena,
Dumoulin & Olah, 2016).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from ranvier import nn, optim, schedules
from ranvier.errors import InputError
from ranvier.models.recipe import Bench, Recipe
from ranvier.nn.module import Module

_KERNEL, _STRIDE = 3, 2


def conv_autoencoder(
    shape: tuple[int, ...],
    outputs: int,
    *,
    channels: Sequence[int] = (16, 32),
    code: int = 30,
    activation: str = "relu",
    noise: float = 0.0,
) -> Module:
    """Return encoder and decoder for pictures [height, width, channel] of values from 0 to 1.

    channels: the feature maps of the encoder's convolutions, each of which halves the picture;
    the decoder has them in reverse. code, activation, noise: as the dense autoencoder has them.
    Raises InputError for samples that are no pictures.
    """
    if len(shape) != 3:
        raise InputError(
            f"pictures are [height, width, channel], samples here of shape {list(shape)}; use "
            "the autoencoder without convolutions"
        )
    sides, maps = [shape[:2]], [shape[2], *channels]
    inward: list[Module] = [nn.MaskingNoise(noise)] if noise else []
    for count in channels:
        inward += [
            nn.Conv(count, _KERNEL, stride=_STRIDE, padding="same"),
            nn.activation(activation),
        ]
        sides.append((-(-sides[-1][0] // _STRIDE), -(-sides[-1][1] // _STRIDE)))
    smallest = (*sides[-1], maps[-1])
    outward: list[Module] = [nn.Linear(prod(smallest)), nn.Reshape(smallest)]
    for size, count in zip(sides[-2::-1], maps[-2::-1], strict=True):
        outward += [nn.activation(activation), nn.Upsample(_STRIDE, size=size)]
        outward.append(nn.Conv(count, _KERNEL, padding="same"))
    return nn.Sequential(
        encoder=nn.Sequential(*inward, nn.Flatten(), nn.Linear(code)),
        decoder=nn.Sequential(*outward, nn.Sigmoid()),
    )


RECIPE = Recipe(
    name="conv-autoencoder",
    title="Convolutional autoencoder",
    source="Masci, Meier, Cireşan & Schmidhuber, 2011",
    build=conv_autoencoder,
    dataset="mnist",
    loss="mean_squared_error",
    metrics=(),
    optimizer=lambda steps: optim.Adam(schedules.Cosine(2e-3, steps)),
    epochs=10,
    batch_size=128,
    bench=Bench(128, (28, 28, 1), 784, lambda: optim.Adam(1e-3)),
    preprocess={"scale": 1 / 255},
    self_taught=True,
)
