"""Powers with a constant exponent become products, quotients and square roots.

Each keeps what IEEE 754 says of pow: pow(x, 0) = 1 even for NaN; pow(-0, 1/2) = +0 and
pow(-inf, 1/2) = inf, where sqrt gives -0 and NaN, so a root needs a base that is never negative.
"""

from __future__ import annotations

from ranvier.graph import functions as f
from ranvier.graph.ops import pointwise as p
from ranvier.graph.ops.movement import BroadcastTo, Reshape, Slice, Transpose
from ranvier.graph.ops.reduction import Max, Min, Sum
from ranvier.graph.simplify.rules import full, is_plus_zero, uniform
from ranvier.graph.tensor import Tensor

_LARGEST = 4
"""Exponents up to this magnitude become products; their few roundings stay below 2 ULP."""

_LOOK_DOWN = 16
"""How many tensors the search for a sign visits at most."""


def power_constant(tensor: Tensor) -> Tensor | None:
    """x ** c for c in 0, ±1/2, ±1, …, ±4, and 1 ** x."""
    base, exponent = tensor.inputs
    if uniform(base) == 1:
        return full(1, tensor)
    c = uniform(exponent)
    if c is None:
        return None
    if c == 0:
        return full(1, tensor)
    if abs(c) == 0.5 and never_negative(base):
        return f.sqrt(base) if c > 0 else f.rsqrt(base)
    if not float(c).is_integer() or abs(c) > _LARGEST:
        return None
    factor = base if c > 0 else f.divide(full(1, base), base)
    return _product(factor, int(abs(c)))


def _product(x: Tensor, count: int) -> Tensor:
    if count == 1:
        return x
    half = _product(x, count // 2)
    return half * half * x if count % 2 else half * half


def never_negative(tensor: Tensor) -> bool:
    """Whether the tensor's form shows that no element is below 0 or -0 (NaN may be)."""
    stack = [tensor]
    for _ in range(_LOOK_DOWN):
        if not stack:
            return True
        below = _deciding(stack.pop())
        if below is None:
            return False
        stack += below
    return False


def _deciding(x: Tensor) -> tuple[Tensor, ...] | None:
    """Return the tensors that must never be negative for `x` to be so; None if it may be."""
    value = uniform(x)
    if value is not None:
        return () if value > 0 or is_plus_zero(value) else None
    square = isinstance(x.op, p.Multiply) and x.inputs[0] is x.inputs[1]
    if square or isinstance(x.op, p.Abs | p.Exp | p.Sigmoid | p.Step):
        return ()
    if isinstance(x.op, p.Where):
        return x.inputs[1:]
    return x.inputs if isinstance(x.op, _KEEPS_SIGN) else None


_KEEPS_SIGN = (
    p.Add,
    p.Multiply,
    p.Divide,
    p.Maximum,
    p.Minimum,
    p.Sqrt,
    p.StopGradient,
    Sum,
    Max,
    Min,
    BroadcastTo,
    Reshape,
    Slice,
    Transpose,
)
"""Ops that make no negative number, nor -0, out of numbers that are neither."""
