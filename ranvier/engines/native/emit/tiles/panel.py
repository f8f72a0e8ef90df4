"""Functions that copy one panel of a strided operand to packed memory, [depth][outer].

All have the same arguments, so that one function serves panels of many sizes and strides; it is
emitted once per module. Where vectors come with masked loads and stores, the width of a panel is
such an argument too; elsewhere each width that does not fill its vectors has its own function.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from ranvier.dtypes import DType
from ranvier.engines.native.emit.ir import builder as e
from ranvier.engines.native.emit.ir.builder import Value
from ranvier.records import dataclass

_MASKED_BYTES = 64
"""Vectors of this size come with masked loads and stores."""

_BYTES_AHEAD = 1024
"""How far ahead of its stores a transposition asks for the panel that it writes."""

_ARGUMENTS = [e.PTR, e.PTR, *[e.I64] * 5]


@dataclass(frozen=True)
class Strides:
    """The distance of an operand's neighbours along the outer axis and in depth, in elements."""

    outer: int
    depth: int


@dataclass(frozen=True)
class _Shape:
    """What a panel function depends on beside its arguments.

    Its last vector of the outer axis has `width` elements of the operand, and `padded` with the
    zeros that follow them.
    """

    dtype: DType
    lanes: int
    vectors: int
    width: int
    padded: int

    @property
    def scalar(self) -> Value:
        return e.element_type(self.dtype)

    @property
    def vector(self) -> Value:
        return ir.VectorType(self.scalar, self.lanes)

    @property
    def masked(self) -> bool:
        return self.lanes * self.dtype.itemsize >= _MASKED_BYTES

    @property
    def whole(self) -> bool:
        """Whether the last vector is full like the others."""
        return self.width == self.lanes

    @property
    def name(self) -> str:
        part = "" if self.masked or self.whole else f"_{self.width}of{self.padded}"
        return f"{self.dtype.name}{part}"


@dataclass(frozen=True)
class _Call:
    """The arguments of a panel function: addresses, sizes, and strides in elements."""

    source: Value
    target: Value
    width: Value
    padded: Value
    depth: Value
    outer_stride: Value
    depth_stride: Value

    def source_index(self, b: Value, outer: Value | int, depth: Value) -> Value:
        """The position of element (outer, depth) of the operand."""
        rows = e.mul(b, outer, self.outer_stride)
        return e.add(b, rows, e.mul(b, depth, self.depth_stride))

    def target_index(self, b: Value, outer: Value | int, depth: Value) -> Value:
        """The position of element (outer, depth) of the packed panel."""
        return e.add(b, e.mul(b, depth, self.padded), outer)


def pack_panel(
    b: Value,
    dtype: DType,
    lanes: int,
    strides: Strides,
    widths: dict[int, int],
    part: tuple[Value, Value, Value, Value, Value],
) -> None:
    """Call what packs a panel: (source, target, width, padded width, depth) = `part`.

    `widths` maps each width that can occur to the padded one.
    """
    arguments = [*part, e.i64(strides.outer), e.i64(strides.depth)]
    functions = {
        width: _function(b.module, dtype, lanes, strides, width, padded)
        for width, padded in widths.items()
    }
    if len(set(functions.values())) == 1:
        b.call(next(iter(functions.values())), arguments)
        return
    for width, function in functions.items():
        with b.if_then(b.icmp_signed("==", part[2], e.i64(width))):
            b.call(function, arguments)


