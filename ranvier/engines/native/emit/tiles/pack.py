"""Kernels that copy a strided operand of a matrix product into packed panels.

A and B are packed alike: the operand's outer axis (A's rows, B's columns) is cut into panels,
each panel lies in memory as [depth][outer], and B's last panel is padded with zeros to whole
vectors. Nothing outside the operand is read.
"""

from __future__ import annotations

from collections.abc import Sequence

from ranvier.engines.native.emit.ir import builder as e
from ranvier.engines.native.emit.ir.builder import Value
from ranvier.engines.native.emit.tiles.panel import Strides, pack_panel
from ranvier.engines.native.host import CACHE_LINE
from ranvier.engines.native.plans.matmul import Cut, MatmulPlan
from ranvier.records import dataclass

_CHUNK = 8
"""Steps in depth copied at a time where the outer axis is contiguous."""

_PANELS_AHEAD = 2
"""How many panels before it is written a panel's part is asked for: a copy waits for its stores."""

_ENOUGH_PANELS = 8
"""From this many panels on, threads split panels and so pack what they themselves will use."""


@dataclass(frozen=True)
class Operand:
    """A matrix, or a batch of them, in a buffer; offset and strides count elements.

    `outer_stride` steps along A's rows or B's columns, `depth_stride` along k. A stride may be
    zero where the operand is broadcast.
    """

    slot: int
    offset: int
    batch_strides: tuple[int, ...]
    outer_stride: int
    depth_stride: int

    @property
    def contiguous(self) -> bool:
        """Whether neighbours along one of the axes are neighbours in memory."""
        return self.outer_stride == 1 or self.depth_stride == 1


@dataclass(frozen=True)
class Packed:
    """The buffer of an operand's packed form.

    It holds all of it; or the segment in hand, which the product itself packs from `source`.
    """

    slot: int
    source: Operand | None = None

    @property
    def by_segment(self) -> bool:
        """Whether the product packs it, segment by segment."""
        return self.source is not None


@dataclass(frozen=True)
class Side:
    """One operand's share of a plan: its outer axis and how that is cut into panels.

    Each piece of `cut` has `grain` elements of the outer axis, whose length is `extent`; the last
    panel may be narrower than its padded width. `widths` maps each width that occurs to the
    padded one.
    """

    plan: MatmulPlan
    cut: Cut
    grain: int
    extent: int
    widths: dict[int, int]


def side_a(plan: MatmulPlan) -> Side:
    """The rows of A, cut into row tiles without padding."""
    return Side(plan, plan.rows, 1, plan.m, {size: size for size in plan.rows.sizes})


def side_b(plan: MatmulPlan) -> Side:
    """The columns of B, cut into panels and padded to whole vectors."""
    padded = [plan.panels.length(piece) * plan.lanes for piece in range(plan.panels.pieces)]
    widths = {size: size for size in padded[:-1]}
    widths[padded[-1] - plan.padded_n + plan.n] = padded[-1]
    return Side(plan, plan.panels, plan.lanes, plan.n, widths)


def emit_pack(module: Value, side: Side, operand: Operand, slot: int, name: str) -> Value:
    """The kernel `name` that packs a whole operand into buffer `slot`."""
    kernel, b = e.kernel(module, name)
    pack_blocks(b, side, operand, Packed(slot), kernel.args, (0, side.plan.depth.pieces))
    b.ret_void()
    return kernel


