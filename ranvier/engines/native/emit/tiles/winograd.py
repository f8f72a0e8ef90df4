"""Kernels of a 3x3 convolution by Winograd's minimal filtering F(2x2, 3x3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from llvmlite import ir

from ranvier.engines.native.emit.ir import builder as e
from ranvier.engines.native.emit.ir.builder import Value
from ranvier.engines.native.emit.tiles.matmul import Epilogue
from ranvier.engines.native.emit.tiles.microkernel import call_microkernel, strided_microkernel
from ranvier.engines.native.emit.work_stealing import shares
from ranvier.engines.native.host import CACHE_LINE
from ranvier.engines.native.plans.matmul import TileHost
from ranvier.engines.native.plans.winograd import POINTS, Tiled, WinogradPlan


def emit_winograd(
    module: Value,
    host: TileHost,
    plan: WinogradPlan,
    image: int,
    weights: int,
    scratch: int,
    epilogue: Epilogue,
    name: str,
) -> Value:
    """The kernel `name` that convolves buffer `image` with the transformed `weights`.

    `scratch` is a buffer with `plan.scratch` elements for each thread.
    """
    kernel, b = e.kernel(module, name)
    table, thread, threads = kernel.args
    scalar = e.element_type(plan.dtype)
    x, u = e.buffer(b, table, image), e.buffer(b, table, weights)
    v = e.element(b, e.buffer(b, table, scratch), e.mul(b, thread, plan.scratch), scalar)
    with worked_units(b, plan, table, thread, threads) as block:
        first = e.mul(b, block, plan.lines)
        transform_inputs(b, plan, x, v, first)
        following = e.add(b, first, plan.lines)
        new_rows = plan.loops.left.offset + 2 * plan.image_steps[1]
        ahead = pixels(b, plan, x, plan.image_steps, new_rows, following)
        with e.loop(b, 0, plan.panels.pieces) as panel:
            if epilogue.prefetch is not None:
                _each_row(b, plan, v, panel, first, table, epilogue.prefetch, None)
            _multiply(b, host, plan, u, v, panel, ahead)
            output = _output_function(module, plan)
            _each_row(b, plan, v, panel, first, table, epilogue.finish, output)
    b.ret_void()
    return kernel


@contextmanager
def worked_units(
    b: Value, plan: Tiled, table: Value, thread: Value, threads: Value
) -> Iterator[Value]:
    """The loop over the units of work that fall to a thread."""
    with (
        shares(b, table, thread, threads, plan.units, plan.steals) as (start, stop),
        e.loop(b, start, stop) as unit,
    ):
        yield unit


def emit_winograd_weights(
    module: Value, plan: WinogradPlan, source: int, target: int, name: str
) -> Value:
    """The kernel `name` that transforms packed weights [panel][tap][channel][column]."""
    kernel, b = e.kernel(module, name)
    table, thread, threads = kernel.args
    scalar, vector = vector_types(plan)
    taps, points = e.buffer(b, table, source), e.buffer(b, table, target)
    start, stop = e.share(b, plan.panels.pieces * plan.channels, thread, threads)
    with e.loop(b, start, stop) as unit:
        panel, channel = e.div(b, unit, plan.channels), e.rem(b, unit, plan.channels)
        above, width = _panel(b, plan, panel)
        inside = e.mul(b, channel, width)
        step = e.mul(b, width, plan.channels)
        old = e.element(b, taps, e.add(b, e.mul(b, above, 9), inside), scalar)
        new = e.element(b, points, e.add(b, e.mul(b, above, POINTS), inside), scalar)
        with e.loop(b, 0, width, plan.lanes) as column:
            read = [e.add(b, column, e.mul(b, step, tap)) for tap in range(9)]
            g = [
                e.load(b, e.element(b, old, at, scalar), vector, plan.dtype.itemsize) for at in read
            ]
            for point, value in enumerate(both_ways(b, g, 3, _weights)):
                at = e.add(b, column, e.mul(b, step, point))
                b.store(value, e.element(b, new, at, scalar), align=plan.dtype.itemsize)
    b.ret_void()
    return kernel


def vector_types(plan: Tiled) -> tuple[Value, Value]:
    """The types of a plan's elements and of its vectors."""
    scalar = e.element_type(plan.dtype)
    return scalar, ir.VectorType(scalar, plan.lanes)


