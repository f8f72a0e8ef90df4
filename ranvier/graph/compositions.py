"""Functions composed of primitives; the compiler makes them fast by fusing."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ranvier import dtypes
from ranvier.errors import DTypeError, ShapeError
from ranvier.graph import functions as f
from ranvier.graph.shapes import axis_tuple, whole_numbers
from ranvier.graph.tensor import Tensor
from ranvier.guidance.calls import explain


def mean(x: Any, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Tensor:
    """Mean over `axis` (all axes by default); NaN of no elements. DTypeError if not of floats."""
    x = _floating("mean", x)
    count = prod(x.shape[a] for a in axis_tuple(axis, x.ndim, "mean"))
    return f.divide(f.sum(x, axis, keepdims), count)


def var(x: Any, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Tensor:
    """Variance (divided by the count) over `axis`, by the two-pass formula; see `mean`."""
    x = _floating("var", x)
    centred = x - mean(x, axis, keepdims=True)
    return mean(centred * centred, axis, keepdims)


def _floating(name: str, x: Any) -> Tensor:
    tensor = f.as_tensor(x)
    if not dtypes.is_floating(tensor.dtype):
        raise DTypeError(f"{name} takes float32 or float64, not {tensor.dtype}; use .astype(...)")
    return tensor


def relu(x: Any) -> Tensor:
    """max(x, 0); the gradient at 0 is 0."""
    return f.maximum(x, 0)


def gelu(x: Any) -> Tensor:
    """x times the normal distribution function of x (Hendrycks & Gimpel, 2016)."""
    x = f.as_tensor(x)
    return f.multiply(x * 0.5, 1 + f.erf(x * 0.5**0.5))


def softplus(x: Any) -> Tensor:
    """log(1 + exp(x)), exact far to both sides; its gradient is the sigmoid, also at 0."""
    x = f.as_tensor(x)
    # Of equals the second has the gradient: at 0 it is 1 - 1/2.
    return f.add(f.maximum(0, x), f.log1p(f.exp(f.minimum(x, -x))))


def log_softmax(x: Any, axis: int = -1) -> Tensor:
    """The logarithm of softmax, safe for large logits."""
    x = f.as_tensor(x)
    shifted = x - f.stop_gradient(f.max(x, axis, keepdims=True))
    return f.subtract(shifted, f.log(f.sum(f.exp(shifted), axis, keepdims=True)))


def softmax(x: Any, axis: int = -1) -> Tensor:
    """exp(x) divided by its sum along `axis`, safe for large logits."""
    x = f.as_tensor(x)
    e = f.exp(x - f.stop_gradient(f.max(x, axis, keepdims=True)))
    return e / f.sum(e, axis, keepdims=True)


def one_hot(indices: Any, classes: int, dtype: Any = dtypes.float32) -> Tensor:
    """[…] integer indices to […, classes]: 1 at the index, 0 elsewhere.

    Raises DTypeError or ShapeError.
    """
    indices = f.as_tensor(indices)
    if indices.dtype not in dtypes.INTEGER:
        raise DTypeError(f"one_hot takes integer indices, not {indices.dtype}; use .astype(...)")
    counts = whole_numbers("one_hot: classes", classes)
    if len(counts) != 1 or counts[0] < 1:
        raise ShapeError(f"one_hot: classes {classes} must be one number, at least 1")
    wide = f.cast(f.expand_dims(indices, indices.ndim), dtypes.int64)
    return f.cast(wide == np.arange(counts[0], dtype=dtypes.int64), dtype)


explain(globals())
