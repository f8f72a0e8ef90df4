"""Small helpers over llvmlite's IRBuilder that all emitters share.

Sizes and indices are i64, vectors are LLVM vectors of any length (LLVM splits long ones over
registers), pointers are opaque and every access names its element type.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from llvmlite import ir

from ranvier.dtypes import DType
from ranvier.engines.native.plans.matmul import Cut
from ranvier.errors import DTypeError

Value = Any  # an llvmlite value; llvmlite carries no type annotations

I1 = ir.IntType(1)
I8 = ir.IntType(8)
I32 = ir.IntType(32)
I64 = ir.IntType(64)
PTR = ir.PointerType()
VOID = ir.VoidType()

_KEPT = 1 << 12
"""Constants, with their texts, that are kept for the next use."""

KERNEL_TYPE = ir.FunctionType(VOID, [PTR, I64, I64])
"""A kernel: (pointer table, index of the thread, number of threads)."""

_ELEMENTS: dict[str, Value] = {
    "float32": ir.FloatType(),
    "float64": ir.DoubleType(),
    "bfloat16": ir.IntType(16),
    "int32": I32,
    "int64": I64,
    "uint8": I8,
    "bool": I8,
}


def element_type(dtype: DType) -> Value:
    """The LLVM type that holds one element of `dtype` in memory."""
    try:
        return _ELEMENTS[np.dtype(dtype).name]
    except KeyError:
        raise DTypeError(f"native code cannot hold {dtype}; convert it to float32 first") from None


@lru_cache(_KEPT)
def i64(value: int) -> Value:
    """A 64-bit integer constant; kept, as is its text, since there are so many alike."""
    return ir.Constant(I64, value)


def as_i64(value: Any) -> Value:
    """`value` itself if it is an LLVM value, a constant if it is a Python integer."""
    return i64(value) if isinstance(value, int) else value


def is_constant(value: Any, number: int) -> bool:
    """Whether `value` is known, while emitting, to be `number`."""
    return isinstance(value, ir.Constant) and value.constant == number


def add(b: Value, left: Any, right: Any) -> Value:
    """left + right in i64; additions of zero vanish."""
    left, right = as_i64(left), as_i64(right)
    if is_constant(left, 0):
        return right
    return left if is_constant(right, 0) else b.add(left, right, flags=["nsw"])


def mul(b: Value, left: Any, right: Any) -> Value:
    """left * right in i64; multiplications by zero and one vanish."""
    left, right = as_i64(left), as_i64(right)
    for one, other in ((left, right), (right, left)):
        if is_constant(one, 1):
            return other
        if is_constant(one, 0):
            return one
    return b.mul(left, right, flags=["nsw"])


def div(b: Value, left: Any, right: Any) -> Value:
    """left // right for left >= 0 and right > 0, in i64."""
    right = as_i64(right)
    return as_i64(left) if is_constant(right, 1) else b.udiv(as_i64(left), right)


def rem(b: Value, left: Any, right: Any) -> Value:
    """left % right for left >= 0 and right > 0, in i64."""
    right = as_i64(right)
    return i64(0) if is_constant(right, 1) else b.urem(as_i64(left), right)


def minimum(b: Value, left: Any, right: Any) -> Value:
    """The smaller of two signed i64."""
    left, right = as_i64(left), as_i64(right)
    return b.select(b.icmp_signed("<", left, right), left, right)


def element(b: Value, pointer: Value, index: Any, typ: Value) -> Value:
    """The address of element `index` behind `pointer`, in units of `typ`."""
    index = as_i64(index)
    return pointer if is_constant(index, 0) else b.gep(pointer, [index], source_etype=typ)


def load(b: Value, pointer: Value, typ: Value, align: int) -> Value:
    """Load one value of `typ`, a scalar or a vector, known to be aligned to `align` bytes."""
    return b.load(pointer, typ=typ, align=align)


def kernel(module: Value, name: str) -> tuple[Value, Value]:
    """A new function of type `KERNEL_TYPE` within the module, and a builder at its entry."""
    made = ir.Function(module, KERNEL_TYPE, name)
    made.linkage = "internal"
    return made, ir.IRBuilder(made.append_basic_block("entry"))