def _function(
    module: Value, dtype: DType, lanes: int, strides: Strides, width: int, padded: int
) -> Value:
    """The function that packs panels of `padded` columns, of which `width` are the operand's."""
    vectors = -(-padded // lanes)
    before = (vectors - 1) * lanes
    shape = _Shape(dtype, lanes, vectors, width - before, padded - before)
    if strides.outer == 1:
        return _emitted(module, f"copy_{shape.name}_{vectors}", shape, _copy_rows)
    if strides.depth == 1 and padded == 1:
        return _emitted(module, f"line_{dtype.name}", shape, _copy_line)
    if strides.depth == 1:
        return _emitted(module, f"transpose_{shape.name}", shape, _transpose)
    return _emitted(module, f"gather_{dtype.name}", shape, _gather)


def _emitted(
    module: Value, name: str, shape: _Shape, emit: Callable[[Value, _Shape, _Call], None]
) -> Value:
    """The function `name`, emitted by `emit` at its first mention."""
    found = module.globals.get(name)
    if found is not None:
        return found
    function = e.subroutine(module, name, _ARGUMENTS)
    call = _Call(*function.args)
    b = ir.IRBuilder(function.append_basic_block("entry"))
    emit(b, shape, call)
    b.ret_void()
    return function


def _copy_rows(b: Value, shape: _Shape, call: _Call) -> None:
    """Outer axis contiguous: copy row after row of the panel."""
    lanes, before = shape.lanes, (shape.vectors - 1) * shape.lanes
    whole = _Part(lanes, None)
    width, padded = (
        _Part(count, _mask(b, shape, count))
        for count in _last_counts(b, shape, call, e.i64(before))
    )
    with e.loop(b, 0, call.depth) as k:
        source = e.element(b, call.source, e.mul(b, k, call.depth_stride), shape.scalar)
        target = e.element(b, call.target, e.mul(b, k, call.padded), shape.scalar)
        for start in range(0, before, lanes):
            values = _load(b, shape, e.element(b, source, start, shape.scalar), whole)
            _store(b, shape, values, e.element(b, target, start, shape.scalar), whole)
        values = _load(b, shape, e.element(b, source, before, shape.scalar), width)
        _store(b, shape, values, e.element(b, target, before, shape.scalar), padded)


def _copy_line(b: Value, shape: _Shape, call: _Call) -> None:
    """A panel one element wide that is contiguous in depth: a plain copy."""
    whole = b.and_(call.depth, e.i64(-shape.lanes))
    for start, stop, step, typ in (
        (e.i64(0), whole, shape.lanes, shape.vector),
        (whole, call.depth, 1, shape.scalar),
    ):
        with e.loop(b, start, stop, step) as k:
            source = e.element(b, call.source, k, shape.scalar)
            values = e.load(b, source, typ, shape.dtype.itemsize)
            target = e.element(b, call.target, k, shape.scalar)
            b.store(values, target, align=shape.dtype.itemsize)


def _gather(b: Value, shape: _Shape, call: _Call) -> None:
    """Neither axis contiguous: element after element."""
    align = shape.dtype.itemsize
    with e.loop(b, 0, call.depth) as k:
        with e.loop(b, 0, call.width) as outer:
            index = call.source_index(b, outer, k)
            value = e.load(b, e.element(b, call.source, index, shape.scalar), shape.scalar, align)
            index = call.target_index(b, outer, k)
            b.store(value, e.element(b, call.target, index, shape.scalar), align=align)
        with e.loop(b, call.width, call.padded) as outer:
            index = call.target_index(b, outer, k)
            zero = ir.Constant(shape.scalar, 0.0)
            b.store(zero, e.element(b, call.target, index, shape.scalar), align=align)


def _transpose(b: Value, shape: _Shape, call: _Call) -> None:
    """Depth contiguous: transpose square blocks of lanes by lanes elements, strip after strip.

    A strip's last block is moved back to end at `depth` and so repeats some of its predecessor's
    work instead of treating a remainder; a panel with less depth than that is gathered.
    """
    lanes = shape.lanes
    with b.if_else(b.icmp_signed("<", call.depth, e.i64(lanes))) as (short, long):
        with short:
            gather = _emitted(b.module, f"gather_{shape.dtype.name}", shape, _gather)
            b.call(gather, list(vars(call).values()))
        with long:
            ragged = not shape.masked and not shape.whole
            whole = b.sub(call.padded, e.i64(shape.padded)) if ragged else call.padded
            with e.loop(b, 0, whole, lanes) as outer:
                counts = _last_counts(b, shape, call, outer) if shape.masked else (lanes, lanes)
                _transpose_strip(b, shape, call, outer, counts)
            if ragged:
                _transpose_strip(b, shape, call, whole, (shape.width, shape.padded))


def _transpose_strip(
    b: Value,
    shape: _Shape,
    call: _Call,
    outer: Value,
    counts: tuple[Value | int, Value | int],
) -> None:
    """Transpose all blocks of a strip, and ask for the rows that follow it.

    They are likely to be the next ones, and a core that reads a few rows a little way does not
    see in time where it goes on.
    """
    behind = e.add(b, outer, counts[1])
    with e.loop(b, 0, call.depth, shape.lanes) as start:
        first = e.minimum(b, start, b.sub(call.depth, e.i64(shape.lanes)))
        for row in range(counts[0] if isinstance(counts[0], int) else shape.lanes):
            index = call.source_index(b, e.add(b, behind, row), first)
            e.prefetch(b, e.element(b, call.source, index, shape.scalar), level=2)
        _transpose_block(b, shape, call, outer, first, counts)


def _transpose_block(
    b: Value,
    shape: _Shape,
    call: _Call,
    outer: Value,
    first: Value,
    counts: tuple[Value | int, Value | int],
) -> None:
    """Transpose one block, of which `counts` elements along the outer axis are read and stored."""
    width, padded = counts
    address = e.element(b, call.source, call.source_index(b, outer, first), shape.scalar)
    rows = []
    for row in range(shape.lanes):
        # What lies beyond the operand must not be read; any row within it may stand in.
        if isinstance(width, int):
            inside = e.i64(min(row, width - 1))
        else:
            inside = e.minimum(b, row, b.sub(width, e.i64(1)))
        at = e.element(b, address, e.mul(b, inside, call.outer_stride), shape.scalar)
        rows.append(e.load(b, at, shape.vector, shape.dtype.itemsize))
    zeros = ir.Constant(shape.vector, None)
    keep = _mask(b, shape, width)
    for lane, column in enumerate(transpose(b, rows)):
        values = column if keep is None else b.select(keep, column, zeros)
        index = call.target_index(b, outer, e.add(b, first, lane))
        address = e.element(b, call.target, index, shape.scalar)
        e.prefetch(b, e.element(b, address, _BYTES_AHEAD, e.I8), write=True)
        _store(b, shape, values, address, _Part(padded, _mask(b, shape, padded)))


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


def _last_counts(
    b: Value, shape: _Shape, call: _Call, outer: Value
) -> tuple[Value | int, Value | int]:
    """How many lanes of the vector at `outer` are the operand's, and how many are stored."""
    if not shape.masked:
        return shape.width, shape.padded
    width, padded = (
        e.minimum(b, shape.lanes, b.sub(size, outer)) for size in (call.width, call.padded)
    )
    return width, padded


def _mask(b: Value, shape: _Shape, count: Value | int) -> Value | None:
    """The mask of the first `count` lanes; None for all of them."""
    if count == shape.lanes:
        return None
    return e.lane_mask(b, e.as_i64(count), shape.lanes)


@dataclass(frozen=True)
class _Part:
    """The first `count` lanes of a vector; with the mask of them where it is not known."""

    count: Value | int
    mask: Value | None


def _load(b: Value, shape: _Shape, address: Value, part_of: _Part) -> Value:
    """The first elements at `address`, followed by zeros to a whole vector."""
    align, count = shape.dtype.itemsize, part_of.count
    if not isinstance(count, int):
        return e.masked_load(b, address, part_of.mask, shape.vector, align)
    part = ir.VectorType(shape.scalar, count)
    values = e.load(b, address, part, align)
    if count == shape.lanes:
        return values
    picks = [*range(count), *[count] * (shape.lanes - count)]
    return e.shuffle(b, values, ir.Constant(part, None), picks)


def _store(b: Value, shape: _Shape, values: Value, address: Value, part_of: _Part) -> None:
    """Store the first lanes of a vector."""
    align, count = shape.dtype.itemsize, part_of.count
    if not isinstance(count, int):
        e.masked_store(b, values, address, part_of.mask, align)
        return
    if count < shape.lanes:
        values = e.shuffle(b, values, values, range(count))
    b.store(values, address, align=align)
