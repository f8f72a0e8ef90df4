"""`Tensor`, a symbolic value of known shape, and `Op`, what an operation must declare.

A tensor is an op, its input tensors, a static shape and a dtype. Building computes nothing;
an engine evaluates the finished graph. Every op is one small class, declared in one place
under `ranvier.graph.ops`: attributes, shape and dtype rule, meaning and gradient rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from math import prod
from typing import Any, ClassVar, TypeAlias

import numpy as np

from ranvier.dtypes import DType
from ranvier.errors import DTypeError, GraphError, RanvierError
from ranvier.guidance.calls import explain_class
from ranvier.guidance.names import Guided

Shape: TypeAlias = tuple[int, ...]
Array: TypeAlias = Any
"""An array of whichever namespace evaluates the graph: numpy's or jax.numpy's."""

REGISTRY: dict[str, type[Op]] = {}
"""Every concrete op by name; tests enumerate it, so that none escapes its contract."""

LOWERED: dict[str, type[Op]] = {}
"""The ops by name that engines make of others, and nobody else: they have no gradient."""


class Op:
    """One primitive. Concrete ops are frozen dataclasses whose fields are the attributes."""

    name: ClassVar[str] = ""
    differentiable: ClassVar[bool] = True
    """False where the result is discrete, so that no gradient flows through."""
    arity: ClassVar[int | None] = None
    """The number of inputs; None where any number will do."""

    def __init_subclass__(cls, lowered: bool = False) -> None:
        if "name" in cls.__dict__:
            if cls.name in REGISTRY or cls.name in LOWERED:
                raise RanvierError(f"two ops are called {cls.name!r}; rename one")
            (LOWERED if lowered else REGISTRY)[cls.name] = cls

    def infer(self, *inputs: Tensor) -> tuple[Shape, DType]:
        """Return the shape and dtype of the result, or raise ShapeError or DTypeError."""
        raise NotImplementedError(f"op {self.name!r} declares no shape rule")

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        """Compute the result from `arrays` with the array namespace `xp`."""
        raise NotImplementedError(f"op {self.name!r} declares no meaning")

    def gradient(self, out: Tensor, grad: Tensor) -> Sequence[Tensor | None]:
        """Return the gradient towards each input of `out`, given `grad`, that towards `out`.

        None stands for a gradient that is zero everywhere. A gradient has the dtype of the
        tensor that it is towards, or float32 where that is bfloat16.
        """
        raise NotImplementedError(f"op {self.name!r} declares no gradient")

    def attributes(self) -> dict[str, Any]:
        """Return the attributes by name, for printing."""
        declared: tuple[Any, ...] = fields(self) if is_dataclass(self) else ()
        return {field.name: getattr(self, field.name) for field in declared}


class Tensor(Guided):
    """One symbolic value; immutable. Operators, methods and broadcasting follow NumPy.

    Two tensors are compared element by element, so use `is` to ask for identity; a tensor
    as a dictionary key stands for itself.
    """

    __slots__ = ("__weakref__", "dtype", "inputs", "op", "shape")

    op: Op
    inputs: tuple[Tensor, ...]
    shape: Shape
    dtype: DType

    def __init__(self, op: Op, inputs: tuple[Tensor, ...], shape: Shape, dtype: DType) -> None:
        for slot, value in (("op", op), ("inputs", inputs), ("shape", shape), ("dtype", dtype)):
            object.__setattr__(self, slot, value)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a tensor is immutable; {name!r} cannot be set")

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise DTypeError("a tensor is no array; take its value with .numpy()")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        from ranvier.graph import numpy_calls

        return numpy_calls.ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        from ranvier.graph import numpy_calls

        return numpy_calls.called(function, args, kwargs)

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise GraphError(
            "a tensor is part of a graph, so it can be neither copied nor pickled; take its value "
            "with .numpy(), or make a new state of the value of one"
        )

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The bytes that the elements take."""
        return self.size * self.dtype.itemsize

    @property
    def T(self) -> Tensor:  # noqa: N802 (NumPy's name)
        """The tensor with its axes in reverse order."""
        return functions.transpose(self)

    def numpy(self) -> np.ndarray:
        """Evaluate a tensor that depends on no program input; for exploring.

        Raises InputError where the tensor depends on an input.
        """
        from ranvier.graph.evaluate import evaluate

        return evaluate([self])[0]

    def __repr__(self) -> str:
        from ranvier.graph.printing import describe_tensor

        return describe_tensor(self)

    __hash__ = object.__hash__  # By identity, and fast: compiling hashes tensors a lot.

    def __bool__(self) -> bool:
        raise RanvierError(
            "a tensor has no value while the graph is built, so `if`, `and`, `or` and `in` "
            "cannot use it; use rv.where, & and |, or `is` for identity"
        )

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a scalar tensor has no length")
        return self.shape[0]

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __add__(self, other: Any) -> Tensor:
        return functions.add(self, other)

    def __radd__(self, other: Any) -> Tensor:
        return functions.add(other, self)

    def __sub__(self, other: Any) -> Tensor:
        return functions.subtract(self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return functions.subtract(other, self)

    def __mul__(self, other: Any) -> Tensor:
        return functions.multiply(self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return functions.multiply(other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return functions.divide(self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return functions.divide(other, self)

    def __pow__(self, other: Any) -> Tensor:
        return functions.power(self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return functions.power(other, self)

    def __matmul__(self, other: Any) -> Tensor:
        return functions.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return functions.matmul(other, self)

    def __neg__(self) -> Tensor:
        return functions.negative(self)

    def __abs__(self) -> Tensor:
        return functions.abs(self)

    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]
        return functions.equal(self, other)

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]
        return functions.not_equal(self, other)

    def __lt__(self, other: Any) -> Tensor:
        return functions.less(self, other)

    def __le__(self, other: Any) -> Tensor:
        return functions.less_equal(self, other)

    def __gt__(self, other: Any) -> Tensor:
        return functions.greater(self, other)

    def __ge__(self, other: Any) -> Tensor:
        return functions.greater_equal(self, other)

    def __and__(self, other: Any) -> Tensor:
        return functions.logical_and(self, other)

    def __rand__(self, other: Any) -> Tensor:
        return functions.logical_and(other, self)

    def __or__(self, other: Any) -> Tensor:
        return functions.logical_or(self, other)

    def __ror__(self, other: Any) -> Tensor:
        return functions.logical_or(other, self)

    def __invert__(self) -> Tensor:
        return functions.logical_not(self)

    def __getitem__(self, key: Any) -> Tensor:
        return subscript.getitem(self, key)

    def astype(self, dtype: Any) -> Tensor:
        """Return the tensor converted to `dtype`, as NumPy's astype."""
        return functions.cast(self, dtype)

    def reshape(self, *shape: int | Sequence[int]) -> Tensor:
        """Return the same elements in `shape`; one axis may be -1."""
        return functions.reshape(self, *shape)

    def transpose(self, *axes: int | Sequence[int]) -> Tensor:
        """Return the tensor with its axes permuted (reversed where none are given)."""
        return functions.transpose(self, *axes)

    def sum(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """Sum over `axis` (all axes by default)."""
        return functions.sum(self, axis, keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """Mean over `axis` (all axes by default)."""
        return compositions.mean(self, axis, keepdims)

    def max(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """Maximum over `axis` (all axes by default)."""
        return functions.max(self, axis, keepdims)

    def min(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """Minimum over `axis` (all axes by default)."""
        return functions.min(self, axis, keepdims)

    def argmax(self, axis: int | None = None) -> Tensor:
        """Index (int64) of the first maximum along `axis` (of the flat tensor by default)."""
        return functions.argmax(self, axis)


explain_class(Tensor)


def apply(op: Op, *inputs: Tensor) -> Tensor:
    """Return the tensor that `op` makes of `inputs`, after its shape and dtype rule.

    Raises GraphError for a wrong number of inputs.
    """
    fault = miscounted(op, inputs)
    if fault is not None:
        raise GraphError(f"{fault}; pass as many tensors as the op takes")
    shape, dtype = op.infer(*inputs)
    return Tensor(op, inputs, shape, dtype)


def miscounted(op: Op, inputs: Sequence[Tensor]) -> str | None:
    """Say how many inputs `op` takes where these are more or fewer; None where they are right."""
    if op.arity is None or op.arity == len(inputs):
        return None
    return f"{op.name} takes {op.arity} input{'s' * (op.arity != 1)}, not {len(inputs)}"


# The functions build tensors and tensors offer the functions as operators: one cycle,
# closed here, after `Tensor` exists.
from ranvier.graph import compositions, functions, subscript  # noqa: E402
