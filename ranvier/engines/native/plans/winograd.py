"""Winograd's minimal filtering for 3x3 convolutions, cut to size, as plain data.

After Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2015), F(2x2, 3x3): a
tile of 2x2 outputs needs 16 products of transformed inputs and weights instead of 36. The
products of all tiles are 16 matrix products, one for each buffer in the transformed tile.
Larger tiles would save more, but lose digits: this one errs hardly more than the direct way.
"""

from __future__ import annotations

from ranvier.dtypes import DType
from ranvier.engines.native.indexmap import Affine
from ranvier.engines.native.plans.convolution import Loops
from ranvier.engines.native.plans.matmul import Cut, TileHost, Tiling, choose_tiles
from ranvier.graph.ops.convolution import Geometry
from ranvier.graph.tensor import Shape
from ranvier.records import dataclass

POINTS = 16
"""The elements of a transformed tile."""

_FEWEST_VECTORS = 2
"""With fewer vectors of channels in or out the transforms cost more than they save."""

_SMALLEST_IMAGE = 8
"""Smaller images have too few tiles for the larger weights."""

_LARGEST_WEIGHTS = 1 << 16
"""Channels in times channels out beyond which the weights would fall out of the caches."""

_MOST_TILES = 64
"""Tiles of a block: enough to use the weights often, few enough to stay in the L2 cache."""

_MANY_UNITS = 8
"""From this many units of work on, they are small beside a thread's share."""

_ENOUGH_BLOCKS = 16
"""From this many blocks on, their number need not be a multiple of the usual threads."""


@dataclass(frozen=True)
class Tiled:
    """Images [images, height, width] cut into tiles of 2x2, and these into blocks of `lines` rows.

    The transformed inputs of a block are V[point][tile][channel].
    """

    loops: Loops
    image: tuple[int, int, int]
    image_steps: tuple[int, int, int]
    channels: int
    dtype: DType
    lanes: int
    lines: int

    @property
    def down(self) -> int:
        """Tiles from top to bottom of an image."""
        return -(-self.image[1] // 2)

    @property
    def across(self) -> int:
        """Tiles from left to right."""
        return -(-self.image[2] // 2)

    @property
    def tiles(self) -> int:
        """Tiles of a block."""
        return self.lines * self.across

    @property
    def blocks(self) -> int:
        """The number of blocks."""
        return self.image[0] * self.down // self.lines

    @property
    def units(self) -> int:
        """The units of work that threads share: blocks."""
        return self.blocks

    @property
    def steals(self) -> bool:
        """Whether threads take units one by one, and those of others when they are done."""
        return self.units >= _MANY_UNITS

    @property
    def point_step(self) -> int:
        """Elements between the points of V."""
        return spread(self.tiles * self.channels, self.lanes)


@dataclass(frozen=True)
class WinogradPlan(Tiled, Tiling):
    """A 3x3 convolution [images, height, width, n] by tiles of 2x2 outputs.

    A block's V, the products M[point][tile][column] of one panel, and the outputs of one row of
    tiles lie in scratch memory of the thread. `rows` cuts the tiles of a block, `panels` the
    columns.
    """

    rows: Cut
    panels: Cut

    @property
    def m(self) -> int:
        """The outputs of one row."""
        return self.image[2]

    @property
    def n(self) -> int:
        """The channels out."""
        return self.loops.columns

    @property
    def width(self) -> int:
        """The columns of the widest panel."""
        return self.panels.size * self.lanes

    @property
    def product_step(self) -> int:
        """Elements between the points of M."""
        return self.tiles * self.width + self.lanes

    @property
    def scratch(self) -> int:
        """Elements of scratch memory that a thread needs."""
        outputs = 4 * self.across * self.width
        return POINTS * (self.point_step + self.product_step) + outputs

    @property
    def weights_size(self) -> int:
        """Elements of the transformed weights [panel][point][channel][column]."""
        return POINTS * self.channels * self.panels.total * self.lanes

    def __str__(self) -> str:
        image = "x".join(map(str, (*self.image, self.n)))
        return f"winograd {image}, {self.channels} channels in"


def spread(size: int, lanes: int) -> int:
    """`size` rounded up to an odd number of vectors, so that points spread over the cache."""
    vectors = -(-size // lanes)
    return (vectors + 1 - vectors % 2) * lanes


def plan_winograd(
    geometry: Geometry,
    result: Shape,
    weights: Shape,
    loops: Loops,
    x: Affine,
    dtype: DType,
    host: TileHost,
) -> WinogradPlan | None:
    """Plan a convolution without padding, or return None where the direct way is better."""
    lanes, (images, height, width, outputs) = host.lanes(dtype), result
    channels = weights[2]
    if x.terms[3] != 1 or not pays(geometry, weights[:2], result, channels, lanes):
        return None
    down, across = -(-height // 2), -(-width // 2)
    lines = _lines(images * down, _MOST_TILES // across)
    tiles = lines * across
    rows, panels = choose_tiles(
        POINTS, tiles, outputs // lanes, channels, lanes, dtype.itemsize, host
    )
    image, steps = (images, height, width), (x.terms[0], x.terms[1], x.terms[2])
    return WinogradPlan(loops, image, steps, channels, dtype, lanes, lines, rows, panels)


def pays(geometry: Geometry, kernel: Shape, result: Shape, channels: int, lanes: int) -> bool:
    """Whether a convolution without padding, or its weights' gradient, is quicker so."""
    images, height, width, outputs = result
    simple = (geometry.stride, geometry.dilation, geometry.groups) == ((1, 1), (1, 1), 1)
    if not simple or kernel != (3, 3) or channels % lanes or outputs % lanes:
        return False
    if min(channels, outputs) < _FEWEST_VECTORS * lanes or images == 0:
        return False
    return min(height, width) >= _SMALLEST_IMAGE and 0 < channels * outputs <= _LARGEST_WEIGHTS


def _lines(total: int, longest: int) -> int:
    """The rows of tiles of a block: a divisor of all that leaves work for several threads."""
    fitting = [d for d in range(1, max(1, longest) + 1) if total % d == 0]
    fair = [d for d in fitting if total // d >= _ENOUGH_BLOCKS or total // d % 4 == 0]
    return max(fair or fitting)
