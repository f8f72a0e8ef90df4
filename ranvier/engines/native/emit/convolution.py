"""Kernels of convolutions and weight gradients: loops over tiles round the micro-kernel."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from llvmlite import ir

from ranvier.engines.native.contraction_plan import TileHost
from ranvier.engines.native.convolution_plan import ConvolutionPlan, merged_depth
from ranvier.engines.native.emit import builder as e
from ranvier.engines.native.emit.builder import Value
from ranvier.engines.native.emit.contraction import Epilogue
from ranvier.engines.native.emit.microkernel import AlongDepth, Unpacked, strided_microkernel
from ranvier.engines.native.emit.panel import Strides, pack_panel
from ranvier.graph.tensor import Shape


@dataclass(frozen=True)
class _Run:
    """Tiles that follow each other, [first, stop), with one panel of one matrix B."""

    chunk: Value
    group: Value
    panel: Value
    first: Value
    stop: Value


@dataclass(frozen=True)
class _Memory:
    """Addresses: the operands, room for a panel of B (None where none is packed), and the sums."""

    left: Value
    right: Value
    room: Value | None
    sums: Value


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
    kernel = ir.Function(module, e.KERNEL_TYPE, name)
    kernel.linkage = "internal"
    table, thread, threads = kernel.args
    b = ir.IRBuilder(kernel.append_basic_block("entry"))
    width = plan.panels.size * plan.lanes
    sums = _stack(b, plan, plan.tile_size) if partial is None else e.buffer(b, table, partial)
    room = None if plan.packed or plan.in_place else _stack(b, plan, plan.segment_depth * width)
    memory = _Memory(e.buffer(b, table, left), e.buffer(b, table, right), room, sums)
    start, stop = e.share(b, plan.units, thread, threads)
    with (
        e.loop(b, 0, plan.segments) as segment,
        e.carried_loop(b, start, stop, 1, []) as state,
    ):
        run = _run_at(b, plan, state.index, stop)
        state.step = b.sub(run.stop, run.first)
        panel = _panel_of_b(b, plan, memory, run, segment)
        _emit_run(b, host, plan, memory, run, panel, segment, table, epilogue)
    b.ret_void()
    return kernel


def emit_pack_weights(
    module: Value, plan: ConvolutionPlan, source: int, target: int, name: str
) -> Value:
    """The kernel `name` that packs B from buffer `source` into buffer `target`."""
    kernel = ir.Function(module, e.KERNEL_TYPE, name)
    kernel.linkage = "internal"
    table, thread, threads = kernel.args
    b = ir.IRBuilder(kernel.append_basic_block("entry"))
    scalar, loops = e.element_type(plan.dtype), plan.loops
    weights, packed = e.buffer(b, table, source), e.buffer(b, table, target)
    outer, middle, inner = loops.depth
    units = loops.groups * plan.panels.pieces * outer * middle
    start, stop = e.share(b, units, thread, threads)
    with e.loop(b, start, stop) as unit:
        column, above = e.rem(b, unit, middle), e.div(b, unit, middle)
        row, above = e.rem(b, above, outer), e.div(b, above, outer)
        panel, group = e.rem(b, above, plan.panels.pieces), e.div(b, above, plan.panels.pieces)
        depth = e.mul(b, e.add(b, e.mul(b, row, middle), column), inner)
        at = e.add(b, _packed_panel(b, plan, group, panel), e.mul(b, depth, _width(b, plan, panel)))
        index = e.add(b, e.mul(b, group, loops.right.group), loops.right.offset)
        index = e.add(b, index, e.mul(b, row, loops.right.depth[0]))
        index = e.add(b, index, e.mul(b, column, loops.right.depth[1]))
        _copy(b, plan, weights, index, e.element(b, packed, at, scalar), panel, e.i64(inner))
    b.ret_void()
    return kernel


def _stack(b: Value, plan: ConvolutionPlan, size: int) -> Value:
    """Room for `size` elements on the stack."""
    room = b.alloca(ir.ArrayType(e.element_type(plan.dtype), size))
    room.align = 64
    return room


def _width(b: Value, plan: ConvolutionPlan, panel: Value) -> Value:
    """The columns of a panel, padding included."""
    return e.mul(b, e.piece_size(b, plan.panels, panel), plan.lanes)


def _packed_panel(b: Value, plan: ConvolutionPlan, group: Value, panel: Value) -> Value:
    """Where in the packed B a panel begins."""
    columns = e.mul(b, e.piece_start(b, plan.panels, panel), plan.lanes)
    columns = e.add(b, columns, e.mul(b, group, plan.padded_n))
    return e.mul(b, columns, plan.packed_size // (plan.loops.groups * plan.padded_n))


def _copy(
    b: Value,
    plan: ConvolutionPlan,
    source: Value,
    index: Value,
    target: Value,
    panel: Value,
    depth: Value,
) -> None:
    """Pack `depth` steps of the innermost loop of B, from element `index` on, for one panel."""
    loops = plan.loops
    first = e.mul(b, e.piece_start(b, plan.panels, panel), plan.lanes)
    padded = _width(b, plan, panel)
    width = e.minimum(b, padded, b.sub(e.i64(loops.columns), first))
    index = e.add(b, index, e.mul(b, first, loops.right.side))
    address = e.element(b, source, index, e.element_type(plan.dtype))
    widths = [plan.panels.length(piece) * plan.lanes for piece in range(plan.panels.pieces)]
    known = {size: size for size in widths[:-1]}
    known[widths[-1] - plan.padded_n + loops.columns] = widths[-1]
    strides = Strides(loops.right.side, loops.right.depth[-1])
    pack_panel(b, plan.dtype, plan.lanes, strides, known, (address, target, width, padded, depth))


def _run_at(b: Value, plan: ConvolutionPlan, unit: Value, end: Value) -> _Run:
    """The run of tiles that begins at `unit`, as far as it reaches before `end`.

    Units are ordered by chunk, group, row block, panel, tile.
    """
    panels = plan.panels.pieces
    outer, inside = e.div(b, unit, plan.tiles * panels), e.rem(b, unit, plan.tiles * panels)
    chunk, group = e.div(b, outer, plan.loops.groups), e.rem(b, outer, plan.loops.groups)
    above = e.mul(b, e.div(b, inside, plan.row_block * panels), plan.row_block)
    height = e.minimum(b, plan.row_block, b.sub(e.i64(plan.tiles), above))
    inside = b.sub(inside, e.mul(b, above, panels))
    panel, tile = e.div(b, inside, height), e.rem(b, inside, height)
    count = e.minimum(b, b.sub(height, tile), b.sub(end, unit))
    first = e.add(b, above, tile)
    return _Run(chunk, group, panel, first, e.add(b, first, count))


def _segment_origin(
    b: Value, plan: ConvolutionPlan, segment: Value, steps: tuple[int, ...]
) -> Value:
    """How far a segment's first element lies from that of the whole depth."""
    piece, turn = e.rem(b, segment, plan.cut.pieces), e.div(b, segment, plan.cut.pieces)
    origin = e.mul(b, e.piece_start(b, plan.cut, piece), steps[plan.level])
    for level in reversed(range(plan.level)):
        count = plan.loops.depth[level]
        origin = e.add(b, origin, e.mul(b, e.rem(b, turn, count), steps[level]))
        turn = e.div(b, turn, count)
    return origin


