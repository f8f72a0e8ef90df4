"""`Conv`, convolution over one or two spatial axes."""

from __future__ import annotations

from ranvier import validation as checks
from ranvier.errors import InputError, ShapeError
from ranvier.graph.images import Padding, PerAxis, convolution
from ranvier.graph.leaves import Parameter
from ranvier.graph.tensor import Shape, Tensor
from ranvier.nn import initializers
from ranvier.nn.initializers import Initializer
from ranvier.nn.layers.linear import floating
from ranvier.nn.layers.spatial import axes_for, fitting, spatial_axes
from ranvier.nn.module import Module, by


class Conv(Module):
    """Convolve [batch, *spatial, in] to [batch, *positions, channels], one or two spatial axes.

    Along an axis there are (length + padding - (kernel - 1) dilation - 1) // stride + 1 positions.

    channels: how many feature maps come out.
    kernel: its side, or one number for each spatial axis: [height, width] for images; one
        number serves images and sequences [batch, time, feature] alike.
    stride, dilation: one number, or one for each spatial axis; 1 by default.
    padding: "valid" (none), "same" (positions = ceil(length / stride)), a number of zeros at
        every border, or a number or pair (before, after) for each spatial axis.
    groups: how many blocks the channels are split into, each convolved by itself; 1 by default.
    use_bias: whether the bias is added, True by default.

    weight: [*kernel, in / groups, channels], drawn by `init`, by default He's normal values, made
    for ReLU (He et al., 2015). bias: [channels], zeros at first. The layer goes back to
    Fukushima's neocognitron (1980) and LeCun et al., "Backpropagation applied to handwritten zip
    code recognition", 1989. Whole numbers are made float32.

    Raises InputError for arguments that are none, ShapeError for inputs of other axes or channels
    and where the kernel is larger than the image.
    """

    weight: Parameter
    bias: Parameter

    def __init__(
        self,
        channels: int,
        kernel: PerAxis,
        *,
        stride: PerAxis = 1,
        padding: Padding = "valid",
        dilation: PerAxis = 1,
        groups: int = 1,
        use_bias: bool = True,
        init: Initializer | None = None,
    ) -> None:
        self.channels = checks.whole_number("Conv: channels", channels)
        self.kernel = checks.per_axis("Conv: kernel", kernel)
        self.stride = checks.per_axis("Conv: stride", stride)
        self.padding = checks.padding("Conv: padding", padding)
        self.dilation = checks.per_axis("Conv: dilation", dilation)
        self.axes = axes_for(
            "Conv",
            kernel=self.kernel,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
        )
        self.groups = checks.whole_number("Conv: groups", groups)
        self.use_bias = checks.flag("Conv: use_bias", use_bias)
        self.init = initializers.chosen("Conv: init", init, initializers.HeNormal())
        if self.channels % self.groups:
            raise InputError(
                f"Conv: {channels} channels in {groups} groups; use a positive multiple of groups"
            )

    def __call__(self, x: Tensor) -> Tensor:
        kernel = self._kernel(x)
        x = floating(x)
        inputs = self._inputs(x, len(kernel))
        shape = (*kernel, inputs // self.groups, self.channels)
        weight = self.param("weight", shape, self.init, x.dtype)
        with fitting(x):
            y = convolution(x, weight, self.stride, self.padding, self.dilation, self.groups)
        if not self.use_bias:
            return y
        return y + self.param("bias", (self.channels,), initializers.zeros, x.dtype)

    def _kernel(self, x: Tensor) -> Shape:
        rank = spatial_axes(x, self.axes)
        return (self.kernel,) * rank if isinstance(self.kernel, int) else self.kernel

    def _inputs(self, x: Tensor, rank: int) -> int:
        """The channels of `x`, checked against the weight of earlier calls and the groups."""
        inputs = x.shape[-1]
        known = getattr(self, "weight", None)
        expected = inputs if known is None else known.shape[-2] * self.groups
        if inputs != expected:
            mend = "give it the channels that it was built for, or make a new Conv"
            if x.shape[1] == expected:
                order = (0, *range(2, rank + 2), 1)
                mend = f"the channels seem to stand first: use rv.transpose(x, {order})"
            raise ShapeError(
                f"expected {expected} input channels, got {inputs} (input {by(x.shape)}); {mend}"
            )
        if inputs % self.groups:
            raise ShapeError(
                f"{inputs} input channels do not split into {self.groups} groups "
                f"(input {by(x.shape)}); choose groups that divide both"
            )
        return inputs
