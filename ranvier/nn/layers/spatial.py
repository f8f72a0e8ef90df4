"""What layers over images and sequences, [batch, *spatial, channel], check of their axes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ranvier.errors import InputError, ShapeError
from ranvier.graph.tensor import Shape, Tensor
from ranvier.nn.module import by


def axes_for(name: str, **sizes: Any) -> tuple[int, ...]:
    """Return the numbers of spatial axes that a layer's arguments, by name, can serve.

    A tuple serves one for each of its entries, one number 1 or 2. Raises InputError, with the
    layer's name, for tuples of different lengths.
    """
    lengths = {label: len(size) for label, size in sizes.items() if isinstance(size, tuple)}
    if len(set(lengths.values())) > 1:
        each = ", ".join(f"{label} {sizes[label]}" for label in lengths)
        raise InputError(f"{name}: {each} are for different numbers of spatial axes; use the same")
    return tuple(set(lengths.values())) or (1, 2)


def spatial_axes(x: Tensor, served: tuple[int, ...]) -> int:
    """Return how many spatial axes `x` has; ShapeError if the layer does not serve so many."""
    rank = x.ndim - 2
    if rank not in served:
        raise ShapeError(
            f"expected an input [batch, *spatial, channel] with {' or '.join(map(str, served))} "
            f"spatial axes between batch and channel, got {by(x.shape)}; "
            "reshape it, with a channel axis last"
        )
    return rank


@contextmanager
def fitting(x: Tensor) -> Iterator[None]:
    """Say of an image that a kernel or window exceeds where its channels seem to stand first."""
    try:
        yield
    except ShapeError as error:
        if not channels_seem_first(x.shape):
            raise
        what = str(error).partition(";")[0]
        raise ShapeError(
            f"{what}; the channels seem to stand first: use rv.transpose(x, (0, 2, 3, 1))"
        ) from None


def channels_seem_first(shape: Shape) -> bool:
    """Whether images [batch, a, b, b] look like [batch, channel, side, side]."""
    return len(shape) == 4 and shape[1] in (1, 3) and shape[2] == shape[3] >= SMALLEST


SMALLEST = 8
"""Pictures have sides of so many pixels or more; smaller squares may be anything."""
