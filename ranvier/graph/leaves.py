"""The leaves of a graph: constants, program inputs, and state (parameters and buffers)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ranvier.dtypes import DType, as_dtype, float32
from ranvier.errors import ShapeError
from ranvier.graph.tensor import Array, Op, Shape, Tensor


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
        array = as_array(value, dtype)
        op = StateRead(name, array.shape, array.dtype)
        super().__init__(op, (), array.shape, array.dtype)
        storage = aligned_empty(array.shape, array.dtype)
        storage[...] = array
        object.__setattr__(self, "storage", storage)

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
        array = _as_numpy(new)
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


class Parameter(State):
    """State that training changes by its gradient."""

    __slots__ = ()


class Buffer(State):
    """State that is not trained: running statistics, moments, counters."""

    __slots__ = ()


def constant(value: Any, dtype: Any = None) -> Tensor:
    """Return a constant tensor; Python floats become float32, ints int64, unless `dtype`."""
    array = as_array(value, dtype).copy()
    array.flags.writeable = False
    return Tensor(Constant(array), (), array.shape, array.dtype)


def input(shape: Any, dtype: Any = float32, name: str | None = None) -> Tensor:  # noqa: A001
    """Return a placeholder of `shape` and `dtype` that the program's caller fills."""
    shape = tuple(int(n) for n in ((shape,) if isinstance(shape, int | np.integer) else shape))
    if any(n < 0 for n in shape):
        raise ShapeError(f"input {name or ''}: shape {shape} has a negative axis")
    dtype = as_dtype(dtype)
    return Tensor(Input(name, shape, dtype), (), shape, dtype)


def as_array(value: Any, dtype: Any = None) -> np.ndarray:
    """Return `value` as an array of a tensor dtype; float lists become float32."""
    array = _as_numpy(value)
    if dtype is None:
        foreign = not isinstance(value, np.ndarray | np.generic)
        dtype = float32 if foreign and array.dtype == np.float64 else array.dtype
    return np.ascontiguousarray(array.astype(as_dtype(dtype), copy=False)).reshape(array.shape)


def _as_numpy(value: Any) -> np.ndarray:
    try:
        return np.asarray(value)
    except ValueError:
        raise ShapeError(
            "the rows of a nested list differ in length or depth, so it is no array; make them "
            "equally long, with padding for instance"
        ) from None


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
