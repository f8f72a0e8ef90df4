"""Accumulators: the running value of a reduction, one for each lane until the end.

The lanes are combined by halves, in an order that depends on their number alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import inf

import numpy as np
from llvmlite import ir

from ranvier import dtypes
from ranvier.dtypes import DType
from ranvier.engines.native.emit.ir import builder as e
from ranvier.engines.native.emit.ir.access import Point, lane_steps, position, stride
from ranvier.engines.native.emit.ir.builder import Value
from ranvier.engines.native.emit.ir.pointwise import TABLE, literal, value_type
from ranvier.engines.native.emit.loops.shape import Loops
from ranvier.engines.native.indexmap import Affine
from ranvier.engines.native.schedule.kernels import Reduce
from ranvier.graph.ops.reduction import ArgMax, Max, Min, Sum
from ranvier.graph.tensor import Op

_NOWHERE = 1 << 62
"""An index that no element has, larger than all."""

COMBINED: dict[type[Op], str] = {Sum: "add", Max: "maximum", Min: "minimum"}
"""The pointwise op that combines two partial results of each reduction."""


class Accumulator(ABC):
    """The state of one reduction, in stack slots that LLVM turns into registers."""

    @abstractmethod
    def reset(self, b: Value) -> None:
        """Begin a new unit."""

    @abstractmethod
    def add(self, b: Value, value: Value, point: Point) -> None:
        """Take in the value at `point`."""

    @abstractmethod
    def result(self, b: Value) -> Value:
        """The reduction of all that came in: a scalar in row style, else a vector of rows."""


def accumulator(b: Value, x: Reduce, loops: Loops) -> Accumulator:
    """Make the accumulator of a reduction instruction, at the entry of the kernel."""
    source = loops.body.instructions[x.arg].dtype
    if isinstance(x.op, ArgMax):
        assert x.index is not None
        return _ArgMaximum(b, x.index, source, loops)
    return Fold(b, x, source, loops)


class Fold(Accumulator):
    """Sum, max or min.

    A sum that `rounds` is added up in parts: the last of `slots` holds the innermost.
    """

    def __init__(self, b: Value, x: Reduce, dtype: DType, loops: Loops) -> None:
        self.dtype = dtype
        self.across = loops.style == "row" and loops.lanes > 0
        self.name = COMBINED[type(x.op)]
        self.rounds = self.name == "add" and dtypes.is_floating(dtype)
        self.type = value_type(dtype, loops.lanes)
        self.identity = _identity(self.name, dtype, empty=0 in loops.body.columns)
        self.slots = [b.alloca(self.type)]

    def reset(self, b: Value) -> None:
        b.store(literal(self.type, self.identity), self.slots[-1])

    def open(self, b: Value) -> None:
        """Begin a part."""
        with b.goto_entry_block():
            self.slots.append(b.alloca(self.type))
        self.reset(b)

    def close(self, b: Value) -> None:
        """Add the part to those before."""
        part = b.load(self.slots.pop(), typ=self.type)
        self._take(b, part)

    def add(self, b: Value, value: Value, point: Point) -> None:
        value = _spread(b, value, point)
        if self.across:
            value = _neutral(b, value, point, self.identity)
            value = _widened(b, value, self.type, self.identity)
        self._take(b, value)

    def result(self, b: Value) -> Value:
        total = b.load(self.slots[-1], typ=self.type)
        if not self.across:
            return total
        while total.type.count > 1:
            half = total.type.count // 2
            low = e.shuffle(b, total, total, range(half))
            high = e.shuffle(b, total, total, range(half, 2 * half))
            total = self._combine(b, low, high)
        return b.extract_element(total, e.i64(0))

    def _take(self, b: Value, value: Value) -> None:
        so_far = b.load(self.slots[-1], typ=self.type)
        b.store(self._combine(b, so_far, value), self.slots[-1])

    def _combine(self, b: Value, left: Value, right: Value) -> Value:
        return TABLE[self.name](b, self.dtype, [left, right])


class _ArgMaximum(Accumulator):
    """The first index of the largest value; NaN counts as larger than anything."""

    def __init__(self, b: Value, index: Affine, dtype: DType, loops: Loops) -> None:
        self.index = index
        self.dtype = dtype
        self.across = loops.style == "row" and loops.lanes > 0
        self.type = value_type(dtype, loops.lanes)
        self.index_type = value_type(dtypes.int64, loops.lanes)
        self.best, self.chosen = b.alloca(self.type), b.alloca(self.index_type)

    def reset(self, b: Value) -> None:
        b.store(literal(self.type, _identity("maximum", self.dtype, False)), self.best)
        b.store(literal(self.index_type, _NOWHERE), self.chosen)

    def add(self, b: Value, value: Value, point: Point) -> None:
        value = _spread(b, value, point)
        index = position(b, self.index, point)
        if isinstance(self.index_type, ir.VectorType):
            index = e.splat(b, index, self.index_type.count)
        if self.across:
            lanes = self.index_type.count
            index = b.add(index, lane_steps(stride(self.index, point), lanes))
            lowest = _identity("maximum", self.dtype, False)
            value = _widened(b, _neutral(b, value, point, lowest), self.type, lowest)
            if point.mask is not None or point.lanes != lanes:
                index = self._masked_index(b, index, point)
        best, chosen = b.load(self.best, typ=self.type), b.load(self.chosen, typ=self.index_type)
        best, chosen = self._better(b, (best, chosen), (value, index))
        b.store(best, self.best)
        b.store(chosen, self.chosen)

    def _masked_index(self, b: Value, index: Value, point: Point) -> Value:
        """Lanes that hold no column get an index that no column has."""
        lanes = self.index_type.count
        if point.mask is None:
            valid = ir.Constant(
                ir.VectorType(e.I1, lanes),
                [ir.Constant(e.I1, int(i < point.lanes)) for i in range(lanes)],
            )
        else:
            picks = [min(i, point.lanes) for i in range(lanes)]
            valid = e.shuffle(b, point.mask, literal(point.mask.type, 0), picks)
        return b.select(valid, index, literal(self.index_type, _NOWHERE))

    def result(self, b: Value) -> Value:
        best, index = b.load(self.best, typ=self.type), b.load(self.chosen, typ=self.index_type)
        if not self.across:
            return index
        while index.type.count > 1:
            half = index.type.count // 2
            low, high = (
                tuple(e.shuffle(b, v, v, part) for v in (best, index))
                for part in (range(half), range(half, 2 * half))
            )
            best, index = self._better(b, low, high)
        return b.extract_element(index, e.i64(0))

    def _better(
        self, b: Value, left: tuple[Value, ...], right: tuple[Value, ...]
    ) -> tuple[Value, Value]:
        (a, i), (c, j) = left, right
        larger = TABLE["less"](b, self.dtype, [a, c])
        equal = TABLE["equal"](b, self.dtype, [a, c])
        if dtypes.is_floating(self.dtype):
            nan_a, nan_c = (b.fcmp_unordered("uno", v, v) for v in (a, c))
            larger = b.or_(larger, b.and_(nan_c, b.not_(nan_a)))
            equal = b.or_(equal, b.and_(nan_a, nan_c))
        earlier = b.and_(equal, b.icmp_signed("<", j, i))
        take = b.or_(larger, earlier)
        return b.select(take, c, a), b.select(take, j, i)


def _identity(name: str, dtype: DType, empty: bool) -> float:
    """The value that changes no other; an empty sum is +0, any other may come out as -0."""
    if name == "add":
        return -0.0 if dtypes.is_floating(dtype) and not empty else 0
    sign = -1 if name == "maximum" else 1
    if dtypes.is_floating(dtype):
        return sign * inf
    limits = np.iinfo(dtype)
    return int(limits.min if sign < 0 else limits.max)


def _spread(b: Value, value: Value, point: Point) -> Value:
    if point.lanes and not isinstance(value.type, ir.VectorType):
        return e.splat(b, value, point.lanes)
    return value


def _neutral(b: Value, value: Value, point: Point, identity: float) -> Value:
    """`value` with lanes outside the mask set to the identity."""
    if point.mask is None:
        return value
    return b.select(point.mask, value, literal(value.type, identity))


def _widened(b: Value, value: Value, typ: Value, identity: float) -> Value:
    """A shorter vector filled up with the identity."""
    if value.type.count == typ.count:
        return value
    picks = [min(i, value.type.count) for i in range(typ.count)]
    return e.shuffle(b, value, literal(value.type, identity), picks)
