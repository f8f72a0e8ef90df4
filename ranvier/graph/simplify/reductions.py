"""Reductions: over axes that hold one element, over broadcasts, and over transposed tensors.

A float sum over a broadcast axis becomes one product only where the count is a power of two,
for then the product is exact; for other counts it would round otherwise than the sum.

The sign of a sum that is zero is left open: an engine may start from 0 or from the first
element, so the sum of -0 alone is 0 in one and -0 in the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from ranvier import dtypes
from ranvier.graph import functions as f
from ranvier.graph.ops.contraction import MatMul
from ranvier.graph.ops.movement import BroadcastTo, Transpose
from ranvier.graph.ops.reduction import ArgMax, Max, Min, Sum
from ranvier.graph.simplify.rules import RulePass, full, padded_source
from ranvier.graph.tensor import Tensor, apply
from ranvier.graph.walk import rebuild, topological, users


def reduce_nothing(tensor: Tensor) -> Tensor | None:
    """Axes of length 1 are dropped by a reshape of the result."""
    assert isinstance(tensor.op, Sum | Max | Min)
    (x,) = tensor.inputs
    axes = tuple(a for a in tensor.op.axes if x.shape[a] != 1)
    if axes == tensor.op.axes:
        return x if not axes else None
    return f.reshape(apply(type(tensor.op)(axes), x) if axes else x, tensor.shape)


def sum_empty(tensor: Tensor) -> Tensor | None:
    """The sum of nothing is 0."""
    return None if prod(tensor.inputs[0].shape) else full(0, tensor)


def argmax_single(tensor: Tensor) -> Tensor | None:
    """The largest of one element is element 0."""
    assert isinstance(tensor.op, ArgMax)
    (axis,) = tensor.op.axes
    return full(0, tensor) if tensor.inputs[0].shape[axis] == 1 else None


def extremum_broadcast(tensor: Tensor) -> Tensor | None:
    """The largest of equal elements is each of them."""
    assert isinstance(tensor.op, Max | Min)
    (x,) = tensor.inputs
    if not isinstance(x.op, BroadcastTo):
        return None
    padded = padded_source(x)
    repeated = [a for a in tensor.op.axes if padded[a] < x.shape[a]]
    if not repeated:
        return None
    shape = tuple(1 if a in repeated else n for a, n in enumerate(x.shape))
    return apply(tensor.op, f.broadcast_to(f.reshape(x.inputs[0], padded), shape))


def sum_broadcast(tensor: Tensor) -> Tensor | None:
    """The sum of n equal elements is n times one, for a power of two or integers."""
    assert isinstance(tensor.op, Sum)
    (x,) = tensor.inputs
    if not isinstance(x.op, BroadcastTo):
        return None
    padded, axes = padded_source(x), tensor.op.axes
    count = prod(x.shape[a] for a in axes)
    exact = count & (count - 1) == 0 if dtypes.is_floating(x.dtype) else count < 256
    if count < 2 or not exact or any(padded[a] != 1 for a in axes):
        return None
    kept = tuple(n for a, n in enumerate(padded) if a not in axes)
    value = f.broadcast_to(f.reshape(x.inputs[0], kept), tensor.shape)
    return f.multiply(value, full(count, value))


def reduce_transpose(tensor: Tensor) -> Tensor | None:
    """reduce(transpose(x)) = transpose(reduce(x)), which has fewer axes to move."""
    assert isinstance(tensor.op, Sum | Max | Min)
    (source,) = tensor.inputs
    if not isinstance(source.op, Transpose):
        return None
    order = source.op.axes
    reduced = tuple(sorted(order[a] for a in tensor.op.axes))
    kept = [n for a, n in enumerate(order) if a not in tensor.op.axes]
    ranks = {axis: i for i, axis in enumerate(sorted(kept))}
    out = apply(type(tensor.op)(reduced), *source.inputs)
    return f.transpose(out, tuple(ranks[axis] for axis in kept))


_EXTREMUM = (reduce_nothing, extremum_broadcast, reduce_transpose)

reductions = RulePass(
    {
        Sum: [reduce_nothing, sum_empty, sum_broadcast, reduce_transpose],
        Max: _EXTREMUM,
        Min: _EXTREMUM,
        ArgMax: [argmax_single],
    }
)


def products(roots: Sequence[Tensor], settled: set[Tensor]) -> list[Tensor]:
    """(a b)ᵀ = bᵀ aᵀ, since a product reads transposed operands in place, but writes rows.

    Only where nothing else reads a b. `settled` is not used: the readers may change.
    """
    order = topological(roots)
    if not any(_transposes_product(tensor) for tensor in order):
        return list(roots)
    readers, asked = users(order), set(roots)
    new: dict[Tensor, Tensor] = {}
    for old in order:
        new[old] = rebuild(old, tuple([new[source] for source in old.inputs]))
        if _transposes_product(old):
            (product,) = old.inputs
            if product not in asked and len(readers[product]) == 1:
                a, b = (f.swapaxes(new[source], -1, -2) for source in product.inputs)
                new[old] = apply(MatMul(), b, a)
    return [new[root] for root in roots]


def _transposes_product(tensor: Tensor) -> bool:
    if not isinstance(tensor.op, Transpose) or not isinstance(tensor.inputs[0].op, MatMul):
        return False
    n = tensor.ndim
    return tensor.op.axes == (*range(n - 2), n - 1, n - 2)
