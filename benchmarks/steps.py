"""Whole training steps as plain graphs: network, loss, gradients and the optimizer's update.

Each step gathers its batch out of the resident data by `index`, which a call of many steps
streams: `program(steps=n, index=step.index(n), **step.arrays)`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import data
import images
import numpy as np

import ranvier as rv


@dataclass(frozen=True)
class Step:
    """A training step, ready for `rv.compile`, and the arrays that it reads.

    flops: the arithmetic that one step needs (multiply-add = 2), or 0 where nobody counts.
    """

    inputs: Mapping[str, rv.Tensor]
    outputs: Mapping[str, rv.Tensor]
    updates: Mapping[rv.State, rv.Tensor]
    arrays: dict[str, Any]
    flops: int = 0

    def compile(self, **options: Any) -> rv.Program:
        """Compile the step with the options of `rv.compile`."""
        return rv.compile(self.inputs, self.outputs, self.updates, **options)

    def index(self, steps: int, seed: int = 2) -> np.ndarray:
        """The rows of each step's batch, int64 [steps, batch]."""
        (batch,) = self.inputs["index"].shape
        rows = len(self.arrays["x"])
        rng = np.random.default_rng(seed)
        if (batch, rows) == (data.BATCH, data.ROWS):
            return data.batches(steps, seed)
        return rng.integers(0, rows, (steps, batch))


# ---------------------------------------------------------------- the design's table


def small() -> Step:
    """10-45-45-10, ReLU, mean squared error, Adam."""
    inputs, batch = _resident("small")
    net = Dense("small")
    error = net(batch["x"]) - batch["y"]
    loss = rv.mean(error * error)
    return _step("small", inputs, loss, adam(loss, net.parameters))


def mlp() -> Step:
    """784-256-256-10, ReLU, cross-entropy, stochastic gradient descent with momentum."""
    inputs, batch = _resident("mlp")
    net = Dense("mlp")
    loss = cross_entropy(net(batch["x"]), batch["y"])
    return _step("mlp", inputs, loss, momentum(loss, net.parameters))


def autoencoder() -> Step:
    """784-1000-500-250-30 and back, ReLU, sigmoid output, mean squared error, Adam."""
    inputs, batch = _resident("autoencoder")
    net = Dense("autoencoder")
    error = rv.sigmoid(net(batch["x"])) - batch["x"]
    loss = rv.mean(error * error)
    return _step("autoencoder", inputs, loss, adam(loss, net.parameters))


# ---------------------------------------------------------------- on pictures


def _classifier(name: str) -> Step:
    """Cross-entropy, stochastic gradient descent with momentum."""
    inputs, batch = _resident(name)
    net = images.Network()
    loss = cross_entropy(images.CLASSIFIERS[name](net, batch["x"]), batch["y"])
    updates = {**net.statistics, **momentum(loss, net.parameters)}
    return _step(name, inputs, loss, updates)


def lenet5() -> Step:
    """LeNet-5, tanh, average pooling."""
    return _classifier("lenet5")


def resnet20() -> Step:
    """ResNet-20 for pictures of 32x32."""
    return _classifier("resnet20")


def resnet34() -> Step:
    """ResNet-34 for pictures of 224x224."""
    return _classifier("resnet34")


def residual() -> Step:
    """One residual block in the middle of a network: the gradient of its input is kept, too."""
    inputs, batch = _resident("residual")
    net = images.Network()
    y = net.block(batch["x"], batch["x"].shape[-1])
    loss = rv.mean(y * y)
    (grad,) = rv.gradients(loss, [batch["x"]])
    kept = rv.Buffer(np.zeros(grad.shape, np.float32), name="input.gradient")
    updates = {**net.statistics, **momentum(loss, net.parameters), kept: grad}
    return _step("residual", inputs, loss, updates)


# ---------------------------------------------------------------- two more, for tests


def norm_net(batch: int = 48, rows: int = 300) -> Step:
    """A network with layer normalization, GELU and dropout: 20-70-70-5."""
    rng = np.random.default_rng(5)
    x, y = _input("x", (rows, 20)), _input("y", (rows,), rv.int64)
    index = _input("index", (batch,), rv.int64)
    seed, step = rv.constant(7), rv.Buffer(np.int64(0), name="step")
    h, parameters = rv.take(x, index), []
    for layer, (n, m) in enumerate(((20, 70), (70, 70))):
        weight, bias = _parameter(rng, n, m), rv.Parameter(np.zeros(m, np.float32))
        gain, shift = rv.Parameter(np.ones(m, np.float32)), rv.Parameter(np.zeros(m, np.float32))
        h = rv.gelu(layer_norm(h @ weight + bias, gain, shift))
        h = dropout(h, 0.25, seed, step, stream=layer)
        parameters += [weight, bias, gain, shift]
    parameters.append(_parameter(rng, 70, 5))
    loss = cross_entropy(h @ parameters[-1], rv.take(y, index))
    arrays: dict[str, Any] = {
        "x": rng.standard_normal((rows, 20)).astype(np.float32),
        "y": rng.integers(0, 5, rows),
    }
    updates = {**adam(loss, parameters), step: step + 1}
    return Step({"x": x, "y": y, "index": index}, {"loss": loss}, updates, arrays)


