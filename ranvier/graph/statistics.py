"""Statistics over many axes at once, as batch normalization needs them."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, prod
from typing import Any

from ranvier.errors import ShapeError
from ranvier.graph import functions as f
from ranvier.graph.shapes import axis_tuple
from ranvier.graph.tensor import Shape, Tensor
from ranvier.guidance.calls import explained

_SAMPLES = 64
"""About how many elements tell where the mean lies."""


@explained
def moments(
    x: Any, axis: int | Sequence[int] | None = None, weights: Any = None
) -> tuple[Tensor, Tensor]:
    """Return mean and variance over `axis` (all by default), of one pass over x.

    `weights` broadcast to x; their sum must not be 0. Values are taken relative to the mean of
    64 of them, so that hardly a digit cancels (Chan, Golub & LeVeque, 1983), even if a few lie
    far from all others. Raises ShapeError where there are no elements.
    """
    x = f.as_tensor(x)
    axes = axis_tuple(axis, x.ndim, "moments")
    count = prod(x.shape[a] for a in axes)
    if count == 0:
        raise ShapeError(f"moments: {x.shape} has no elements along the axes {axes}; pass some")
    w = None if weights is None else f.broadcast_to(weights, x.shape)
    kept = tuple(1 if a in axes else n for a, n in enumerate(x.shape))
    near = f.reshape(f.stop_gradient(_near_mean(x, axes, w)), kept)
    shifted = x - near
    weighted = shifted if w is None else shifted * w
    share: Any = 1.0 / count if w is None else 1.0 / f.sum(w, axes)
    mean = f.sum(weighted, axes) * share
    square = f.sum(weighted * shifted, axes) * share
    return f.reshape(near, mean.shape) + mean, f.maximum(square - mean * mean, 0.0)


def _near_mean(x: Tensor, axes: Shape, w: Tensor | None) -> Tensor:
    """The mean of elements at equal distances; 0 where none of them has a weight."""
    a_side = round(_SAMPLES ** (1 / max(1, len(axes))))
    steps = (ceil(n / a_side) if a in axes else 1 for a, n in enumerate(x.shape))
    few = tuple(slice(None, None, max(1, step)) for step in steps)
    x = x[few]
    if w is None:
        return f.sum(x, axes) * (1.0 / prod(x.shape[a] for a in axes))
    w = w[few]
    total = f.sum(w, axes)
    return f.sum(x * w, axes) / f.where(f.greater(total, 0.0), total, 1.0)
