"""Kernels of convolutions and weight gradients: loops over tiles round the micro-kernel."""

from __future__ import annotations

from functools import partial
from math import prod

from ranvier.engines.native.emit.ir import builder as e
from ranvier.engines.native.emit.ir.builder import Value
from ranvier.engines.native.emit.tiles.convolution_pack import (
    Memory,
    chunk_and_group,
    origin_of_a,
    pack_tiles_of_a,
    packed_tile_of_a,
    panel_of_b,
    rows_of_a,
    segment_count,
)
from ranvier.engines.native.emit.tiles.matmul import Epilogue
from ranvier.engines.native.emit.tiles.microkernel import (
    AlongDepth,
    Unpacked,
    call_microkernel,
    microkernel,
    strided_microkernel,
)
from ranvier.engines.native.emit.tiles.pack import batch_offset
from ranvier.engines.native.emit.tiles.ranges import Run, segments, worked_runs
from ranvier.engines.native.plans.convolution import ConvolutionPlan, merged_depth
from ranvier.engines.native.plans.matmul import TileHost
from ranvier.graph.tensor import Shape


def emit_convolution(
    module: Value,
    host: TileHost,
    plan: ConvolutionPlan,
    left: int,
    right: int,
    partial: int | None,
    epilogue: Epilogue,
    name: str,
) -> Value:
    """The kernel `name` that contracts buffers `left` and `right`, tile by tile.

    `right` holds B packed by `emit_pack_weights` where `plan.packed`, else as it lies. The
    sums of several segments are kept in buffer `partial`, of `plan.partial_size` elements.
    """
    kernel, b = e.kernel(module, name)
    table, thread, threads = kernel.args
    width = plan.panels.size * plan.lanes
    room_of_a, room_of_b, held = None, None, None
    if partial is None:
        sums = e.stack(b, plan.dtype, plan.tile_size)
    else:
        sums = e.buffer(b, table, partial)
    if plan.left_packed:
        room_of_a = e.stack(b, plan.dtype, plan.row_block * plan.left_tile_size)
        held = b.alloca(e.I64)
        b.store(e.i64(-1), held)
    if not plan.packed and not plan.in_place:
        room_of_b = e.stack(b, plan.dtype, plan.segment_depth * width)
    operands = e.buffer(b, table, left), e.buffer(b, table, right)
    memory = Memory(*operands, sums, room_of_a, room_of_b, held)
    with (
        segments(b, plan, table) as segment,
        worked_runs(b, plan, table, thread, threads, segment) as run,
    ):
        if plan.left_packed:
            pack_tiles_of_a(b, plan, memory, run, segment)
        right_panel = panel_of_b(b, plan, memory, run, segment)
        _emit_run(b, host, plan, memory, run, right_panel, segment, table, epilogue)
    b.ret_void()
    return kernel


def _emit_run(
    b: Value,
    host: TileHost,
    plan: ConvolutionPlan,
    memory: Memory,
    run: Run,
    panel: Value,
    segment: Value,
    table: Value,
    epilogue: Epilogue,
) -> None:
    """Work through a run of tiles for one segment; finish them after the last segment."""
    scalar, loops = e.element_type(plan.dtype), plan.loops
    first_column = e.mul(b, e.piece_start(b, plan.panels, run.panel), plan.lanes)
    vectors = e.piece_size(b, plan.panels, run.panel)
    width = e.mul(b, vectors, plan.lanes)
    columns = e.minimum(b, width, b.sub(e.i64(loops.columns), first_column))
    chunk, group = chunk_and_group(b, plan, run)
    column = e.add(b, first_column, e.mul(b, group, loops.columns))
    above = origin_of_a(b, plan, run, segment)
    nest = _nest(b, plan, segment, width)
    sums = e.mul(b, run.outer, plan.batches * plan.m * plan.padded_n)
    sums = e.add(b, sums, e.mul(b, first_column, plan.batches * plan.m))
    last = b.icmp_signed("==", segment, e.i64(plan.segments - 1))
    with e.loop(b, run.first, run.stop) as tile:
        batch = e.div(b, tile, plan.rows.pieces)
        row, rows, moved = rows_of_a(b, plan, tile)
        index = e.add(b, above, moved)
        cell = memory.sums
        if plan.segments > 1:
            before = e.add(b, e.mul(b, batch, plan.m), row)
            cell = e.element(b, cell, e.add(b, sums, e.mul(b, before, width)), scalar)
        number = e.add(b, e.mul(b, chunk, plan.batches), batch)
        part = [table, cell, width, number, row, rows, column, columns]
        if epilogue.prefetch is not None:
            with b.if_then(last):
                b.call(epilogue.prefetch, part)
        at, part_nest = e.i64(0), nest
        if loops.right.batch:
            at = batch_offset(b, loops.batch, loops.right.batch, batch)
        if plan.inside:
            forward, skipped, part_nest = _inside_border(b, plan, batch, width, nest)
            index, at = e.add(b, index, forward), e.add(b, at, skipped)
        factor = e.element(b, panel, at, scalar)
        if plan.left_packed:
            source = packed_tile_of_a(b, plan, memory, tile)
            depth = e.mul(b, e.mul(b, nest[0], nest[2]), nest[4])
            arguments = [source, e.i64(0), factor, depth, cell, segment]
        else:
            source = e.element(b, memory.left, index, scalar)
            arguments = [source, factor, cell, segment, *part_nest]
        call_microkernel(b, plan, rows, vectors, partial(_microkernel, b, host, plan), arguments)
        with b.if_then(last):
            b.call(epilogue.finish, part)


