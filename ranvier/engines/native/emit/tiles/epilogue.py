"""Epilogues: the pointwise work on a finished tile of a contraction, before its store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from llvmlite import ir

from ranvier.engines.native.emit.ir import builder as e
from ranvier.engines.native.emit.ir.access import Point, position
from ranvier.engines.native.emit.ir.builder import I8, I64, PTR, Value
from ranvier.engines.native.emit.loops.body import (
    CONSTANT,
    INNER,
    UNIT,
    Evaluator,
    Plan,
    addresses,
    plan_body,
)
from ranvier.engines.native.emit.loops.rows import delinearized
from ranvier.engines.native.emit.loops.shape import coalesced
from ranvier.engines.native.emit.tiles.matmul import EPILOGUE_TYPE, Epilogue
from ranvier.engines.native.host import CACHE_LINE
from ranvier.engines.native.indexmap import Affine
from ranvier.engines.native.plans.convolution import ConvolutionPlan
from ranvier.engines.native.plans.matmul import MatmulPlan
from ranvier.engines.native.plans.winograd import WinogradPlan
from ranvier.engines.native.plans.winograd_gradient import WinogradGradientPlan
from ranvier.engines.native.schedule.kernels import (
    Body,
    Buffer,
    ConvolutionKernel,
    Load,
    MatmulKernel,
    Store,
    WinogradKernel,
)

ContractionKernel: TypeAlias = MatmulKernel | ConvolutionKernel | WinogradKernel


def emit_epilogue(
    module: Value, kernel: ContractionKernel, slots: Mapping[Buffer, int], name: str
) -> Epilogue:
    """Emit the functions that prefetch for a tile and finish it."""
    body = coalesced(kernel.body)
    prefetch = _emit_prefetch(module, kernel, body, slots, f"{name}_prefetch")
    return Epilogue(prefetch, _emit_finish(module, kernel, body, slots, f"{name}_finish"))


def _emit_prefetch(
    module: Value,
    kernel: ContractionKernel,
    body: Body,
    slots: Mapping[Buffer, int],
    name: str,
) -> Value:
    """Ask for the lines of the rows that will be read or written, if they lie in sequence."""
    function = ir.Function(module, EPILOGUE_TYPE, name)
    function.linkage = "internal"
    b = ir.IRBuilder(function.append_basic_block("entry"))
    table, _, _, batch, row0, rows, column0, columns = function.args
    address = addresses(b, table, {buffer: slots[buffer] for buffer, _ in _rows_touched(body)})
    indices = _row_indices(b, kernel, body, batch, row0)
    if kernel.plan.panels.pieces == 1:
        columns = kernel.plan.n
    row_by_row = []
    for buffer, at in _rows_touched(body):
        step = at.terms[body.rows - 1]
        if _one_dimension(kernel, body) and 0 < step * buffer.dtype.itemsize <= CACHE_LINE:
            length = e.add(b, e.mul(b, b.sub(rows, e.i64(1)), step), columns)
            _ask_for(
                b,
                address(buffer),
                buffer,
                position(b, at, Point((*indices(e.i64(0)), column0))),
                length,
            )
        else:
            row_by_row.append((buffer, at))
    with e.loop(b, 0, rows if row_by_row else 0) as i:
        point = Point((*indices(i), column0))
        for buffer, at in row_by_row:
            _ask_for(b, address(buffer), buffer, position(b, at, point), columns)
    b.ret_void()
    return function


def _ask_for(b: Value, base: Value, buffer: Buffer, first: Value, count: Value | int) -> None:
    """Prefetch the lines of `count` elements from element `first` on."""
    size = buffer.dtype.itemsize
    if isinstance(count, int):  # the last element's line may be that of the one before
        steps = [*range(0, count * size - 1, CACHE_LINE), count * size - 1]
        for byte in steps:
            address = e.element(b, base, e.add(b, e.mul(b, first, size), byte), I8)
            e.prefetch(b, address, level=2)
        return
    start = b.add(b.ptrtoint(base, I64), e.mul(b, first, size))
    ahead = b.and_(start, e.i64(CACHE_LINE - 1))
    with e.loop(b, 0, b.add(ahead, e.mul(b, count, size)), CACHE_LINE) as byte:
        line = b.add(b.sub(start, ahead), byte)
        e.prefetch(b, b.inttoptr(line, PTR), level=2)


def _one_dimension(kernel: ContractionKernel, body: Body) -> bool:
    """Whether the rows of a tile differ in the last of the body's row dimensions alone."""
    return body.rows == 1 or (body.rows > 1 and body.domain[body.rows - 1] == kernel.plan.m)


