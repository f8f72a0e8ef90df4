"""Halos: a tensor stored inside a larger buffer, whose border holds zeros.

A convolution reads its image with a border. Where the image is computed by the program itself,
it is stored at once inside the padded buffer, and only the border is written besides, so that
padding costs no copy.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import numpy as np

from ranvier.engines.native.indexmap import Affine, row_major, weighted
from ranvier.graph.ops.convolution import Convolution
from ranvier.graph.ops.movement import Pad
from ranvier.graph.ops.pointwise import Pointwise
from ranvier.graph.tensor import Shape, Tensor
from ranvier.records import dataclass


@dataclass(frozen=True)
class Halo:
    """A tensor of `shape` that begins at position `before` of a buffer of shape `outer`."""

    shape: Shape
    outer: Shape
    before: tuple[int, ...]

    def position(self, axes: Iterable[Affine]) -> Affine:
        """Where in the buffer the tensor's element at index `axes` lies."""
        pairs = zip(axes, self.before, strict=True)
        moved = tuple(axis.scaled(1, lo) for axis, lo in pairs)
        return weighted(moved, row_major(self.outer), len(moved[0].terms))

    def view(self, array: np.ndarray) -> np.ndarray:
        """The tensor's part of the buffer's array."""
        return array[
            tuple(slice(lo, lo + n) for lo, n in zip(self.before, self.shape, strict=True))
        ]


def halo_of(padded: Tensor) -> Halo:
    """How the source of a Pad lies in its result."""
    assert isinstance(padded.op, Pad)
    return Halo(padded.inputs[0].shape, padded.shape, padded.op.before)


def without_halo(source: Tensor) -> Halo:
    """`source` in a buffer of its own shape, where nothing reads a border."""
    return Halo(source.shape, source.shape, (0,) * source.ndim)


def first_spatial(padded: Tensor) -> int:
    """The first of the two axes of images that may have a border: 1, or 0 batch-innermost."""
    assert isinstance(padded.op, Pad)
    return int(not (padded.op.before[0] or padded.op.after[0]))


def find_halos(stored: Iterable[Tensor], fixed: Collection[Tensor]) -> Mapping[Tensor, Tensor]:
    """Map each tensor that can be stored inside a padded one to that.

    `stored` are the tensors that must lie in memory; those `fixed` have a buffer already.
    """
    found: dict[Tensor, Tensor] = {}
    for node in stored:
        if not isinstance(node.op, Pad) or node.ndim != 4 or node in fixed:
            continue
        widths = zip(node.op.before, node.op.after, strict=True)
        bordered = [axis for axis, width in enumerate(widths) if any(width)]
        source = node.inputs[0]
        computed = isinstance(source.op, Pointwise | Convolution) and source not in fixed
        first = first_spatial(node)
        if computed and set(bordered) <= {first, first + 1} and source.size:
            found.setdefault(source, node)
    return found
