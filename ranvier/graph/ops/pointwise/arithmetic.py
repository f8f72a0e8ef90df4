"""Arithmetic and functions of one or two numbers, element by element."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ranvier import dtypes
from ranvier.graph import functions as f
from ranvier.graph.ops.pointwise.base import Pointwise
from ranvier.graph.tensor import Array, Tensor

_erf = np.frompyfunc(math.erf, 1, 1)


class Negative(Pointwise):
    """-x."""

    name = "negative"
    accepts = (*dtypes.FLOATING, dtypes.int32, dtypes.int64)

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return -arrays[0]

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        return (-grad,)


class Exp(Pointwise):
    """e to the power x."""

    name = "exp"

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return xp.exp(arrays[0])

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        return (grad * out,)


class Expm1(Pointwise):
    """e to the power x, less 1, exact near 0 where exp(x) - 1 cancels."""

    name = "expm1"

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return xp.expm1(arrays[0])

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        # Not out + 1, which has few digits where out is near -1.
        return (grad * f.exp(out.inputs[0]),)


class Log(Pointwise):
    """The natural logarithm."""

    name = "log"

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return xp.log(arrays[0])

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        return (grad / out.inputs[0],)


class Log1p(Pointwise):
    """The natural logarithm of 1 + x, exact near 0 where 1 + x is rounded."""

    name = "log1p"

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return xp.log1p(arrays[0])

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        return (grad / (out.inputs[0] + 1),)


class Tanh(Pointwise):
    """The hyperbolic tangent."""

    name = "tanh"

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return xp.tanh(arrays[0])

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        return (grad * (1 - out * out),)


class Sigmoid(Pointwise):
    """1 / (1 + exp(-x)), computed without overflow."""

    name = "sigmoid"

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        (x,) = arrays
        z = xp.exp(-xp.abs(x))
        return xp.where(x >= 0, 1 / (1 + z), z / (1 + z))

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        return (grad * (out * (1 - out)),)


class Erf(Pointwise):
    """The error function."""

    name = "erf"

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        (x,) = arrays
        if xp is np:
            return np.asarray(_erf(x)).astype(x.dtype)
        return xp.scipy.special.erf(x)

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        (x,) = out.inputs
        return (grad * (f.exp(-(x * x)) * (2 / math.sqrt(math.pi))),)


class Sqrt(Pointwise):
    """The square root."""

    name = "sqrt"

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return xp.sqrt(arrays[0])

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        return (grad * 0.5 / out,)


class Rsqrt(Pointwise):
    """1 / sqrt(x)."""

    name = "rsqrt"

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return 1 / xp.sqrt(arrays[0])

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        return (grad * -0.5 * (out * out * out),)


class Sin(Pointwise):
    """The sine of x in radians."""

    name = "sin"

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return xp.sin(arrays[0])

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        return (grad * f.cos(out.inputs[0]),)


class Cos(Pointwise):
    """The cosine of x in radians."""

    name = "cos"

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return xp.cos(arrays[0])

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        return (-grad * f.sin(out.inputs[0]),)


class Abs(Pointwise):
    """The magnitude of x; its gradient at 0 is 0."""

    name = "abs"
    accepts = (*dtypes.FLOATING, dtypes.int32, dtypes.int64)

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return xp.abs(arrays[0])

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        return (grad * f.sign(out.inputs[0]),)


class Sign(Pointwise):
    """-1, 0 or 1 as x is negative, zero or positive; NaN stays NaN."""

    name = "sign"
    accepts = (*dtypes.FLOATING, dtypes.int32, dtypes.int64)

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return xp.sign(arrays[0])

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        return (None,)


class Floor(Pointwise):
    """The largest whole number not above x."""

    name = "floor"

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return xp.floor(arrays[0])

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        return (None,)


class Step(Pointwise):
    """1 where x >= 0, else 0: the threshold unit of McCulloch and Pitts (1943)."""

    name = "step"

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return (arrays[0] >= 0).astype(arrays[0].dtype)

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        return (None,)


class StopGradient(Pointwise):
    """x itself, through which no gradient flows."""

    name = "stop_gradient"
    accepts = dtypes.ALL

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return arrays[0]

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        return (None,)


class Add(Pointwise):
    """a + b."""

    name = "add"
    arity = 2
    accepts = dtypes.NUMERIC

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return arrays[0] + arrays[1]

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        return grad, grad


class Subtract(Pointwise):
    """a - b."""

    name = "subtract"
    arity = 2
    accepts = dtypes.NUMERIC

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return arrays[0] - arrays[1]

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        return grad, -grad


class Multiply(Pointwise):
    """a * b."""

    name = "multiply"
    arity = 2
    accepts = dtypes.NUMERIC

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return arrays[0] * arrays[1]

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        a, b = out.inputs
        return grad * b, grad * a


class Divide(Pointwise):
    """a / b."""

    name = "divide"
    arity = 2

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return arrays[0] / arrays[1]

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        _, b = out.inputs
        return grad / b, -grad * (out / b)


class Power(Pointwise):
    """a to the power b, as C's pow; the gradient towards b is taken as 0 where a <= 0."""

    name = "power"
    arity = 2

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        a, b = arrays
        if xp is np:
            # A repeated exponent of 1/2 makes NumPy take roots; those of -0 and -inf differ.
            return np.power(a.reshape(-1), np.array(b).reshape(-1)).reshape(a.shape)
        return xp.power(a, b)

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        a, b = out.inputs
        # The derivative of a ** 0 is 0, also at 0, where 0 * 0 ** -1 would be NaN.
        less = f.where((a == 0) & (b == 0), b, b - 1)
        base = f.where(a <= 0, f.ones_like(a), a)
        return grad * (b * a**less), grad * (base**b * f.log(base))


class Maximum(Pointwise):
    """The larger of a and b, NaN if either is; of equals, b receives the gradient."""

    name = "maximum"
    arity = 2
    accepts = dtypes.NUMERIC

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return xp.maximum(arrays[0], arrays[1])

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        first = out > out.inputs[1]
        zero = f.zeros_like(grad)
        return f.where(first, grad, zero), f.where(first, zero, grad)


class Minimum(Pointwise):
    """The smaller of a and b, NaN if either is; of equals, b receives the gradient."""

    name = "minimum"
    arity = 2
    accepts = dtypes.NUMERIC

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return xp.minimum(arrays[0], arrays[1])

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        first = out < out.inputs[1]
        zero = f.zeros_like(grad)
        return f.where(first, grad, zero), f.where(first, zero, grad)
