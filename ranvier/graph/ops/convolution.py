"""Convolution over one or two spatial axes, and its gradients towards input and weights.

Layouts: images [batch, *spatial, channels], weights [*kernel, channels / groups, outputs].
The three ops are the three ways to contract the same trilinear form

    sum over b, o, k, c, f of  x[b, o * stride + k * dilation - before, c] w[k, c, f] g[b, o, f]

so that the gradients of each are the other two, and all can be differentiated again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

from ranvier import dtypes
from ranvier.dtypes import DType
from ranvier.errors import DTypeError, ShapeError
from ranvier.graph.tensor import Array, Op, Shape, Tensor, apply
from ranvier.records import dataclass


@dataclass(frozen=True)
class Geometry:
    """How a kernel moves over an image: one entry of each tuple for each spatial axis.

    Zeros are thought `before` and `after` the image; channels are split into `groups`.
    """

    stride: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1

    @property
    def rank(self) -> int:
        """The number of spatial axes."""
        return len(self.stride)

    def positions(self, image: Shape, kernel: Shape) -> Shape:
        """Return how many places the kernel takes along each axis, 0 where it does not fit."""
        reach = [(k - 1) * d + 1 for k, d in zip(kernel, self.dilation, strict=True)]
        padded = [n + lo + hi for n, lo, hi in zip(image, self.before, self.after, strict=True)]
        return tuple(
            max(0, (n - r) // s + 1) for n, r, s in zip(padded, reach, self.stride, strict=True)
        )

    def taps(self, kernel: Shape, positions: Shape) -> Iterator[tuple[Shape, tuple[slice, ...]]]:
        """Yield each kernel index with the elements of the padded image that it meets."""
        for tap in product(*map(range, kernel)):
            starts = [t * d for t, d in zip(tap, self.dilation, strict=True)]
            ranges = zip(starts, positions, self.stride, strict=True)
            yield tap, tuple(slice(at, at + (n - 1) * s + 1, s) for at, n, s in ranges)

    def check(self, name: str) -> None:
        """Raise ShapeError for numbers that make no geometry."""
        tuples = (self.stride, self.before, self.after, self.dilation)
        if {len(numbers) for numbers in tuples} not in ({1}, {2}):
            raise ShapeError(
                f"{name}: stride {self.stride}, padding {self.before}, {self.after} and dilation "
                f"{self.dilation} must have one number for each of one or two spatial axes"
            )
        least = {"stride": self.stride, "dilation": self.dilation, "groups": (self.groups,)}
        for what, numbers in least.items():
            if min(numbers) < 1:
                raise ShapeError(f"{name}: {what} {_bare(numbers)} must be at least 1")
        if min((*self.before, *self.after)) < 0:
            raise ShapeError(
                f"{name}: padding {self.before}, {self.after} must not be negative; "
                "slice the image instead"
            )

    def fit(self, name: str, image: Shape, kernel: Shape, what: str = "kernel") -> Shape:
        """Return the positions of a kernel on an image, given by their spatial axes alone.

        `what` is the word for the kernel in errors. Raises ShapeError where it finds no place,
        or where the numbers make no geometry.
        """
        self.check(name)
        if not len(image) == len(kernel) == self.rank:
            raise ShapeError(
                f"{name}: the spatial axes of image {image} and {what} {kernel} must be as many "
                f"as those of stride {self.stride}"
            )
        if min(kernel) < 1:
            raise ShapeError(f"{name}: {what} {kernel} must be at least 1 along every axis")
        positions = self.positions(image, kernel)
        if 0 in positions:
            dilated = "" if max(self.dilation) == 1 else f" with dilation {self.dilation}"
            raise ShapeError(
                f"{name}: {what} {kernel}{dilated} is larger than image {image} with padding "
                f"{self.before}, {self.after}; pad the image or take a smaller {what}"
            )
        return positions


def _bare(numbers: Shape) -> str:
    """One number by itself, several as a tuple."""
    return str(numbers[0] if len(numbers) == 1 else numbers)


def _check(name: str, geometry: Geometry, a: Tensor, b: Tensor) -> DType:
    """Check what holds for both operands of all three ops, and return their dtype."""
    geometry.check(name)
    if a.dtype != b.dtype or not dtypes.is_floating(a.dtype):
        raise DTypeError(
            f"{name} takes two operands of one floating dtype, not {a.dtype} and {b.dtype}; "
            "use .astype(...)"
        )
    axes = geometry.rank + 2
    if a.ndim != axes or b.ndim != axes:
        spatial = "one spatial axis" if geometry.rank == 1 else "two spatial axes"
        raise ShapeError(
            f"{name}: operands {a.shape} and {b.shape} must both have {axes} axes for {spatial}"
        )
    return a.dtype


def _check_outputs(name: str, weights: Shape, groups: int) -> None:
    if weights[-1] % groups:
        raise ShapeError(
            f"{name}: the {weights[-1]} outputs of weights {weights} do not split into {groups} "
            f"groups; take a number of outputs divisible by {groups}"
        )


def _spatial(x: Tensor) -> Shape:
    return x.shape[1:-1]


def _padded(xp: Any, x: Array, geometry: Geometry) -> Array:
    widths = zip(geometry.before, geometry.after, strict=True)
    return xp.pad(x, [(0, 0), *widths, (0, 0)])


def _grouped(array: Array, groups: int) -> Array:
    """Split the last axis into [groups, channels of one group]."""
    return array.reshape(*array.shape[:-1], groups, array.shape[-1] // groups)


def _merged(array: Array) -> Array:
    return array.reshape(*array.shape[:-2], array.shape[-2] * array.shape[-1])


@dataclass(frozen=True)
class Convolution(Op):
    """x [b, *s, c], w [*k, c / groups, f] give [b, *positions, f].

    As in all of deep learning this is the cross-correlation: the kernel is not mirrored.
    """

    name = "convolution"
    arity = 2
    geometry: Geometry

    def infer(self, *inputs: Tensor) -> tuple[Shape, DType]:
        x, w = inputs
        groups = self.geometry.groups
        dtype = _check(self.name, self.geometry, x, w)
        if x.shape[-1] != w.shape[-2] * groups:
            raise ShapeError(
                f"{self.name}: weights {w.shape} expect {w.shape[-2] * groups} input channels, "
                f"but image {x.shape} has {x.shape[-1]}; weights are "
                f"[*kernel, channels / groups, outputs] with groups {groups}"
            )
        _check_outputs(self.name, w.shape, groups)
        positions = self.geometry.fit(self.name, _spatial(x), w.shape[:-2])
        return (x.shape[0], *positions, w.shape[-1]), dtype

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        x, w = arrays
        positions = self.geometry.positions(x.shape[1:-1], w.shape[:-2])
        padded = _grouped(_padded(xp, x, self.geometry), self.geometry.groups)
        weights = _grouped(w, self.geometry.groups)
        total: Array = 0
        for tap, where in self.geometry.taps(w.shape[:-2], positions):
            total = total + xp.einsum("...gc,cgf->...gf", padded[:, *where], weights[tap])
        return _merged(total)

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        x, w = out.inputs
        return (
            apply(ConvolutionInputGradient(self.geometry, _spatial(x)), grad, w),
            apply(ConvolutionWeightGradient(self.geometry, w.shape[:-2]), x, grad),
        )


@dataclass(frozen=True)
class ConvolutionInputGradient(Op):
    """g [b, *positions, f], w [*k, c / groups, f] give the gradient [b, *spatial, c]."""

    name = "convolution_input_gradient"
    arity = 2
    geometry: Geometry
    spatial: Shape

    def infer(self, *inputs: Tensor) -> tuple[Shape, DType]:
        g, w = inputs
        dtype = _check(self.name, self.geometry, g, w)
        _check_outputs(self.name, w.shape, self.geometry.groups)
        positions = self.geometry.fit(self.name, self.spatial, w.shape[:-2])
        if _spatial(g) != positions or g.shape[-1] != w.shape[-1]:
            raise ShapeError(
                f"{self.name}: gradient {g.shape} and weights {w.shape} do not belong to an "
                f"image of {self.spatial}; the gradient must be "
                f"{(g.shape[0], *positions, w.shape[-1])}"
            )
        return (g.shape[0], *self.spatial, w.shape[-2] * self.geometry.groups), dtype

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        g, w = arrays
        geometry = self.geometry
        grouped, weights = _grouped(g, geometry.groups), _grouped(w, geometry.groups)
        lengths = [
            n + lo + hi
            for n, lo, hi in zip(self.spatial, geometry.before, geometry.after, strict=True)
        ]
        total = xp.zeros((g.shape[0], *lengths, geometry.groups, w.shape[-2]), g.dtype)
        for tap, where in geometry.taps(w.shape[:-2], g.shape[1:-1]):
            part = xp.einsum("...gf,cgf->...gc", grouped, weights[tap])
            total = added(total, (slice(None), *where), part)
        inside = zip(geometry.before, self.spatial, strict=True)
        return _merged(total[:, *(slice(lo, lo + n) for lo, n in inside)])

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        g, w = out.inputs
        return (
            apply(Convolution(self.geometry), grad, w),
            apply(ConvolutionWeightGradient(self.geometry, w.shape[:-2]), grad, g),
        )


@dataclass(frozen=True)
class ConvolutionWeightGradient(Op):
    """x [b, *s, c], g [b, *positions, f] give the gradient [*kernel, c / groups, f]."""

    name = "convolution_weight_gradient"
    arity = 2
    geometry: Geometry
    kernel: Shape

    def infer(self, *inputs: Tensor) -> tuple[Shape, DType]:
        x, g = inputs
        groups = self.geometry.groups
        dtype = _check(self.name, self.geometry, x, g)
        positions = self.geometry.fit(self.name, _spatial(x), self.kernel)
        if g.shape[:-1] != (x.shape[0], *positions):
            raise ShapeError(
                f"{self.name}: image {x.shape} and gradient {g.shape} do not belong to a kernel "
                f"of {self.kernel}; the gradient must be {(x.shape[0], *positions, g.shape[-1])}"
            )
        if x.shape[-1] % groups or g.shape[-1] % groups:
            raise ShapeError(
                f"{self.name}: the channels of image {x.shape} and gradient {g.shape} do not "
                f"split into {groups} groups; take channel counts divisible by {groups}"
            )
        return (*self.kernel, x.shape[-1] // groups, g.shape[-1]), dtype

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        x, g = arrays
        geometry = self.geometry
        padded = _grouped(_padded(xp, x, geometry), geometry.groups)
        grouped = _grouped(g, geometry.groups)
        axes = "bij"[: geometry.rank + 1]
        parts = [
            _merged(xp.einsum(f"{axes}gc,{axes}gf->cgf", padded[:, *where], grouped))
            for _, where in geometry.taps(self.kernel, g.shape[1:-1])
        ]
        shape = (*self.kernel, x.shape[-1] // geometry.groups, g.shape[-1])
        return xp.stack(parts).reshape(shape)

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        x, g = out.inputs
        return (
            apply(ConvolutionInputGradient(self.geometry, _spatial(x)), g, grad),
            apply(Convolution(self.geometry), x, grad),
        )


def added(total: Array, where: tuple[slice, ...], part: Array) -> Array:
    """`total` with `part` added at `where`; NumPy in place, JAX's arrays anew."""
    if hasattr(total, "at"):
        return total.at[where].add(part)
    total[where] += part
    return total
