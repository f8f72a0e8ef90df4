"""Statistics over many axes at once, as batch normalization needs them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from ranvier.graph import functions as f
from ranvier.graph.tensor import Tensor


def moments(
    x: Any, axis: int | Sequence[int] | None = None, weights: Any = None
) -> tuple[Tensor, Tensor]:
    """Return mean and variance over `axis` (all by default), of one pass over x.

    `weights` broadcast to x; their sum must not be 0. Values are taken relative to a sample, so
    that no digits cancel (Chan, Golub & LeVeque, 1983).
    """
    x = f.as_tensor(x)
    axes = f.axis_tuple(axis, x.ndim)
    middle = [n // 2 if a in axes else slice(None) for a, n in enumerate(x.shape)]
    kept = tuple(1 if a in axes else n for a, n in enumerate(x.shape))
    sample = f.stop_gradient(f.reshape(x[tuple(middle)], kept))
    shifted = x - sample
    if weights is None:
        share: Any = 1.0 / max(1, prod(x.shape[a] for a in axes))
        first, second = f.sum(shifted, axes), f.sum(shifted * shifted, axes)
    else:
        w = f.broadcast_to(weights, x.shape)
        share = 1.0 / f.sum(w, axes)
        weighted = shifted * w
        first, second = f.sum(weighted, axes), f.sum(weighted * shifted, axes)
    mean = first * share
    return f.reshape(sample, mean.shape) + mean, second * share - mean * mean
