"""Kernels of the gradient of 3x3 weights by Winograd's minimal filtering F(3x3, 2x2)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from llvmlite import ir

from ranvier.engines.native.emit.ir import builder as e
from ranvier.engines.native.emit.ir.builder import Value
from ranvier.engines.native.emit.tiles.matmul import Epilogue
from ranvier.engines.native.emit.tiles.microkernel import call_microkernel
from ranvier.engines.native.emit.tiles.winograd import (
    both_ways,
    one_loop,
    pixels,
    prefetch_lines,
    product_kernel,
    shared_function,
    transform_inputs,
    vector_types,
    worked_units,
)
from ranvier.engines.native.plans.matmul import TileHost
from ranvier.engines.native.plans.winograd import POINTS
from ranvier.engines.native.plans.winograd_gradient import WinogradGradientPlan
from ranvier.records import dataclass

TAPS = 9
"""The weights of a channel in and a channel out."""


@dataclass(frozen=True)
class _Scratch:
    """Addresses in a thread's scratch memory: V, U and S, and the gradient of a panel's weights."""

    inputs: Value
    gradients: Value
    sums: Value
    weights: Value


def emit_winograd_gradient(
    module: Value,
    host: TileHost,
    plan: WinogradGradientPlan,
    image: int,
    gradient: int,
    scratch: int,
    epilogue: Epilogue,
    name: str,
) -> Value:
    """The kernel `name`: the weights' gradient, from buffer `image` and the result's `gradient`.

    `scratch` is a buffer with `plan.scratch` elements for each thread.
    """
    kernel, b = e.kernel(module, name)
    table, thread, threads = kernel.args
    scalar = e.element_type(plan.dtype)
    x, g = e.buffer(b, table, image), e.buffer(b, table, gradient)
    v = e.element(b, e.buffer(b, table, scratch), e.mul(b, thread, plan.scratch), scalar)
    u = e.element(b, v, POINTS * plan.point_step, scalar)
    s = e.element(b, u, POINTS * plan.gradient_step, scalar)
    own = _Scratch(v, u, s, e.element(b, s, POINTS * plan.sum_step, scalar))
    blocks = plan.blocks // plan.loops.chunks
    with worked_units(b, plan, table, thread, threads) as unit:
        chunk, group = e.div(b, unit, plan.groups), e.rem(b, unit, plan.groups)
        first = e.mul(b, group, plan.group)
        panels = first, e.minimum(b, e.add(b, first, plan.group), plan.panels.pieces)
        with e.loop(b, 0, blocks) as block:
            number = e.add(b, e.mul(b, chunk, blocks), block)
            row = e.mul(b, number, plan.lines)
            transform_inputs(b, plan, x, own.inputs, row)
            _transform_gradients(b, plan, g, own, panels, row)
            following = e.add(b, row, plan.lines)
            ahead = (
                pixels(b, plan, x, plan.image_steps, plan.loops.left.offset, following),
                pixels(b, plan, g, plan.gradient_steps, plan.loops.right.offset, following),
            )
            _multiply(b, host, plan, own, panels, block, ahead)
        _finish(b, plan, own, panels, chunk, table, epilogue)
    b.ret_void()
    return kernel


def _panel(
    b: Value, plan: WinogradGradientPlan, panel: Value, first: Value
) -> tuple[Value, Value, Value]:
    """A panel's first column, how far that is from panel `first`'s, and the panel's width."""
    column = e.mul(b, e.piece_start(b, plan.panels, panel), plan.lanes)
    inside = b.sub(column, e.mul(b, e.piece_start(b, plan.panels, first), plan.lanes))
    return column, inside, e.mul(b, e.piece_size(b, plan.panels, panel), plan.lanes)


def _transform_gradients(
    b: Value,
    plan: WinogradGradientPlan,
    g: Value,
    own: _Scratch,
    panels: tuple[Value, Value],
    first: Value,
) -> None:
    """Fill U for the block whose first row of tiles is `first`."""
    scalar, function = e.element_type(plan.dtype), _gradient_function(b.module, plan)
    _, of_row, of_column = plan.gradient_steps
    with e.loop(b, *panels) as panel, e.loop(b, 0, plan.lines) as line:
        column, inside, width = _panel(b, plan, panel, panels[0])
        row = e.add(b, first, line)
        near = pixels(b, plan, g, plan.gradient_steps, plan.loops.right.offset, row)
        tile = e.mul(b, e.mul(b, line, plan.across), width)
        target = e.element(b, own.gradients, e.add(b, e.mul(b, inside, plan.tiles), tile), scalar)
        sizes = [e.i64(plan.across), width, e.i64(plan.gradient_step)]
        steps = [e.i64(of_row), e.i64(of_column)]
        b.call(function, [e.element(b, near, column, scalar), target, *steps, *sizes])


def _gradient_function(module: Value, plan: WinogradGradientPlan) -> Value:
    """The function that transforms a row of tiles of the result's gradient, once per module.

    (ptr gradient, ptr u, row step, column step, tiles, width, point step).
    """
    name = f"winograd_gradient_{plan.dtype.name}"
    function, fresh = shared_function(module, name, [e.PTR, e.PTR, *[e.I64] * 5])
    if not fresh:
        return function
    g, u, row, column, tiles, width, point_step = function.args
    b = ir.IRBuilder(function.append_basic_block("entry"))
    scalar, vector = vector_types(plan)
    corners = [e.i64(0), column, row, e.add(b, row, column)]
    with e.loop(b, 0, tiles) as tile, e.loop(b, 0, width, plan.lanes) as inside:
        near = e.element(b, g, e.add(b, e.mul(b, e.mul(b, tile, 2), column), inside), scalar)
        read = [e.element(b, near, corner, scalar) for corner in corners]
        values = [e.load(b, at, vector, plan.dtype.itemsize) for at in read]
        to = e.element(b, u, e.add(b, e.mul(b, tile, width), inside), scalar)
        for point, value in enumerate(both_ways(b, values, 2, _gradients)):
            at = e.element(b, to, e.mul(b, point_step, point), scalar)
            b.store(value, at, align=plan.dtype.itemsize)
    b.ret_void()
    return function


