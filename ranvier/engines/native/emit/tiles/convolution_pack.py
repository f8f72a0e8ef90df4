"""The operands of a convolution: where they lie, and how their parts are packed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ranvier.engines.native.emit.ir import builder as e
from ranvier.engines.native.emit.ir.builder import Value
from ranvier.engines.native.emit.tiles.pack import batch_offset
from ranvier.engines.native.emit.tiles.panel import Strides, pack_panel
from ranvier.engines.native.emit.tiles.ranges import Run
from ranvier.engines.native.plans.convolution import ConvolutionPlan
from ranvier.records import dataclass


@dataclass(frozen=True)
class Memory:
    """Addresses: the operands, the sums, and room for tiles of A and for a panel of B.

    There is none where they are not packed here and now; `held` says which tiles of A lie there.
    """

    left: Value
    right: Value
    sums: Value
    room_of_a: Value | None
    room_of_b: Value | None
    held: Value | None


def emit_pack_weights(
    module: Value, plan: ConvolutionPlan, source: int, target: int, name: str
) -> Value:
    """The kernel `name` that packs B from buffer `source` into buffer `target`."""
    kernel, b = e.kernel(module, name)
    table, thread, threads = kernel.args
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


def chunk_and_group(b: Value, plan: ConvolutionPlan, run: Run) -> tuple[Value, Value]:
    """The chunk and the group of a run's matrix B."""
    return e.div(b, run.outer, plan.loops.groups), e.rem(b, run.outer, plan.loops.groups)


def panel_of_b(b: Value, plan: ConvolutionPlan, memory: Memory, run: Run, segment: Value) -> Value:
    """The address of a panel of B, packed here and now where it was not packed before."""
    scalar, loops = e.element_type(plan.dtype), plan.loops
    chunk, group = chunk_and_group(b, plan, run)
    if plan.packed:
        return e.element(b, memory.right, _packed_panel(b, plan, group, run.panel), scalar)
    index = e.add(b, e.mul(b, chunk, loops.right.chunk), loops.right.offset)
    index = e.add(b, index, e.mul(b, group, loops.right.group))
    if memory.room_of_b is None:
        first = e.mul(b, e.piece_start(b, plan.panels, run.panel), plan.lanes * loops.right.side)
        return e.element(b, memory.right, e.add(b, index, first), scalar)
    index = e.add(b, index, _segment_origin(b, plan, segment, loops.right.depth))
    width = _width(b, plan, run.panel)
    with _depth_lines(b, plan, segment, loops.right.depth) as (moved, depth, count):
        target = e.element(b, memory.room_of_b, e.mul(b, depth, width), scalar)
        _copy(b, plan, memory.right, e.add(b, index, moved), target, run.panel, count)
    return memory.room_of_b


def pack_tiles_of_a(
    b: Value, plan: ConvolutionPlan, memory: Memory, run: Run, segment: Value
) -> None:
    """Pack the tiles of the run's row block, unless those are the ones at hand."""
    scalar, loops = e.element_type(plan.dtype), plan.loops
    block = e.div(b, run.first, plan.row_block)
    number = e.add(b, e.mul(b, segment, plan.outer), run.outer)
    number = e.add(b, e.mul(b, number, plan.blocks), block)
    with b.if_then(b.icmp_signed("!=", number, e.load(b, memory.held, e.I64, 8))):
        b.store(number, memory.held)
        first = e.mul(b, block, plan.row_block)
        behind = e.minimum(b, plan.tiles, e.add(b, first, plan.row_block))
        origin = origin_of_a(b, plan, run, segment)
        with e.loop(b, first, behind) as tile:
            _, rows, moved = rows_of_a(b, plan, tile)
            room = packed_tile_of_a(b, plan, memory, tile)
            index = e.add(b, origin, moved)
            with _depth_lines(b, plan, segment, loops.left.depth) as (at, depth, count):
                source = e.element(b, memory.left, e.add(b, index, at), scalar)
                target = e.element(b, room, e.mul(b, depth, rows), scalar)
                strides = Strides(loops.left.side, loops.left.depth[-1])
                widths = {size: size for size in plan.rows.sizes}
                part = source, target, rows, rows, count
                pack_panel(b, plan.dtype, plan.lanes, strides, widths, part)


def packed_tile_of_a(b: Value, plan: ConvolutionPlan, memory: Memory, tile: Value) -> Value:
    """Where a packed tile lies, given its number among all tiles."""
    at = e.mul(b, e.rem(b, tile, plan.row_block), plan.left_tile_size)
    return e.element(b, memory.room_of_a, at, e.element_type(plan.dtype))


def origin_of_a(b: Value, plan: ConvolutionPlan, run: Run, segment: Value) -> Value:
    """Where in A's buffer a run's matrix begins in a segment."""
    left = plan.loops.left
    chunk, group = chunk_and_group(b, plan, run)
    origin = e.add(b, e.mul(b, chunk, left.chunk), left.offset)
    origin = e.add(b, origin, e.mul(b, group, left.group))
    return e.add(b, origin, _segment_origin(b, plan, segment, left.depth))


def rows_of_a(b: Value, plan: ConvolutionPlan, tile: Value) -> tuple[Value, Value, Value]:
    """The first row of a tile in its product, how many it has, and how far it lies in A."""
    loops = plan.loops
    piece, batch = e.rem(b, tile, plan.rows.pieces), e.div(b, tile, plan.rows.pieces)
    row, rows = e.piece_start(b, plan.rows, piece), e.piece_size(b, plan.rows, piece)
    # Lines lie in one tile, whose first row is 0.
    moved = e.mul(b, row, loops.left.side)
    moved = e.add(b, moved, batch_offset(b, loops.batch, loops.left.batch, batch))
    return row, rows, moved


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


@contextmanager
def _depth_lines(
    b: Value, plan: ConvolutionPlan, segment: Value, steps: tuple[int, ...]
) -> Iterator[tuple[Value, Value, Value]]:
    """The loop over the innermost lines of a segment's depth, of an operand with these steps.

    For each: how far it lies from the first, its number of the depth, and its length.
    """
    counts: list[Value | int] = [1, 1, 1]
    counts[plan.level] = segment_count(b, plan, segment)
    counts[plan.level + 1 :] = plan.loops.depth[plan.level + 1 :]
    with e.loop(b, 0, counts[0]) as i, e.loop(b, 0, counts[1]) as j:
        moved = e.add(b, e.mul(b, i, steps[0]), e.mul(b, j, steps[1]))
        depth = e.mul(b, e.add(b, e.mul(b, i, counts[1]), j), counts[2])
        yield moved, depth, e.as_i64(counts[2])


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


def segment_count(b: Value, plan: ConvolutionPlan, segment: Value) -> Value:
    """The turns of the loop at `plan.level` in a segment."""
    return e.piece_size(b, plan.cut, e.rem(b, segment, plan.cut.pieces))
