"""Picture files as arrays: decoding, and the preparation of one picture for a network.

Pillow does the decoding and the resampling; it is imported when a picture is read.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ranvier.data.errors import DataError, NoPictureError
from ranvier.data.paper import border, evened, has_dark_ink
from ranvier.data.source import Array
from ranvier.guidance.calls import explained
from ranvier.reading import open_plain
from ranvier.records import dataclass

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")

_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
"""What Pillow may take a file for, whatever its name; others of its decoders start programs."""
_MOST_PIXELS = 64_000_000
_BAND = 256
"""Rows of a picture that are converted at once."""

_ORIENTATION, _ON_ITS_SIDE = 0x0112, 5
"""The tag of the camera's rotation; from this value on it is a quarter of a turn."""
_GREY_MODES = ("1", "L", "LA", "La")
_SEEN = 256
"""Pixels a side by which the colour below transparency is chosen."""
_MUCH_MORE = 3
_INK = 64
"""Grey value, of 255, from which on a pixel counts as ink and not as a shade of the paper."""


def read_image(path: Path) -> Array:
    """Return a picture as uint8 [h, w, 1] if the file is grey, else [h, w, 3] (RGB).

    The camera's rotation is undone; transparency is laid on white, or on black where what is
    drawn is itself nearly white; 16-bit grey keeps its upper eight bits; of an animation the first
    frame counts. Raises DataError, naming the file, for what is none of PNG, JPEG, GIF, BMP, TIFF,
    WebP and PNM, and for more than 64 million pixels.
    """
    from PIL import ImageOps

    with _opened(path) as image:
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        return _pixels(image)


def image_size(path: Path) -> tuple[int, int]:
    """Return height and width of a picture as `read_image` gives it, from the file's header."""
    with _opened(path) as image:
        turned = image.getexif().get(_ORIENTATION, 1) >= _ON_ITS_SIDE
        return (image.width, image.height) if turned else (image.height, image.width)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open a picture; DataError, naming the file, for what cannot be read in the block."""
    try:
        file = open_plain(path)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file; check the path") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    from PIL import Image, UnidentifiedImageError

    try:
        with file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what Pillow puts up with, or is refused here
            image = Image.open(file, formats=_FORMATS)
            if image.width * image.height > _MOST_PIXELS:
                raise Image.DecompressionBombError
            yield image
    except UnidentifiedImageError:
        raise NoPictureError(f"{path}: not a picture that can be read; use PNG or JPEG") from None
    except Image.DecompressionBombError:
        raise DataError(f"{path}: the picture has too many pixels; make it smaller") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:  # what Pillow's decoders raise
        raise DataError(f"{path}: the picture is damaged ({error}); save it anew") from None


def _pixels(image: Image.Image) -> Array:
    height, width = image.height, image.width
    if image.mode[0] in "IF":  # 16 or 32 bits; Pillow's own conversion cuts off at 255
        values: Array = np.asarray(image)
        if image.mode != "F" and values.max() > 255:
            values = values // 256
        return np.clip(values, 0, 255).astype(np.uint8)[..., np.newaxis]
    mode = "L" if image.mode in _GREY_MODES else "RGB"
    pixels = np.empty((height, width, len(mode)), np.uint8)
    backdrop = _backdrop(image) if image.has_transparency_data else ""
    for top in range(0, height, _BAND):  # so that copies on the way stay small
        band = image.crop((0, top, width, min(top + _BAND, height)))
        if backdrop:
            band = _laid_on(backdrop, band.convert("RGBA"))
        pixels[top : top + _BAND] = np.asarray(band.convert(mode)).reshape(-1, width, len(mode))
    if image.mode == "P" and (pixels == pixels[..., :1]).all():
        return pixels[..., :1]  # a palette of greys
    return pixels


def _laid_on(colour: str, image: Image.Image) -> Image.Image:
    from PIL import Image

    return Image.alpha_composite(Image.new("RGBA", image.size, colour), image)


def _backdrop(image: Image.Image) -> str:
    """The colour to lay transparency on: "white", or "black" for what white would hide.

    That is what stands out much more on black, judged by the deviation of some pixels' luma.
    """
    size = (min(image.width, _SEEN), min(image.height, _SEEN))
    some = np.asarray(image.resize(size, resample=0).convert("RGBA")).astype(np.float64)
    seen, luma = some[..., 3] / 255, some[..., :3] @ (0.299, 0.587, 0.114)
    on_white, on_black = seen * luma + 255 * (1 - seen), seen * luma
    return "black" if on_black.std() > _MUCH_MORE * on_white.std() else "white"


@dataclass(frozen=True)
class Manner:
    """How the grey pictures that a network learns from were made.

    paper: "dark", "light", or None where that is not the same for (nearly) all. centred: whether
    the ink was fitted into 20/28 of the size, its centre of mass in the middle, as in MNIST.
    """

    paper: str | None = None
    centred: bool = False


MNIST_MANNER = Manner("dark", True)

_NEARLY_ALL = 0.99
_MOST_SEEN = 200
"""Whether pictures are centred is judged by so many of them."""
_TOGETHER = 1024
"""Pictures whose paper is judged at once: NumPy's median makes float64 of their borders."""


