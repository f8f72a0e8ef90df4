"""How a convolution, or a weight gradient, becomes loops round the micro-kernel, as plain data.

Both are contractions C[chunk, batch, row; group, column] = sum over the depth of A * B, whose
operands lie in memory as they are: a step of each loop moves each operand by a fixed number of
elements.

    convolution       batch: image, output y   row: output x          depth: kernel y, x, channel
    weight gradient   batch: kernel y, x       row: channel           depth: image, output y, x

After Georganas et al., "Anatomy of High-Performance Deep Learning Convolutions on SIMD
Architectures" (2018). A is read where it lies, so that no image is ever unfolded, but for tiles
of a weight gradient that many panels use. B is packed: weights once for all images; the other
factor of a weight gradient panel by panel, when needed, or not at all where few tiles use it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from ranvier.dtypes import DType
from ranvier.engines.native.indexmap import Affine
from ranvier.engines.native.plans.matmul import (
    STACK_BYTES,
    Cut,
    RunTiling,
    TileHost,
    choose_tiles,
)
from ranvier.graph.ops.convolution import Geometry
from ranvier.graph.tensor import Shape
from ranvier.records import dataclass

FEW_SUMS = 16
"""A tile of fewer vectors than this hardly keeps the multiply-add units busy."""


_FEW_USES = 8
"""A panel of B that no more tiles than this use is not worth packing."""

_MANY_PANELS = 8
"""Panels of B from which on it pays to pack the tiles of A, which each of them uses."""


@dataclass(frozen=True)
class Steps:
    """How far an operand moves, in elements, with a step of each loop.

    `side` belongs to the rows for A, to the columns for B. With the batch only A moves, or, where
    images lie last, only B.
    """

    offset: int
    chunk: int
    group: int
    batch: tuple[int, ...]
    side: int
    depth: tuple[int, ...]


@dataclass(frozen=True)
class Loops:
    """The loops of a contraction. C has chunks * batch * rows rows, groups * columns columns.

    The rows fall into `lines` of equal length: within one, A steps by `left.side`, from one to
    the next by `line_step`.
    """

    chunks: int
    groups: int
    batch: Shape
    rows: int
    columns: int
    depth: Shape
    left: Steps
    right: Steps
    lines: int = 1
    line_step: int = 0

    @property
    def row_offsets(self) -> tuple[int, ...]:
        """How far each row of A lies from the first."""
        length = self.rows // self.lines
        return tuple(
            row // length * self.line_step + row % length * self.left.side
            for row in range(self.rows)
        )

    @property
    def multiply_adds(self) -> int:
        """The number of multiply-adds."""
        outer = self.chunks * self.groups * prod(self.batch)
        return outer * self.rows * self.columns * prod(self.depth)


def convolution_loops(
    geometry: Geometry, result: Shape, weights: Shape, x: Affine, w: Affine
) -> Loops:
    """The loops of a convolution without padding that gives `result` [b, y, x, f].

    `x` and `w` tell how far neighbours along the operands' axes lie apart.
    """
    images, height, width, outputs = result
    kh, kw, channels, _ = weights
    (xb, xh, xw, xc), (wh, ww, wc, wf) = x.terms, w.terms
    (sh, sw), (dh, dw), groups = geometry.stride, geometry.dilation, geometry.groups
    columns = outputs // groups
    inner = (xh * dh, xw * dw, xc)
    left = Steps(x.offset, 0, xc * channels, (xb, xh * sh), xw * sw, inner)
    right = Steps(w.offset, 0, wf * columns, (), wf, (wh, ww, wc))
    depth = (kh, kw, channels)
    return with_merged_batch(Loops(1, groups, (images, height), width, columns, depth, left, right))


def weight_gradient_loops(
    geometry: Geometry, result: Shape, image: Shape, x: Affine, g: Affine
) -> Loops:
    """The loops of a weight gradient [chunks, ky, kx, c, f]; `image` is the shape of g."""
    chunks, kh, kw, channels, outputs = result
    images, height, width, _ = image
    (xb, xh, xw, xc), (gb, gh, gw, gf) = x.terms, g.terms
    (sh, sw), (dh, dw), groups = geometry.stride, geometry.dilation, geometry.groups
    part, columns = images // chunks, outputs // groups
    inner = (xb, xh * sh, xw * sw)
    left = Steps(x.offset, xb * part, xc * channels, (xh * dh, xw * dw), xc, inner)
    right = Steps(g.offset, gb * part, gf * columns, (), gf, (gb, gh, gw))
    depth = (part, height, width)
    return with_merged_batch(Loops(chunks, groups, (kh, kw), channels, columns, depth, left, right))


def with_merged_batch(loops: Loops) -> Loops:
    """Take batch loops into the rows, from inside out, where A steps through both as one."""
    while loops.batch:
        count, step = loops.batch[-1], loops.left.batch[-1]
        rows, side = loops.rows, loops.left.side
        if count > 1 and rows > 1 and step != side * rows:
            break
        side = step if rows == 1 and count > 1 else side
        left = replace(loops.left, batch=loops.left.batch[:-1], side=side)
        loops = replace(loops, batch=loops.batch[:-1], rows=rows * count, left=left)
    return loops


def merged_depth(counts: Shape, *steps: Sequence[int]) -> tuple[Shape, ...]:
    """Merge the loops of the depth that one step of each operand runs through; three remain.

    Returns their counts, and the steps of each operand.
    """
    found: list[tuple[int, ...]] = []
    for count, *step in zip(counts, *steps, strict=True):
        wide = tuple(n * count for n in step)
        if found and (found[-1][0] == 1 or found[-1][1:] == wide):
            found[-1] = (found[-1][0] * count, *step)
        elif count > 1 or not found:
            found.append((count, *step))
    empty = (1, *[0] * len(steps))
    found = [empty] * (3 - len(found)) + found
    return tuple(zip(*found, strict=True))


@dataclass(frozen=True)
class Inside:
    """The part [first, stop) of an axis of A's images that is not border, which holds zeros.

    Output y and kernel element k meet position y * stride + k * dilation of the image.
    """

    first: int
    stop: int
    stride: int
    dilation: int

    def taps(self, kernel: int, lowest: int, highest: int) -> int:
        """How many kernel elements, from first to last, meet more than border at some output."""
        first = -(-(self.first - highest * self.stride) // self.dilation)
        stop = -(-(self.stop - lowest * self.stride) // self.dilation)
        return max(0, min(stop, kernel) - max(first, 0))


@dataclass(frozen=True)
class ConvolutionPlan(RunTiling):
    """A contraction cut to the host's size.

    `rows` cuts the rows of each product into tiles, `panels` its columns, counted in vectors of
    `lanes`, into panels. `row_block` tiles are worked, panel after panel, before the next ones.
    The depth is worked in segments: whole turns of the loops outside `level`, and pieces `cut`
    of the loop at `level`; sums are kept between segments.

    Kernel rows that meet nothing but border are left out, where `inside` tells of one, and
    kernel columns likewise, where it tells of both axes. Tiles then follow the axes that are
    the second and third of the batch loops.

    `packed` tells whether another kernel packs B: [group][panel][depth][column], columns padded
    with zeros to whole vectors. Sums: [chunk, group][panel][batch, row][column], padded likewise.

    With `left_packed` each thread packs the tiles of A of a row block, for one segment, before it
    works on them: [tile][depth][row].

    With `depth_lanes` above 1 vectors run along the innermost loop of the depth instead of along
    the columns, and `lanes` is 1: each element of C is summed up over the lanes at the end.
    """

    loops: Loops
    dtype: DType
    lanes: int
    rows: Cut
    panels: Cut
    row_block: int
    level: int
    cut: Cut
    packed: bool
    inside: tuple[Inside, ...] = ()
    left_packed: bool = False
    depth_lanes: int = 1

    @property
    def m(self) -> int:
        """The rows of one product."""
        return self.loops.rows

    @property
    def n(self) -> int:
        """The columns of one product."""
        return self.loops.columns

    @property
    def batches(self) -> int:
        """The number of products with one panel of B."""
        return prod(self.loops.batch)

    @property
    def in_place(self) -> bool:
        """Whether B is read where it lies: it moves, or is used rarely."""
        if self.loops.right.batch or self.depth_lanes > 1:
            return True
        rarely = not self.packed and self.tiles <= _FEW_USES and self.panels.pieces == 1
        return rarely and self.loops.right.side == 1

    @property
    def outer(self) -> int:
        """The number of different matrices B."""
        return self.loops.chunks * self.loops.groups

    @property
    def tiles(self) -> int:
        """The row tiles that share a panel of B."""
        return self.batches * self.rows.pieces

    @property
    def divisible(self) -> bool:
        """Whether parts of a run find B, and A, as they need it, and pack nothing."""
        return (self.packed or self.in_place) and not self.left_packed

    @property
    def padded_n(self) -> int:
        """The columns of a group rounded up to whole vectors."""
        return self.panels.total * self.lanes

    @property
    def segments(self) -> int:
        """The number of segments of the depth."""
        return prod(self.loops.depth[: self.level]) * self.cut.pieces

    @property
    def segment_depth(self) -> int:
        """The depth of the longest segment."""
        return self.cut.size * prod(self.loops.depth[self.level + 1 :])

    @property
    def partial_size(self) -> int:
        """Elements of the buffer of sums; 0 where one segment suffices."""
        return self.outer * self.batches * self.m * self.padded_n if self.segments > 1 else 0

    @property
    def packed_size(self) -> int:
        """Elements of the packed B."""
        return self.loops.groups * prod(self.loops.depth) * self.padded_n

    @property
    def left_tile_size(self) -> int:
        """Elements of the largest tile of A in the longest segment."""
        return self.rows.size * self.segment_depth

    @property
    def tile_size(self) -> int:
        """Elements of the largest tile, rounded up to whole vectors."""
        size = self.rows.size * self.panels.size * self.lanes
        return -(-size // self.depth_lanes) * self.depth_lanes


def _in_lines(loops: Loops, width: int, host: TileHost) -> Loops:
    """Take several turns of the last batch loop into the rows of one tile, as lines."""
    count, step = loops.batch[-1], loops.left.batch[-1]
    tallest = (host.vector_registers - 1 - width) // width
    lines = max(n for n in range(1, count + 1) if count % n == 0 and n * loops.rows <= tallest)
    left = replace(loops.left, batch=(*loops.left.batch[:-1], step * lines))
    batch, rows = (*loops.batch[:-1], count // lines), loops.rows * lines
    return replace(loops, batch=batch, rows=rows, left=left, lines=lines, line_step=step)


def plan_convolution(
    loops: Loops, packed: bool, dtype: DType, host: TileHost, inside: tuple[Inside, ...] = ()
) -> ConvolutionPlan:
    """Cut the loops to the host's size; `packed` tells whether B is packed as a whole.

    `inside` tells of both axes of images with a border, and is empty for others.
    """
    lanes, vectors = host.lanes(dtype), -(-loops.columns // host.lanes(dtype))
    batches = loops.chunks * loops.groups * prod(loops.batch)
    total = prod(loops.depth)
    rows, panels = choose_tiles(batches, loops.rows, vectors, total, lanes, dtype.itemsize, host)
    if rows.pieces == 1 and rows.size * panels.size < FEW_SUMS and loops.batch:
        loops = _in_lines(loops, panels.size, host)
        rows = Cut(loops.rows, 1)
    tiles, all_depth = prod(loops.batch) * rows.pieces, Cut(loops.depth[0], 1)
    if packed:
        # The part of A that a block reads fills half the L2 cache.
        span = loops.left.batch[-1] if loops.batch else loops.left.side * loops.rows
        longest = max(1, host.l2_bytes * rows.pieces // 2 // max(1, abs(span) * dtype.itemsize))
        block = Cut(tiles, -(-tiles // longest)).size
        inside = inside[:1] if len(loops.batch) == 2 else ()
        return ConvolutionPlan(loops, dtype, lanes, rows, panels, block, 0, all_depth, True, inside)
    whole = ConvolutionPlan(loops, dtype, lanes, rows, panels, tiles, 0, all_depth, False)
    if whole.in_place:
        return whole
    # A panel of B fills two thirds of the L1 cache in each segment.
    longest = max(1, host.l1_bytes * 2 // 3 // (panels.size * lanes * dtype.itemsize))
    level = len(loops.depth) - 1
    while level > 0 and prod(loops.depth[level:]) <= longest:
        level -= 1
    fitting = max(1, longest // prod(loops.depth[level + 1 :]))
    cut = Cut(loops.depth[level], -(-loops.depth[level] // fitting))
    plan = ConvolutionPlan(loops, dtype, lanes, rows, panels, tiles, level, cut, False)
    longest = STACK_BYTES // (plan.left_tile_size * dtype.itemsize)
    side_by_side = loops.left.side == 1 and loops.lines == 1
    if panels.pieces < _MANY_PANELS or not side_by_side or longest < 1:
        return plan
    return replace(plan, row_block=Cut(tiles, -(-tiles // longest)).size, left_packed=True)
