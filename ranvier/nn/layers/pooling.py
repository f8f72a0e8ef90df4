"""Pooling layers: images [batch, *spatial, channel] made smaller, channel by channel."""

from __future__ import annotations

from ranvier.errors import ShapeError
from ranvier.graph.compositions import mean
from ranvier.graph.images import Padding, PerAxis, average_pool, max_pool
from ranvier.graph.tensor import Tensor
from ranvier.nn.module import Module, by


class MaxPool(Module):
    """The largest element of each window; the stride is the window by default.

    `window`, `stride`: one number, or one for each spatial axis; `padding` as in `Conv`, but
    windows see nothing beyond the border.
    """

    def __init__(
        self, window: PerAxis, stride: PerAxis | None = None, padding: Padding = "valid"
    ) -> None:
        self.window = window
        self.stride = stride
        self.padding = padding

    def __call__(self, x: Tensor) -> Tensor:
        return max_pool(x, self.window, self.stride, self.padding)


class AvgPool(Module):
    """The mean of each window; elements beyond the border do not count. See `MaxPool`."""

    def __init__(
        self, window: PerAxis, stride: PerAxis | None = None, padding: Padding = "valid"
    ) -> None:
        self.window = window
        self.stride = stride
        self.padding = padding

    def __call__(self, x: Tensor) -> Tensor:
        return average_pool(x, self.window, self.stride, self.padding)


class GlobalAvgPool(Module):
    """The mean over all spatial axes: [batch, *spatial, channel] to [batch, channel].

    Lin, Chen & Yan, "Network in network", 2014.
    """

    def __call__(self, x: Tensor) -> Tensor:
        if x.ndim < 3:
            raise ShapeError(
                f"expected an input [batch, *spatial, channel], got {by(x.shape)}; "
                "leave the layer out or put it before nn.Flatten()"
            )
        return mean(x, tuple(range(1, x.ndim - 1)))