def _segment_count(b: Value, plan: ConvolutionPlan, segment: Value) -> Value:
    """The turns of the loop at `plan.level` in a segment."""
    return e.piece_size(b, plan.cut, e.rem(b, segment, plan.cut.pieces))


def _panel_of_b(
    b: Value, plan: ConvolutionPlan, memory: _Memory, run: _Run, segment: Value
) -> Value:
    """The address of a panel of B, packed here and now where it was not packed before."""
    scalar, loops = e.element_type(plan.dtype), plan.loops
    if plan.packed:
        return e.element(b, memory.right, _packed_panel(b, plan, run.group, run.panel), scalar)
    index = e.add(b, e.mul(b, run.chunk, loops.right.chunk), loops.right.offset)
    index = e.add(b, index, e.mul(b, run.group, loops.right.group))
    if memory.room is None:
        first = e.mul(b, e.piece_start(b, plan.panels, run.panel), plan.lanes * loops.right.side)
        return e.element(b, memory.right, e.add(b, index, first), scalar)
    index = e.add(b, index, _segment_origin(b, plan, segment, loops.right.depth))
    counts: list[Value | int] = [1, 1, 1]
    counts[plan.level] = _segment_count(b, plan, segment)
    counts[plan.level + 1 :] = loops.depth[plan.level + 1 :]
    width = _width(b, plan, run.panel)
    with e.loop(b, 0, counts[0]) as i, e.loop(b, 0, counts[1]) as j:
        at = e.add(b, index, e.mul(b, i, loops.right.depth[0]))
        at = e.add(b, at, e.mul(b, j, loops.right.depth[1]))
        depth = e.mul(b, e.add(b, e.mul(b, i, counts[1]), j), counts[2])
        target = e.element(b, memory.room, e.mul(b, depth, width), scalar)
        _copy(b, plan, memory.right, at, target, run.panel, e.as_i64(counts[2]))
    return memory.room