def _multiply(
    b: Value,
    host: TileHost,
    plan: WinogradGradientPlan,
    own: _Scratch,
    panels: tuple[Value, Value],
    block: Value,
    ahead: tuple[Value, Value],
) -> None:
    """S += V^T U for each point; the first block begins the sums.

    Meanwhile the next block of the image and of the gradient is asked for.
    """
    scalar = e.element_type(plan.dtype)
    nest = one_loop(plan.tiles, plan.channels)
    kernel = partial(product_kernel, b, host, plan, 1)
    turns = POINTS * plan.group * plan.rows.pieces
    row_steps = plan.image_steps[1], plan.gradient_steps[1]
    with e.loop(b, 0, POINTS) as point, e.loop(b, *panels) as panel:
        _, inside, width = _panel(b, plan, panel, panels[0])
        vectors = e.piece_size(b, plan.panels, panel)
        factors = e.add(b, e.mul(b, point, plan.gradient_step), e.mul(b, inside, plan.tiles))
        right = e.element(b, own.gradients, factors, scalar)
        left = e.element(b, own.inputs, e.mul(b, point, plan.point_step), scalar)
        above = e.add(b, e.mul(b, point, plan.sum_step), e.mul(b, inside, plan.channels))
        sums = e.element(b, own.sums, above, scalar)
        with e.loop(b, 0, plan.rows.pieces) as piece:
            row, rows = e.piece_start(b, plan.rows, piece), e.piece_size(b, plan.rows, piece)
            tile = e.element(b, sums, e.mul(b, row, width), scalar)
            matrix = e.add(b, e.mul(b, point, plan.group), b.sub(panel, panels[0]))
            turn = e.add(b, e.mul(b, matrix, plan.rows.pieces), piece)
            for following, row_step in zip(ahead, row_steps, strict=True):
                prefetch_lines(b, plan, following, row_step, turn, turns)
            arguments = [e.element(b, left, row, scalar), right, tile, block, *nest]
            call_microkernel(b, plan, rows, vectors, kernel, arguments)


def _finish(
    b: Value,
    plan: WinogradGradientPlan,
    own: _Scratch,
    panels: tuple[Value, Value],
    chunk: Value,
    table: Value,
    epilogue: Epilogue,
) -> None:
    """Transform the sums back, panel by panel, and hand each tap's matrix to the epilogue."""
    scalar, function = e.element_type(plan.dtype), _weight_function(b.module, plan)
    with e.loop(b, *panels) as panel:
        column, inside, width = _panel(b, plan, panel, panels[0])
        size = e.mul(b, width, plan.channels)

        def each_tap(work: Value) -> None:
            with e.loop(b, 0, TAPS) as tap:
                tile = e.element(b, own.weights, e.mul(b, tap, size), scalar)
                number = e.add(b, e.mul(b, chunk, TAPS), tap)
                matrix = [number, e.i64(0), e.i64(plan.channels), column, width]
                b.call(work, [table, tile, width, *matrix])

        if epilogue.prefetch is not None:
            each_tap(epilogue.prefetch)
        source = e.element(b, own.sums, e.mul(b, inside, plan.channels), scalar)
        b.call(function, [source, own.weights, size, e.i64(plan.sum_step)])
        each_tap(epilogue.finish)


def _weight_function(module: Value, plan: WinogradGradientPlan) -> Value:
    """The function that transforms a panel's sums back, once per module.

    (ptr sums, ptr weights, elements of a point, step between the points of the sums).
    """
    name = f"winograd_taps_{plan.dtype.name}"
    function, fresh = shared_function(module, name, [e.PTR, e.PTR, e.I64, e.I64])
    if not fresh:
        return function
    sums, weights, size, point_step = function.args
    b = ir.IRBuilder(function.append_basic_block("entry"))
    scalar, vector = vector_types(plan)
    with e.loop(b, 0, size, plan.lanes) as at:
        near, to = e.element(b, sums, at, scalar), e.element(b, weights, at, scalar)
        read = [e.element(b, near, e.mul(b, point_step, p), scalar) for p in range(POINTS)]
        values = [e.load(b, at, vector, plan.dtype.itemsize) for at in read]
        for tap, value in enumerate(both_ways(b, values, 4, _weights)):
            at = e.element(b, to, e.mul(b, size, tap), scalar)
            b.store(value, at, align=plan.dtype.itemsize)
    b.ret_void()
    return function


# ---------------------------------------------------------------- the transforms


def _gradients(b: Value, g: Sequence[Value]) -> list[Value]:
    half = e.constant_splat(g[0].type.element, 0.5, g[0].type.count)
    plus, minus = b.fadd(g[0], g[1]), b.fsub(g[0], g[1])
    return [g[0], b.fmul(half, plus), b.fmul(half, minus), g[1]]


def _weights(b: Value, m: Sequence[Value]) -> list[Value]:
    ends = b.fadd(m[1], m[2])
    return [b.fadd(m[0], ends), b.fsub(m[1], m[2]), b.fsub(ends, m[3])]
