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
    if name in IMAGES:
        return image_flops(name)
    products = [2 * BATCH * n * m for n, m in zip(SIZES[name], SIZES[name][1:], strict=False)]
    return 3 * sum(products) - products[0]


# ---------------------------------------------------------------- pictures

IMAGES: dict[str, tuple[int, tuple[int, int, int], int, int]] = {
    "lenet5": (128, (28, 28, 1), 10, 2048),
    "residual": (8, (56, 56, 64), 0, 32),
    "resnet20": (128, (32, 32, 3), 10, 1024),
    "resnet34": (8, (224, 224, 3), 1000, 32),
}
"""Batch, shape of a picture, classes and resident rows of each step on pictures."""

STEPS = (*SIZES, *IMAGES)


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Weights [..., outputs] of variance 2 / inputs (He et al., 2015)."""
    inputs = int(np.prod(shape[:-1]))
    return (rng.standard_normal(shape) * (2 / inputs) ** 0.5).astype(np.float32)


def pictures(name: str) -> dict[str, np.ndarray]:
    """The resident arrays: `x` [rows, height, width, channels] and, with classes, labels `y`."""
    _, shape, classes, rows = IMAGES[name]
    rng = np.random.default_rng(1)
    x = rng.standard_normal((rows, *shape)).astype(np.float32)
    return {"x": x, "y": rng.integers(0, classes, rows)} if classes else {"x": x}


@dataclass(frozen=True)
class Layer:
    """A convolution with borders of half its kernel; `count` is how often its network has it."""

    batch: int
    size: int
    channels: int
    outputs: int
    kernel: int
    stride: int
    count: int = 1

    @property
    def result(self) -> int:
        """The height and width of the result."""
        return -(-self.size // self.stride)

    @property
    def flops(self) -> int:
        """Arithmetic of one pass: multiply-add = 2."""
        taps = self.kernel**2 * self.channels
        return 2 * self.batch * self.result**2 * taps * self.outputs

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Image [b, h, w, c], weights [k, k, c, f] and the gradient of the result."""
        rng = np.random.default_rng(0)
        shapes = (
            (self.batch, self.size, self.size, self.channels),
            (self.kernel, self.kernel, self.channels, self.outputs),
            (self.batch, self.result, self.result, self.outputs),
        )
        x, w, g = (rng.standard_normal(shape).astype(np.float32) for shape in shapes)
        return x, w, g


def _layers(
    prefix: str, batch: int, size: int, widths: tuple[int, ...], blocks: tuple[int, ...]
) -> dict[str, Layer]:
    """The distinct convolutions of the stages of a residual network."""
    found: dict[str, Layer] = {}
    for stage, (width, count) in enumerate(zip(widths, blocks, strict=True)):
        plain = 2 * count
        if stage:
            for kernel, kind in ((3, "halving"), (1, "projection")):
                shape = Layer(batch, size, widths[stage - 1], width, kernel, 2)
                found[f"{prefix}-{size // 2}-{kind}"] = shape
            size, plain = size // 2, plain - 1
        found[f"{prefix}-{size}"] = Layer(batch, size, width, width, 3, 1, plain)
    return found


LAYERS: dict[str, Layer] = {
    "resnet34-stem": Layer(8, 224, 3, 64, 7, 2),
    **_layers("resnet34", 8, 56, (64, 128, 256, 512), (3, 4, 6, 3)),
    "resnet20-stem": Layer(128, 32, 3, 16, 3, 1),
    **_layers("resnet20", 128, 32, (16, 32, 64), (3, 3, 3)),
}
"""Every distinct convolution of ResNet-34 (224x224, batch 8) and ResNet-20 (32x32, batch 128)."""

PASSES = ("forward", "input", "weights")


def passes(layer: str) -> tuple[str, ...]:
    """The passes of a layer; no gradient is needed towards the data."""
    return tuple(kind for kind in PASSES if kind != "input" or not layer.endswith("stem"))


def image_flops(name: str) -> int:
    """Needed arithmetic of one step on pictures: multiply-add = 2, no gradient towards data."""
    if name == "lenet5":
        first, rest = 28**2 * 25 * 6, 10**2 * 150 * 16 + 400 * 120 + 120 * 84 + 84 * 10
        return 2 * 128 * (2 * first + 3 * rest)
    if name == "residual":  # the gradient towards the block's input is needed
        return 3 * 2 * LAYERS["resnet34-56"].flops
    layers = [k for k in LAYERS if k.startswith(name)]
    head = 2 * (8 * 512 * 1000 if name == "resnet34" else 128 * 64 * 10)
    return 3 * head + sum(LAYERS[k].flops * LAYERS[k].count * len(passes(k)) for k in layers)
