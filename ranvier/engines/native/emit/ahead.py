"""What the tiles of a run ask for while they compute: the panel of B that is packed next.

Packing reads a panel once, from beyond the L2 cache, and waits for most of its lines. So the tiles
before it spread the panel's lines among them, and each asks for its own in the turns of its loop
over k: a few at a time, since a core keeps only some misses in flight, which A needs too.
"""

from __future__ import annotations

from ranvier.engines.native.contraction_plan import MatmulPlan
from ranvier.engines.native.emit import builder as e
from ranvier.engines.native.emit.builder import Value
from ranvier.engines.native.emit.microkernel import turn_steps
from ranvier.engines.native.emit.pack import Operand, packed_panel, panel_origin, side_b
from ranvier.engines.native.host import CACHE_LINE
from ranvier.records import dataclass


@dataclass(frozen=True)
class Coming:
    """The panel that is packed after the one in hand; where none follows, it may be any."""

    batch: Value
    panel: Value
    block: Value


def lines_ahead(
    b: Value, plan: MatmulPlan, operand: Operand, source: Value, coming: Coming, tile: Value
) -> tuple[Value, Value, Value]:
    """The lines that the run's `tile`-th tile asks for: (first, step, last), as `microkernel` says.

    Tiles beyond those needed ask for their first line over and over, which costs nothing.
    """
    line = CACHE_LINE // plan.dtype.itemsize
    width, depth = plan.panels.size * plan.lanes, plan.depth.size
    turn = turn_steps(plan.rows.size, plan.panels.size)
    origin = panel_origin(
        b,
        side_b(plan),
        operand,
        coming.batch,
        coming.panel,
        e.piece_start(b, plan.depth, coming.block),
    )
    if operand.outer_stride == 1:  # each tile one line of the rows in a part of the depth
        lines, step = -(-width // line), operand.depth_stride
        count = -(-depth // turn)
        part = e.mul(b, e.div(b, tile, lines), count)
        inside = e.add(b, e.mul(b, part, step), e.mul(b, e.rem(b, tile, lines), line))
        tiles = lines * turn
    else:  # each tile a line of all columns; where tiles are few, some lines stay out
        lines, step, count = -(-depth // line), operand.outer_stride, width
        skip = -(-lines // plan.row_block)
        inside = e.mul(b, tile, line * skip)
        tiles = -(-lines // skip)
    needed = b.icmp_signed("<", tile, e.i64(tiles))
    first = e.element(b, source, e.add(b, origin, inside), e.element_type(plan.dtype))
    apart = step * plan.dtype.itemsize
    # Exact: a turn is 1, 2 or 4 steps, an element 4 or 8 bytes.
    step_of_k = b.select(needed, e.i64(apart // turn), e.i64(0))
    return first, step_of_k, e.i64(apart * (count - 1))


def packed_lines_ahead(
    b: Value, plan: MatmulPlan, source: Value, coming: Coming, tile: Value
) -> tuple[Value, Value, Value]:
    """The same for a B that is packed, whose next panel is asked for from beginning to end."""
    turn = turn_steps(plan.rows.size, plan.panels.size)
    panel = packed_panel(b, side_b(plan), coming.batch, coming.block, coming.panel)
    turns = plan.depth.size // turn
    part = turns * CACHE_LINE
    size = plan.depth.size * plan.panels.size * plan.lanes * plan.dtype.itemsize
    needed = b.icmp_signed("<", e.mul(b, tile, part), e.i64(size))
    first = e.element(b, source, panel, e.element_type(plan.dtype))
    first = e.element(b, first, e.mul(b, tile, part), e.I8)
    step = b.select(needed, e.i64(CACHE_LINE // turn), e.i64(0))
    return first, step, e.i64(part)