def attention(batch: int = 6, rows: int = 40, time: int = 24) -> Step:
    """One causal transformer block over embedded tokens: width 32, 4 heads, vocabulary 50."""
    rng = np.random.default_rng(6)
    vocabulary, width = 50, 32
    x = _input("x", (rows, time + 1), rv.int64)
    index = _input("index", (batch,), rv.int64)
    tokens = rv.take(x, index)
    embedding = rv.Parameter((rng.standard_normal((vocabulary, width)) * 0.1).astype(np.float32))
    block = _Block(rng, width, heads=4, time=time)
    h = block(rv.take(embedding, tokens[:, :-1]))
    logits = h.reshape(batch * time, width) @ embedding.T
    loss = cross_entropy(logits, tokens[:, 1:].reshape(batch * time))
    updates = momentum(loss, [embedding, *block.parameters])
    arrays: dict[str, Any] = {"x": rng.integers(0, vocabulary, (rows, time + 1))}
    return Step({"x": x, "index": index}, {"loss": loss}, updates, arrays)


STEPS: dict[str, Callable[[], Step]] = {
    builder.__name__: builder
    for builder in (
        small,
        mlp,
        autoencoder,
        norm_net,
        attention,
        lenet5,
        residual,
        resnet20,
        resnet34,
    )
}


# ---------------------------------------------------------------- networks


@dataclass
class Dense:
    """The dense network of `data.SIZES`, ReLU between its layers; the last one is linear."""

    name: str
    layers: list[tuple[rv.Parameter, rv.Parameter]] = field(init=False)

    def __post_init__(self) -> None:
        self.layers = [
            (rv.Parameter(w, name=f"linear{i}.weight"), rv.Parameter(b, name=f"linear{i}.bias"))
            for i, (w, b) in enumerate(data.weights(self.name), 1)
        ]

    def __call__(self, x: rv.Tensor) -> rv.Tensor:
        """[batch, in] to [batch, out]."""
        for weight, bias in self.layers[:-1]:
            x = rv.relu(x @ weight + bias)
        weight, bias = self.layers[-1]
        return x @ weight + bias

    @property
    def parameters(self) -> list[rv.Parameter]:
        """All weights and biases."""
        return [p for layer in self.layers for p in layer]


class _Block:
    """Self-attention and a two-layer network, each behind a layer norm and a shortcut."""

    def __init__(self, rng: np.random.Generator, width: int, heads: int, time: int) -> None:
        self.heads = heads
        ones, zeros = np.ones(width, np.float32), np.zeros(width, np.float32)
        self.norms = [rv.Parameter(v) for v in (ones, zeros, ones, zeros)]
        self.queries, self.keys, self.values, self.out = (
            _parameter(rng, width, width) for _ in range(4)
        )
        self.up, self.down = _parameter(rng, width, 4 * width), _parameter(rng, 4 * width, width)
        self.future = rv.constant(np.triu(np.full((time, time), -1e9, np.float32), 1))

    @property
    def parameters(self) -> list[rv.Parameter]:
        attention = [self.queries, self.keys, self.values, self.out]
        return [*self.norms, *attention, self.up, self.down]

    def __call__(self, x: rv.Tensor) -> rv.Tensor:
        """[batch, time, width] to the same shape."""
        x = x + self.attend(layer_norm(x, *self.norms[:2]))
        return x + rv.gelu(layer_norm(x, *self.norms[2:]) @ self.up) @ self.down

    def attend(self, x: rv.Tensor) -> rv.Tensor:
        """Scaled dot-product attention towards the past (Vaswani et al., 2017)."""
        batch, time, width = x.shape
        share = width // self.heads

        def split(weight: rv.Tensor) -> rv.Tensor:
            return (x @ weight).reshape(batch, time, self.heads, share).transpose(0, 2, 1, 3)

        queries, keys, values = (split(w) for w in (self.queries, self.keys, self.values))
        scores = queries @ rv.swapaxes(keys, -1, -2) * share**-0.5 + self.future
        mixed = (rv.softmax(scores) @ values).transpose(0, 2, 1, 3)
        return mixed.reshape(batch, time, width) @ self.out