def pack_blocks(
    b: Value,
    side: Side,
    operand: Operand,
    packed: Packed,
    arguments: Sequence[Value],
    blocks: tuple[Value | int, Value | int],
) -> None:
    """A thread's part in packing K blocks [first, behind) = `blocks` of an operand.

    `arguments` are those of the kernel: the table, the thread and how many there are.
    """
    plan, cut = side.plan, side.cut
    table, thread, threads = arguments
    first_block, behind = map(e.as_i64, blocks)
    scalar = e.element_type(plan.dtype)
    source, target = e.buffer(b, table, operand.slot), e.buffer(b, table, packed.slot)
    # Steps in depth are few at a time where the outer axis is contiguous: whole lines of the
    # operand are then read one after the other, and few pages are in use at once.
    chunk = _CHUNK if operand.outer_stride == 1 else plan.depth.size
    chunks = -(-plan.depth.size // chunk)
    number = e.mul(b, b.sub(behind, first_block), plan.batches * chunks)
    lines, panels = (e.i64(0), number), (e.i64(0), e.i64(cut.pieces))
    if plan.batches == 1 and cut.pieces >= _ENOUGH_PANELS:
        panels = e.share(b, cut.pieces, thread, threads)
    else:
        lines = e.share(b, number, thread, threads)
    with e.loop(b, *lines) as line, e.loop(b, *panels) as piece:
        part, outside = e.rem(b, line, chunks), e.div(b, line, chunks)
        batch = e.rem(b, outside, plan.batches)
        block = e.add(b, first_block, e.div(b, outside, plan.batches))
        first = e.mul(b, part, chunk)
        count = e.minimum(b, chunk, b.sub(e.piece_size(b, plan.depth, block), first))
        panel = packed_panel(b, side, packed, batch, block, piece)
        inside = e.mul(b, first, e.mul(b, e.piece_size(b, cut, piece), side.grain))
        to = e.element(b, target, e.add(b, panel, inside), scalar)
        depth = e.add(b, e.piece_start(b, plan.depth, block), first)
        if operand.outer_stride == 1:
            later = packed_panel(b, side, packed, batch, block, e.add(b, piece, _PANELS_AHEAD))
            later = e.element(b, target, e.add(b, later, inside), scalar)
            for byte in range(0, chunk * cut.size * side.grain * plan.dtype.itemsize, CACHE_LINE):
                e.prefetch(b, e.element(b, later, byte, e.I8), write=True)
        copy_panel(b, side, operand, source, to, (batch, piece, depth, count))


def packed_panel(
    b: Value, side: Side, packed: Packed, batch: Value, block: Value, piece: Value
) -> Value:
    """Where in the packed operand a panel begins, in elements."""
    plan, depth = side.plan, side.plan.packed_depth(packed.by_segment)
    above = e.add(b, e.mul(b, batch, depth), e.piece_start(b, plan.depth, block))
    if packed.by_segment:
        first = e.mul(b, e.div(b, block, plan.segment), plan.segment)
        above = b.sub(above, e.piece_start(b, plan.depth, first))
    before = e.mul(b, e.piece_start(b, side.cut, piece), side.grain)
    within = e.mul(b, before, e.piece_size(b, plan.depth, block))
    return e.add(b, e.mul(b, above, side.cut.total * side.grain), within)


def copy_panel(
    b: Value,
    side: Side,
    operand: Operand,
    source: Value,
    target: Value,
    part: tuple[Value, Value, Value, Value],
) -> None:
    """Pack (batch, panel, first depth, count of depths) = `part` of the operand to `target`."""
    batch, piece, depth, count = part
    plan = side.plan
    outer = e.mul(b, e.piece_start(b, side.cut, piece), side.grain)
    padded = e.mul(b, e.piece_size(b, side.cut, piece), side.grain)
    width = e.minimum(b, padded, b.sub(e.i64(side.extent), outer))
    origin = panel_origin(b, side, operand, batch, piece, depth)
    address = e.element(b, source, origin, e.element_type(plan.dtype))
    strides = Strides(operand.outer_stride, operand.depth_stride)
    sizes = (address, target, width, padded, count)
    pack_panel(b, plan.dtype, plan.lanes, strides, side.widths, sizes)


def panel_origin(
    b: Value, side: Side, operand: Operand, batch: Value, piece: Value, depth: Value
) -> Value:
    """Where in the operand's buffer a panel lies from `depth` on, in elements."""
    outer = e.mul(b, e.piece_start(b, side.cut, piece), side.grain)
    origin = batch_offset(b, side.plan.batch, operand.batch_strides, batch)
    origin = e.add(b, origin, operand.offset)
    origin = e.add(b, origin, e.mul(b, outer, operand.outer_stride))
    return e.add(b, origin, e.mul(b, depth, operand.depth_stride))


def batch_offset(
    b: Value, extents: tuple[int, ...], strides: tuple[int, ...], batch: Value
) -> Value:
    """The offset of the matrix with flattened number `batch`, in elements."""
    offset = e.i64(0)
    for axis in reversed(range(len(extents))):
        offset = e.add(b, offset, e.mul(b, e.rem(b, batch, extents[axis]), strides[axis]))
        batch = e.div(b, batch, extents[axis])
    return offset
