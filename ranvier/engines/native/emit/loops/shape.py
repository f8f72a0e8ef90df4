"""Shaping a body's loops for the machine: merging dimensions and choosing the vector's.

Two styles serve everything. In *row* style a vector holds neighbours along the last column,
and a reduction ends with a sum over its lanes: softmax, layer norm, and all pointwise work. In
*column* style a vector holds neighbouring rows, and a reduction is a plain loop that carries
one vector: bias gradients, batch statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from ranvier.engines.native.host import Host
from ranvier.engines.native.indexmap import Affine, Guard
from ranvier.engines.native.schedule.dataflow import positions
from ranvier.engines.native.schedule.kernels import Body, Choose, Instruction, Load, Reduce, Store
from ranvier.graph.tensor import Shape
from ranvier.records import dataclass

BLOCK_BYTES = 1 << 14
"""Long rows of pointwise work are cut into blocks of about this many bytes per operand."""

WIDE_BODY = 14
"""A body of more instructions than this uses shorter vectors, to stay in registers."""

FEW_UNITS = 8
"""A vector is not made so long that fewer units than this are left to share."""

UNIT_VECTORS = 32
"""Vectors that a unit of pointwise work should hold, to outweigh finding its indices."""

MANY_UNITS = 64
"""Units that are enough for any number of threads."""


@dataclass(frozen=True)
class Loops:
    """A body with its loops: `style` is "row" or "column"; `lanes` is the vector's length.

    In row style the vector runs along the last dimension of all, in column style along the
    last row; lanes is 0 where there is no loop to vectorize. `block` (row style, no
    reductions) cuts the vector's loop into blocks that threads share.
    """

    body: Body
    style: str
    lanes: int
    block: int


def shape_loops(body: Body, host: Host) -> Loops:
    """Merge dimensions, choose the style and the length of the vector."""
    body = coalesced(body)
    reduces = any(isinstance(x, Reduce) for x in body.instructions)
    if not reduces:
        return _pointwise_loops(body, host)
    row = _best(body, range(body.rows))
    column = _best(body, range(body.rows, len(body.domain)))
    if column is None and row is None:
        return Loops(body, "column", 0, 0)
    by_column = row is None or (
        column is not None and _neighbours(body, column) >= _neighbours(body, row)
    )
    body = _moved_last(body, row, column)
    length = body.domain[-1] if by_column else body.domain[body.rows - 1]
    lanes = _lanes(body, host, length)
    if not by_column:
        while lanes > _base_lanes(body, host) and length // lanes < FEW_UNITS:
            lanes //= 2
    return Loops(body, "row" if by_column else "column", lanes, 0)


def _pointwise_loops(body: Body, host: Host) -> Loops:
    vector = _best(body, range(len(body.domain)))
    if vector is None:
        return Loops(replace(body, rows=0), "row", 0, 0)
    order = [d for d in range(len(body.domain)) if d != vector] + [vector]
    body = replace(permuted(body, order), rows=len(order) - 1)
    lanes = _lanes(body, host, body.domain[-1])
    block = max(BLOCK_BYTES // 4 // lanes, 1) * lanes
    if prod(body.domain[:-1]) >= MANY_UNITS:
        block = -(-body.domain[-1] // lanes) * lanes
        body = replace(body, rows=_unit_rows(body.domain, lanes))
    else:
        while block > 8 * lanes and body.domain[-1] < FEW_UNITS * block:
            block //= 2
        block = -(-block // lanes) * lanes
    return Loops(body, "row", lanes, block)


def _unit_rows(domain: Shape, lanes: int) -> int:
    """How many dimensions number the units; loops within a unit run over the others."""
    rows, vectors = len(domain) - 1, -(-domain[-1] // lanes)
    while rows > 1 and vectors < UNIT_VECTORS and prod(domain[: rows - 1]) >= MANY_UNITS:
        rows -= 1
        vectors *= domain[rows]
    return rows


def coalesced(body: Body) -> Body:
    """Merge neighbouring dimensions (rows with rows) that all positions step through as one."""
    d = 0
    while d + 1 < len(body.domain):
        inner = body.domain[d + 1]
        same = all(
            at.terms[d] == at.terms[d + 1] * inner for x in body.instructions for at in positions(x)
        )
        if same and (d + 1 < body.rows or d >= body.rows):
            body = _merged(body, d)
        else:
            d += 1
    return body


def _merged(body: Body, d: int) -> Body:
    def merge(at: Affine) -> Affine:
        return Affine(at.offset, (*at.terms[:d], *at.terms[d + 1 :]))

    domain = (*body.domain[:d], body.domain[d] * body.domain[d + 1], *body.domain[d + 2 :])
    return Body(domain, body.rows - (d < body.rows), _mapped(body, merge))


def split(body: Body, d: int, size: int) -> Body:
    """The same body with row dimension d, of a length that `size` divides, as two, inner `size`."""

    def cut(at: Affine) -> Affine:
        return Affine(at.offset, (*at.terms[:d], at.terms[d] * size, *at.terms[d:]))

    domain = (*body.domain[:d], body.domain[d] // size, size, *body.domain[d + 1 :])
    return Body(domain, body.rows + 1, _mapped(body, cut))


def permuted(body: Body, order: Sequence[int]) -> Body:
    """The same body with its dimensions in another order; `rows` is left as it is."""

    def permute(at: Affine) -> Affine:
        return Affine(at.offset, tuple(at.terms[d] for d in order))

    domain = tuple(body.domain[d] for d in order)
    return Body(domain, body.rows, _mapped(body, permute))


def _mapped(body: Body, change) -> tuple[Instruction, ...]:  # type: ignore[no-untyped-def]
    def guards(old: tuple[Guard, ...]) -> tuple[Guard, ...]:
        return tuple(Guard(change(g.at), g.size) for g in old)

    changed: list[Instruction] = []
    for x in body.instructions:
        if isinstance(x, Load):
            x = replace(x, at=change(x.at), guards=guards(x.guards))
        elif isinstance(x, Store):
            x = replace(x, at=change(x.at))
        elif isinstance(x, Choose):
            x = replace(x, guards=guards(x.guards))
        elif isinstance(x, Reduce) and x.index is not None:
            x = replace(x, index=change(x.index))
        changed.append(x)
    return tuple(changed)


def _moved_last(body: Body, row: int | None, column: int | None) -> Body:
    """Put the best row last among the rows and the best column last among the columns."""
    rows = [d for d in range(body.rows) if d != row] + ([] if row is None else [row])
    columns = [d for d in range(body.rows, len(body.domain)) if d != column]
    return permuted(body, [*rows, *columns, *([] if column is None else [column])])


def _best(body: Body, dimensions: range) -> int | None:
    """The dimension along which most accesses are to neighbours, the last of equals."""
    return max(dimensions, key=lambda d: (_neighbours(body, d), d), default=None)


def _neighbours(body: Body, d: int) -> int:
    """How many loads and stores step to neighbours along d, less those that jump."""
    steps = [x.at.terms[d] for x in body.instructions if isinstance(x, Load | Store)]
    return sum(2 if s == 1 else 0 if s == 0 else -1 for s in steps)


def _base_lanes(body: Body, host: Host) -> int:
    widths = [x.dtype.itemsize for x in body.instructions]
    common = [w for w in widths if w >= 4]
    smallest = min(common, default=max(widths, default=4))
    return max(host.vector_bytes // smallest, 1)


def _lanes(body: Body, host: Host, length: int) -> int:
    """One to four registers' worth, as the loop's length and the body's size allow."""
    lanes = _base_lanes(body, host)
    most = 2 if len(body.instructions) > WIDE_BODY else 4
    count = 1
    while count < most and length >= 2 * count * lanes:
        count *= 2
    return lanes * count
