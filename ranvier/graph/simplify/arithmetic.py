"""Arithmetic: identities that hold for every float, NaN, infinities and -0 included.

So x * 0 is no constant (x may be NaN), x + 0 is not x (x may be -0), x - x is not 0. Integer
arithmetic, which wraps around, allows the first two. Constants move to the right of the
commutative ops, where the other rules look for them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ranvier import dtypes
from ranvier.dtypes import DType
from ranvier.graph import functions as f
from ranvier.graph.ops import pointwise as p
from ranvier.graph.simplify.powers import power_constant
from ranvier.graph.simplify.rules import RulePass, full, is_constant, is_plus_zero, uniform
from ranvier.graph.simplify.share import COMMUTATIVE
from ranvier.graph.tensor import Tensor, apply

# ---------------------------------------------------------------- sums


def constant_right(tensor: Tensor) -> Tensor | None:
    """c + x = x + c, and so for every commutative op."""
    if type(tensor.op) not in COMMUTATIVE:
        return None
    a, b = tensor.inputs
    return apply(tensor.op, b, a) if is_constant(a) and not is_constant(b) else None


def add_zero(tensor: Tensor) -> Tensor | None:
    """x + -0 = x; for integers, x + 0 = x."""
    a, b = tensor.inputs
    value = uniform(b)
    if value is None or value != 0:
        return None
    return None if dtypes.is_floating(tensor.dtype) and is_plus_zero(value) else a


def subtract_zero(tensor: Tensor) -> Tensor | None:
    """x - 0 = x."""
    a, b = tensor.inputs
    value = uniform(b)
    return a if value is not None and is_plus_zero(value) else None


def add_negative(tensor: Tensor) -> Tensor | None:
    """a + (-b) = a - b and (-a) + b = b - a."""
    a, b = tensor.inputs
    if isinstance(b.op, p.Negative):
        return f.subtract(a, b.inputs[0])
    return f.subtract(b, a.inputs[0]) if isinstance(a.op, p.Negative) else None


def subtract_negative(tensor: Tensor) -> Tensor | None:
    """a - (-b) = a + b."""
    a, b = tensor.inputs
    return f.add(a, b.inputs[0]) if isinstance(b.op, p.Negative) else None


# ---------------------------------------------------------------- products


def multiply_constant(tensor: Tensor) -> Tensor | None:
    """x * 1 = x, x * -1 = -x, and (-x) * c = x * -c; for integers also x * 0 = 0."""
    a, b = tensor.inputs
    value = uniform(b)
    if value is None:
        return None
    if value == 1:
        return a
    if not dtypes.is_floating(tensor.dtype):
        return full(0, tensor) if value == 0 else None
    if value == -1:
        return f.negative(a)
    return f.multiply(a.inputs[0], full(-value, a)) if isinstance(a.op, p.Negative) else None


def divide_constant(tensor: Tensor) -> Tensor | None:
    """x / 1 = x, and dividing by a power of two is multiplying by its inverse."""
    a, b = tensor.inputs
    value = uniform(b)
    if value is None:
        return None
    if value == 1:
        return a
    return f.multiply(a, full(1 / value, a)) if _has_exact_inverse(value, b.dtype) else None


def _has_exact_inverse(value: Any, dtype: DType) -> bool:
    fraction, _ = np.frexp(value)
    if abs(fraction) != 0.5:
        return False
    limits = np.finfo(dtype)
    return bool(limits.tiny <= abs(value) <= 1 / limits.tiny)


def both_negative(tensor: Tensor) -> Tensor | None:
    """(-a) * (-b) = a * b, and so for the quotient."""
    a, b = tensor.inputs
    if not isinstance(a.op, p.Negative) or not isinstance(b.op, p.Negative):
        return None
    return apply(tensor.op, a.inputs[0], b.inputs[0])


def negative_of(tensor: Tensor) -> Tensor | None:
    """--x = x, and -(x * c) = x * -c."""
    (x,) = tensor.inputs
    if isinstance(x.op, p.Negative):
        return x.inputs[0]
    if isinstance(x.op, p.Multiply) and dtypes.is_floating(x.dtype):
        value = uniform(x.inputs[1])
        if value is not None:
            return f.multiply(x.inputs[0], full(-value, x))
    return None


def even_of_negative(tensor: Tensor) -> Tensor | None:
    """|-x| = |x|, ||x|| = |x|, cos(-x) = cos(x)."""
    (x,) = tensor.inputs
    if isinstance(x.op, p.Negative):
        return apply(tensor.op, x.inputs[0])
    return x if isinstance(x.op, p.Abs) and isinstance(tensor.op, p.Abs) else None


# ---------------------------------------------------------------- choices


def where_known(tensor: Tensor) -> Tensor | None:
    """where with a constant condition or equal branches; where(not c, a, b) = where(c, b, a)."""
    condition, a, b = tensor.inputs
    value = uniform(condition)
    if value is not None:
        return a if value else b
    if isinstance(condition.op, p.LogicalNot):
        return f.where(condition.inputs[0], b, a)
    return a if a is b else None


def same_operands(tensor: Tensor) -> Tensor | None:
    """x and x = x, x or x = x, max(x, x) = min(x, x) = x."""
    a, b = tensor.inputs
    return a if a is b else None


def logical_constant(tensor: Tensor) -> Tensor | None:
    """x and True = x, x and False = False, x or False = x, x or True = True."""
    a, b = tensor.inputs
    value = uniform(b)
    if value is None:
        return None
    return a if bool(value) is isinstance(tensor.op, p.LogicalAnd) else b


def not_of(tensor: Tensor) -> Tensor | None:
    """not not x = x; not (a == b) is a != b. (not (a < b) is not a >= b: think of NaN.)"""
    (x,) = tensor.inputs
    if isinstance(x.op, p.LogicalNot):
        return x.inputs[0]
    if isinstance(x.op, p.Equal):
        return apply(p.NotEqual(), *x.inputs)
    return apply(p.Equal(), *x.inputs) if isinstance(x.op, p.NotEqual) else None


# ---------------------------------------------------------------- casts and marks


def cast_of(tensor: Tensor) -> Tensor | None:
    """A cast to the same dtype is none; of two casts the first is left out if it is exact."""
    (x,) = tensor.inputs
    if x.dtype == tensor.dtype:
        return x
    if not isinstance(x.op, p.Cast):
        return None
    (origin,) = x.inputs
    if not is_exact(origin.dtype, x.dtype):
        return None
    # Out of range, floats and integers become other integers by different rules.
    to_integer = tensor.dtype in dtypes.INTEGER and x.dtype not in dtypes.INTEGER
    if to_integer and not is_exact(origin.dtype, tensor.dtype):
        return None
    return f.cast(origin, tensor.dtype)


def is_exact(source: DType, target: DType) -> bool:
    """Whether each value of `source` is a value of `target`."""
    if dtypes.bfloat16 in (source, target):
        wider = (dtypes.float32, dtypes.float64)
        return source == target or (source == dtypes.bfloat16 and target in wider)
    return bool(np.can_cast(source, target, "safe")) and (source, target) != (
        dtypes.int64,
        dtypes.float64,  # NumPy calls this safe; above 2**53 it rounds.
    )


def stop_gradient_of(tensor: Tensor) -> Tensor:
    """stop_gradient(x) = x, now that the gradients are built."""
    return tensor.inputs[0]


arithmetic = RulePass(
    {
        p.Pointwise: [constant_right],
        p.Add: [add_zero, add_negative],
        p.Subtract: [subtract_zero, subtract_negative],
        p.Multiply: [multiply_constant, both_negative],
        p.Divide: [divide_constant, both_negative],
        p.Power: [power_constant],
        p.Negative: [negative_of],
        p.Abs: [even_of_negative],
        p.Cos: [even_of_negative],
        p.Where: [where_known],
        p.Maximum: [same_operands],
        p.Minimum: [same_operands],
        p.LogicalAnd: [same_operands, logical_constant],
        p.LogicalOr: [same_operands, logical_constant],
        p.LogicalNot: [not_of],
        p.Cast: [cast_of],
        p.StopGradient: [stop_gradient_of],
    }
)
