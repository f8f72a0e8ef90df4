"""The functions of tensors, by NumPy's names and broadcasting.

They wrap the primitives: Python numbers and arrays become constants, shapes are broadcast by
explicit ops. What is composed of primitives stands in `ranvier.graph.compositions`.
"""

# ruff: noqa: A001 (the names are NumPy's: sum, max, min, abs)

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from math import prod
from operator import index
from typing import Any

import numpy as np

from ranvier import dtypes
from ranvier.errors import DTypeError, ShapeError
from ranvier.graph.ops import contraction, indexing, movement, pointwise, random, reduction
from ranvier.graph.tensor import Op, Shape, Tensor, apply

# ---------------------------------------------------------------- operands


def as_tensor(value: Any, dtype: Any = None, what: str = "") -> Tensor:
    """Return `value` itself if it is a tensor, else a constant (of `dtype` where given).

    Raises ShapeError or DTypeError, beginning with `what`, for what is no array of numbers.
    """
    from ranvier.graph.leaves import as_array, constant

    return value if isinstance(value, Tensor) else constant(as_array(value, dtype, what))


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


def broadcast_shapes(*shapes: Shape) -> Shape:
    """Return the shape that `shapes` broadcast to by NumPy's rule, or raise ShapeError."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        listed = " and ".join(str(s) for s in shapes)
        raise ShapeError(
            f"shapes {listed} do not broadcast; aligned at the right, axes must be equal or 1"
        ) from None


def axis_tuple(axis: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """Return `axis` as sorted non-negative axes; None means all of them."""
    axes = tuple(range(ndim)) if axis is None else whole_numbers("axis", axis)
    out = sorted({a + ndim if a < 0 else a for a in axes})
    if len(out) != len(axes) or any(not 0 <= a < ndim for a in out):
        raise ShapeError(f"axis {axis} does not fit a tensor of {ndim} axes")
    return tuple(out)


def whole_number(label: str, value: Any) -> int:
    """Return a whole number, of Python or NumPy, as an int.

    Raises DTypeError, with the argument's name `label`, for anything else.
    """
    try:
        return index(value)
    except TypeError:
        raise DTypeError(f"{label} {_shown(value)} is not a whole number; use an int") from None


def whole_numbers(label: str, values: Any) -> tuple[int, ...]:
    """Return a whole number, or a sequence of them, as a tuple of ints, or raise DTypeError."""
    try:
        return (index(values),)
    except TypeError:
        pass  # no number, then a sequence
    try:
        return tuple(index(value) for value in values)
    except TypeError:
        raise DTypeError(
            f"{label} {_shown(values)} is not made of whole numbers; use ints"
        ) from None


def lengths(what: str, shape: Any) -> Shape:
    """Return the `shape` of `what`: whole numbers, 0 or more; else DTypeError or ShapeError."""
    whole = whole_numbers(f"{what}: shape", shape)
    if any(n < 0 for n in whole):
        raise ShapeError(f"{what}: shape {whole} has a negative axis; use lengths of 0 or more")
    return whole


def _shown(value: Any) -> str:
    text = repr(value)
    return f"of type {type(value).__name__}" if "\n" in text else text


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
log = _unary(pointwise.Log())
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
    """Return the elements of `x` in row-major order under `shape`; one axis may be -1."""
    x = as_tensor(x)
    wanted = whole_numbers("shape", shape[0] if len(shape) == 1 else shape)
    if wanted.count(-1) == 1:
        known = -prod(wanted)
        wanted = tuple(x.size // known if n == -1 and known else n for n in wanted)
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
    (first,), (second,) = axis_tuple(first, x.ndim), axis_tuple(second, x.ndim)
    order = list(range(x.ndim))
    order[first], order[second] = order[second], order[first]
    return transpose(x, order)


def broadcast_to(x: Any, shape: Sequence[int]) -> Tensor:
    """Return `x` repeated along new leading axes and axes of length 1 to `shape`."""
    x, shape = as_tensor(x), lengths("broadcast_to", shape)
    return x if x.shape == shape else apply(movement.BroadcastTo(shape), x)


def expand_dims(x: Any, axis: int) -> Tensor:
    """Return `x` with a new axis of length 1 at position `axis` of the result."""
    x = as_tensor(x)
    (axis,) = axis_tuple(axis, x.ndim + 1)
    return reshape(x, (*x.shape[:axis], 1, *x.shape[axis:]))


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


def pad(x: Any, widths: Sequence[tuple[int, int]]) -> Tensor:
    """Return `x` with (before, after) zeros added along each axis."""
    x = as_tensor(x)
    before, after = (whole_numbers("widths", [w[side] for w in widths]) for side in (0, 1))
    return apply(movement.Pad(before, after), x) if any((*before, *after)) else x


def concatenate(tensors: Sequence[Any], axis: int = 0) -> Tensor:
    """Return the tensors one after another along `axis`."""
    tensors = [as_tensor(t) for t in tensors]
    if not tensors:
        raise ShapeError("concatenate needs at least one tensor")
    (axis,) = axis_tuple(axis, tensors[0].ndim)
    return tensors[0] if len(tensors) == 1 else apply(movement.Concatenate(axis), *tensors)


def stack(tensors: Sequence[Any], axis: int = 0) -> Tensor:
    """Return the tensors side by side along a new axis."""
    return concatenate([expand_dims(t, axis) for t in tensors], axis)


def flip(x: Any, axis: int | Sequence[int] | None = None) -> Tensor:
    """Return `x` with the order reversed along `axis` (all axes by default)."""
    x = as_tensor(x)
    axes = axis_tuple(axis, x.ndim)
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


def getitem(x: Tensor, key: Any) -> Tensor:
    """Index with integers, slices, None, `...`, or one integer tensor (rows of axis 0)."""
    if isinstance(key, Tensor | np.ndarray | list):
        return take(x, key)
    keys = list(key) if isinstance(key, tuple) else [key]
    given = builtins.sum(k is not None and k is not Ellipsis for k in keys)
    if given > x.ndim:
        raise ShapeError(f"{given} indices for a tensor of shape {x.shape}")
    if not any(k is Ellipsis for k in keys):
        keys.append(Ellipsis)
    at = next(i for i, k in enumerate(keys) if k is Ellipsis)
    keys[at : at + 1] = [slice(None)] * (x.ndim - given)
    return _basic_index(x, keys)


def _basic_index(x: Tensor, keys: Sequence[Any]) -> Tensor:
    starts, stops, steps, flipped, shape = [], [], [], [], []
    axis = 0
    for k in keys:
        if k is None:
            shape.append(1)
            continue
        n = x.shape[axis]
        if isinstance(k, slice):
            chosen = range(*k.indices(n))
            low, high = builtins.min(chosen, default=0), builtins.max(chosen, default=-1)
            starts.append(low)
            stops.append(high + 1)
            steps.append(builtins.abs(chosen.step))
            shape.append(len(chosen))
            if chosen.step < 0:
                flipped.append(axis)
        else:
            if isinstance(k, bool) or not isinstance(k, int | np.integer):
                raise DTypeError(
                    f"a {type(k).__name__} cannot index axis {axis} of shape {x.shape}; use an "
                    "integer or a slice, and rv.take for index tensors"
                )
            position = index(k) + (n if k < 0 else 0)
            if not 0 <= position < n:
                raise ShapeError(f"index {k} is outside axis {axis} of shape {x.shape}")
            starts.append(position)
            stops.append(position + 1)
            steps.append(1)
        axis += 1
    x = slice_axes(x, starts, stops, steps)
    return reshape(flip(x, flipped) if flipped else x, shape)


# ---------------------------------------------------------------- reductions and contraction


def _reduce(kind: type[reduction.Reduction], x: Any, axis: Any, keepdims: bool) -> Tensor:
    x = as_tensor(x)
    axes = axis_tuple(axis, x.ndim)
    out = apply(kind(axes), x) if axes else x
    if keepdims:
        out = reshape(out, tuple(1 if a in axes else n for a, n in enumerate(x.shape)))
    return out


def sum(x: Any, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Tensor:
    """Sum over `axis` (all axes by default); bool and uint8 are summed as int64."""
    x = as_tensor(x)
    if x.dtype in (dtypes.bool_, dtypes.uint8):
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
    return apply(reduction.ArgMax(axis_tuple(axis, x.ndim)), x)


def matmul(a: Any, b: Any) -> Tensor:
    """Matrix product with NumPy's rules for vectors and for broadcasting leading axes."""
    a, b = as_tensor(a), as_tensor(b)
    if a.ndim == 0 or b.ndim == 0:
        raise ShapeError("matmul: an operand is a scalar; use * instead")
    left, right = a.ndim == 1, b.ndim == 1
    a = expand_dims(a, 0) if left else a
    b = expand_dims(b, 1) if right else b
    if a.shape[-1] != b.shape[-2]:
        raise ShapeError(
            f"matmul: {a.shape} by {b.shape}: the inner lengths {a.shape[-1]} and "
            f"{b.shape[-2]} differ; transpose or reshape one operand"
        )
    lead = broadcast_shapes(a.shape[:-2], b.shape[:-2])
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


# ---------------------------------------------------------------- indexing and random


def take(x: Any, indices: Any, axis: int = 0) -> Tensor:
    """Elements of `x` along `axis` at `indices` (int32 or int64), as numpy.take."""
    x, indices = as_tensor(x), as_tensor(indices)
    (axis,) = axis_tuple(axis, x.ndim)
    if axis == 0:
        return apply(indexing.Take(), x, indices)
    front = transpose(x, (axis, *(a for a in range(x.ndim) if a != axis)))
    taken = apply(indexing.Take(), front, indices)
    k = indices.ndim
    order = (*range(k, k + axis), *range(k), *range(k + axis, taken.ndim))
    return transpose(taken, order)


def scatter_add(updates: Any, indices: Any, rows: int) -> Tensor:
    """Add up rows of `updates` by index into a tensor of `rows` rows of zeros."""
    rows = whole_number("scatter_add: rows", rows)
    return apply(indexing.ScatterAdd(rows), as_tensor(updates), as_tensor(indices))


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