def layer_norm(x: rv.Tensor, gain: rv.Tensor, shift: rv.Tensor) -> rv.Tensor:
    """Mean 0 and variance 1 over the last axis, then gain and shift (Ba et al., 2016)."""
    centred = x - rv.mean(x, -1, keepdims=True)
    scale = rv.rsqrt(rv.mean(centred * centred, -1, keepdims=True) + 1e-5)
    return centred * scale * gain + shift


def dropout(x: rv.Tensor, rate: float, seed: rv.Tensor, step: rv.Tensor, stream: int) -> rv.Tensor:
    """Zero a share `rate`, rounded to 1/256, of the elements, and scale the others up."""
    kept = 256 - round(256 * rate)
    draw = rv.random_bits(x.shape, seed, step, stream, rv.uint8)
    return rv.where(draw < kept, x * (256 / kept), 0.0)


def cross_entropy(logits: rv.Tensor, labels: rv.Tensor) -> rv.Tensor:
    """Mean of -log softmax(logits)[label]; logits [batch, classes], labels [batch]."""
    chosen = rv.one_hot(labels, logits.shape[-1]) * rv.log_softmax(logits)
    return -rv.mean(rv.sum(chosen, -1))


# ---------------------------------------------------------------- optimizers


def momentum(
    loss: rv.Tensor, parameters: Sequence[rv.Parameter], rule: data.Momentum = data.MOMENTUM
) -> dict[rv.State, rv.Tensor]:
    """v <- momentum v + g;  p <- p - rate v."""
    updates: dict[rv.State, rv.Tensor] = {}
    for p, grad in zip(parameters, rv.gradients(loss, parameters), strict=True):
        velocity = rv.Buffer(np.zeros(p.shape, np.float32), name=f"{p.label}.velocity")
        updates[velocity] = velocity * rule.momentum + grad
        updates[p] = p - updates[velocity] * rule.rate
    return updates


def adam(
    loss: rv.Tensor, parameters: Sequence[rv.Parameter], rule: data.Adam = data.ADAM
) -> dict[rv.State, rv.Tensor]:
    """Adam with the bias correction, computed in the graph from a counter of steps.

    m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g²;
    p <- p - rate / (1 - b1^t) m / (sqrt(v / (1 - b2^t)) + epsilon).
    """
    count = rv.Buffer(np.int64(0), name="adam.count")
    t = rv.cast(count + 1, rv.float32)
    rate = rule.rate / (1 - rv.power(rule.beta1, t))
    spread = rv.rsqrt(1 - rv.power(rule.beta2, t))
    updates: dict[rv.State, rv.Tensor] = {count: count + 1}
    for p, grad in zip(parameters, rv.gradients(loss, parameters), strict=True):
        first, second = (
            rv.Buffer(np.zeros(p.shape, np.float32), name=f"{p.label}.moment{i}") for i in (1, 2)
        )
        updates[first] = first * rule.beta1 + grad * (1 - rule.beta1)
        updates[second] = second * rule.beta2 + grad * grad * (1 - rule.beta2)
        denominator = rv.sqrt(updates[second]) * spread + rule.epsilon
        updates[p] = p - rate * updates[first] / denominator
    return updates


# ---------------------------------------------------------------- pieces


def _step(
    name: str,
    inputs: Mapping[str, rv.Tensor],
    loss: rv.Tensor,
    updates: Mapping[rv.State, rv.Tensor],
) -> Step:
    return Step(inputs, {"loss": loss}, updates, _arrays(name), data.flops(name))


def _resident(name: str) -> tuple[dict[str, rv.Tensor], dict[str, rv.Tensor]]:
    """The inputs of a step over the data set `name`, and the batch that it gathers."""
    arrays = _arrays(name)
    inputs = {key: _input(key, array.shape, array.dtype) for key, array in arrays.items()}
    size = data.IMAGES[name][0] if name in data.IMAGES else data.BATCH
    index = _input("index", (size,), rv.int64)
    batch = {key: rv.take(tensor, index) for key, tensor in inputs.items()}
    return {**inputs, "index": index}, batch


def _arrays(name: str) -> dict[str, Any]:
    return data.pictures(name) if name in data.IMAGES else data.dataset(name)


def _input(name: str, shape: tuple[int, ...], dtype: object = rv.float32) -> rv.Tensor:
    return rv.input(shape, dtype, name=name)


def _parameter(rng: np.random.Generator, n: int, m: int) -> rv.Parameter:
    return rv.Parameter((rng.standard_normal((n, m)) * n**-0.5).astype(np.float32))
