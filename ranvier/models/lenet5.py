"""LeNet-5: convolutions that learn to read digits.

LeCun, Bottou, Bengio & Haffner, "Gradient-based learning applied to document recognition",
1998. As is usual today, every map of the second convolution sees all maps of the first, pooling
has no weights, and the outputs are logits.
"""

from __future__ import annotations

from ranvier import nn, optim, schedules
from ranvier.models.recipe import Bench, Recipe
from ranvier.nn.module import Module
from ranvier.regularization import L2


def lenet5(shape: tuple[int, ...], outputs: int, *, dropout: float = 0.0) -> Module:
    """Return LeNet-5 for pictures [height, width, channels] of 28×28 or near.

    dropout: the rate at which inputs of the dense layers are left out.
    """
    drop = [nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(
        nn.Conv(6, 5, padding="same"),
        nn.Tanh(),
        nn.AvgPool(2),
        nn.Conv(16, 5),
        nn.Tanh(),
        nn.AvgPool(2),
        nn.Flatten(),
        *drop,
        nn.Linear(120),
        nn.Tanh(),
        nn.Linear(84),
        nn.Tanh(),
        nn.Linear(outputs),
    )


RECIPE = Recipe(
    name="lenet5",
    title="LeNet-5",
    source="LeCun et al., 1998",
    build=lenet5,
    dataset="mnist",
    loss="cross_entropy",
    metrics=("accuracy",),
    optimizer=lambda steps: optim.Momentum(schedules.OneCycle(0.2, steps)),
    penalties=(L2(1e-4),),
    epochs=15,
    batch_size=128,
    bench=Bench(128, (28, 28, 1), 10, lambda: optim.Momentum(0.01)),
)