def subroutine(module: Value, name: str, arguments: Sequence[Value]) -> Value:
    """A new function within the module, never inlined; its pointers lead to different memory."""
    made = ir.Function(module, ir.FunctionType(VOID, arguments), name)
    made.linkage = "internal"
    made.attributes.add("noinline")
    made.attributes.add("nounwind")
    for argument in made.args:
        if argument.type == PTR:
            argument.add_attribute("noalias")
    return made


def stack(b: Value, dtype: DType, size: int) -> Value:
    """Room for `size` elements on the stack, aligned to a cache line."""
    room = b.alloca(ir.ArrayType(element_type(dtype), size))
    room.align = 64
    return room


def buffer(b: Value, table: Value, slot: Any) -> Value:
    """The address of buffer `slot` out of a thread's pointer table."""
    return b.load(element(b, table, slot, PTR), typ=PTR, align=8)


def share(b: Value, units: Any, thread: Value, threads: Value) -> tuple[Value, Value]:
    """The contiguous range [start, stop) of `units` that belongs to `thread`."""
    start = b.udiv(mul(b, units, thread), threads)
    stop = b.udiv(mul(b, units, b.add(thread, i64(1))), threads)
    return start, stop


@dataclass
class LoopState:
    """A running loop: its index, carried values and step; the body may replace the last two."""

    index: Value
    values: list[Value]
    step: Any


