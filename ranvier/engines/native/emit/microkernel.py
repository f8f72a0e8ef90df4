"""The one building block of all heavy arithmetic: a register tile of a matrix product.

After Georganas et al., "High-Performance Deep Learning via a Single Building Block" (2020): the
tile C[rows, columns] stays in registers while a loop over k adds outer products of a column of A
and a row of B. Matmul and convolution are loops round calls of it.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from ranvier.dtypes import DType
from ranvier.engines.native.contraction_plan import TileHost
from ranvier.engines.native.emit import builder as e
from ranvier.engines.native.emit.builder import Value

_UNROLL = 2
"""Steps in k per turn; more only lengthens compilation, as the multiply-adds already bind."""

_AHEAD = 16
"""How many steps in k ahead of its use A, which streams from the L2 cache, is asked for."""

Fetch = Callable[[Value, Value], tuple[list[Value], list[Value]]]
"""Given the builder and k, the scalars A[:, k] and the vectors of B[k, :]."""


def microkernel(module: Value, host: TileHost, dtype: DType, rows: int, vectors: int) -> Value:
    """The function that computes one tile from A and packed B, emitted once per module.

    Its arguments: ptr a, column k of the tile at a + k * step; i64 step, in elements: `rows`
    where A is packed; ptr b [k][vectors * lanes]; i64 k; ptr tile, row-major
    [rows][vectors * lanes], aligned like a vector; i64 accumulate, 0 to overwrite the tile and
    anything else to add to it.
    """
    name = f"tile_{dtype.name}_{rows}x{vectors}"
    found = module.globals.get(name)
    if found is not None:
        return found
    typ = ir.FunctionType(e.VOID, [e.PTR, e.I64, e.PTR, e.I64, e.PTR, e.I64])
    kernel = ir.Function(module, typ, name)
    kernel.linkage = "internal"
    kernel.attributes.add("noinline")
    kernel.attributes.add("nounwind")
    a, step, rhs, depth, tile, accumulate = kernel.args
    for argument in (a, rhs, tile):
        argument.add_attribute("noalias")
    b = ir.IRBuilder(kernel.append_basic_block("entry"))
    scalar = e.element_type(dtype)
    vector = ir.VectorType(scalar, host.lanes(dtype))
    align = vector.count * dtype.itemsize

    def fetch(b: Value, k: Value) -> tuple[list[Value], list[Value]]:
        column = e.element(b, a, e.mul(b, k, step), scalar)
        ahead = e.element(b, column, e.mul(b, step, _AHEAD), scalar)
        e.prefetch(b, ahead, write=False)
        row = e.element(b, rhs, e.mul(b, k, vectors), vector)
        right = [e.load(b, e.element(b, row, v, vector), vector, align) for v in range(vectors)]
        left = [
            e.load(b, e.element(b, column, r, scalar), scalar, dtype.itemsize) for r in range(rows)
        ]
        return left, right

    cells = [e.element(b, tile, cell, vector) for cell in range(rows * vectors)]
    for cell in cells:
        e.prefetch(b, cell, write=True)
    sums = [ir.Constant(vector, None)] * len(cells)
    sums = _outer_products(b, sums, depth, fetch)
    with b.if_else(b.icmp_signed("!=", accumulate, e.i64(0))) as (adding, overwriting):
        with adding:
            for value, cell in zip(sums, cells, strict=True):
                b.store(b.fadd(e.load(b, cell, vector, align), value), cell, align=align)
        with overwriting:
            for value, cell in zip(sums, cells, strict=True):
                b.store(value, cell, align=align)
    b.ret_void()
    return kernel


def _outer_products(b: Value, sums: list[Value], depth: Value, fetch: Fetch) -> list[Value]:
    """Add the outer products of k = 0 .. depth - 1, several a turn and the rest one by one."""
    whole = b.and_(depth, e.i64(-_UNROLL))
    for start, stop, step in ((e.i64(0), whole, _UNROLL), (whole, depth, 1)):
        with e.carried_loop(b, start, stop, step, sums) as state:
            for offset in range(step):
                _add_outer_product(b, state.values, *fetch(b, e.add(b, state.index, offset)))
        sums = state.values
    return sums


def _add_outer_product(b: Value, sums: list[Value], left: list[Value], right: list[Value]) -> None:
    """sums[row, vector] += left[row] * right[vector], in place."""
    for row, scalar in enumerate(left):
        factor = e.splat(b, scalar, right[0].type.count)
        for column, vector in enumerate(right):
            cell = row * len(right) + column
            sums[cell] = e.fused_multiply_add(b, factor, vector, sums[cell])
