"""The functions of tensors, by NumPy's names and broadcasting.

They wrap the primitives: Python numbers and arrays become constants, shapes are broadcast by
explicit ops. What is composed of primitives stands in `ranvier.graph.compositions`.
"""

# ruff: noqa: A001 (the names are NumPy's: sum, max, min, abs)

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from ranvier import dtypes
from ranvier.errors import DTypeError, ShapeError
from ranvier.graph import leaves
from ranvier.graph.ops import contraction, indexing, movement, pointwise, random, reduction
from ranvier.graph.shapes import (
    axis_tuple,
    broadcast_shapes,
    lengths,
    one_axis,
    pairs,
    whole_number,
    whole_numbers,
)
from ranvier.graph.tensor import Op, Shape, Tensor, apply
from ranvier.guidance.calls import explain

# ---------------------------------------------------------------- operands


def as_tensor(value: Any, dtype: Any = None, what: str = "") -> Tensor:
    """Return `value` itself if it is a tensor, else a constant (of `dtype` where given).

    Raises ShapeError or DTypeError, beginning with `what`, for what is no array of numbers.
    """
    own = isinstance(value, Tensor)
    return value if own else leaves.constant(leaves.as_array(value, dtype, what))


def operands(*values: Any) -> tuple[Tensor, ...]:
    """Return the values as tensors of one shape; Python numbers take the tensors' dtype.

    Where all are numbers, they have the dtype of a list of them.

    Raises ShapeError where the shapes do not broadcast.
    """
    numbers = (bool, int, float)
    found = [as_tensor(v) for v in values if not isinstance(v, numbers)]
    dtype = found[0].dtype if found else as_tensor(values).dtype
    tensors = [_number(v, dtype) if isinstance(v, numbers) else as_tensor(v) for v in values]
    shape = broadcast_shapes(*(t.shape for t in tensors))
    return tuple(broadcast_to(t, shape) for t in tensors)


def _number(value: float, dtype: dtypes.DType) -> Tensor:
    if dtype == dtypes.bool_ and not isinstance(value, bool):
        raise DTypeError(f"a bool tensor and the number {value}; convert with .astype(...)")
    return as_tensor(value, dtype)


# ---------------------------------------------------------------- pointwise


def _unary(op: Op) -> Callable[[Any], Tensor]:
    def function(x: Any) -> Tensor:
        return apply(op, as_tensor(x))

    function.__name__ = function.__qualname__ = op.name
    function.__doc__ = type(op).__doc__
    return function


def _binary(op: Op) -> Callable[[Any, Any], Tensor]:
    def function(a: Any, b: Any) -> Tensor:
        return apply(op, *operands(a, b))

    function.__name__ = function.__qualname__ = op.name
    function.__doc__ = type(op).__doc__
    return function


negative = _unary(pointwise.Negative())
exp = _unary(pointwise.Exp())
expm1 = _unary(pointwise.Expm1())
log = _unary(pointwise.Log())
log1p = _unary(pointwise.Log1p())
tanh = _unary(pointwise.Tanh())
sigmoid = _unary(pointwise.Sigmoid())
erf = _unary(pointwise.Erf())
sqrt = _unary(pointwise.Sqrt())
rsqrt = _unary(pointwise.Rsqrt())
sin = _unary(pointwise.Sin())
cos = _unary(pointwise.Cos())
abs = _unary(pointwise.Abs())
sign = _unary(pointwise.Sign())
floor = _unary(pointwise.Floor())
step = _unary(pointwise.Step())
stop_gradient = _unary(pointwise.StopGradient())
logical_not = _unary(pointwise.LogicalNot())

add = _binary(pointwise.Add())
subtract = _binary(pointwise.Subtract())
multiply = _binary(pointwise.Multiply())
divide = _binary(pointwise.Divide())
power = _binary(pointwise.Power())
maximum = _binary(pointwise.Maximum())
minimum = _binary(pointwise.Minimum())
less = _binary(pointwise.Less())
less_equal = _binary(pointwise.LessEqual())
equal = _binary(pointwise.Equal())
not_equal = _binary(pointwise.NotEqual())
logical_and = _binary(pointwise.LogicalAnd())
logical_or = _binary(pointwise.LogicalOr())


def greater(a: Any, b: Any) -> Tensor:
    """a > b."""
    return less(b, a)


def greater_equal(a: Any, b: Any) -> Tensor:
    """a >= b."""
    return less_equal(b, a)


