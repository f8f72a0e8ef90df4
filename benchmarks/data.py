"""The sizes, initial weights and data of the benchmarked steps, the same for all peers.

Needs NumPy alone, so that an interpreter without Ranvier can use it too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BATCH = 128
ROWS = 10_000
"""Rows of the resident data set, from which each step gathers a fresh batch."""

SIZES = {
    "small": (10, 45, 45, 10),
    "mlp": (784, 256, 256, 10),
    "autoencoder": (784, 1000, 500, 250, 30, 250, 500, 1000, 784),
}
"""The neurons of each layer of the dense networks."""


@dataclass(frozen=True)
class Adam:
    """Constants of Adam (Kingma & Ba, 2015)."""

    rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8


@dataclass(frozen=True)
class Momentum:
    """Constants of stochastic gradient descent with momentum."""

    rate: float = 0.05
    momentum: float = 0.9


ADAM = Adam()
MOMENTUM = Momentum()


def weights(name: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """The initial (weight [in, out], bias [out]) of each layer (He et al., 2015)."""
    rng = np.random.default_rng(0)
    pairs = zip(SIZES[name], SIZES[name][1:], strict=False)
    return [
        (
            (rng.standard_normal((n, m)) * (2 / n) ** 0.5).astype(np.float32),
            np.zeros(m, np.float32),
        )
        for n, m in pairs
    ]


def dataset(name: str) -> dict[str, np.ndarray]:
    """The resident arrays: `x` [rows, in] and, where the task has one, a target `y`."""
    rng = np.random.default_rng(1)
    first, last = SIZES[name][0], SIZES[name][-1]
    if name == "small":
        x = rng.standard_normal((ROWS, first)).astype(np.float32)
        return {"x": x, "y": np.tanh(x @ rng.standard_normal((first, last)).astype(np.float32))}
    # Rows with a few hidden causes, scaled to [0, 1] as pixels are.
    causes = rng.standard_normal((ROWS, 16)).astype(np.float32)
    mixing = rng.standard_normal((16, first)).astype(np.float32) / 4
    x = (1 / (1 + np.exp(-causes @ mixing))).astype(np.float32)
    if name == "autoencoder":
        return {"x": x}
    labels = (causes @ rng.standard_normal((16, last)).astype(np.float32)).argmax(1)
    return {"x": x, "y": labels.astype(np.int64)}


def batches(steps: int, seed: int = 2) -> np.ndarray:
    """The rows of each step's batch, int64 [steps, batch]: epochs in new random orders."""
    rng = np.random.default_rng(seed)
    per_epoch = ROWS // BATCH
    epochs = [
        rng.permutation(ROWS)[: per_epoch * BATCH].reshape(per_epoch, BATCH)
        for _ in range(-(-steps // per_epoch))
    ]
    return np.concatenate(epochs)[:steps]


def flops(name: str) -> int:
    """Needed arithmetic of one training step: multiply-add = 2, no gradient towards data."""
    products = [2 * BATCH * n * m for n, m in zip(SIZES[name], SIZES[name][1:], strict=False)]
    return 3 * sum(products) - products[0]