def _emit_run(
    b: Value,
    host: TileHost,
    plan: ConvolutionPlan,
    memory: _Memory,
    run: _Run,
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
    column = e.add(b, first_column, e.mul(b, run.group, loops.columns))
    above = e.add(b, e.mul(b, run.chunk, loops.left.chunk), loops.left.offset)
    above = e.add(b, above, e.mul(b, run.group, loops.left.group))
    above = e.add(b, above, _segment_origin(b, plan, segment, loops.left.depth))
    nest = _nest(b, plan, segment, width)
    matrix = e.add(b, e.mul(b, run.chunk, loops.groups), run.group)
    sums = e.mul(b, matrix, plan.batches * plan.m * plan.padded_n)
    sums = e.add(b, sums, e.mul(b, first_column, plan.batches * plan.m))
    last = b.icmp_signed("==", segment, e.i64(plan.segments - 1))
    with e.loop(b, run.first, run.stop) as tile:
        piece, batch = e.rem(b, tile, plan.rows.pieces), e.div(b, tile, plan.rows.pieces)
        row, rows = e.piece_start(b, plan.rows, piece), e.piece_size(b, plan.rows, piece)
        # Lines lie in one tile, whose first row is 0.
        index = e.add(b, above, e.mul(b, row, loops.left.side))
        index = e.add(b, index, _batch_offset(b, loops.batch, loops.left.batch, batch))
        cell = memory.sums
        if plan.segments > 1:
            before = e.add(b, e.mul(b, batch, plan.m), row)
            cell = e.element(b, cell, e.add(b, sums, e.mul(b, before, width)), scalar)
        number = e.add(b, e.mul(b, run.chunk, plan.batches), batch)
        part = [table, cell, width, number, row, rows, column, columns]
        if epilogue.prefetch is not None:
            with b.if_then(last):
                b.call(epilogue.prefetch, part)
        place, part_nest = e.i64(0), nest
        if loops.right.batch:
            place = _batch_offset(b, loops.batch, loops.right.batch, batch)
        if plan.inside:
            forward, skipped, part_nest = _inside_border(b, plan, batch, width, nest)
            index, place = e.add(b, index, forward), e.add(b, place, skipped)
        factor = e.element(b, panel, place, scalar)
        source = e.element(b, memory.left, index, scalar)
        arguments = [source, factor, cell, segment, *part_nest]
        _call_microkernel(b, host, plan, rows, vectors, arguments)
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
    found[plan.level] = _segment_count(b, plan, segment)
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
    return first, b.sub(stop, first)


def _positive(b: Value, value: Value) -> Value:
    """`value`, or 0 where it is negative."""
    return b.select(b.icmp_signed("<", value, e.i64(0)), e.i64(0), value)


def _batch_offset(b: Value, counts: Shape, steps: tuple[int, ...], batch: Value) -> Value:
    """How far an operand moves to the flattened batch number."""
    offset = e.i64(0)
    for count, step in zip(reversed(counts), reversed(steps), strict=True):
        offset = e.add(b, offset, e.mul(b, e.rem(b, batch, count), step))
        batch = e.div(b, batch, count)
    return offset


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


def _call_microkernel(
    b: Value,
    host: TileHost,
    plan: ConvolutionPlan,
    rows: Value,
    vectors: Value,
    arguments: list[Value],
) -> None:
    """Call the micro-kernel whose tile has the given rows and vectors."""
    offsets = plan.loops.row_offsets
    for height, width in plan.microkernels:
        layout = _layout_of_b(plan, width)
        kernel = strided_microkernel(b.module, host, plan.dtype, offsets[:height], width, layout)
        fits = b.and_(
            b.icmp_signed("==", rows, e.i64(height)), b.icmp_signed("==", vectors, e.i64(width))
        )
        with b.if_then(fits):
            b.call(kernel, arguments)
