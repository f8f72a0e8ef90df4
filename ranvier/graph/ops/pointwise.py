"""Pointwise primitives: each element of the result depends on the same element of the inputs.

All inputs have the shape of the result; broadcasting is an op of its own, which
`ranvier.graph.functions` inserts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ranvier import dtypes
from ranvier.dtypes import DType
from ranvier.errors import DTypeError, ShapeError
from ranvier.graph import functions as f
from ranvier.graph.tensor import Array, Op, Shape, Tensor

_erf = np.frompyfunc(math.erf, 1, 1)


@dataclass(frozen=True)
class Pointwise(Op):
    """Base of the pointwise ops: equal shapes, equal dtypes out of `accepts`."""

    accepts: ClassVar[tuple[DType, ...]] = dtypes.FLOATING
    gives: ClassVar[DType | None] = None
    """The dtype of the result; None where it is that of the inputs."""

    def infer(self, *inputs: Tensor) -> tuple[Shape, DType]:
        self._check(inputs)
        return inputs[0].shape, self.gives or inputs[0].dtype

    def _check(self, inputs: Sequence[Tensor]) -> None:
        first = inputs[0]
        for other in inputs[1:]:
            if other.shape != first.shape:
                raise ShapeError(
                    f"{self.name}: shapes {first.shape} and {other.shape} differ; broadcast first"
                )
            if other.dtype != first.dtype:
                raise DTypeError(
                    f"{self.name}: dtypes {first.dtype} and {other.dtype} differ; "
                    "convert one with .astype(...)"
                )
        if first.dtype not in self.accepts:
            raise DTypeError(
                f"{self.name} takes {', '.join(d.name for d in self.accepts)}, not {first.dtype}; "
                "convert with .astype(...)"
            )


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


class Log(Pointwise):
    """The natural logarithm."""

    name = "log"

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return xp.log(arrays[0])

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        return (grad / out.inputs[0],)


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
    accepts = dtypes.NUMERIC

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return arrays[0] + arrays[1]

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        return grad, grad


class Subtract(Pointwise):
    """a - b."""

    name = "subtract"
    accepts = dtypes.NUMERIC

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return arrays[0] - arrays[1]

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        return grad, -grad


class Multiply(Pointwise):
    """a * b."""

    name = "multiply"
    accepts = dtypes.NUMERIC

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return arrays[0] * arrays[1]

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        a, b = out.inputs
        return grad * b, grad * a


class Divide(Pointwise):
    """a / b."""

    name = "divide"

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return arrays[0] / arrays[1]

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        _, b = out.inputs
        return grad / b, -grad * (out / b)


class Power(Pointwise):
    """a to the power b; the gradient towards b is taken as 0 where a <= 0."""

    name = "power"

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return xp.power(arrays[0], arrays[1])

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        a, b = out.inputs
        log_a = f.log(f.where(a > 0, a, f.ones_like(a)))
        return grad * (b * a ** (b - 1)), grad * (out * log_a)


class Maximum(Pointwise):
    """The larger of a and b, NaN if either is; of equals, b receives the gradient."""

    name = "maximum"
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
    accepts = dtypes.NUMERIC

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return xp.minimum(arrays[0], arrays[1])

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        first = out < out.inputs[1]
        zero = f.zeros_like(grad)
        return f.where(first, grad, zero), f.where(first, zero, grad)


class Comparison(Pointwise):
    """Base of the comparisons, whose result is bool."""

    differentiable = False
    accepts = (*dtypes.NUMERIC, dtypes.bool_)
    gives = dtypes.bool_


class Less(Comparison):
    """a < b."""

    name = "less"

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return arrays[0] < arrays[1]


class LessEqual(Comparison):
    """a <= b."""

    name = "less_equal"

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return arrays[0] <= arrays[1]


class Equal(Comparison):
    """a == b."""

    name = "equal"

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return arrays[0] == arrays[1]


class NotEqual(Comparison):
    """a != b."""

    name = "not_equal"

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return arrays[0] != arrays[1]


class Logical(Pointwise):
    """Base of the connectives of bool tensors."""

    differentiable = False
    accepts = (dtypes.bool_,)


class LogicalAnd(Logical):
    """a and b."""

    name = "logical_and"

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return xp.logical_and(arrays[0], arrays[1])


class LogicalOr(Logical):
    """a or b."""

    name = "logical_or"

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return xp.logical_or(arrays[0], arrays[1])


class LogicalNot(Logical):
    """not a."""

    name = "logical_not"

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return xp.logical_not(arrays[0])


class Where(Pointwise):
    """a where the bool tensor `condition` holds, else b; inputs (condition, a, b)."""

    name = "where"
    accepts = dtypes.ALL

    def infer(self, *inputs: Tensor) -> tuple[Shape, DType]:
        condition, a, b = inputs
        if condition.dtype != dtypes.bool_:
            raise DTypeError(f"where: the condition is {condition.dtype}; compare it to get bool")
        if condition.shape != a.shape:
            raise ShapeError(
                f"where: condition {condition.shape} and values {a.shape} differ; broadcast first"
            )
        self._check((a, b))
        return a.shape, a.dtype

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return xp.where(*arrays)

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        condition = out.inputs[0]
        zero = f.zeros_like(grad)
        return None, f.where(condition, grad, zero), f.where(condition, zero, grad)


@dataclass(frozen=True)
class Cast(Pointwise):
    """x converted to `dtype`; floats to integers towards zero, as NumPy's astype."""

    name = "cast"
    accepts = dtypes.ALL
    dtype: DType

    def infer(self, *inputs: Tensor) -> tuple[Shape, DType]:
        self._check(inputs)
        return inputs[0].shape, self.dtype

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return arrays[0].astype(self.dtype)

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        source = out.inputs[0].dtype
        return (f.cast(grad, source) if dtypes.is_floating(source) else None,)