@contextmanager
def carried_loop(
    b: Value, start: Any, stop: Any, step: Any, initial: Sequence[Value]
) -> Iterator[LoopState]:
    """Count from `start` up to `stop` while carrying values from turn to turn.

    Inside, `state.values` are this turn's values; the body assigns the next turn's. After the
    loop `state.values` are the last turn's (or `initial`, if there was none).
    """
    start, stop = as_i64(start), as_i64(stop)
    before = b.block
    body = b.append_basic_block("loop")
    after = b.append_basic_block("done")
    b.cbranch(b.icmp_signed("<", start, stop), body, after)
    b.position_at_end(body)
    index = b.phi(I64)
    phis = [b.phi(value.type) for value in initial]
    state = LoopState(index, list(phis), step)
    yield state
    following = b.add(index, as_i64(state.step), flags=["nsw"])
    last, results = b.block, state.values
    b.cbranch(b.icmp_signed("<", following, stop), body, after)
    index.add_incoming(start, before)
    index.add_incoming(following, last)
    b.position_at_end(after)
    state.values = []
    for phi, first, result in zip(phis, initial, results, strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(result, last)
        final = b.phi(phi.type)
        final.add_incoming(first, before)
        final.add_incoming(result, last)
        state.values.append(final)


@contextmanager
def loop(b: Value, start: Any, stop: Any, step: Any = 1) -> Iterator[Value]:
    """Count from `start` up to `stop`; yields the index."""
    with carried_loop(b, start, stop, step, []) as state:
        yield state.index


def splat(b: Value, scalar: Value, lanes: int) -> Value:
    """A vector of `lanes` copies of `scalar`."""
    vector = ir.VectorType(scalar.type, lanes)
    poison = ir.Constant(vector, ir.Undefined)
    first = b.insert_element(poison, scalar, ir.Constant(I32, 0))
    return shuffle(b, first, poison, [0] * lanes)


def constant_splat(scalar: Value, number: float, lanes: int) -> Value:
    """A constant vector of `lanes` copies of `number`, of element type `scalar`."""
    return ir.Constant(ir.VectorType(scalar, lanes), [ir.Constant(scalar, number)] * lanes)


def shuffle(b: Value, left: Value, right: Value, picks: Sequence[int]) -> Value:
    """A vector of the elements `picks` of left and right laid end to end."""
    return b.shuffle_vector(left, right, _integers(I32, tuple(picks)))


@lru_cache(_KEPT)
def _integers(scalar: Value, values: tuple[int, ...]) -> Value:
    """A constant vector of integers."""
    vector = ir.VectorType(scalar, len(values))
    return ir.Constant(vector, [ir.Constant(scalar, value) for value in values])


def lane_mask(b: Value, count: Value, lanes: int) -> Value:
    """A vector of `lanes` bits, set where the lane's number is below `count` (i64)."""
    return b.icmp_signed("<", _integers(I64, tuple(range(lanes))), splat(b, count, lanes))


def first_lanes(count: int, lanes: int) -> Value:
    """The constant mask of the first `count` of `lanes` lanes."""
    return _integers(I1, tuple(int(lane < count) for lane in range(lanes)))


def vector_name(vector: Value) -> str:
    """How LLVM's overloaded intrinsics spell a vector type, such as v16f32."""
    scalar = vector.element
    if isinstance(scalar, ir.IntType):
        return f"v{vector.count}i{scalar.width}"
    return f"v{vector.count}f{64 if isinstance(scalar, ir.DoubleType) else 32}"


def type_name(typ: Value) -> str:
    """How LLVM's overloaded intrinsics spell a scalar or vector type."""
    if isinstance(typ, ir.VectorType):
        return vector_name(typ)
    return vector_name(ir.VectorType(typ, 1)).removeprefix("v1")


def function(module: Value, name: str, typ: Value) -> Value:
    """The function `name` of `module`, declared at its first mention."""
    found = module.globals.get(name)
    return ir.Function(module, typ, name) if found is None else found


def masked_load(b: Value, pointer: Value, mask: Value, vector: Value, align: int) -> Value:
    """Load the lanes of `vector` whose mask bit is set; the others are zero and not touched."""
    name = f"llvm.masked.load.{vector_name(vector)}.p0"
    typ = ir.FunctionType(vector, [PTR, I32, mask.type, vector])
    zeros = ir.Constant(vector, None)
    callee = function(b.module, name, typ)
    return b.call(callee, [pointer, ir.Constant(I32, align), mask, zeros])


def masked_store(b: Value, value: Value, pointer: Value, mask: Value, align: int) -> None:
    """Store the lanes of `value` whose mask bit is set; other memory is not touched."""
    name = f"llvm.masked.store.{vector_name(value.type)}.p0"
    typ = ir.FunctionType(VOID, [value.type, PTR, I32, mask.type])
    callee = function(b.module, name, typ)
    b.call(callee, [value, pointer, ir.Constant(I32, align), mask])


def prefetch(b: Value, pointer: Value, write: bool = False, level: int = 1) -> None:
    """Ask for the cache line of `pointer`, which need not be readable, in the L1 or L2 cache."""
    typ = ir.FunctionType(VOID, [PTR, I32, I32, I32])
    callee = function(b.module, "llvm.prefetch.p0", typ)
    locality = {1: 3, 2: 2}[level]
    hints = [ir.Constant(I32, hint) for hint in (int(write), locality, 1)]
    b.call(callee, [pointer, *hints])


def fused_multiply_add(b: Value, left: Value, right: Value, addend: Value) -> Value:
    """left * right + addend with one rounding."""
    typ = addend.type
    callee = function(b.module, f"llvm.fma.{type_name(typ)}", ir.FunctionType(typ, [typ] * 3))
    return b.call(callee, [left, right, addend])


def piece_start(b: Value, cut: Cut, piece: Any) -> Value:
    """Where piece `piece` of `cut` begins."""
    start = mul(b, piece, cut.size)
    if cut.large == cut.pieces:
        return start
    late = b.sub(as_i64(piece), i64(cut.large))
    return b.sub(start, b.select(b.icmp_signed(">", late, i64(0)), late, i64(0)))


def piece_size(b: Value, cut: Cut, piece: Any) -> Value:
    """How many elements piece `piece` of `cut` has."""
    if cut.large == cut.pieces:
        return i64(cut.size)
    large = b.icmp_signed("<", as_i64(piece), i64(cut.large))
    return b.select(large, i64(cut.size), i64(cut.size - 1))
