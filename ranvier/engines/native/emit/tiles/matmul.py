"""The kernel of a (batched) matrix product: loops over tiles round the micro-kernel."""

from __future__ import annotations

from functools import partial

from llvmlite import ir

from ranvier.engines.native.emit.ir import builder as e
from ranvier.engines.native.emit.ir.builder import Value
from ranvier.engines.native.emit.tiles.microkernel import call_microkernel, microkernel
from ranvier.engines.native.emit.tiles.pack import (
    Operand,
    Packed,
    Side,
    copy_panel,
    pack_blocks,
    packed_panel,
    panel_origin,
    side_a,
    side_b,
)
from ranvier.engines.native.emit.tiles.prefetch import Coming, prefetch_panel
from ranvier.engines.native.emit.tiles.ranges import Run, run_at, segments, worked_runs
from ranvier.engines.native.emit.work_stealing import barrier
from ranvier.engines.native.plans.matmul import MatmulPlan, TileHost
from ranvier.records import dataclass

EPILOGUE_TYPE = ir.FunctionType(e.VOID, [e.PTR, e.PTR, *[e.I64] * 6])
"""What receives each finished tile of C and stores it, once per tile.

(ptr table, ptr tile, tile_row_stride, batch, row0, rows, col0, cols): the tile's element (i, j)
is tile[i * tile_row_stride + j] for i < rows, j < cols, and belongs at C[batch, row0 + i,
col0 + j]. Rows of the tile are aligned like vectors and padded with zeros to whole vectors.
"""


@dataclass(frozen=True)
class Epilogue:
    """What happens to a tile beside its sums, as two functions of type `EPILOGUE_TYPE`.

    `prefetch`, if there is one, asks for the memory that `finish` will touch, while the sums are
    computed; `finish` stores the finished tile.
    """

    prefetch: Value | None
    finish: Value


@dataclass(frozen=True)
class _Buffers:
    """Where the operands and the partial sums lie; these on the stack where one segment does.

    `a_tile` and `b_panel` are room for one tile of A and one panel of B where the operand is
    strided, else None.
    """

    a: Value
    b: Value
    a_tile: Value | None
    b_panel: Value | None
    partial: Value


def emit_matmul(
    module: Value,
    host: TileHost,
    plan: MatmulPlan,
    a_operand: Packed | Operand,
    b_operand: Packed | Operand,
    partial_slot: int | None,
    epilogue: Epilogue,
    name: str,
) -> Value:
    """The kernel `name` that multiplies A by B and hands the tiles of C to `epilogue`.

    An operand is packed already; or the threads together pack each segment of it before its use;
    or it is strided, and each thread packs a tile of A or a panel of B when it comes to it
    (`plan.packs_a` and `plan.packs_b` tell what pays). A strided A whose rows or columns lie side
    by side is read where it is. `partial_slot` names the buffer of partial sums
    (`plan.partial_size` elements); it is needed where that is not 0, else unused.

    Segments of K blocks are the outermost loop; within one, every thread passes over its
    tiles, a run at a time, so that a block of A stays in the L2 cache; within a run, K block
    after K block, so that a panel of B stays in the L1 cache.
    """
    kernel, b = e.kernel(module, name)
    table, thread, threads = kernel.args
    if plan.partial_size == 0:
        held = 1 if plan.depth.pieces == 1 else plan.row_block
        partial = e.stack(b, plan.dtype, held * plan.rows.size * plan.panels.size * plan.lanes)
    elif partial_slot is None:
        raise ValueError(f"{name}: {plan.depth.pieces} K blocks need a partial_slot")
    else:
        partial = e.buffer(b, table, partial_slot)
    operands = a_operand, b_operand
    a_tile, b_panel = None, None
    if isinstance(a_operand, Operand) and not a_operand.contiguous:
        a_tile = e.stack(b, plan.dtype, plan.depth.size * plan.rows.size)
    if isinstance(b_operand, Operand):
        b_panel = e.stack(b, plan.dtype, plan.depth.size * plan.panels.size * plan.lanes)
    a, right = (e.buffer(b, table, operand.slot) for operand in operands)
    buffers = _Buffers(a, right, a_tile, b_panel, partial)
    own = [
        (side, operand.source, operand)
        for side, operand in zip((side_a(plan), side_b(plan)), operands, strict=True)
        if isinstance(operand, Packed) and operand.source is not None
    ]
    with segments(b, plan, table) as segment:
        first = e.mul(b, segment, plan.segment)
        behind = e.minimum(b, plan.depth.pieces, e.add(b, first, plan.segment))
        for side, source, packed in own:
            pack_blocks(b, side, source, packed, kernel.args, (first, behind))
        if own:
            barrier(b, table)
        with (
            worked_runs(b, plan, table, thread, threads, segment) as run,
            e.loop(b, first, behind) as block,
        ):
            side = side_b(plan)
            panel = _pack(
                b, side, b_operand, buffers.b, buffers.b_panel, run.outer, run.panel, block
            )
            coming = _coming(b, plan, run, block, first, behind)
            _emit_run(b, host, plan, buffers, operands, panel, block, run, coming, table, epilogue)
    b.ret_void()
    return kernel


