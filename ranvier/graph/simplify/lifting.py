"""Lifting: broadcasts and reshapes move outwards, from the inputs of an op to its result.

Pointwise work on broadcasts becomes a broadcast of less work, as in a chain of scalars that
scales a matrix. Pointwise work and reductions on reshaped tensors become a reshape of their
result, which then meets the next one, or a user that reads it in place.
"""

from __future__ import annotations

from math import prod

from ranvier.graph import functions as f
from ranvier.graph.leaves import Constant
from ranvier.graph.ops.movement import BroadcastTo, Reshape
from ranvier.graph.ops.pointwise import Pointwise
from ranvier.graph.ops.reduction import Max, Min, Sum
from ranvier.graph.simplify.rules import RulePass, axis_groups, padded_source, rebroadcast, stripped
from ranvier.graph.tensor import Shape, Tensor, apply

# ---------------------------------------------------------------- pointwise


def pointwise_broadcast(tensor: Tensor) -> Tensor | None:
    """op(broadcast(a), broadcast(b)) = broadcast(op(a, b)) where that is less work."""
    if not all(isinstance(source.op, BroadcastTo) for source in tensor.inputs):
        return None
    padded = [padded_source(source) for source in tensor.inputs]
    common = tuple(map(max, *padded)) if len(padded) > 1 else padded[0]
    if prod(common) >= prod(tensor.shape):
        return None
    common = stripped(common)
    small = [
        rebroadcast(source.inputs[0], shape, common)
        for source, shape in zip(tensor.inputs, padded, strict=True)
    ]
    return f.broadcast_to(apply(tensor.op, *small), tensor.shape)


def pointwise_reshape(tensor: Tensor) -> Tensor | None:
    """op(reshape(a), reshape(b)) = reshape(op(a, b)); broadcasts and constants come along."""
    reshaped = [source for source in tensor.inputs if isinstance(source.op, Reshape)]
    if not reshaped or not prod(tensor.shape):
        return None
    shape = reshaped[0].inputs[0].shape
    sources = [_under_reshape(source, shape) for source in tensor.inputs]
    found = [source for source in sources if source is not None]
    if len(found) < len(sources):
        return None
    return f.reshape(apply(tensor.op, *found), tensor.shape)


def _under_reshape(source: Tensor, shape: Shape) -> Tensor | None:
    """Return the tensor of `shape` whose reshape `source` is, if it needs no new work."""
    if isinstance(source.op, Reshape):
        (inner,) = source.inputs
        return inner if inner.shape == shape else None
    if isinstance(source.op, Constant):
        return f.reshape(source, shape)
    if not isinstance(source.op, BroadcastTo):
        return None
    padded, aligned = padded_source(source), [1] * len(shape)
    for axes, result_axes in axis_groups(shape, source.shape):
        lengths = [(padded[a], source.shape[a]) for a in result_axes if source.shape[a] > 1]
        if all(n == m for n, m in lengths):
            for a in axes:
                aligned[a] = shape[a]
        elif any(n == m for n, m in lengths):
            return None
    return rebroadcast(source.inputs[0], tuple(aligned), shape)


# ---------------------------------------------------------------- reductions


def reduction_reshape(tensor: Tensor) -> Tensor | None:
    """reduce(reshape(x)) = reshape(reduce(x)) where the reduced axes are whole axes of x."""
    assert isinstance(tensor.op, Sum | Max | Min)
    (source,) = tensor.inputs
    if not isinstance(source.op, Reshape) or not prod(source.shape):
        return None
    (x,) = source.inputs
    reduced: list[int] = []
    for axes, result_axes in axis_groups(x.shape, source.shape):
        asked = {a in tensor.op.axes for a in result_axes if source.shape[a] > 1}
        if len(asked) > 1:
            return None
        if asked == {True}:
            reduced += axes
    out = apply(type(tensor.op)(tuple(reduced)), x) if reduced else x
    return f.reshape(out, tensor.shape)


lift = RulePass(
    {
        Pointwise: [pointwise_broadcast, pointwise_reshape],
        Sum: [reduction_reshape],
        Max: [reduction_reshape],
        Min: [reduction_reshape],
    }
)