def where(condition: Any, a: Any, b: Any) -> Tensor:
    """Choose `a` where `condition` (bool) holds, else `b`."""
    a, b = operands(a, b)
    condition = as_tensor(condition)
    shape = broadcast_shapes(condition.shape, a.shape)
    return apply(pointwise.Where(), *(broadcast_to(t, shape) for t in (condition, a, b)))


def cast(x: Any, dtype: Any) -> Tensor:
    """Return `x` converted to `dtype`; itself where it has that dtype already."""
    x, dtype = as_tensor(x), dtypes.as_dtype(dtype)
    return x if x.dtype == dtype else apply(pointwise.Cast(dtype), x)


# ---------------------------------------------------------------- movement


def reshape(x: Any, *shape: int | Sequence[int]) -> Tensor:
    """Return the elements of `x` in row-major order under `shape`; one axis may be -1.

    Raises ShapeError where `shape` has another number of elements.
    """
    x = as_tensor(x)
    wanted = whole_numbers("reshape: shape", shape[0] if len(shape) == 1 else shape)
    if any(n < -1 for n in wanted) or wanted.count(-1) > 1:
        raise ShapeError(f"reshape: shape {wanted}; one axis may be -1, others must be 0 or more")
    if -1 in wanted:
        known = -prod(wanted)
        if not known or x.size % known:
            raise ShapeError(
                f"reshape: the {x.size} elements of {x.shape} do not fill {wanted}; no length "
                "fits in place of -1"
            )
        wanted = tuple(x.size // known if n == -1 else n for n in wanted)
    return x if wanted == x.shape else apply(movement.Reshape(wanted), x)


def transpose(x: Any, *axes: int | Sequence[int] | None) -> Tensor:
    """Return `x` with axes in the order `axes` (reversed where none are given)."""
    x = as_tensor(x)
    if not axes or (len(axes) == 1 and axes[0] is None):
        order = tuple(reversed(range(x.ndim)))
    else:
        order = whole_numbers("axes", axes[0] if len(axes) == 1 else axes)
    order = tuple(a + x.ndim if a < 0 else a for a in order)
    return x if order == tuple(range(x.ndim)) else apply(movement.Transpose(order), x)


def swapaxes(x: Any, first: int, second: int) -> Tensor:
    """Return `x` with two axes exchanged."""
    x = as_tensor(x)
    first, second = (one_axis(a, x.ndim, "swapaxes") for a in (first, second))
    order = list(range(x.ndim))
    order[first], order[second] = order[second], order[first]
    return transpose(x, order)


def broadcast_to(x: Any, shape: Sequence[int]) -> Tensor:
    """Return `x` repeated along new leading axes and axes of length 1 to `shape`."""
    x, shape = as_tensor(x), lengths("broadcast_to", shape)
    return x if x.shape == shape else apply(movement.BroadcastTo(shape), x)


def expand_dims(x: Any, axis: int | Sequence[int]) -> Tensor:
    """Return `x` with new axes of length 1 at the positions `axis` of the result."""
    x = as_tensor(x)
    added = whole_numbers("expand_dims: axis", axis)
    new = axis_tuple(added, x.ndim + len(added), "expand_dims")
    old = iter(x.shape)
    return reshape(x, [1 if a in new else next(old) for a in range(x.ndim + len(new))])


def slice_axes(
    x: Any, starts: Sequence[int], stops: Sequence[int], steps: Sequence[int] | None = None
) -> Tensor:
    """Return elements starts[a], starts[a] + steps[a], … below stops[a] along each axis a."""
    x = as_tensor(x)
    ones = (1,) * x.ndim
    low, high = whole_numbers("starts", starts), whole_numbers("stops", stops)
    steps = ones if steps is None else whole_numbers("steps", steps)
    whole = (low, high, steps) == ((0,) * x.ndim, x.shape, ones)
    return x if whole else apply(movement.Slice(low, high, steps), x)


def pad(x: Any, widths: int | Sequence[Any]) -> Tensor:
    """Return `x` with zeros added: a pair (before, after) for each axis, as numpy.pad.

    One pair, or one number, counts for all axes. Raises ShapeError or DTypeError for other
    widths, or negative ones.
    """
    x = as_tensor(x)
    before, after = zip(*pairs(widths, x.ndim, "pad"), strict=True) if x.ndim else ((), ())
    return apply(movement.Pad(before, after), x) if any((*before, *after)) else x


def concatenate(tensors: Sequence[Any], axis: int | None = 0) -> Tensor:
    """Return the tensors one after another along `axis` (all of them flat where it is None).

    Raises ShapeError where other axes differ in length, DTypeError where dtypes differ.
    """
    tensors = [as_tensor(t) for t in tensors]
    if not tensors:
        raise ShapeError("concatenate needs at least one tensor")
    if axis is None:
        tensors, axis = [reshape(t, (t.size,)) for t in tensors], 0
    axis = one_axis(axis, tensors[0].ndim, "concatenate")
    return tensors[0] if len(tensors) == 1 else apply(movement.Concatenate(axis), *tensors)


def stack(tensors: Sequence[Any], axis: int = 0) -> Tensor:
    """Return the tensors side by side along a new axis; ShapeError where shapes differ."""
    tensors = [as_tensor(t) for t in tensors]
    if not tensors:
        raise ShapeError("stack needs at least one tensor")
    axis = one_axis(axis, tensors[0].ndim + 1, "stack")
    for other in tensors[1:]:
        if other.shape != tensors[0].shape:
            raise ShapeError(
                f"stack: shapes {tensors[0].shape} and {other.shape} differ; reshape one"
            )
    return concatenate([expand_dims(t, axis) for t in tensors], axis)


def flip(x: Any, axis: int | Sequence[int] | None = None) -> Tensor:
    """Return `x` with the order reversed along `axis` (all axes by default)."""
    x = as_tensor(x)
    axes = axis_tuple(axis, x.ndim, "flip")
    return apply(movement.Flip(axes), x) if axes else x


def interleave_zeros(x: Tensor, steps: Sequence[int]) -> Tensor:
    """Return `x` with steps[a] - 1 zeros between neighbours along each axis a."""
    for axis, gap in enumerate(steps):
        n = x.shape[axis]
        if gap == 1 or n == 0:
            continue
        widths = [(0, 0)] * (x.ndim + 1)
        widths[axis + 1] = (0, gap - 1)
        spread = pad(expand_dims(x, axis + 1), widths)
        spread = reshape(spread, (*x.shape[:axis], n * gap, *x.shape[axis + 1 :]))
        ends = list(spread.shape)
        ends[axis] -= gap - 1
        x = slice_axes(spread, (0,) * x.ndim, ends)
    return x


# ---------------------------------------------------------------- reductions and contraction


def _reduce(kind: type[reduction.Reduction], x: Any, axis: Any, keepdims: bool) -> Tensor:
    x = as_tensor(x)
    axes = axis_tuple(axis, x.ndim, kind.name)
    out = apply(kind(axes), x) if axes else x
    if keepdims:
        out = reshape(out, tuple(1 if a in axes else n for a, n in enumerate(x.shape)))
    return out


def sum(x: Any, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Tensor:
    """Sum over `axis` (all axes by default); bool, uint8 and int32 are summed as int64."""
    x = as_tensor(x)
    if x.dtype in (dtypes.bool_, dtypes.uint8, dtypes.int32):
        x = cast(x, dtypes.int64)
    return _reduce(reduction.Sum, x, axis, keepdims)


def max(x: Any, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Tensor:
    """Maximum over `axis` (all axes by default); NaN where any element is NaN."""
    return _reduce(reduction.Max, x, axis, keepdims)


def min(x: Any, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Tensor:
    """Minimum over `axis` (all axes by default); NaN where any element is NaN."""
    return _reduce(reduction.Min, x, axis, keepdims)


def argmax(x: Any, axis: int | None = None) -> Tensor:
    """Index (int64) of the first maximum along `axis` (of the flat tensor by default)."""
    x = as_tensor(x)
    if axis is None:
        x, axis = reshape(x, (x.size,)), 0
    return apply(reduction.ArgMax((one_axis(axis, x.ndim, "argmax"),)), x)


def matmul(a: Any, b: Any) -> Tensor:
    """Matrix product with NumPy's rules for vectors and for broadcasting leading axes.

    Raises ShapeError where shapes do not fit, DTypeError for two dtypes or integers.
    """
    a, b = as_tensor(a), as_tensor(b)
    lead = _leading_axes(a, b)
    left, right = a.ndim == 1, b.ndim == 1
    a = expand_dims(a, 0) if left else a
    b = expand_dims(b, 1) if right else b
    flat = a.ndim > 2 and b.ndim == 2
    if flat:  # One large product instead of many small ones.
        rows = prod(a.shape[:-1])
        out = apply(contraction.MatMul(), reshape(a, (rows, a.shape[-1])), b)
        out = reshape(out, (*a.shape[:-1], b.shape[-1]))
    else:
        a = broadcast_to(a, (*lead, *a.shape[-2:]))
        b = broadcast_to(b, (*lead, *b.shape[-2:]))
        out = apply(contraction.MatMul(), a, b)
    if left:
        out = reshape(out, (*out.shape[:-2], out.shape[-1]))
    return reshape(out, out.shape[:-1]) if right else out


def _leading_axes(a: Tensor, b: Tensor) -> Shape:
    """Return the leading axes of the product, or raise ShapeError where there is none."""
    if a.ndim == 0 or b.ndim == 0:
        raise ShapeError("matmul: an operand is a scalar; use * instead")
    inner = a.shape[-1], b.shape[-2:][0]
    if inner[0] != inner[1]:
        raise ShapeError(
            f"matmul: {a.shape} by {b.shape}: the inner lengths {inner[0]} and {inner[1]} differ; "
            "transpose or reshape one operand"
        )
    try:
        return np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        raise ShapeError(
            f"matmul: {a.shape} by {b.shape}: the leading axes {a.shape[:-2]} and "
            f"{b.shape[:-2]} do not broadcast; aligned at the right, they must be equal or 1"
        ) from None


# ---------------------------------------------------------------- indexing and random


def take(x: Any, indices: Any, axis: int | None = 0) -> Tensor:
    """Elements of `x` along `axis` at `indices` (int32 or int64), as numpy.take.

    The axis is 0 by default, and None takes from the flat tensor. Indices that are known now
    may be negative, counted from the end; ShapeError if one is outside. Those of a tensor
    are moved to the nearest element, also where they are negative.
    """
    x = as_tensor(x)
    if axis is None:
        x, axis = reshape(x, (x.size,)), 0
    axis = one_axis(axis, x.ndim, "take")
    indices = _indices("take", indices, x.shape[axis])
    if axis == 0:
        return apply(indexing.Take(), x, indices)
    front = transpose(x, (axis, *(a for a in range(x.ndim) if a != axis)))
    taken = apply(indexing.Take(), front, indices)
    k = indices.ndim
    order = (*range(k, k + axis), *range(k), *range(k + axis, taken.ndim))
    return transpose(taken, order)


def scatter_add(updates: Any, indices: Any, rows: int) -> Tensor:
    """Add up rows of `updates` by index into a tensor of `rows` rows of zeros.

    Indices that are known now may be negative, and those of a tensor are moved to the nearest
    row, as in `take`. Raises ShapeError or DTypeError for what does not fit.
    """
    rows = whole_number("scatter_add: rows", rows)
    indices = _indices("scatter_add", indices, rows)
    return apply(indexing.ScatterAdd(rows), as_tensor(updates), indices)


def _indices(what: str, given: Any, length: int) -> Tensor:
    """Return indices into `length` elements as a tensor; those known now are 0 or more."""
    if isinstance(given, Tensor):
        return given
    known = leaves.as_array(given)
    if known.size == 0 and not isinstance(given, np.ndarray):
        known = known.astype(dtypes.int64)
    return leaves.constant(indexing.counted_from_zero(what, known, length))


def random_bits(shape: Sequence[int], seed: Any, step: Any, stream: int, dtype: Any) -> Tensor:
    """Uniform random int32 words or uint8 bytes; seed and step are int64 scalars."""
    return _random(random.RandomBits, shape, seed, step, stream, dtype)


def random_uniform(
    shape: Sequence[int], seed: Any, step: Any, stream: int, dtype: Any = dtypes.float32
) -> Tensor:
    """Random floats, uniform in [0, 1); seed and step are int64 scalars."""
    return _random(random.RandomUniform, shape, seed, step, stream, dtype)


def _random(
    kind: type[random.Random], shape: Any, seed: Any, step: Any, stream: Any, dtype: Any
) -> Tensor:
    stream = whole_number(f"{kind.name}: stream", stream)
    op = kind(lengths(kind.name, shape), dtypes.as_dtype(dtype), stream)
    seed = as_tensor(seed, dtypes.int64, f"{kind.name}: seed ")
    return apply(op, seed, as_tensor(step, dtypes.int64, f"{kind.name}: step "))


# ---------------------------------------------------------------- creation


def full_like(x: Tensor, value: float) -> Tensor:
    """A tensor of `value` with the shape and dtype of `x`."""
    return broadcast_to(as_tensor(value, x.dtype), x.shape)


def zeros_like(x: Tensor) -> Tensor:
    """A tensor of zeros with the shape and dtype of `x`."""
    return full_like(x, 0)


def ones_like(x: Tensor) -> Tensor:
    """A tensor of ones with the shape and dtype of `x`."""
    return full_like(x, 1)


explain(globals())