def manner(images: Array) -> Manner:
    """Return how pictures uint8[n, h, w, 1] were made, judged by their borders and their ink."""
    parts = range(0, len(images), _TOGETHER)
    light = np.concatenate([_on_light(images[start : start + _TOGETHER]) for start in parts])
    for paper, share in (("light", light.mean()), ("dark", 1 - light.mean())):
        if share >= _NEARLY_ALL:
            some = images[:: -(-len(images) // _MOST_SEEN)]
            some = 255 - some if paper == "light" else some
            return Manner(paper, bool(np.mean([_is_centred(each) for each in some]) >= 0.9))
    return Manner()


def _on_light(images: Array) -> Array:
    """Whether each of some pictures has light paper: bool[n]."""
    edges = (images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1])
    found: Array = np.median(np.concatenate(edges, axis=1)[..., 0], axis=1) > 127
    return found


def _is_centred(grey: Array) -> bool:
    """Whether light ink on dark paper lies as MNIST has it, to within a pixel."""
    if grey.max() < _INK:
        return False
    sizes, wanted = grey.shape[:2], _inner(*grey.shape[:2])
    smaller = [most - size for most, size in zip(wanted, _ink_box(grey).shape[:2], strict=True)]
    off = [abs(m - (n + 1) / 2) for m, n in zip(_mass_centre(grey), sizes, strict=True)]
    return bool(abs(min(smaller)) <= 1 and max(off) <= 1)


@explained
def picture(
    path: str | Path,
    shape: tuple[int, int, int],
    *,
    centre: bool = True,
    ink: str = "auto",
    paper: str | None = "dark",
) -> Array:
    """Return an ordinary picture file as the array uint8 `shape` (h, w, c) that a network expects.

    For a colour network (c = 3) the picture is fitted into h × w, its sides in proportion, in
    the middle of its own border's colour.

    For a grey network (c = 1) it is turned to grey first, and inverted if its paper is not the
    `paper` that the network knows, "dark" or "light". `ink` says what the file holds: "dark"
    ink on light paper, "light" ink on dark paper, or "auto": with `centre`, what departs most
    from the border is ink, else it is dark if the border is light. Where `paper` is None, the
    network knows either: nothing is centred, nor inverted unless `ink` asks.

    A picture that has exactly the wanted size is then taken as it is. Any other one is, with
    `centre`, freed of uneven light and of noise, as photographs have them, stretched so that paper
    is 0 and the strongest ink 255, and prepared as MNIST was (LeCun et al., 1998): the box round
    the ink is fitted into 20/28 of the size and placed with its centre of mass in the middle.
    Without `centre` the whole picture is fitted in, as for a colour network.

    Raises DataError for a file that cannot be read, or that is to be centred and has no ink.
    """
    height, width, channels = shape
    if channels not in (1, 3) or min(height, width) < 1:
        raise DataError(f"a picture of shape {shape}: use (height, width, 1 or 3)")
    if ink not in ("auto", "dark", "light"):
        raise DataError(f'ink is {ink!r}; use "auto", "dark" or "light"')
    if paper not in ("dark", "light", None):
        raise DataError(f'paper is {paper!r}; use "dark", "light" or None')
    pixels = read_image(Path(path))
    if channels == 3:
        return fitted(np.broadcast_to(pixels, (*pixels.shape[:2], 3)), height, width)
    grey = _grey(pixels)
    centred = centre and paper is not None
    if centred and grey.shape != shape:
        grey = evened(grey)
    if _dark_ink(grey, ink, paper, centred) != (paper == "light"):
        grey = 255 - grey
    if grey.shape == shape:
        return grey
    if not centred:
        return fitted(grey, height, width)
    if paper == "light":
        return 255 - _as_mnist(255 - grey, height, width, str(path))
    return _as_mnist(grey, height, width, str(path))


def _dark_ink(grey: Array, ink: str, paper: str | None, centred: bool) -> bool:
    """Whether a file holds dark ink on light paper.

    What is to be centred has a border of nothing but paper, so that ink is what departs from it
    most; else light and dark borders are told apart.
    """
    if ink != "auto":
        return ink == "dark"
    if paper is None:
        return False
    return has_dark_ink(grey) if centred else bool(_paper(grey)[0] > 127)


def _as_mnist(grey: Array, height: int, width: int, name: str) -> Array:
    """Light ink on dark paper, stretched, fitted and centred."""
    grey = _stretch(grey, name)
    return _centred(_scaled(_ink_box(grey), *_inner(height, width)), height, width)


def _inner(height: int, width: int) -> tuple[int, int]:
    """The part of a picture that MNIST's ink is fitted into."""
    return round(height * 20 / 28), round(width * 20 / 28)


def _grey(pixels: Array) -> Array:
    """Luma of ITU-R BT.601 in whole numbers, rounded."""
    if pixels.shape[2] == 1:
        return pixels
    weighted = pixels.astype(np.uint32) @ np.array((299, 587, 114), np.uint32)
    return ((weighted + 500) // 1000).astype(np.uint8)[..., np.newaxis]


def _paper(pixels: Array) -> Array:
    """The colour [c] of the paper: the median of the border's pixels."""
    colour: Array = np.median(border(pixels), axis=0).astype(np.uint8)
    return colour


def _stretch(grey: Array, name: str) -> Array:
    """Light ink on dark paper with paper at 0 and the strongest ink at 255."""
    paper, strongest = int(_paper(grey)[0]), int(grey.max())
    if strongest <= paper:
        raise DataError(f"{name}: the picture is blank; use one with ink that differs from paper")
    scaled = (grey.astype(np.float64) - paper) * (255 / (strongest - paper))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def _ink_box(grey: Array) -> Array:
    rows = np.flatnonzero((grey[..., 0] >= _INK).any(axis=1))
    columns = np.flatnonzero((grey[..., 0] >= _INK).any(axis=0))
    return grey[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _scaled(pixels: Array, height: int, width: int) -> Array:
    """Resample to the largest size inside height × width with the sides in proportion."""
    from PIL import Image

    old_height, old_width = pixels.shape[:2]
    scale = min(height / old_height, width / old_width)
    size = (max(1, round(old_width * scale)), max(1, round(old_height * scale)))
    image = Image.fromarray(
        pixels[..., 0] if pixels.shape[2] == 1 else np.ascontiguousarray(pixels)
    )
    resized = np.asarray(image.resize(size, Image.Resampling.LANCZOS))
    return resized.reshape(*resized.shape[:2], -1)


def fitted(pixels: Array, height: int, width: int) -> Array:
    """Return a picture [h, w, c] fitted into a size, its sides in proportion.

    It stands in the middle, and what is left has its own border's colour.
    """
    if pixels.shape[:2] == (height, width):
        return pixels
    inner = _scaled(pixels, height, width)
    top, left = (height - inner.shape[0]) // 2, (width - inner.shape[1]) // 2
    return _placed(inner, height, width, top, left, _paper(pixels))


def _centred(inner: Array, height: int, width: int) -> Array:
    """Place grey ink with its centre of mass in the middle, moved no further than it fits.

    The middle is the pixel right of and below the exact one: in MNIST's 28 pixels the centre
    of mass lies between 14 and 15, so that is where networks have learnt to expect it.
    """
    row, column = _mass_centre(inner)
    top = _within(ceil(height / 2 - row), height - inner.shape[0])
    left = _within(ceil(width / 2 - column), width - inner.shape[1])
    return _placed(inner, height, width, top, left, np.zeros(1, np.uint8))


def _mass_centre(grey: Array) -> tuple[float, float]:
    """Row and column of the centre of mass of light ink."""
    mass = grey[..., 0].astype(np.float64)
    rows, columns = (np.arange(n) + 0.5 for n in mass.shape)
    total = mass.sum()
    return float(mass.sum(axis=1) @ rows / total), float(mass.sum(axis=0) @ columns / total)


def _within(place: int, most: int) -> int:
    return min(max(place, 0), most)


def _placed(inner: Array, height: int, width: int, top: int, left: int, colour: Any) -> Array:
    whole = np.empty((height, width, inner.shape[2]), np.uint8)
    whole[:] = colour
    whole[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return whole
