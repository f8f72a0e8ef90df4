"""Kernels of the ops that index or draw: take, scatter-add and counter-based random numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import TypeAlias

from llvmlite import ir

from ranvier import dtypes
from ranvier.engines.native.emit.ir import builder as e
from ranvier.engines.native.emit.ir.builder import I32, I64, Value
from ranvier.engines.native.emit.ir.pointwise import TABLE, literal
from ranvier.engines.native.plans.matmul import TileHost
from ranvier.engines.native.schedule.kernels import Buffer, IndexKernel
from ranvier.errors import CompileError
from ranvier.graph.ops.indexing import ScatterAdd, Take
from ranvier.graph.ops.random import (
    KEY_STEPS,
    MULTIPLIERS,
    ROUNDS,
    Random,
    RandomBits,
)

Work: TypeAlias = tuple[int, Callable[[Value], None]]
"""The number of units, and what emits one of them."""

GROUP = 16
"""Philox blocks that one group of 64 neighbouring words comes from."""


def emit_indexing(
    module: Value, host: TileHost, kernel: IndexKernel, slots: Mapping[Buffer, int], name: str
) -> Value:
    """Emit the kernel function `name`."""
    function, b = e.kernel(module, name)
    table, thread, threads = function.args
    sources = [e.buffer(b, table, slots[buffer]) for buffer in kernel.sources]
    result = e.buffer(b, table, slots[kernel.result])
    match kernel.op:
        case Take():
            units, emit = _take(b, kernel, sources, result)
        case ScatterAdd():
            units, emit = _scatter_add(b, host, kernel, sources, result)
        case Random():
            units, emit = _random(b, kernel, sources, result)
        case _:
            raise CompileError(f"the native engine has no kernel for {kernel.op.name}")
    start, stop = e.share(b, units, thread, threads)
    with e.loop(b, start, stop) as unit:
        emit(unit)
    b.ret_void()
    return function


# ---------------------------------------------------------------- take and scatter-add


def _row(b: Value, base: Value, buffer: Buffer, position: Value, rows: int) -> Value:
    """The index at `position`, moved into 0 … rows - 1, as i64."""
    typ = e.element_type(buffer.dtype)
    index = b.load(e.element(b, base, position, typ), typ=typ, align=buffer.dtype.itemsize)
    if buffer.dtype == dtypes.int32:
        index = b.sext(index, I64)
    low = b.select(b.icmp_signed("<", index, e.i64(0)), e.i64(0), index)
    return e.minimum(b, low, rows - 1)


def _take(b: Value, kernel: IndexKernel, sources: list[Value], result: Value) -> Work:
    """A unit copies one row."""
    x, indices = kernel.sources
    rows, *rest = kernel.shapes[0]
    width = prod(rest) * x.dtype.itemsize

    def emit(unit: Value) -> None:
        row = _row(b, sources[1], indices, unit, rows)
        source = e.element(b, sources[0], e.mul(b, row, width), e.I8)
        target = e.element(b, result, e.mul(b, unit, width), e.I8)
        name = "llvm.memcpy.p0.p0.i64"
        signature = ir.FunctionType(e.VOID, [e.PTR, e.PTR, I64, e.I1])
        copy = e.function(b.module, name, signature)
        b.call(copy, [target, source, e.i64(width), ir.Constant(e.I1, 0)])

    return indices.size, emit


def _scatter_add(
    b: Value, host: TileHost, kernel: IndexKernel, sources: list[Value], result: Value
) -> Work:
    """A unit owns a block of columns of all result rows and adds the updates in order.

    So each element's sum has the order of the updates, whatever the number of threads.
    """
    updates, indices = kernel.sources
    dtype, rows = updates.dtype, kernel.result.shape[0]
    width = prod(kernel.result.shape[1:])
    typ = e.element_type(dtype)
    lanes = host.lanes(dtype)
    vector = ir.VectorType(typ, lanes)
    add = TABLE["add"]

    def emit(unit: Value) -> None:
        first = e.mul(b, unit, lanes)
        mask = e.lane_mask(b, b.sub(e.i64(width), first), lanes)
        with e.loop(b, 0, rows) as row:
            at = e.element(b, result, e.add(b, e.mul(b, row, width), first), typ)
            e.masked_store(b, literal(vector, 0), at, mask, dtype.itemsize)
        with e.loop(b, 0, indices.size) as i:
            row = _row(b, sources[1], indices, i, rows)
            at = e.element(b, result, e.add(b, e.mul(b, row, width), first), typ)
            here = e.element(b, sources[0], e.add(b, e.mul(b, i, width), first), typ)
            update = e.masked_load(b, here, mask, vector, dtype.itemsize)
            old = e.masked_load(b, at, mask, vector, dtype.itemsize)
            e.masked_store(b, add(b, dtype, [old, update]), at, mask, dtype.itemsize)

    return -(-width // lanes), emit


# ---------------------------------------------------------------- Philox4x32-10


def _random(b: Value, kernel: IndexKernel, sources: list[Value], result: Value) -> Work:
    """A unit draws one group: 64 words from 16 blocks."""
    op = kernel.op
    assert isinstance(op, Random)
    seed, step = (b.load(source, typ=I64, align=8) for source in sources)
    words = -(-kernel.result.size * (1 if op.dtype == dtypes.uint8 else 4) // 4)
    if op.dtype == dtypes.float64:
        words = kernel.result.size

    def emit(unit: Value) -> None:
        columns = philox(b, unit, seed, op.stream, step)
        for i, column in enumerate(columns):
            first = e.add(b, e.mul(b, unit, 4 * GROUP), i * GROUP)
            _store_words(b, op, column, first, kernel.result, result)

    return -(-words // (4 * GROUP)), emit


def philox(b: Value, group: Value, seed: Value, stream: int, step: Value) -> list[Value]:
    """The four words of each of the 16 blocks of `group`, as four vectors."""
    lanes = ir.VectorType(I32, GROUP)
    wide = ir.VectorType(I64, GROUP)

    def low(x: Value) -> Value:
        return b.trunc(x, lanes)

    def high(x: Value) -> Value:
        return b.trunc(b.lshr(x, literal(wide, 32)), lanes)

    iota = ir.Constant(wide, [e.i64(i) for i in range(GROUP)])
    block = b.add(e.splat(b, b.mul(group, e.i64(GROUP)), GROUP), iota)
    steps, seeds = e.splat(b, step, GROUP), e.splat(b, seed, GROUP)
    counter = [low(block), high(block), low(steps), high(steps)]
    keys = [low(seeds), b.xor(high(seeds), literal(lanes, stream))]
    for _ in range(ROUNDS):
        first, second = (
            b.mul(b.zext(c, wide), literal(wide, m))
            for c, m in zip((counter[0], counter[2]), MULTIPLIERS, strict=True)
        )
        counter = [
            b.xor(b.xor(high(second), counter[1]), keys[0]),
            low(second),
            b.xor(b.xor(high(first), counter[3]), keys[1]),
            low(first),
        ]
        keys = [b.add(k, literal(lanes, add)) for k, add in zip(keys, KEY_STEPS, strict=True)]
    return counter


def _store_words(
    b: Value, op: Random, words: Value, first: Value, buffer: Buffer, result: Value
) -> None:
    """Store 16 words as `op` wants them, no further than the end of the result."""
    values = words
    if op.dtype == dtypes.uint8:
        values = b.bitcast(words, ir.VectorType(e.I8, 4 * GROUP))
        first = e.mul(b, first, 4)
    elif not isinstance(op, RandomBits):
        values = _uniform(b, op, words)
    mask = e.lane_mask(b, b.sub(e.i64(buffer.size), first), values.type.count)
    address = e.element(b, result, first, e.element_type(op.dtype))
    e.masked_store(b, values, address, mask, op.dtype.itemsize)


def _uniform(b: Value, op: Random, words: Value) -> Value:
    """Words to floats in [0, 1): 24 bits for float32, 32 for float64."""
    vector = ir.VectorType(e.element_type(op.dtype), GROUP)
    if op.dtype == dtypes.float32:
        words = b.lshr(words, literal(words.type, 8))
        return b.fmul(b.uitofp(words, vector), literal(vector, 2.0**-24))
    return b.fmul(b.uitofp(words, vector), literal(vector, 2.0**-32))
