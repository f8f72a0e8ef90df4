"""PyTorch's convolutional networks and single convolutions, channels last for colour pictures."""

from __future__ import annotations

from collections.abc import Sequence

import data
import numpy as np
import torch
import worker
from torch import nn


class Weights:
    """Gives layers the initial weights that ours have, in the same order."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def convolution(
        self, channels: int, outputs: int, kernel: int, stride: int, padding: int, bias: bool
    ) -> nn.Conv2d:
        """A convolution with weights drawn as [k, k, c, f]."""
        made = nn.Conv2d(channels, outputs, kernel, stride, padding, bias=bias)
        weights = data.normal(self.rng, (kernel, kernel, channels, outputs))
        with torch.no_grad():
            made.weight.copy_(torch.from_numpy(weights.transpose(3, 2, 0, 1)))
            if bias:
                made.bias.zero_()
        return made

    def linear(self, inputs: int, outputs: int) -> nn.Linear:
        """A dense layer with weights drawn as [in, out]."""
        made = nn.Linear(inputs, outputs)
        with torch.no_grad():
            made.weight.copy_(torch.from_numpy(data.normal(self.rng, (inputs, outputs)).T))
            made.bias.zero_()
        return made

    def normalized(self, channels: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
        """A convolution and batch normalization."""
        convolution = self.convolution(channels, outputs, kernel, stride, kernel // 2, bias=False)
        return nn.Sequential(convolution, nn.BatchNorm2d(outputs))


class Block(nn.Module):
    """A residual block of two 3x3 convolutions."""

    def __init__(self, weights: Weights, channels: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = weights.normalized(channels, outputs, 3, stride)
        self.second = weights.normalized(outputs, outputs, 3, 1)
        same = channels == outputs and stride == 1
        self.shortcut = nn.Identity() if same else weights.normalized(channels, outputs, 1, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.second(torch.relu(self.first(x))) + self.shortcut(x))


class Flatten(nn.Module):
    """[b, c, h, w] to [b, h * w * c], the order of ours."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(0, 2, 3, 1).flatten(1)


def network(name: str) -> nn.Module:
    """The network of the step `name`."""
    weights = Weights()
    if name == "lenet5":
        return nn.Sequential(
            *(weights.convolution(1, 6, 5, 1, 2, bias=True), nn.Tanh(), nn.AvgPool2d(2)),
            *(weights.convolution(6, 16, 5, 1, 0, bias=True), nn.Tanh(), nn.AvgPool2d(2)),
            *(Flatten(), weights.linear(400, 120), nn.Tanh(), weights.linear(120, 84), nn.Tanh()),
            weights.linear(84, 10),
        )
    if name == "residual":
        return Block(weights, 64, 64, 1).to(memory_format=torch.channels_last)
    if name == "resnet20":
        stem = [weights.normalized(3, 16, 3, 1), nn.ReLU()]
        stages, classes = _stages(weights, (16, 32, 64), (3, 3, 3)), 10
    else:
        stem = [weights.normalized(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
        stages, classes = _stages(weights, (64, 128, 256, 512), (3, 4, 6, 3)), 1000
    width = stages[-1].second[1].num_features
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), weights.linear(width, classes)]
    return nn.Sequential(*stem, *stages, *head).to(memory_format=torch.channels_last)


def _stages(weights: Weights, widths: Sequence[int], blocks: Sequence[int]) -> list[Block]:
    made, channels = [], widths[0]
    for stage, (width, count) in enumerate(zip(widths, blocks, strict=True)):
        for i in range(count):
            made.append(Block(weights, channels, width, 2 if stage and i == 0 else 1))
            channels = width
    return made


def resident(name: str) -> dict[str, torch.Tensor]:
    """The resident pictures, channels last in memory, and their labels."""
    arrays = data.pictures(name)
    x = torch.from_numpy(arrays["x"].transpose(0, 3, 1, 2))
    x = x.contiguous(memory_format=torch.channels_last) if x.shape[1] > 1 else x.contiguous()
    labels = {"y": torch.from_numpy(arrays["y"])} if "y" in arrays else {}
    return {"x": x, **labels}


def batches(name: str) -> np.ndarray:
    """The rows of each step's batch, as ours draw them."""
    batch, _, _, rows = data.IMAGES[name]
    return np.random.default_rng(2).integers(0, rows, (4096, batch))


def layer_case(name: str, kind: str) -> worker.Case:
    """One pass of a single convolution."""
    layer = data.LAYERS[name]
    x, w, g = (
        torch.from_numpy(np.ascontiguousarray(array.transpose(order))).contiguous(
            memory_format=torch.channels_last
        )
        for array, order in zip(
            layer.arrays(), ((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2)), strict=True
        )
    )
    stride, padding = [layer.stride] * 2, [layer.kernel // 2] * 2
    mask = [kind == "input", kind == "weights", False]

    def run(count: int) -> None:
        with torch.no_grad():
            for _ in range(count):
                if kind == "forward":
                    torch.nn.functional.conv2d(x, w, None, stride, padding)
                else:
                    torch.ops.aten.convolution_backward(
                        g, x, w, None, stride, padding, [1, 1], False, [0, 0], 1, mask
                    )

    return run