def _panel(b: Value, plan: WinogradPlan, panel: Value) -> tuple[Value, Value]:
    """The elements of one point of all panels before this one, and the panel's width."""
    columns = e.mul(b, e.piece_start(b, plan.panels, panel), plan.lanes)
    width = e.mul(b, e.piece_size(b, plan.panels, panel), plan.lanes)
    return e.mul(b, columns, plan.channels), width


def transform_inputs(b: Value, plan: Tiled, x: Value, v: Value, first: Value) -> None:
    """Fill V for the block whose first row of tiles is `first`."""
    scalar, function = e.element_type(plan.dtype), _input_function(b.module, plan)
    _, of_row, of_column = plan.image_steps
    with e.loop(b, 0, plan.lines) as line:
        row = e.add(b, first, line)
        source = pixels(b, plan, x, plan.image_steps, plan.loops.left.offset, row)
        target = e.element(b, v, e.mul(b, line, plan.across * plan.channels), scalar)
        # The last tile of an odd image ends beyond it; what it reads there is not used.
        lowest = b.icmp_signed("==", e.rem(b, row, plan.down), e.i64(plan.down - 1))
        bottom = b.select(lowest, e.i64(_last(plan.image[1], of_row)), e.i64(3 * of_row))
        right = e.i64(_last(plan.image[2], of_column))
        steps = [e.i64(of_row), e.i64(of_column), bottom, right]
        sizes = [e.i64(plan.across), e.i64(plan.channels), e.i64(plan.point_step)]
        b.call(function, [source, target, *steps, *sizes])


def _last(length: int, step: int) -> int:
    """How far the fourth row or column of the last tile lies from its first."""
    return 2 * step if length % 2 else 3 * step


def _input_function(module: Value, plan: Tiled) -> Value:
    """The function that transforms a row of input tiles, once per module.

    (ptr image, ptr v, row step, column step, step to the fourth row, step to the fourth column
    of the last tile, tiles, channels, point step).
    """
    name = f"winograd_input_{plan.dtype.name}"
    function, fresh = shared_function(module, name, [e.PTR, e.PTR, *[e.I64] * 7])
    if not fresh:
        return function
    image, v, row, column, bottom, right, tiles, channels, point_step = function.args
    b = ir.IRBuilder(function.append_basic_block("entry"))
    scalar, vector = vector_types(plan)
    rows = [e.i64(0), row, e.mul(b, row, 2), bottom]
    with e.loop(b, 0, tiles) as tile:
        final = b.icmp_signed("==", e.add(b, tile, 1), tiles)
        fourth = b.select(final, right, e.mul(b, column, 3))
        columns = [e.i64(0), column, e.mul(b, column, 2), fourth]
        corner = e.mul(b, e.mul(b, tile, 2), column)
        with e.loop(b, 0, channels, plan.lanes) as channel:
            near = e.element(b, image, e.add(b, corner, channel), scalar)
            read = [e.element(b, near, e.add(b, r, c), scalar) for r in rows for c in columns]
            d = [e.load(b, at, vector, plan.dtype.itemsize) for at in read]
            to = e.element(b, v, e.add(b, e.mul(b, tile, channels), channel), scalar)
            for point, value in enumerate(both_ways(b, d, 4, _inputs)):
                at = e.element(b, to, e.mul(b, point_step, point), scalar)
                b.store(value, at, align=plan.dtype.itemsize)
    b.ret_void()
    return function