def _row_indices(
    b: Value, kernel: ContractionKernel, body: Body, batch: Value, row0: Value
) -> Callable[[Value], tuple[Value, ...]]:
    """The indices in the body's row dimensions of row `row0` + i of a batch, given i."""
    domain, m = body.domain[: body.rows], kernel.plan.m
    if domain and domain[-1] == m:  # the rows of a batch are one dimension: all others stand
        outer = delinearized(b, batch, domain[:-1])
        return lambda i: (*outer, e.add(b, row0, i))
    above = e.add(b, e.mul(b, batch, m), row0)
    return lambda i: tuple(delinearized(b, e.add(b, above, i), domain))


def _rows_touched(body: Body) -> list[tuple[Buffer, Affine]]:
    """The places that a tile reads or writes row by row, each row in sequence."""
    if len(body.columns) != 1:
        return []
    accesses = [x for x in body.instructions if isinstance(x, Load | Store)]
    plain = [x for x in accesses if isinstance(x, Store) or not x.guards]
    rows = [x for x in plain if x.at.terms[-1] == 1 and any(x.at.terms[:-1])]
    return list(dict.fromkeys((x.buffer, x.at) for x in rows))


def _emit_finish(
    module: Value,
    kernel: ContractionKernel,
    body: Body,
    slots: Mapping[Buffer, int],
    name: str,
) -> Value:
    """Work on one tile, row by row, by vectors of columns."""
    function = ir.Function(module, EPILOGUE_TYPE, name)
    function.linkage = "internal"
    b = ir.IRBuilder(function.append_basic_block("entry"))
    table, tile, tile_stride, batch, row0, rows, column0, columns = function.args
    touched = (x.buffer for x in body.instructions if isinstance(x, Load | Store))
    used = {buffer: slots[buffer] for buffer in touched}
    evaluator = Evaluator(b, body, addresses(b, table, used))
    plan = plan_body(body, range(body.rows, len(body.domain)))
    evaluator.run(plan.at_level(CONSTANT), Point(tuple(e.i64(0) for _ in body.domain)))
    writer = _Tile(b, kernel.plan, body, plan, tile, column0, columns)
    indices = _row_indices(b, kernel, body, batch, row0)
    with e.loop(b, 0, rows) as i:
        writer.emit_row(evaluator.scoped(), indices(i), e.mul(b, i, tile_stride))
    b.ret_void()
    return function


@dataclass
class _Tile:
    """Emits the work on one row of a tile."""

    b: Value
    shape: MatmulPlan | ConvolutionPlan | WinogradPlan | WinogradGradientPlan
    body: Body
    plan: Plan
    tile: Value
    column0: Value
    columns: Value

    def emit_row(self, at: Evaluator, indices: tuple[Value, ...], start: Value) -> None:
        """`indices` are those of the row; its products lie in the tile from `start` on."""
        b, lanes = self.b, self.shape.lanes
        columns = tuple(e.i64(0) for _ in self.body.columns)
        at.run(self.plan.at_level(UNIT), Point((*indices, *columns)))
        if not columns:
            self._emit_point(at, Point(indices), start, e.i64(0))
            return
        vector, widest = len(indices), self.shape.panels.size * lanes
        if self.shape.panels.pieces == 1:  # all columns at once, how many is known here
            mask = None if self.shape.n == widest else e.first_lanes(self.shape.n, widest)
            point = Point((*indices, self.column0), vector, widest, mask)
            self._emit_point(at, point, start, 0)
            return
        if self.shape.n % widest == 0:
            self._emit_point(at, Point((*indices, self.column0), vector, widest), start, 0)
            return
        whole = b.icmp_signed("==", self.columns, e.i64(widest))
        with b.if_else(whole) as (full, part):
            with full:
                self._emit_point(at, Point((*indices, self.column0), vector, widest), start, 0)
            with part, e.loop(b, 0, self.columns, lanes) as j:
                column = e.add(b, self.column0, j)
                mask = e.lane_mask(b, b.sub(self.columns, j), lanes)
                point = Point((*indices, column), vector, lanes, mask)
                self._emit_point(at, point, start, j)

    def _emit_point(self, at: Evaluator, point: Point, start: Value, column: Value | int) -> None:
        here = at.scoped()
        here.product = lambda where: self._product(e.add(self.b, start, column), where)
        here.run(self.plan.at_level(INNER), point)

    def _product(self, position: Value, point: Point) -> Value:
        """The tile's values at `point`; its rows are padded, so whole vectors can be read."""
        scalar = e.element_type(self.shape.dtype)
        typ = ir.VectorType(scalar, point.lanes) if point.lanes else scalar
        address = e.element(self.b, self.tile, position, scalar)
        return self.b.load(address, typ=typ, align=self.shape.dtype.itemsize)
