"""Winograd's filtering for the gradient of 3x3 weights, cut to size, as plain data.

F(3x3, 2x2): a tile of 2x2 of the result's gradient and the 4x4 inputs that it met add to the
gradient of all 9 weights by 16 products of transformed values instead of 36. Over all tiles
these are 16 matrix products again, whose depth is the tiles; they are transformed back last.
"""

from __future__ import annotations

from ranvier.dtypes import DType
from ranvier.engines.native.indexmap import Affine
from ranvier.engines.native.plans.convolution import Loops
from ranvier.engines.native.plans.matmul import (
    Cut,
    TileHost,
    Tiling,
    choose_tiles,
    largest_divisor,
)
from ranvier.engines.native.plans.winograd import POINTS, Tiled, pays, spread
from ranvier.graph.ops.convolution import Geometry
from ranvier.graph.tensor import Shape
from ranvier.records import dataclass

_MOST_TILES = 128
"""Tiles of a block, so that threads get it from memory while they multiply the one before."""

_FEWEST_TILES = 16
"""With fewer in a block its sums are loaded and stored too often."""

_FEWEST_UNITS = 4
"""With fewer units threads would stand idle; the direct way divides its work more finely."""

_UNITS = 16
"""Units of work that a gradient is divided into, if there are so many images."""


@dataclass(frozen=True)
class WinogradGradientPlan(Tiled, Tiling):
    """The gradient [chunks, 3, 3, channels, n] of 3x3 weights, by tiles of 2x2 of the result's.

    A unit of work is a group of panels of one chunk of the images. Its sums S[point][panel]
    [channel][column], and of a block of tiles at a time V and the transformed gradient
    U[point][panel][tile][column], lie in scratch memory of the thread. `rows` cuts the channels,
    `panels` the columns, of which each `group` is worked on together.
    """

    gradient_steps: tuple[int, int, int]
    rows: Cut
    panels: Cut
    group: int

    @property
    def m(self) -> int:
        """The channels in."""
        return self.channels

    @property
    def n(self) -> int:
        """The channels out."""
        return self.loops.columns

    @property
    def groups(self) -> int:
        """The groups of panels."""
        return -(-self.panels.pieces // self.group)

    @property
    def units(self) -> int:
        """The units of work."""
        return self.loops.chunks * self.groups

    @property
    def width(self) -> int:
        """The columns of the widest group."""
        return self.group * self.panels.size * self.lanes

    @property
    def sum_step(self) -> int:
        """Elements between the points of S."""
        return spread(self.channels * self.width, self.lanes)

    @property
    def gradient_step(self) -> int:
        """Elements between the points of U."""
        return spread(self.tiles * self.width, self.lanes)

    @property
    def scratch(self) -> int:
        """Elements of scratch memory that a thread needs."""
        weights = 9 * self.channels * self.panels.size * self.lanes
        return POINTS * (self.point_step + self.gradient_step + self.sum_step) + weights

    def __str__(self) -> str:
        shape = "x".join(map(str, (self.loops.chunks, 3, 3, self.channels, self.n)))
        return f"winograd gradient {shape}, images {'x'.join(map(str, self.image))}"


def gradient_chunks(
    geometry: Geometry, kernel: Shape, image: Shape, channels: int, dtype: DType, host: TileHost
) -> int | None:
    """The parts of the images by which to divide a gradient; None where the direct way is better.

    `image` is the shape of the result's gradient.
    """
    if not _suits(geometry, kernel, image, channels, dtype, host):
        return None
    groups = -(-image[3] // max(1, _group_columns(channels, dtype, host)))
    chunks = largest_divisor(image[0], -(-_UNITS // groups))
    return chunks if chunks * groups >= _FEWEST_UNITS else None


def plan_winograd_gradient(
    geometry: Geometry,
    result: Shape,
    image: Shape,
    loops: Loops,
    x: Affine,
    g: Affine,
    dtype: DType,
    host: TileHost,
) -> WinogradGradientPlan | None:
    """Plan a gradient [chunks, 3, 3, channels, n]; None where the direct way is better."""
    lanes, (chunks, *kernel, channels, outputs) = host.lanes(dtype), result
    if x.terms[3] != 1 or g.terms[3] != 1:
        return None
    if not _suits(geometry, tuple(kernel), image, channels, dtype, host):
        return None
    images, height, width, _ = image
    columns = _group_columns(channels, dtype, host)
    most = min(_fitting_tiles(channels, outputs, dtype, host), _MOST_TILES) // (width // 2)
    lines = largest_divisor(images // chunks * height // 2, most)
    tiles = lines * width // 2
    rows, panels = choose_tiles(
        POINTS, channels, outputs // lanes, tiles, lanes, dtype.itemsize, host
    )
    group = max(1, min(panels.pieces, columns // (panels.size * lanes)))
    sizes, steps = (images, height, width), (x.terms[0], x.terms[1], x.terms[2])
    gradient_steps = g.terms[0], g.terms[1], g.terms[2]
    plan = WinogradGradientPlan(
        loops, sizes, steps, channels, dtype, lanes, lines, gradient_steps, rows, panels, group
    )
    return plan if plan.units >= _FEWEST_UNITS else None


def _suits(
    geometry: Geometry, kernel: Shape, image: Shape, channels: int, dtype: DType, host: TileHost
) -> bool:
    """Whether the filtering is quicker, given that there are enough units of work."""
    even = image[1] % 2 == image[2] % 2 == 0
    if not even or not pays(geometry, kernel, image, channels, host.lanes(dtype)):
        return False
    return _fitting_tiles(channels, image[3], dtype, host) >= _FEWEST_TILES


def _group_columns(channels: int, dtype: DType, host: TileHost) -> int:
    """The columns whose sums fill half the L2 cache."""
    return host.l2_bytes // 2 // (POINTS * channels * dtype.itemsize)


def _fitting_tiles(channels: int, outputs: int, dtype: DType, host: TileHost) -> int:
    """The tiles whose V and U together fill the L2 cache."""
    columns = min(outputs, _group_columns(channels, dtype, host))
    return host.l2_bytes // (POINTS * (channels + columns) * dtype.itemsize)