def _left_tile(
    b: Value,
    plan: MatmulPlan,
    operand: Packed | Operand,
    buffers: _Buffers,
    batch: Value,
    piece: Value,
    block: Value,
) -> tuple[Value, Value]:
    """Where a tile of A begins, and how far its columns lie apart, in elements."""
    if isinstance(operand, Operand) and operand.contiguous:
        depth = e.piece_start(b, plan.depth, block)
        origin = panel_origin(b, side_a(plan), operand, batch, piece, depth)
        address = e.element(b, buffers.a, origin, e.element_type(plan.dtype))
        return address, e.i64(operand.depth_stride)
    tile = _pack(b, side_a(plan), operand, buffers.a, buffers.a_tile, batch, piece, block)
    return tile, e.piece_size(b, plan.rows, piece)


def _row_step(operand: Packed | Operand) -> int | None:
    """How far the rows of a tile of A lie apart, in elements; None where it is packed."""
    if isinstance(operand, Operand) and operand.contiguous:
        return operand.outer_stride
    return None


def _pack(
    b: Value,
    side: Side,
    operand: Packed | Operand,
    source: Value,
    room: Value | None,
    batch: Value,
    piece: Value,
    block: Value,
) -> Value:
    """The packed panel `piece` of an operand, packed into `room` here and now if it is strided."""
    if isinstance(operand, Packed):
        index = packed_panel(b, side, operand, batch, block, piece)
        return e.element(b, source, index, e.element_type(side.plan.dtype))
    assert room is not None
    depth, count = e.piece_start(b, side.plan.depth, block), e.piece_size(b, side.plan.depth, block)
    copy_panel(b, side, operand, source, room, (batch, piece, depth, count))
    return room


def _coming(
    b: Value, plan: MatmulPlan, run: Run, block: Value, first: Value, behind: Value
) -> Coming:
    """The panel that follows the run's K block: of its next one, or the first of the next run."""
    following = run_at(b, plan, e.add(b, run.unit, b.sub(run.stop, run.first)), run.end)
    next_block = e.add(b, block, 1)
    again = b.icmp_signed("<", next_block, behind)
    return Coming(
        b.select(again, run.outer, following.outer),
        b.select(again, run.panel, following.panel),
        b.select(again, next_block, first),
    )


def _emit_run(
    b: Value,
    host: TileHost,
    plan: MatmulPlan,
    buffers: _Buffers,
    operands: tuple[Packed | Operand, Packed | Operand],
    b_panel: Value,
    block: Value,
    run: Run,
    coming: Coming,
    table: Value,
    epilogue: Epilogue,
) -> None:
    """Work through a run of tiles for one K block; finish the tiles after the last K block."""
    scalar = e.element_type(plan.dtype)
    a_operand, b_operand = operands
    count = e.piece_size(b, plan.depth, block)
    column = e.mul(b, e.piece_start(b, plan.panels, run.panel), plan.lanes)
    vectors = e.piece_size(b, plan.panels, run.panel)
    width = e.mul(b, vectors, plan.lanes)
    columns = e.minimum(b, width, b.sub(e.i64(plan.n), column))
    if plan.partial_size:
        sums = e.add(b, e.mul(b, run.outer, plan.m * plan.padded_n), e.mul(b, column, plan.m))
    else:
        sums = b.sub(e.i64(0), e.mul(b, e.piece_start(b, plan.rows, run.first), width))
    with e.loop(b, run.first, run.stop) as piece:
        row, rows = e.piece_start(b, plan.rows, piece), e.piece_size(b, plan.rows, piece)
        a_tile, a_step = _left_tile(b, plan, a_operand, buffers, run.outer, piece, block)
        tile = buffers.partial
        if plan.depth.pieces > 1:
            tile = e.element(b, tile, e.add(b, sums, e.mul(b, row, width)), scalar)
        last = b.icmp_signed("==", block, e.i64(plan.depth.pieces - 1))
        part = [table, tile, width, run.outer, row, rows, column, columns]
        if epilogue.prefetch is not None:
            with b.if_then(last):
                b.call(epilogue.prefetch, part)
        prefetch_panel(b, plan, b_operand, buffers.b, coming, b.sub(piece, run.first))
        arguments = [a_tile, a_step, b_panel, count, tile, block]
        kernel = partial(microkernel, b.module, host, plan.dtype, row_step=_row_step(a_operand))
        call_microkernel(b, plan, rows, vectors, kernel, arguments)
        with b.if_then(last):
            b.call(epilogue.finish, part)
