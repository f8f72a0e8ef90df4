"""Pooling layers: images [batch, *spatial, channel] made smaller, channel by channel."""

from __future__ import annotations

from ranvier import validation as checks
from ranvier.errors import ShapeError
from ranvier.graph.compositions import mean
from ranvier.graph.images import Padding, PerAxis, average_pool, max_pool
from ranvier.graph.tensor import Tensor
from ranvier.nn.layers.spatial import axes_for, fitting, spatial_axes
from ranvier.nn.module import Module, by, check_floating


class MaxPool(Module):
    """The largest element of each window: [batch, *spatial, channel] to [batch, *places, channel].

    window: its side, or one number for each of one or two spatial axes. stride: likewise, the
    window's size by default. padding: as in `Conv`, "valid" by default, but windows see nothing
    beyond the border.

    Raises InputError for arguments that are none, ShapeError for inputs of other axes and where
    the window is larger than the image. Max pooling follows Riesenhuber & Poggio, "Hierarchical
    models of object recognition in cortex", 1999.
    """

    def __init__(
        self, window: PerAxis, stride: PerAxis | None = None, padding: Padding = "valid"
    ) -> None:
        self.window = checks.per_axis("MaxPool: window", window)
        self.stride = None if stride is None else checks.per_axis("MaxPool: stride", stride)
        self.padding = checks.padding("MaxPool: padding", padding)
        self.axes = axes_for(
            "MaxPool", window=self.window, stride=self.stride, padding=self.padding
        )

    def __call__(self, x: Tensor) -> Tensor:
        spatial_axes(x, self.axes)
        with fitting(x):
            return max_pool(x, self.window, self.stride, self.padding)


class AvgPool(Module):
    """The mean of each window: [batch, *spatial, channel] to [batch, *places, channel].

    Elements beyond the border do not count. Arguments and errors are those of `MaxPool`. LeCun et
    al., "Gradient-based learning applied to document recognition", 1998.
    """

    def __init__(
        self, window: PerAxis, stride: PerAxis | None = None, padding: Padding = "valid"
    ) -> None:
        self.window = checks.per_axis("AvgPool: window", window)
        self.stride = None if stride is None else checks.per_axis("AvgPool: stride", stride)
        self.padding = checks.padding("AvgPool: padding", padding)
        self.axes = axes_for(
            "AvgPool", window=self.window, stride=self.stride, padding=self.padding
        )

    def __call__(self, x: Tensor) -> Tensor:
        spatial_axes(x, self.axes)
        with fitting(x):
            return average_pool(x, self.window, self.stride, self.padding)


class GlobalAvgPool(Module):
    """The mean over all spatial axes: [batch, *spatial, channel] to [batch, channel].

    Raises ShapeError for inputs without a spatial axis. Lin, Chen & Yan, "Network in network",
    2014.
    """

    def __call__(self, x: Tensor) -> Tensor:
        if x.ndim < 3:
            raise ShapeError(
                f"expected an input [batch, *spatial, channel], got {by(x.shape)}; "
                "leave the layer out or put it before nn.Flatten()"
            )
        check_floating(x)
        return mean(x, tuple(range(1, x.ndim - 1)))
