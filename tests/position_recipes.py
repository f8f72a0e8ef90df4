"""Recipes of `random_graphs` for results that depend on where elements stand.

Such a result and another order of the same elements may share a kernel, whose loops then run in
an order that suits both. Values are whole numbers with many ties, so that a wrong order shows.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING

import numpy as np

import ranvier as rv
from ranvier.graph.ops.pooling import MaxPool, MaxPoolChoice
from ranvier.graph.tensor import Shape, Tensor, apply

if TYPE_CHECKING:
    from random_graphs import Builder, Node

HIGHEST = 3
"""Leaves hold 0 … HIGHEST - 1."""


def _shape(b: Builder) -> Shape:
    """Two or three axes of which one divides another, so that loops over both can be split."""
    short = b.choose((2, 3, 5, 10))
    shape = [short * b.choose((3, 2, 5, 10)), short]
    if prod(shape) <= 200 and b.flag():
        shape.insert(b.integer(0, 2), b.choose((2, 4, 5)))
    return tuple(shape[::-1] if b.flag() else shape)


def _whole(b: Builder, shape: Shape) -> Tensor:
    """Small whole numbers in the case's dtype."""
    return b.leaf(shape, rv.int64, HIGHEST).tensor.astype(b.case.dtype)


def _computed(b: Builder) -> Node:
    """A value that kernels store, or might, by ops of all kinds."""
    shape = _shape(b)
    kind = b.choose(("product", "sum", "pointwise", "take", "scatter", "bits"))
    bound = float(HIGHEST)
    if kind == "product":
        depth = b.choose((2, 3, 8))
        left, right = _whole(b, (*shape[:-1], depth)), _whole(b, (depth, shape[-1]))
        value, bound = left @ right, bound * bound * depth
    elif kind == "sum":
        value, bound = rv.sum(_whole(b, (4, *shape)), 0), 4 * bound
    elif kind == "pointwise":
        value, bound = rv.abs(_whole(b, shape) - _whole(b, shape)), 2 * bound
    elif kind == "take":
        rows = b.leaf((shape[0],), rv.int64, 4).tensor
        value = rv.take(_whole(b, (4, *shape[1:])), rows)
    elif kind == "scatter":
        rows = b.leaf((30,), rv.int64, shape[0]).tensor
        value = rv.scatter_add(_whole(b, (30, *shape[1:])), rows, shape[0])
        bound *= 30
    else:
        bits = rv.random_bits(shape, b.integer(0, 99), 0, 0, rv.uint8)
        value = (bits < 160).astype(b.case.dtype)
    return b.put(value, 0, bound)


# ---------------------------------------------------------------- what depends on positions


def _index_of_largest(b: Builder, x: Tensor) -> Tensor:
    """The index along one axis, or among all; of the value or of a view of it."""
    seen = b.choose((x, rv.transpose(x), x.reshape(-1, x.shape[-1])))
    return rv.argmax(seen, b.choose((*range(seen.ndim), None)))


def _last_of_largest(b: Builder, x: Tensor) -> Tensor:
    """The last index at which the largest stands, by a table of indices."""
    axis = b.integer(0, x.ndim - 1)
    indices = np.moveaxis(np.broadcast_to(np.arange(x.shape[axis]), _moved(x, axis)), -1, axis)
    largest = x == rv.max(x, axis, keepdims=True)
    return rv.max(rv.where(largest, rv.constant(indices), rv.constant(np.int64(-1))), axis)


def _moved(x: Tensor, axis: int) -> Shape:
    return (*x.shape[:axis], *x.shape[axis + 1 :], x.shape[axis])


def _choice_of_windows(b: Builder, x: Tensor) -> Tensor:
    """Which element of each window is the largest."""
    image = x.reshape(1, x.shape[0], prod(x.shape[1:]), 1)
    if b.flag():
        image = rv.swapaxes(image, 1, 2)
    pooled = rv.max_pool(image, (2, 2), (b.choose((2, 1)), 2), [(0, 0), (b.integer(0, 1), 1)])
    assert isinstance(pooled.op, MaxPool)
    return apply(MaxPoolChoice(pooled.op.window), image)


def _added_up(b: Builder, x: Tensor) -> Tensor:
    """The rows, or the rows of the transpose, added up by index."""
    rows = rv.swapaxes(x, 0, -1) if b.flag() else x
    return rv.scatter_add(rows, b.leaf((rows.shape[0],), rv.int64, 3).tensor, 3)


def _dropped(b: Builder, x: Tensor) -> Tensor:
    """Sums of the elements that random bits keep."""
    kept = rv.random_bits(x.shape, b.integer(0, 99), 0, 1, rv.uint8) < 128
    return rv.sum(rv.where(kept, x, rv.zeros_like(x)), b.integer(0, x.ndim - 1))


POSITIONED: tuple[Callable[[Builder, Tensor], Tensor], ...] = (
    _index_of_largest, _last_of_largest, _choice_of_windows, _added_up, _dropped,
)  # fmt: skip


# ---------------------------------------------------------------- the same elements elsewhere


def _reordered(b: Builder, x: Tensor) -> Tensor:
    """A view, or rows taken, in another order than the value's own."""
    kind = b.choose(("transpose", "reshape", "take", "flip", "merge"))
    if kind == "take":
        axis = b.integer(-x.ndim, x.ndim - 1)
        return rv.take(x, b.leaf((3,), rv.int64, x.shape[axis]).tensor, axis)
    turned = rv.transpose(x, b.choose((tuple(range(x.ndim))[::-1], (*range(1, x.ndim), 0))))
    if kind == "reshape":
        return turned.reshape(x.shape)
    if kind == "merge":
        return turned.reshape(-1)
    return rv.flip(turned, b.integer(0, x.ndim - 1)) if kind == "flip" else turned


def positions(b: Builder) -> None:
    """Results that depend on positions beside the same value in other orders."""
    x = _computed(b)
    most = x.largest * max(30, *x.tensor.shape)
    longest = max(range(x.tensor.ndim), key=x.tensor.shape.__getitem__)
    b.show(b.put(rv.argmax(x.tensor, longest), 0))
    b.show(b.put(_reordered(b, x.tensor), 0))
    if b.flag():
        b.show(b.put(b.choose(POSITIONED)(b, x.tensor), 0, most))
    if b.flag():
        b.show(b.put(_reordered(b, x.tensor), 0))
