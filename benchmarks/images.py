"""Training steps of convolutional networks, and single convolutions, as plain graphs."""

from __future__ import annotations

from collections.abc import Sequence

import data
import numpy as np

import ranvier as rv


class Network:
    """Makes the parameters of a network, and gathers its new running statistics."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self.parameters: list[rv.Parameter] = []
        self.statistics: dict[rv.State, rv.Tensor] = {}

    def parameter(self, array: np.ndarray) -> rv.Parameter:
        """A new parameter with this value."""
        made = rv.Parameter(array.astype(np.float32), name=f"p{len(self.parameters)}")
        self.parameters.append(made)
        return made

    def weights(self, *shape: int) -> rv.Parameter:
        """Normal weights whose outputs have about the variance of their inputs."""
        return self.parameter(data.normal(self.rng, shape))

    def linear(self, x: rv.Tensor, outputs: int) -> rv.Tensor:
        """[batch, in] to [batch, outputs]."""
        return x @ self.weights(x.shape[-1], outputs) + self.parameter(np.zeros(outputs))

    def convolution(self, x: rv.Tensor, outputs: int, kernel: int, stride: int = 1) -> rv.Tensor:
        """A convolution with borders that keep the image's size, and batch normalization."""
        weights = self.weights(kernel, kernel, x.shape[-1], outputs)
        return self.normalized(rv.convolution(x, weights, stride, kernel // 2))

    def normalized(self, x: rv.Tensor) -> rv.Tensor:
        """Batch normalization (Ioffe & Szegedy, 2015)."""
        channels = x.shape[-1]
        gain, shift = self.parameter(np.ones(channels)), self.parameter(np.zeros(channels))
        mean, variance = rv.moments(x, (0, 1, 2))
        for start, new in ((0.0, mean), (1.0, variance)):
            running = rv.Buffer(np.full(channels, start, np.float32))
            self.statistics[running] = running * 0.9 + new * 0.1
        return (x - mean) * (rv.rsqrt(variance + 1e-5) * gain) + shift

    def block(self, x: rv.Tensor, channels: int, stride: int = 1) -> rv.Tensor:
        """A residual block of two 3x3 convolutions (He et al., 2015)."""
        same = x.shape[-1] == channels and stride == 1
        h = rv.relu(self.convolution(x, channels, 3, stride))
        h = self.convolution(h, channels, 3)
        return rv.relu(h + (x if same else self.convolution(x, channels, 1, stride)))

    def residual(self, x: rv.Tensor, channels: Sequence[int], blocks: Sequence[int]) -> rv.Tensor:
        """Stages of blocks; all stages but the first halve the image."""
        for stage, (width, count) in enumerate(zip(channels, blocks, strict=True)):
            for i in range(count):
                x = self.block(x, width, 2 if stage and i == 0 else 1)
        return x


def lenet5(net: Network, x: rv.Tensor) -> rv.Tensor:
    """28x28x1 to the logits of 10 classes (LeCun et al., 1998)."""
    for outputs, padding in ((6, "same"), (16, "valid")):
        weights = net.weights(5, 5, x.shape[-1], outputs)
        bias = net.parameter(np.zeros(outputs))
        x = rv.average_pool(rv.tanh(rv.convolution(x, weights, padding=padding) + bias), 2)
    x = x.reshape(x.shape[0], 400)
    return net.linear(rv.tanh(net.linear(rv.tanh(net.linear(x, 120)), 84)), 10)


def resnet20(net: Network, x: rv.Tensor) -> rv.Tensor:
    """32x32x3 to the logits of 10 classes."""
    x = net.residual(rv.relu(net.convolution(x, 16, 3)), (16, 32, 64), (3, 3, 3))
    return net.linear(rv.mean(x, (1, 2)), 10)


def resnet34(net: Network, x: rv.Tensor) -> rv.Tensor:
    """224x224x3 to the logits of 1000 classes."""
    x = rv.max_pool(rv.relu(net.convolution(x, 64, 7, 2)), 3, 2, 1)
    x = net.residual(x, (64, 128, 256, 512), (3, 4, 6, 3))
    return net.linear(rv.mean(x, (1, 2)), 1000)


CLASSIFIERS = {"lenet5": lenet5, "resnet20": resnet20, "resnet34": resnet34}


# ---------------------------------------------------------------- single convolutions


def layer(name: str, kind: str) -> tuple[rv.Tensor, rv.Buffer]:
    """One pass of `data.LAYERS[name]`: the result, and the buffer that takes it.

    `kind` is forward, input or weights. The operands lie as they do inside a network: images
    within their border. Packing or transforming the weights is part of the pass.
    """
    shape = data.LAYERS[name]
    x, w, g = (rv.Buffer(array) for array in shape.arrays())
    pad = shape.kernel // 2
    inside = [(0, 0), (pad, pad), (pad, pad), (0, 0)]
    if kind == "forward":
        padded = rv.Buffer(np.pad(x.value, inside))
        result = rv.convolution(padded, w, shape.stride)
    elif kind == "weights":
        padded = rv.Buffer(np.pad(x.value, inside))
        y = rv.convolution(padded, w, shape.stride)
        (result,) = rv.gradients(rv.sum(y * g), [w])
    elif shape.stride == 1:  # a convolution of the gradient with the mirrored weights
        padded = rv.Buffer(np.pad(g.value, inside))
        result = rv.convolution(padded, rv.transpose(rv.flip(w, (0, 1)), 0, 1, 3, 2))
    else:
        y = rv.convolution(x, w, shape.stride, pad)
        (result,) = rv.gradients(rv.sum(y * g), [x])
    return result, rv.Buffer(np.zeros(result.shape, np.float32))
