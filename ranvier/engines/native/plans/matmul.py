"""How a matrix product is cut into register tiles, panels and cache blocks, as plain data.

The scheme is that of Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication"
(2008): a panel of B stays in the first-level cache while the row tiles of a block of A, which
stays in the second-level cache, pass by. Everything here follows from shapes and host alone,
never from the number of threads, so that every thread count yields the same bits.
"""

from __future__ import annotations

from math import gcd, isqrt, prod
from typing import Protocol

from ranvier.dtypes import FLOATING, DType
from ranvier.errors import DTypeError, ShapeError
from ranvier.records import dataclass

_WIDTHS = (1, 2, 3, 4, 6, 8)
"""Candidate panel widths, in vectors."""

TILE_COST = 150
"""What a tile costs per K block besides arithmetic (calls, start-up), in multiply-add slots."""

_STORE_COST = 4
"""What storing one accumulator costs, in multiply-add slots."""

_PAGE = 4096
"""Bytes after which addresses fall on the same sets of an L1 cache again."""

LATENCY_SLOTS = 8
"""Multiply-adds that must be in flight at once: latency times units per cycle."""

_WORKERS = 4
"""Threads that a plan's tiles should at least keep busy; a constant, so that plans are equal."""

STACK_BYTES = 128 << 10
"""Stack that a thread spends on partial sums or packed tiles of A, which is also a share of the L2
cache; threads of some systems have only 512 KB."""

_RUN_ROWS = 400
"""Rows of C that the tiles of a block pass where one K block suffices.

Each may lie in a page of its own, as may those of two moments that the epilogue updates; a TLB
has some 1,500 entries, and the operands need theirs.
"""


_FEW_BLOCKS = 2
"""Blocks of rows each of which may as well pack what it needs of B, if that is in one segment."""

_SMALL = 128 << 10
"""Bytes of an operand that stays in the caches, so that reading it anew costs little."""

_LONG_TILE = 64
"""Depth of a tile of A that, where it lies, may crowd into some sets of the L1 cache."""

MANY_PARTS = 16
"""Parts from which on each is small beside a thread's share, so that handing them out pays."""

MANY_TILES = 8 * MANY_PARTS
"""Tiles from which on parts of runs are large enough to be handed out."""

_MANY_PANELS = 24
"""Panels of B that use each tile of A so often that packing it pays, however it lies."""


class TileHost(Protocol):
    """What planning needs to know of a machine."""

    @property
    def vector_registers(self) -> int:
        """Number of vector registers."""

    @property
    def l1_bytes(self) -> int:
        """Size of a core's first-level data cache."""

    @property
    def l2_bytes(self) -> int:
        """Size of a core's second-level cache."""

    def lanes(self, dtype: DType) -> int:
        """Elements of `dtype` in one vector register."""


