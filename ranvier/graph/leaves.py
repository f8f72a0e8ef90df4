"""The leaves of a graph: constants, program inputs, and state (parameters and buffers)."""

from __future__ import annotations

import itertools
from dataclasses import field
from typing import Any, Self

import numpy as np

from ranvier import dtypes
from ranvier.dtypes import DType
from ranvier.errors import DTypeError, ShapeError
from ranvier.graph.shapes import lengths
from ranvier.graph.tensor import Array, Op, Shape, Tensor
from ranvier.guidance.calls import explain_class, explained
from ranvier.records import dataclass


@dataclass(frozen=True, eq=False)
class Constant(Op):
    """A value that is part of the graph; equal bytes are the same constant."""

    name = "constant"
    arity = 0
    differentiable = False
    value: np.ndarray = field(repr=False)

    def infer(self, *inputs: Tensor) -> tuple[Shape, DType]:
        return self.value.shape, self.value.dtype

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        return xp.asarray(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constant) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[Shape, str, bytes]:
        return self.value.shape, self.value.dtype.name, self.value.tobytes()


@dataclass(frozen=True, eq=False)
class Input(Op):
    """A value that the caller of a program supplies; each input is itself only."""

    name = "input"
    arity = 0
    differentiable = False
    label: str | None
    shape: Shape
    dtype: DType

    def infer(self, *inputs: Tensor) -> tuple[Shape, DType]:
        return self.shape, self.dtype


@dataclass(frozen=True, eq=False)
class StateRead(Op):
    """The value of a parameter or buffer at the beginning of a step."""

    name = "state"
    arity = 0
    differentiable = False
    label: str | None
    shape: Shape
    dtype: DType

    def infer(self, *inputs: Tensor) -> tuple[Shape, DType]:
        return self.shape, self.dtype


class State(Tensor):
    """A tensor with a value that lives on between steps; programs update it in place.

    `value` reads a copy and writes into the storage, which is 64-byte aligned, contiguous
    and never moves, so that compiled programs may hold its address.
    """

    __slots__ = ("storage",)
    storage: np.ndarray

    def __init__(self, value: Any, dtype: Any = None, *, name: str | None = None) -> None:
        array = as_array(value, dtype, f"{name}: " if name else "")
        self._hold(array.shape, array.dtype, name)
        self.storage[...] = array

    @classmethod
    def unset(cls, shape: Shape, dtype: DType, name: str) -> Self:
        """Return state that has yet to be written; until then it costs no memory."""
        state = cls.__new__(cls)
        state._hold(shape, dtype, name)
        return state

    def _hold(self, shape: Shape, dtype: DType, name: str | None) -> None:
        super().__init__(StateRead(name, shape, dtype), (), shape, dtype)
        object.__setattr__(self, "storage", aligned_empty(shape, dtype))

    @property
    def label(self) -> str | None:
        """The name that error messages and saved files use."""
        assert isinstance(self.op, StateRead)
        return self.op.label

    @property
    def value(self) -> np.ndarray:
        """A copy of the present value."""
        return self.storage.copy()

    @value.setter
    def value(self, new: Any) -> None:
        array = as_array(new, self.dtype, f"{self.label}: " if self.label else "")
        if array.shape != self.shape:
            raise ShapeError(
                f"{self.label or 'state'} has shape {self.shape}, the new value "
                f"{array.shape}; reshape the value first"
            )
        self.storage[...] = array

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "value":
            super().__setattr__(name, value)
        object.__setattr__(self, name, value)


explain_class(State)


class Parameter(State):
    """State that training changes by its gradient."""

    __slots__ = ()


class Buffer(State):
    """State that is not trained: running statistics, moments, counters."""

    __slots__ = ()


@explained
def constant(value: Any, dtype: Any = None) -> Tensor:
    """Return a constant tensor; Python floats become float32, ints int64, unless `dtype`.

    Raises DTypeError where integers or bools of `dtype` would change a value.
    """
    array = as_array(value, dtype).copy()
    array.flags.writeable = False
    return Tensor(Constant(array), (), array.shape, array.dtype)


@explained
def input(  # noqa: A001 (the name is the contract)
    shape: Any, dtype: Any = dtypes.float32, name: str | None = None
) -> Tensor:
    """Return a placeholder of `shape` and `dtype` that the program's caller fills."""
    shape = lengths(f"input {name}" if name else "input", shape)
    dtype = dtypes.as_dtype(dtype)
    return Tensor(Input(name, shape, dtype), (), shape, dtype)


def as_array(value: Any, dtype: Any = None, what: str = "") -> np.ndarray:
    """Return `value` as an array of a tensor dtype; float lists become float32, int lists int64.

    Raises ShapeError or DTypeError, beginning with `what`, for what is no array of numbers or
    where integers or bools of `dtype` would change a value.
    """
    array = as_numpy(value, what)
    if dtype is None:
        own = isinstance(value, np.ndarray | np.generic)
        dtype = array.dtype if own else _LISTED.get(array.dtype.char, array.dtype)
    converted = dtypes.convert(array, dtypes.as_dtype(dtype), what)
    return np.ascontiguousarray(converted).reshape(array.shape)


_LISTED = {"d": dtypes.float32, "L": dtypes.int64, "Q": dtypes.int64, "O": dtypes.int64}
"""The dtype of a list by the character that NumPy gives it; huge ints are unsigned or objects."""


def as_numpy(value: Any, what: str = "") -> np.ndarray:
    """Return `value` as NumPy's array; ShapeError or DTypeError where it is none of numbers."""
    if isinstance(value, Tensor):
        raise DTypeError(f"{what}a tensor is no array; take its value with .numpy()")
    try:
        array = np.asarray(value)
    except ValueError:
        raise ShapeError(
            f"{what}the rows of a nested list differ in length or depth, so it is no array; make "
            "them equally long, with padding for instance"
        ) from None
    if array.dtype.kind == "O":
        foreign = [type(v) for v in array.flat if not isinstance(v, int | float)]
    else:
        number = array.dtype.kind in "biuf" or array.dtype == dtypes.bfloat16
        foreign = [] if number else [array.dtype.type]
    if foreign:
        kind = foreign[0].__name__.rstrip("_")
        raise DTypeError(f"{what}no tensor holds values of type {kind}; use numbers or bools")
    return array


_PAGE = 4096
_allocated = itertools.count()


def aligned_empty(shape: Shape, dtype: DType, alignment: int = 64) -> np.ndarray:
    """Return an uninitialized contiguous array whose first byte is aligned.

    Large arrays begin at different distances from a page's start: a load that follows a store
    at the same distance in another page would have to wait for it ("4K aliasing").
    """
    count = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    shift = next(_allocated) * 17 * alignment % _PAGE if count >= _PAGE > alignment else 0
    raw = np.empty(count + alignment + shift, np.uint8)
    start = -raw.ctypes.data % alignment + shift
    return raw[start : start + count].view(dtype).reshape(shape)
