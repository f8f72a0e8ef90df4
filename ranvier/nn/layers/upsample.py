"""`Upsample` and `Reshape`: what decoders need to get from codes to pictures."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from ranvier import validation as checks
from ranvier.errors import InputError, ShapeError
from ranvier.graph import functions as f
from ranvier.graph.images import PerAxis
from ranvier.graph.tensor import Tensor
from ranvier.nn.layers.spatial import axes_for, spatial_axes
from ranvier.nn.module import Module, by


class Upsample(Module):
    """Repeat each element of [batch, *spatial, channel] along its one or two spatial axes.

    factor: how many times, one number or one for each axis, 2 by default. size: the lengths to
    cut the result down to, at its end, None for all of it. Followed by a convolution it makes
    larger pictures without the pattern that transposed convolutions leave (Odena, Dumoulin &
    Olah, "Deconvolution and checkerboard artifacts", 2016).

    Raises InputError for arguments that are none, ShapeError for inputs of other axes and for a
    size that is larger than the result.
    """

    def __init__(self, factor: PerAxis = 2, *, size: PerAxis | None = None) -> None:
        self.factor = checks.per_axis("Upsample: factor", factor)
        self.size = None if size is None else checks.per_axis("Upsample: size", size)
        self._axes = axes_for("Upsample", factor=self.factor, size=self.size)

    def __call__(self, x: Tensor) -> Tensor:
        rank = spatial_axes(x, self._axes)
        factors = _each(self.factor, rank)
        spatial, channels = x.shape[1:-1], x.shape[-1]
        split = [n for length in spatial for n in (length, 1)]
        wide = [n for pair in zip(spatial, factors, strict=True) for n in pair]
        repeated = f.broadcast_to(
            f.reshape(x, (x.shape[0], *split, channels)), (x.shape[0], *wide, channels)
        )
        whole = tuple(n * times for n, times in zip(spatial, factors, strict=True))
        y = f.reshape(repeated, (x.shape[0], *whole, channels))
        if self.size is None:
            return y
        size = _each(self.size, rank)
        if any(wanted > n for wanted, n in zip(size, whole, strict=True)):
            raise ShapeError(
                f"a size of {by(size)} is larger than the result, {by(whole)}; use a larger factor"
            )
        return f.slice_axes(y, (0,) * y.ndim, (x.shape[0], *size, channels))


class Reshape(Module):
    """The elements of each sample under another shape: [batch, …] to [batch, *shape].

    Raises InputError for lengths that are none, ShapeError where the numbers of elements differ.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        if not isinstance(shape, list | tuple) or not shape:
            raise InputError(f"Reshape: shape is {checks.shown(shape)}; use a list of lengths")
        self.shape = tuple(checks.whole_number("Reshape: a length", n) for n in shape)

    def __call__(self, x: Tensor) -> Tensor:
        if x.ndim == 0 or prod(x.shape[1:]) != prod(self.shape):
            raise ShapeError(
                f"expected samples of {prod(self.shape)} elements for {by(self.shape)}, got an "
                f"input {by(x.shape)}; make them equal"
            )
        return f.reshape(x, (x.shape[0], *self.shape))


def _each(value: int | tuple[int, ...], rank: int) -> tuple[int, ...]:
    return (value,) * rank if isinstance(value, int) else value
