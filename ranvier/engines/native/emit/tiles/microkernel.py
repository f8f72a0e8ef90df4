"""The one building block of all heavy arithmetic: a register tile of a matrix product.

After Georganas et al., "High-Performance Deep Learning via a Single Building Block" (2020): the
tile C[rows, columns] stays in registers while a loop over k adds outer products of a column of A
and a row of B. Matmul and convolution are loops round calls of it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import groupby, pairwise
from typing import Any

from llvmlite import ir

from ranvier.dtypes import DType
from ranvier.engines.native.emit.ir import builder as e
from ranvier.engines.native.emit.ir.builder import Value
from ranvier.engines.native.host import CACHE_LINE
from ranvier.engines.native.plans.matmul import TileHost, Tiling
from ranvier.records import dataclass

_TURN = 40
"""Multiply-adds of a turn through k that outweigh the loop itself and its counters."""

_MOST_STEPS = 4
"""Steps in a turn; more only lengthen compilation."""

_MANY_REGISTERS = 32
"""With so many, tiles are so large that through strided operands, whose loops are often short,
one step a turn is best."""

_AHEAD = 16
"""How many steps in k before its use a packed A, which streams from the L2 cache, is asked for.

Only where vectors fill a cache line: a processor with shorter ones loses more by the requests, and
finds the sequence by itself.
"""

Fetch = Callable[[Value, Value], tuple[list[Value], list[Value]]]
"""Given the builder and k, the scalars A[:, k] and the vectors of B[k, :]."""


def microkernel(
    module: Value, host: TileHost, dtype: DType, rows: int, vectors: int, row_step: int | None
) -> Value:
    """The function that computes one tile from A and packed B, emitted once per module.

    A's rows lie `row_step` elements apart, a number known here, so that all of them share one
    address register; or A is packed, [k][rows], and that is None.

    Its arguments: ptr a, column k of the tile at a + k * step; i64 step, in elements, of no use
    where A is packed; ptr b [k][vectors * lanes]; i64 k; ptr tile, row-major
    [rows][vectors * lanes], aligned like a vector; i64 accumulate, 0 to overwrite the tile and
    anything else to add to it.
    """
    name = f"tile_{dtype.name}_{rows}x{vectors}"
    name += "" if row_step is None else f"_by{row_step}"
    found = module.globals.get(name)
    if found is not None:
        return found
    kernel = e.subroutine(module, name, [e.PTR, e.I64, e.PTR, e.I64, e.PTR, e.I64])
    a, step, rhs, depth, tile, accumulate = kernel.args
    b = ir.IRBuilder(kernel.append_basic_block("entry"))
    vector = ir.VectorType(e.element_type(dtype), host.lanes(dtype))
    cells = _cells(b, tile, rows * vectors, vector)
    sums = [ir.Constant(vector, None)] * len(cells)
    offsets = tuple(row * (1 if row_step is None else row_step) for row in range(rows))
    column_step = e.i64(rows) if row_step is None else step
    source = _Rows(a, column_step, rhs, dtype, offsets, vectors, vector)
    unroll, ask = _turn_steps(rows, vectors), None
    if row_step is None and _bytes(vector) >= CACHE_LINE:
        ask = partial(source.prefetch_lines, columns=unroll)
    sums = _outer_products(b, sums, depth, source.fetch, unroll, ask)
    _store_tile(b, sums, cells, accumulate)
    b.ret_void()
    return kernel


def call_microkernel(
    b: Value,
    plan: Tiling,
    rows: Value,
    vectors: Value,
    kernel: Callable[[int, int], Value],
    arguments: list[Value],
) -> None:
    """Call the micro-kernel of a tile of so many rows and vectors; `kernel` makes each of them."""
    for height, width in plan.microkernels:
        function = kernel(height, width)
        fits = b.and_(
            b.icmp_signed("==", rows, e.i64(height)), b.icmp_signed("==", vectors, e.i64(width))
        )
        with b.if_then(fits):
            b.call(function, arguments)


def _turn_steps(rows: int, vectors: int) -> int:
    """The steps in k of a turn: a power of two, for `_TURN` multiply-adds or `_MOST_STEPS`."""
    return min(_MOST_STEPS, 1 << (-(-_TURN // (rows * vectors)) - 1).bit_length())


@dataclass(frozen=True)
class Unpacked:
    """A B that lies in memory as it is: its rows `step` elements apart, of `columns` elements."""

    step: int
    columns: int

    def __str__(self) -> str:
        return f"of_{self.columns}by{self.step}"


@dataclass(frozen=True)
class AlongDepth:
    """A B, and an A, that are contiguous in depth, so that vectors run along it.

    Column c of B lies `columns[c]` elements from the first.
    """

    columns: tuple[int, ...]

    def __str__(self) -> str:
        return "along_" + "_".join(map(str, self.columns))


def strided_microkernel(
    module: Value,
    host: TileHost,
    dtype: DType,
    offsets: tuple[int, ...],
    vectors: int,
    layout: Unpacked | AlongDepth | None = None,
) -> Value:
    """The function that computes a tile from an A that lies in memory as three nested loops.

    Row r of A begins at a + offsets[r], a number known here, so that all rows share one
    address register. Its arguments: ptr a; ptr b, rows of vectors * lanes elements unless it
    has a `layout` of its own; ptr tile and i64 accumulate as for `microkernel`; three times, from
    outside in, i64 count of a loop of the depth and i64 step in A; and i64 step in B of the outer
    two. Along the depth, `vectors` counts columns, which a tile then has no more of, and the
    innermost loop steps from vector to vector.
    """
    steps = [b - a for a, b in pairwise(offsets)] or [0]
    kinds = "_".join(f"{n}by{step}" for step, n in _repeats(steps))
    name = f"tile_{dtype.name}_{len(offsets)}x{vectors}_{kinds}"
    if layout is not None:
        name += f"_{layout}"
    found = module.globals.get(name)
    if found is not None:
        return found
    kernel = e.subroutine(module, name, [e.PTR, e.PTR, e.PTR, *[e.I64] * 9])
    a, rhs, tile, accumulate, *nest, outer_step, middle_step = kernel.args
    b = ir.IRBuilder(kernel.append_basic_block("entry"))
    vector = ir.VectorType(e.element_type(dtype), host.lanes(dtype))
    along = isinstance(layout, AlongDepth)
    count, unroll = len(offsets) * vectors, 1
    if host.vector_registers < _MANY_REGISTERS:
        unroll = _turn_steps(len(offsets), vectors)
    cells = _cells(b, tile, -(-count // vector.count) if along else count, vector)
    start = [ir.Constant(vector, None)] * count
    with e.carried_loop(b, 0, nest[0], 1, start) as outer:
        with e.carried_loop(b, 0, nest[2], 1, outer.values) as middle:
            left = e.add(b, e.mul(b, outer.index, nest[1]), e.mul(b, middle.index, nest[3]))
            right = b.add(b.mul(outer.index, outer_step), b.mul(middle.index, middle_step))
            left, right = (
                e.element(b, base, index, vector.element)
                for base, index in ((a, left), (rhs, right))
            )
            source = _Rows(left, nest[5], right, dtype, offsets, vectors, vector, layout)
            if along:
                middle.values = _outer_products(b, middle.values, nest[4], source.fetch_along_depth)
            else:
                middle.values = _outer_products(b, middle.values, nest[4], source.fetch, unroll)
        outer.values = middle.values
    sums = lane_sums(b, outer.values) if along else outer.values
    _store_tile(b, sums, cells, accumulate)
    b.ret_void()
    return kernel


@dataclass(frozen=True)
class _Rows:
    """Where the operands of a loop over k lie: A[r, k] at a[offsets[r] + k * step]."""

    a: Value
    step: Value
    rhs: Value
    dtype: DType
    offsets: tuple[int, ...]
    vectors: int
    vector: Value
    layout: Unpacked | AlongDepth | None = None

    def _column(self, b: Value, k: Value) -> Value:
        return e.element(b, self.a, e.mul(b, k, self.step), self.vector.element)

    def prefetch_lines(self, b: Value, k: Value, columns: int) -> None:
        """Ask for so many columns of a packed A that are used some time after column k."""
        first = self._column(b, e.add(b, k, _AHEAD))
        for at in range(0, columns * len(self.offsets), CACHE_LINE // self.dtype.itemsize):
            e.prefetch(b, e.element(b, first, at, self.vector.element))

    def fetch(self, b: Value, k: Value) -> tuple[list[Value], list[Value]]:
        """The scalars of column k of A and the vectors of row k of B."""
        scalar, size = self.vector.element, self.dtype.itemsize
        column = self._column(b, k)
        if isinstance(self.layout, Unpacked):
            right = self._unpacked(b, k, self.layout)
        else:
            right = self._packed(b, k)
        left = [
            e.load(b, e.element(b, column, offset, scalar), scalar, size) for offset in self.offsets
        ]
        return left, right

    def fetch_along_depth(self, b: Value, k: Value) -> tuple[list[Value], list[Value]]:
        """The k-th vectors of A's rows and of B's columns."""
        assert isinstance(self.layout, AlongDepth)
        scalar, size = self.vector.element, self.dtype.itemsize
        row = self._column(b, k)
        column = e.element(b, self.rhs, e.mul(b, k, self.vector.count), scalar)
        left = [e.element(b, row, offset, scalar) for offset in self.offsets]
        right = [e.element(b, column, offset, scalar) for offset in self.layout.columns]
        left, right = ([e.load(b, x, self.vector, size) for x in side] for side in (left, right))
        return left, right

    def _packed(self, b: Value, k: Value) -> list[Value]:
        row = e.element(b, self.rhs, e.mul(b, k, self.vectors), self.vector)
        align = self.vector.count * self.dtype.itemsize
        addresses = [e.element(b, row, v, self.vector) for v in range(self.vectors)]
        return [e.load(b, address, self.vector, align) for address in addresses]

    def _unpacked(self, b: Value, k: Value, unpacked: Unpacked) -> list[Value]:
        lanes, size = self.vector.count, self.dtype.itemsize
        row = e.element(b, self.rhs, e.mul(b, k, unpacked.step), self.vector.element)
        found = []
        for v in range(self.vectors):
            address, rest = e.element(b, row, v, self.vector), unpacked.columns - v * lanes
            if rest >= lanes:
                found.append(e.load(b, address, self.vector, size))
            else:  # nothing is read behind the last row
                mask = e.first_lanes(rest, lanes)
                found.append(e.masked_load(b, address, mask, self.vector, size))
        return found


def _repeats(steps: list[int]) -> list[tuple[int, int]]:
    """Each run of equal numbers, with its length."""
    return [(step, len(list(run))) for step, run in groupby(steps)]


def _cells(b: Value, tile: Value, count: int, vector: Value) -> list[Value]:
    """The addresses of a tile's vectors, asked for ahead of the store."""
    cells = [e.element(b, tile, cell, vector) for cell in range(count)]
    for cell in cells[:: max(1, CACHE_LINE // _bytes(vector))]:
        e.prefetch(b, cell, write=True)
    return cells


def _bytes(vector: Value) -> int:
    return int(vector.count) * (4 if vector.element == ir.FloatType() else 8)


def _store_tile(b: Value, sums: list[Value], cells: list[Value], accumulate: Value) -> None:
    """Store the sums; add them to what is there unless `accumulate` is 0."""
    vector = sums[0].type
    align = _bytes(vector)
    with b.if_else(b.icmp_signed("!=", accumulate, e.i64(0))) as (adding, overwriting):
        with adding:
            for value, cell in zip(sums, cells, strict=True):
                b.store(b.fadd(e.load(b, cell, vector, align), value), cell, align=align)
        with overwriting:
            for value, cell in zip(sums, cells, strict=True):
                b.store(value, cell, align=align)


def _outer_products(
    b: Value,
    sums: list[Value],
    depth: Value,
    fetch: Fetch,
    unroll: int = 1,
    ask: Callable[[Value, Value], None] | None = None,
) -> list[Value]:
    """Add the outer products of k = 0 .. depth - 1, `unroll` a turn and the rest one by one.

    `depth` is not negative, `unroll` a power of two. `ask`, given the builder and the k with which
    a whole turn begins, asks for memory.
    """
    turns: list[tuple[Any, Any, int]] = [(0, depth, 1)]
    if unroll > 1:
        whole = b.and_(depth, e.i64(-unroll))
        turns = [(0, whole, unroll), (whole, depth, 1)]
    for start, stop, step in turns:
        with e.carried_loop(b, start, stop, step, sums) as state:
            if ask is not None and step == unroll:
                ask(b, state.index)
            for offset in range(step):
                _add_outer_product(b, state.values, *fetch(b, e.add(b, state.index, offset)))
        sums = state.values
    return sums


def lane_sums(b: Value, vectors: list[Value]) -> list[Value]:
    """Vectors whose elements, one after the other, are the sums over the lanes of `vectors`.

    A stage adds the lanes that are `half` apart, and puts two vectors' results into one.
    """
    lanes = vectors[0].type.count
    found = []
    for first in range(0, len(vectors), lanes):
        rows = vectors[first : first + lanes]
        rows += [ir.Constant(rows[0].type, None)] * (lanes - len(rows))
        half = lanes // 2
        while half:
            low = [
                lane & ~half if not lane & half else lanes + (lane & ~half) for lane in range(lanes)
            ]
            high = [pick + half for pick in low]
            rows = [
                b.fadd(e.shuffle(b, *pair, low), e.shuffle(b, *pair, high))
                for pair in zip(rows[:half], rows[half:], strict=True)
            ]
            half //= 2
        found += rows
    return found


def _add_outer_product(b: Value, sums: list[Value], left: list[Value], right: list[Value]) -> None:
    """sums[row, vector] += left[row] * right[vector], in place."""
    for row, scalar in enumerate(left):
        factor = scalar if scalar.type == right[0].type else e.splat(b, scalar, right[0].type.count)
        for column, vector in enumerate(right):
            cell = row * len(right) + column
            sums[cell] = e.fused_multiply_add(b, factor, vector, sums[cell])