def _nest(b: Value, plan: ConvolutionPlan, segment: Value, width: Value) -> list[Value]:
    """The three loops of the depth in a segment, as the micro-kernel takes them."""
    counts, steps = plan.loops.depth, plan.loops.left.depth
    if plan.packed:
        if not plan.inside:
            counts, steps = merged_depth(counts, steps)
        else:  # the kernel's rows stay a loop of their own
            inner = merged_depth(counts[1:], steps[1:])
            counts, steps = (counts[0], *inner[0][1:]), (steps[0], *inner[1][1:])
        return _packed_nest(b, [e.i64(n) for n in counts], [e.i64(n) for n in steps], width)
    if plan.in_place:
        counts, steps, others = _in_place_nest(plan)
        pairs = [n for pair in zip(counts, steps, strict=True) for n in pair]
        return [e.i64(n) for n in (*pairs, *others[:2])]
    found = [e.i64(counts[level] if level > plan.level else 1) for level in range(3)]
    found[plan.level] = segment_count(b, plan, segment)
    return _packed_nest(b, found, [e.i64(n) for n in steps], width)


def _packed_nest(b: Value, counts: list[Value], steps: list[Value], width: Value) -> list[Value]:
    """Loops of the depth through a B of rows of `width` elements that follow each other."""
    middle = e.mul(b, counts[2], width)
    pairs = [n for pair in zip(counts, steps, strict=True) for n in pair]
    return [*pairs, e.mul(b, counts[1], middle), middle]


def _inside_border(
    b: Value, plan: ConvolutionPlan, batch: Value, width: Value, nest: list[Value]
) -> tuple[Value, Value, list[Value]]:
    """Where the depth of a tile begins that leaves out border, in A and in B, and its loops."""
    (_, across, channels), (down, right, step) = plan.loops.depth, plan.loops.left.depth
    between = e.mul(b, width, channels)
    turn = e.mul(b, between, across)
    if plan.in_place:
        turn, between, _ = (e.i64(n) for n in plan.loops.right.depth)
    first, rows = _taps_inside(b, plan, batch, 0)
    forward, skipped = e.mul(b, first, down), e.mul(b, first, turn)
    if len(plan.inside) == 1:
        return forward, skipped, [rows, *nest[1:]]
    begin, columns = _taps_inside(b, plan, batch, 1)
    forward = e.add(b, forward, e.mul(b, begin, right))
    skipped = e.add(b, skipped, e.mul(b, begin, between))
    inner = [columns, e.i64(right), e.i64(channels), e.i64(step)]
    as_one = not plan.in_place or plan.loops.right.depth[1] == channels * plan.loops.right.depth[2]
    if right == channels * step and as_one:  # both loops as one
        inner = [e.i64(1), e.i64(0), e.mul(b, columns, channels), e.i64(step)]
    return forward, skipped, [rows, e.i64(down), *inner, turn, between]


def _taps_inside(b: Value, plan: ConvolutionPlan, batch: Value, axis: int) -> tuple[Value, Value]:
    """The first kernel element on an axis that meets more than border in a tile; how many do."""
    inside, loops = plan.inside[axis], plan.loops
    length, lines = loops.depth[axis], loops.lines if axis == 0 else 1
    level = len(loops.batch) - len(plan.inside) + axis
    turn = e.div(b, batch, prod(loops.batch[level + 1 :]))
    above = e.mul(b, e.rem(b, turn, loops.batch[level]), lines * inside.stride)
    below = e.add(b, above, (lines - 1) * inside.stride)
    # Rounded up and down; what is divided is made positive first.
    whole = length * inside.dilation
    first = b.sub(e.i64(inside.first + inside.dilation - 1 + whole), below)
    first = b.sub(e.div(b, _positive(b, first), inside.dilation), e.i64(length))
    stop = b.sub(e.i64(inside.stop - 1 + inside.dilation), above)
    stop = e.minimum(b, e.div(b, _positive(b, stop), inside.dilation), e.i64(length))
    first = _positive(b, first)
    return first, _positive(b, b.sub(stop, first))


def _positive(b: Value, value: Value) -> Value:
    """`value`, or 0 where it is negative."""
    return b.select(b.icmp_signed("<", value, e.i64(0)), e.i64(0), value)


def _in_place_nest(plan: ConvolutionPlan) -> tuple[Shape, Shape, Shape]:
    """The counts of the loops of the depth and the steps of A and of a B that is not packed."""
    counts, left, right = plan.loops.depth, plan.loops.left.depth, plan.loops.right.depth
    if plan.depth_lanes > 1:
        counts = (*counts[:-1], counts[-1] // plan.depth_lanes)
        left, right = ((*steps[:-1], steps[-1] * plan.depth_lanes) for steps in (left, right))
    counts, left, right = merged_depth(counts, left, right)
    return counts, left, right


def _layout_of_b(plan: ConvolutionPlan, width: int) -> Unpacked | AlongDepth | None:
    """How a panel of B of `width` vectors lies in memory; None where it is packed."""
    right = plan.loops.right
    if not plan.in_place:
        return None
    if plan.depth_lanes > 1:
        return AlongDepth(tuple(column * right.side for column in range(width)))
    step = right.depth[-1] if plan.inside else _in_place_nest(plan)[2][-1]
    return Unpacked(step, min(plan.loops.columns, width * plan.lanes))


def _microkernel(b: Value, host: TileHost, plan: ConvolutionPlan, height: int, width: int) -> Value:
    """The micro-kernel of tiles of so many rows and vectors."""
    if plan.left_packed:
        return microkernel(b.module, host, plan.dtype, height, width, None)
    offsets, layout = plan.loops.row_offsets[:height], _layout_of_b(plan, width)
    return strided_microkernel(b.module, host, plan.dtype, offsets, width, layout)
