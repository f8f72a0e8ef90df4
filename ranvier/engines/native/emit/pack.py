"""Kernels that copy a strided operand of a matrix product into packed panels.

A and B are packed alike: the operand's outer axis (A's rows, B's columns) is cut into panels,
each panel lies in memory as [depth][outer], and B's last panel is padded with zeros to whole
vectors. Nothing outside the operand is read.
"""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from ranvier.dtypes import DType
from ranvier.engines.native.contraction_plan import Cut, MatmulPlan
from ranvier.engines.native.emit import builder as e
from ranvier.engines.native.emit.builder import Value

_CHUNK = 8
"""Steps in depth copied at a time where the outer axis is contiguous."""

_ENOUGH_PANELS = 8
"""From this many panels on, threads split panels and so pack what they themselves will use."""


_MASKED_BYTES = 64
"""Vectors of this size come with masked stores; with shorter ones, parts are stored piecemeal."""


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
        """Whether neighbours along the outer axis are neighbours in memory."""
        return self.outer_stride == 1


@dataclass(frozen=True)
class _Panel:
    """What the packing of one panel depends on, beside addresses and depth."""

    dtype: DType
    lanes: int
    width: int
    padded: int
    outer_stride: int
    depth_stride: int

    @property
    def scalar(self) -> Value:
        return e.element_type(self.dtype)

    def source(self, b: Value, base: Value, outer: int, depth: Value) -> Value:
        """The address of element (outer, depth) of the operand."""
        index = e.add(b, e.mul(b, depth, self.depth_stride), outer * self.outer_stride)
        return e.element(b, base, index, self.scalar)

    def store(self, b: Value, base: Value, values: Value, outer: int, depth: Value) -> None:
        """Store neighbours along the outer axis into the packed panel."""
        index = e.add(b, e.mul(b, depth, self.padded), outer)
        address = e.element(b, base, index, self.scalar)
        align = self.dtype.itemsize
        count = values.type.count if isinstance(values.type, ir.VectorType) else 1
        if self.lanes * align < _MASKED_BYTES or count in (1, self.lanes):
            b.store(values, address, align=align)
            return
        for first in range(0, count, self.lanes):
            kept = range(first, min(first + self.lanes, count))
            filling = [first] * (self.lanes - len(kept))
            part = e.shuffle(b, values, values, [*kept, *filling])
            mask = e.lane_mask(b, e.i64(len(kept)), self.lanes)
            e.masked_store(b, part, e.element(b, address, first, self.scalar), mask, align)


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
    plan, cut = side.plan, side.cut
    kernel = ir.Function(module, e.KERNEL_TYPE, name)
    kernel.linkage = "internal"
    table, thread, threads = kernel.args
    b = ir.IRBuilder(kernel.append_basic_block("entry"))
    scalar = e.element_type(plan.dtype)
    source, target = e.buffer(b, table, operand.slot), e.buffer(b, table, slot)
    # Steps in depth are few at a time where the outer axis is contiguous: whole lines of the
    # operand are then read one after the other, and few pages are in use at once.
    chunk = _CHUNK if operand.outer_stride == 1 else plan.depth.size
    chunks = -(-plan.depth.size // chunk)
    lines, panels = (0, plan.batches * plan.depth.pieces * chunks), (0, cut.pieces)
    if plan.batches == 1 and cut.pieces >= _ENOUGH_PANELS:
        panels = e.share(b, cut.pieces, thread, threads)
    else:
        lines = e.share(b, lines[1], thread, threads)
    with e.loop(b, *lines) as line, e.loop(b, *panels) as piece:
        part, outside = e.rem(b, line, chunks), e.div(b, line, chunks)
        block, batch = e.rem(b, outside, plan.depth.pieces), e.div(b, outside, plan.depth.pieces)
        first = e.mul(b, part, chunk)
        count = e.minimum(b, chunk, b.sub(e.piece_size(b, plan.depth, block), first))
        packed = packed_panel(b, side, batch, block, piece)
        inside = e.mul(b, first, e.mul(b, e.piece_size(b, cut, piece), side.grain))
        to = e.element(b, target, e.add(b, packed, inside), scalar)
        depth = e.add(b, e.piece_start(b, plan.depth, block), first)
        copy_panel(b, side, operand, source, to, (batch, piece, depth, count))
    b.ret_void()
    return kernel


def packed_panel(b: Value, side: Side, batch: Value, block: Value, piece: Value) -> Value:
    """Where in the packed operand a panel begins, in elements."""
    plan = side.plan
    above = e.add(b, e.mul(b, batch, plan.k), e.piece_start(b, plan.depth, block))
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
    origin = e.add(b, batch_offset(b, plan.batch, operand.batch_strides, batch), operand.offset)
    origin = e.add(b, origin, e.mul(b, outer, operand.outer_stride))
    origin = e.add(b, origin, e.mul(b, depth, operand.depth_stride))
    address = e.element(b, source, origin, e.element_type(plan.dtype))
    for size, padded_size in side.widths.items():
        strides = (operand.outer_stride, operand.depth_stride)
        panel = _Panel(plan.dtype, plan.lanes, size, padded_size, *strides)
        with b.if_then(b.icmp_signed("==", width, e.i64(size))):
            b.call(_panel_function(b.module, panel), [address, target, count])


def batch_offset(
    b: Value, extents: tuple[int, ...], strides: tuple[int, ...], batch: Value
) -> Value:
    """The offset of the matrix with flattened number `batch`, in elements."""
    offset = e.i64(0)
    for axis in reversed(range(len(extents))):
        offset = e.add(b, offset, e.mul(b, e.rem(b, batch, extents[axis]), strides[axis]))
        batch = e.div(b, batch, extents[axis])
    return offset


def _panel_function(module: Value, panel: _Panel) -> Value:
    """The function (ptr source, ptr target, i64 depth) that packs one panel, shared if equal."""
    name = (
        f"pack_{panel.dtype.name}_{panel.width}of{panel.padded}"
        f"_{panel.outer_stride}_{panel.depth_stride}"
    )
    found = module.globals.get(name)
    if found is not None:
        return found
    pack = ir.Function(module, ir.FunctionType(e.VOID, [e.PTR, e.PTR, e.I64]), name)
    pack.linkage = "internal"
    pack.attributes.add("noinline")
    pack.attributes.add("nounwind")
    source, target, depth = pack.args
    source.add_attribute("noalias")
    target.add_attribute("noalias")
    b = ir.IRBuilder(pack.append_basic_block("entry"))
    if panel.outer_stride == 1:
        _copy_rows(b, panel, source, target, depth)
    elif panel.depth_stride == 1 and panel.width == panel.padded == 1:
        _copy_line(b, panel, source, target, depth)
    elif panel.depth_stride == 1:
        enough = b.icmp_signed(">=", depth, e.i64(panel.lanes))
        with b.if_else(enough) as (transpose, gather):
            with transpose:
                _transpose_blocks(b, panel, source, target, depth)
            with gather:
                _gather_rows(b, panel, source, target, depth)
    else:
        _gather_rows(b, panel, source, target, depth)
    b.ret_void()
    return pack


def _copy_rows(b: Value, panel: _Panel, source: Value, target: Value, depth: Value) -> None:
    """Outer axis contiguous: copy row after row of the panel."""
    with e.loop(b, 0, depth) as k:
        vector = ir.VectorType(panel.scalar, panel.width)
        values = e.load(b, panel.source(b, source, 0, k), vector, panel.dtype.itemsize)
        panel.store(b, target, _pad(b, values, panel.padded), 0, k)


def _copy_line(b: Value, panel: _Panel, source: Value, target: Value, depth: Value) -> None:
    """A panel one element wide that is contiguous in depth: a plain copy."""
    whole = b.and_(depth, e.i64(-panel.lanes))
    vector = ir.VectorType(panel.scalar, panel.lanes)
    for start, stop, step, typ in (
        (e.i64(0), whole, panel.lanes, vector),
        (whole, depth, 1, panel.scalar),
    ):
        with e.loop(b, start, stop, step) as k:
            values = e.load(b, panel.source(b, source, 0, k), typ, panel.dtype.itemsize)
            panel.store(b, target, values, 0, k)


def _gather_rows(b: Value, panel: _Panel, source: Value, target: Value, depth: Value) -> None:
    """Neither axis contiguous: element after element."""
    with e.loop(b, 0, depth) as k:
        for outer in range(panel.padded):
            value = ir.Constant(panel.scalar, 0.0)
            if outer < panel.width:
                address = panel.source(b, source, outer, k)
                value = e.load(b, address, panel.scalar, panel.dtype.itemsize)
            panel.store(b, target, value, outer, k)


def _transpose_blocks(b: Value, panel: _Panel, source: Value, target: Value, depth: Value) -> None:
    """Depth contiguous: transpose square blocks of lanes by lanes elements.

    The last block is moved back to end at `depth` (which is at least `lanes`) and so repeats
    some of its predecessor's work instead of treating a remainder.
    """
    lanes = panel.lanes
    vector = ir.VectorType(panel.scalar, lanes)
    last = b.sub(depth, e.i64(lanes))
    with e.loop(b, 0, depth, lanes) as start:
        first = e.minimum(b, start, last)
        for outer in range(0, panel.padded, lanes):
            rows = [
                e.load(b, panel.source(b, source, row, first), vector, panel.dtype.itemsize)
                if row < panel.width
                else ir.Constant(vector, None)
                for row in range(outer, outer + lanes)
            ]
            kept = min(lanes, panel.padded - outer)
            for lane, column in enumerate(transpose(b, rows)):
                values = _first(b, column, kept)
                panel.store(b, target, values, outer, e.add(b, first, lane))


def transpose(b: Value, rows: list[Value]) -> list[Value]:
    """The columns of a square block of as many vectors as each has lanes (a power of two).

    Each stage exchanges, between rows `half` apart, the off-diagonal blocks of side `half`.
    """
    lanes = len(rows)
    half = lanes // 2
    while half:
        high = [lane + lanes - half if lane & half else lane for lane in range(lanes)]
        low = [lane + lanes if lane & half else lane + half for lane in range(lanes)]
        exchanged = list(rows)
        for row in range(lanes):
            if not row & half:
                pair = rows[row], rows[row + half]
                exchanged[row] = e.shuffle(b, *pair, high)
                exchanged[row + half] = e.shuffle(b, *pair, low)
        rows = exchanged
        half //= 2
    return rows


def _first(b: Value, vector: Value, count: int) -> Value:
    """The first `count` lanes of a vector."""
    if count == vector.type.count:
        return vector
    return e.shuffle(b, vector, vector, range(count))


def _pad(b: Value, vector: Value, count: int) -> Value:
    """The vector, followed by zeros up to `count` lanes."""
    width = vector.type.count
    if count == width:
        return vector
    picks = [*range(width), *[width] * (count - width)]
    return e.shuffle(b, vector, ir.Constant(vector.type, None), picks)