@dataclass(frozen=True)
class Cut:
    """A length cut into pieces of nearly equal size.

    The first `large` pieces have `size` elements, the others one less; nothing is padded.
    """

    total: int
    pieces: int

    @property
    def size(self) -> int:
        """The size of the larger pieces."""
        return -(-self.total // self.pieces)

    @property
    def large(self) -> int:
        """How many pieces have `size` elements."""
        return self.total - self.pieces * (self.size - 1)

    @property
    def sizes(self) -> dict[int, int]:
        """The distinct sizes, largest first, each with its number of pieces."""
        counts = {self.size: self.large, self.size - 1: self.pieces - self.large}
        return {size: count for size, count in counts.items() if count}

    def length(self, piece: int) -> int:
        """How many elements a piece has."""
        return self.size - (piece >= self.large)

    def start(self, piece: int) -> int:
        """Where a piece begins."""
        return piece * self.size - max(0, piece - self.large)


class Tiling:
    """What a plan of register tiles has: `rows` cut into tiles, `panels` into columns of them."""

    rows: Cut
    panels: Cut

    @property
    def microkernels(self) -> tuple[tuple[int, int], ...]:
        """The distinct (rows, vectors) of the tiles."""
        return tuple((rows, width) for rows in self.rows.sizes for width in self.panels.sizes)


class RunTiling(Tiling):
    """A tiling whose tiles are worked in runs, `row_block` tiles of one panel each.

    For each of `outer` matrices B, `tiles` row tiles share a panel. The tiles of a block are
    worked panel after panel before the next block's.
    """

    row_block: int

    @property
    def outer(self) -> int:
        """The number of different matrices B."""
        raise NotImplementedError

    @property
    def tiles(self) -> int:
        """The row tiles that share a panel of B."""
        raise NotImplementedError

    @property
    def segments(self) -> int:
        """How many times all tiles are worked, each time for another part of the depth."""
        raise NotImplementedError

    @property
    def blocks(self) -> int:
        """The number of row blocks of a matrix."""
        return -(-self.tiles // self.row_block)

    @property
    def units(self) -> int:
        """The tiles of C: what threads share."""
        return self.outer * self.panels.pieces * self.tiles

    @property
    def runs(self) -> int:
        """The number of runs."""
        return self.outer * self.blocks * self.panels.pieces

    @property
    def divisible(self) -> bool:
        """Whether parts of a run take together no longer than the run."""
        raise NotImplementedError

    @property
    def steals(self) -> bool:
        """Whether threads take parts of the work one by one, and those of others at the end."""
        return self.runs >= MANY_PARTS or (self.divisible and self.units >= MANY_TILES)


@dataclass(frozen=True)
class MatmulPlan(RunTiling):
    """One (batched) product C[b, m, n] = sum over k of A[b, m, k] * B[b, k, n], cut to size.

    `rows` cuts m into row tiles, `panels` cuts n, counted in vectors of `lanes`, into column
    panels, `depth` cuts k into K blocks. `segment` K blocks are done for all tiles before the next
    ones; within them `row_block` row tiles are worked, panel after panel, before the next ones.

    Layouts, in elements. Packed A: [batch][K block][row tile][depth][row]. Packed B: [batch]
    [K block][panel][depth][column], columns padded with zeros to whole vectors. Partial sums:
    [batch][panel][row tile][row][column], padded likewise.
    """

    batch: tuple[int, ...]
    m: int
    n: int
    k: int
    dtype: DType
    lanes: int
    rows: Cut
    panels: Cut
    depth: Cut
    segment: int
    row_block: int

    @property
    def batches(self) -> int:
        """The number of separate products."""
        return prod(self.batch)

    @property
    def padded_n(self) -> int:
        """n rounded up to whole vectors."""
        return self.panels.total * self.lanes

    @property
    def outer(self) -> int:
        """The number of different matrices B."""
        return self.batches

    @property
    def tiles(self) -> int:
        """The row tiles that share a panel of B."""
        return self.rows.pieces

    @property
    def segments(self) -> int:
        """The number of segments."""
        return -(-self.depth.pieces // self.segment)

    @property
    def divisible(self) -> bool:
        """Whether B is packed beforehand, and not by each part anew."""
        return self.packs_b

    @property
    def reuses_a(self) -> bool:
        """Whether tiles of A are used again, so that packing A beforehand pays."""
        return self.panels.pieces > 1

    def packs_a(self, row_stride: int, depth_stride: int) -> bool:
        """Whether to pack an A with these strides, in elements, before the product.

        Not where its tiles are used once; nor where its rows, or its columns, lie side by side
        and a tile of it, read where it is, neither crowds into a few sets of the L1 cache nor
        brings a page for every column of several K blocks; unless a large A has many uses.
        """
        rows_apart, columns_apart = (n * self.dtype.itemsize for n in (row_stride, depth_stride))
        if depth_stride == 1:
            in_place = gcd(rows_apart, _PAGE) <= _PAGE // 2
        elif row_stride == 1 and self.depth.pieces == 1:
            in_place = gcd(columns_apart, _PAGE) <= _PAGE // 4
        else:
            in_place = row_stride == 1 and columns_apart <= _PAGE // 4
        large = self.m * self.k * self.dtype.itemsize > _SMALL and self.k >= _LONG_TILE
        often = large and self.panels.pieces >= _MANY_PANELS
        return self.reuses_a and (often or not in_place)

    @property
    def packs_b(self) -> bool:
        """Whether to pack B before its use: where several blocks of rows would each pack it."""
        large = self.k * self.n * self.dtype.itemsize > _SMALL
        few = _FEW_BLOCKS if self.segments == 1 else 1
        return large and self.blocks > few

    @property
    def packs_segments(self) -> bool:
        """Whether the product had better pack its operands itself, a segment to where the last was.

        Large operands packed at once would drive each other out of the caches.
        """
        return self.segments > 1 and self.steals

    def packed_depth(self, by_segment: bool) -> int:
        """How much of the depth lies packed at a time."""
        return self.segment * self.depth.size if by_segment else self.k

    def packed_size(self, right: bool, by_segment: bool) -> int:
        """Elements of the packed A, or of the packed B."""
        return self.batches * self.packed_depth(by_segment) * (self.padded_n if right else self.m)

    @property
    def partial_size(self) -> int:
        """Elements of the buffer of partial sums; 0 where one segment suffices."""
        return self.batches * self.m * self.padded_n if self.segments > 1 else 0


def plan_matmul(
    batch: tuple[int, ...], m: int, n: int, k: int, dtype: DType, host: TileHost
) -> MatmulPlan:
    """Cut the product of A[*batch, m, k] and B[*batch, k, n] to the host's size.

    Raises ShapeError for an empty extent and DTypeError for a dtype without FMA.
    """
    if min(m, n, k, *batch) < 1:
        raise ShapeError(f"cannot plan an empty product: batch {batch}, m {m}, n {n}, k {k}")
    if dtype not in FLOATING:
        raise DTypeError(f"matmul multiplies float32 or float64, got {dtype}; convert it first")
    lanes = host.lanes(dtype)
    rows, panels = choose_tiles(prod(batch), m, -(-n // lanes), k, lanes, dtype.itemsize, host)
    depth = _depth_blocks(rows, panels, k, lanes, dtype.itemsize, host)
    budget = host.l2_bytes * 2 // 3 // dtype.itemsize
    segment = depth.pieces
    if m * k * dtype.itemsize > host.l2_bytes // 2:
        # A square block of A: its rows share panels of B, its depth what it costs to reload sums.
        segment = min(segment, max(1, round(isqrt(budget) / depth.size)))
    longest = budget // (rows.size * depth.size * segment)
    if depth.pieces == 1:
        longest = min(longest, _RUN_ROWS // rows.size)
    elif segment == depth.pieces:
        tile_bytes = rows.size * panels.size * lanes * dtype.itemsize
        longest = min(longest, STACK_BYTES // tile_bytes)
    row_block = Cut(rows.pieces, -(-rows.pieces // max(1, longest))).size
    return MatmulPlan(batch, m, n, k, dtype, lanes, rows, panels, depth, segment, row_block)


def choose_tiles(
    batches: int, m: int, vectors: int, k: int, lanes: int, itemsize: int, host: TileHost
) -> tuple[Cut, Cut]:
    """The row tiles and column panels with the least estimated time."""

    def cost(candidate: tuple[Cut, Cut]) -> int:
        rows, panels = candidate
        blocks = _depth_blocks(rows, panels, k, lanes, itemsize, host).pieces
        time = batches * sum(
            row_count * panel_count * _tile_cost(height, width, k, blocks)
            for height, row_count in rows.sizes.items()
            for width, panel_count in panels.sizes.items()
        )
        tiles = batches * rows.pieces * panels.pieces
        idle = -tiles % _WORKERS
        # Each further micro-kernel costs compile time, which a 32nd of the run time outweighs.
        kernels = len(rows.sizes) * len(panels.sizes)
        return time * (tiles + idle) * (32 + kernels) // tiles

    candidates = []
    for width in _WIDTHS:
        # Beside the accumulators stay one row of B and one broadcast value of A.
        tallest = (host.vector_registers - 1 - width) // width
        for height in range(tallest, tallest * 3 // 4, -1):
            rows, panels = Cut(m, -(-m // height)), Cut(vectors, -(-vectors // width))
            candidates.append((rows, panels))
    return min(candidates, key=cost)


def _tile_cost(height: int, width: int, k: int, blocks: int) -> int:
    """Estimated time of a tile: multiply-adds, loads or latency bind, whichever is slowest."""
    accumulators = height * width
    # Two multiply-adds a cycle, but, as caches conflict, somewhat less than two loads.
    step = max(accumulators, (height + width) * 5 // 4, LATENCY_SLOTS)
    return k * step + blocks * (accumulators * _STORE_COST + TILE_COST)


def _depth_blocks(rows: Cut, panels: Cut, k: int, lanes: int, itemsize: int, host: TileHost) -> Cut:
    """K blocks so short that a panel of B, or a tile of A, fills two thirds of the L1 cache."""
    budget = host.l1_bytes * 2 // 3
    longest = budget // (max(panels.size * lanes, rows.size) * itemsize)
    return Cut(k, -(-k // max(1, longest)))


def largest_divisor(length: int, most: int) -> int:
    """The largest divisor of `length` that is not above `most`, at least 1."""
    return max((d for d in range(1, most + 1) if length % d == 0), default=1)