def pixels(
    b: Value, plan: Tiled, base: Value, steps: tuple[int, int, int], offset: int, row: Value
) -> Value:
    """The address of the first pixel under a row of tiles, counted through all images."""
    of_image, of_row, _ = steps
    image, down = e.div(b, row, plan.down), e.rem(b, row, plan.down)
    at = e.add(b, e.mul(b, image, of_image), e.mul(b, down, 2 * of_row))
    return e.element(b, base, e.add(b, at, offset), e.element_type(plan.dtype))


def prefetch_lines(
    b: Value, plan: Tiled, ahead: Value, row_step: int, turn: Value, turns: int
) -> None:
    """Ask for the part for this turn, one of `turns`, of a block's rows of pixels."""
    size = plan.lines * 2 * row_step * plan.dtype.itemsize
    part = -(-size // turns // CACHE_LINE) * CACHE_LINE
    first = e.mul(b, turn, part)
    for byte in range(0, part, CACHE_LINE):
        e.prefetch(b, e.element(b, ahead, e.add(b, first, byte), e.I8), level=2)


def one_loop(count: int, step: int) -> list[Value]:
    """The loops of the depth, as `strided_microkernel` takes them, where there is but one."""
    once = [e.i64(1), e.i64(0)]
    return [*once, *once, e.i64(count), e.i64(step), e.i64(0), e.i64(0)]


def product_kernel(
    b: Value, host: TileHost, plan: Tiled, row_step: int, height: int, width: int
) -> Value:
    """The micro-kernel of a tile of a point's product, whose rows of V lie so far apart."""
    offsets = tuple(row * row_step for row in range(height))
    return strided_microkernel(b.module, host, plan.dtype, offsets, width)


def _multiply(
    b: Value,
    host: TileHost,
    plan: WinogradPlan,
    u: Value,
    v: Value,
    panel: Value,
    ahead: Value,
) -> None:
    """M = V U for each point, for one panel of columns."""
    scalar = e.element_type(plan.dtype)
    above, width = _panel(b, plan, panel)
    m = e.element(b, v, POINTS * plan.point_step, scalar)
    vectors = e.piece_size(b, plan.panels, panel)
    nest = one_loop(plan.channels, 1)
    kernel = partial(product_kernel, b, host, plan, plan.channels)
    turns = plan.panels.pieces * POINTS * plan.rows.pieces
    with e.loop(b, 0, POINTS) as point:
        at = e.add(b, e.mul(b, above, POINTS), e.mul(b, point, e.mul(b, width, plan.channels)))
        right = e.element(b, u, at, scalar)
        left = e.element(b, v, e.mul(b, point, plan.point_step), scalar)
        products = e.element(b, m, e.mul(b, point, plan.product_step), scalar)
        with e.loop(b, 0, plan.rows.pieces) as piece:
            row, rows = e.piece_start(b, plan.rows, piece), e.piece_size(b, plan.rows, piece)
            matrix = e.add(b, e.mul(b, panel, POINTS), point)
            turn = e.add(b, e.mul(b, matrix, plan.rows.pieces), piece)
            prefetch_lines(b, plan, ahead, plan.image_steps[1], turn, turns)
            a = e.element(b, left, e.mul(b, row, plan.channels), scalar)
            tile = e.element(b, products, e.mul(b, row, width), scalar)
            arguments = [a, right, tile, e.i64(0), *nest]
            call_microkernel(b, plan, rows, vectors, kernel, arguments)


def _each_row(
    b: Value,
    plan: WinogradPlan,
    v: Value,
    panel: Value,
    first: Value,
    table: Value,
    work: Value,
    output: Value | None,
) -> None:
    """Call `work`, a function of an epilogue, for each row of C of a block and panel.

    Before, `output` transforms the products of a row of tiles back, if it is given.
    """
    scalar = e.element_type(plan.dtype)
    m = e.element(b, v, POINTS * plan.point_step, scalar)
    outputs = e.element(b, m, POINTS * plan.product_step, scalar)
    _, width = _panel(b, plan, panel)
    column = e.mul(b, e.piece_start(b, plan.panels, panel), plan.lanes)
    height, line_step = plan.image[1], e.mul(b, width, 2 * plan.across)
    with e.loop(b, 0, plan.lines) as line:
        row = e.add(b, first, line)
        image, down = e.div(b, row, plan.down), e.rem(b, row, plan.down)
        if output is not None:
            source = e.element(b, m, e.mul(b, e.mul(b, line, plan.across), width), scalar)
            sizes = [e.i64(plan.across), width, e.i64(plan.product_step), line_step]
            b.call(output, [source, outputs, *sizes])
        count = e.minimum(b, 2, b.sub(e.i64(height), e.mul(b, down, 2)))
        with e.loop(b, 0, count) as half:
            number = e.add(b, e.mul(b, image, height), e.add(b, e.mul(b, down, 2), half))
            tile = e.element(b, outputs, e.mul(b, half, line_step), scalar)
            where = [number, e.i64(0), e.i64(plan.image[2]), column, width]
            b.call(work, [table, tile, width, *where])


def _output_function(module: Value, plan: WinogradPlan) -> Value:
    """The function that transforms a row of tiles back, once per module.

    (ptr m, ptr outputs, tiles, width, point step, step between the two rows of outputs).
    """
    name = f"winograd_output_{plan.dtype.name}"
    function, fresh = shared_function(module, name, [e.PTR, e.PTR, *[e.I64] * 4])
    if not fresh:
        return function
    m, outputs, tiles, width, point_step, line_step = function.args
    b = ir.IRBuilder(function.append_basic_block("entry"))
    scalar, vector = vector_types(plan)
    with e.loop(b, 0, tiles) as tile, e.loop(b, 0, width, plan.lanes) as column:
        near = e.element(b, m, e.add(b, e.mul(b, tile, width), column), scalar)
        read = [e.element(b, near, e.mul(b, point_step, p), scalar) for p in range(POINTS)]
        values = [e.load(b, at, vector, plan.dtype.itemsize) for at in read]
        to = e.element(b, outputs, e.add(b, e.mul(b, e.mul(b, tile, 2), width), column), scalar)
        y = both_ways(b, values, 4, _outputs)
        for i, value in enumerate(y):
            at = e.add(b, e.mul(b, line_step, i // 2), e.mul(b, width, i % 2))
            b.store(value, e.element(b, to, at, scalar), align=plan.dtype.itemsize)
    b.ret_void()
    return function


def shared_function(module: Value, name: str, arguments: list[Value]) -> tuple[Value, bool]:
    """The internal function of that name, and whether it is new and has no body yet."""
    found = module.globals.get(name)
    if found is not None:
        return found, False
    return e.subroutine(module, name, arguments), True


# ---------------------------------------------------------------- the transforms


def both_ways(b: Value, values: Sequence[Value], side: int, transform) -> list[Value]:  # type: ignore[no-untyped-def]
    """Transform the columns of a square of `side` by `side` values, then its rows."""
    columns = [transform(b, values[column::side]) for column in range(side)]
    rows = [transform(b, row) for row in zip(*columns, strict=True)]
    return [value for row in rows for value in row]


def _inputs(b: Value, d: Sequence[Value]) -> list[Value]:
    return [b.fsub(d[0], d[2]), b.fadd(d[1], d[2]), b.fsub(d[2], d[1]), b.fsub(d[1], d[3])]


def _weights(b: Value, g: Sequence[Value]) -> list[Value]:
    half = e.constant_splat(g[0].type.element, 0.5, g[0].type.count)
    ends = b.fadd(g[0], g[2])
    plus, minus = b.fadd(ends, g[1]), b.fsub(ends, g[1])
    return [g[0], b.fmul(half, plus), b.fmul(half, minus), g[2]]


def _outputs(b: Value, m: Sequence[Value]) -> list[Value]:
    return [b.fadd(b.fadd(m[0], m[1]), m[2]), b.fsub(b.fsub(m[1], m[2]), m[3])]
