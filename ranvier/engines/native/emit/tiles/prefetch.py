"""What the tiles of a run ask for before they compute: the panel of B that comes next.

It lies beyond the L2 cache, and whoever packs or uses it first waits for most of its lines. So the
tiles before it share the panel's lines out among them, and each asks for its own: a few at a time,
since a core keeps only some misses in flight.
"""

from __future__ import annotations

from ranvier.engines.native.emit.ir import builder as e
from ranvier.engines.native.emit.ir.builder import Value
from ranvier.engines.native.emit.tiles.pack import (
    Operand,
    Packed,
    packed_panel,
    panel_origin,
    side_b,
)
from ranvier.engines.native.host import CACHE_LINE
from ranvier.engines.native.plans.matmul import MatmulPlan
from ranvier.records import dataclass

_MOST_LINES = 8
"""Lines that a tile asks for at most, lest what it loads itself waits behind them."""


@dataclass(frozen=True)
class Coming:
    """The panel that follows the one in hand; where none follows, it may be any."""

    batch: Value
    panel: Value
    block: Value


def prefetch_panel(
    b: Value,
    plan: MatmulPlan,
    operand: Packed | Operand,
    source: Value,
    coming: Coming,
    tile: Value,
) -> None:
    """Ask for the lines that fall to the run's `tile`-th tile, of a B that is packed or strided.

    Few tiles leave some of the panel's lines out; those beyond the needed ones ask for nothing.
    """
    line = CACHE_LINE // plan.dtype.itemsize
    width, depth = plan.panels.size * plan.lanes, plan.depth.size
    # The panel is `rows` rows, `step` elements apart, each of `across` lines.
    if isinstance(operand, Packed):
        origin = packed_panel(b, side_b(plan), operand, coming.batch, coming.block, coming.panel)
        rows, across, step = 1, -(-depth * width // line), 0
    else:
        above = e.piece_start(b, plan.depth, coming.block)
        origin = panel_origin(b, side_b(plan), operand, coming.batch, coming.panel, above)
        if operand.outer_stride == 1:
            rows, across, step = depth, -(-width // line), operand.depth_stride
        else:
            rows, across, step = width, -(-depth // line), operand.outer_stride
    share = min(_MOST_LINES, -(-rows * across // plan.row_block))
    first = e.mul(b, tile, share)
    with e.loop(b, first, e.minimum(b, rows * across, e.add(b, first, share))) as number:
        row, column = e.div(b, number, across), e.mul(b, e.rem(b, number, across), line)
        at = e.add(b, origin, e.add(b, e.mul(b, row, step), column))
        e.prefetch(b, e.element(b, source, at, e.element_type(plan.dtype)), level=2)
