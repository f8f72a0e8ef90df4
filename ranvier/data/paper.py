"""Paper as photographs show it: lit unevenly, with noise; and whether ink on it is dark.

Light falls off smoothly across a sheet, so the paper's grey is taken for a cubic surface: one is
fitted to the pixels by least squares, again and again without those that lie far from it, which
are ink (Fischler & Bolles, "Random sample consensus", 1981, on fits that leave outliers out).
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"

_UNEVEN = 10
"""Border pixels that differ by more grey values than this, outer tenths left out, are no paper
of one grey."""
_LARGEST = 256
"""Pixels a side that are enough to tell ink from paper; averaging more takes noise away."""
_FITTED = 64
"""The surface is fitted to so many pixels a side at most."""
_FITS = 8
_FAR = 2.5
"""A pixel that is so many deviations off the surface is not paper."""
_NOISE = 3.0
"""Less than so many deviations off, it is nothing but paper."""
_FAINTEST = 0.1
"""Nor is anything ink that has less than this share of the strongest ink."""
_STRONGEST = 0.3
"""Per cent of the pixels that may be outliers of the ink."""


def border(pixels: Array) -> Array:
    """Return the pixels [n, c] of the border of a picture [h, w, c]."""
    edges = (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1])
    joined: Array = np.concatenate(edges)
    return joined


def evened(grey: Array) -> Array:
    """Return a picture uint8 [h, w, 1] as if its paper had one grey; larger ones are reduced.

    A picture whose border has one grey already is returned as it is.
    """
    low, high = np.percentile(border(grey), (10, 90))
    if high - low <= _UNEVEN or min(grey.shape[:2]) < 8:
        return grey
    reduced = _reduced(grey)[..., 0].astype(np.float64)
    off, noise = _off_paper(reduced)
    darkest, lightest = np.percentile(off, (_STRONGEST, 100 - _STRONGEST))
    strongest = max(-darkest, lightest)
    least = max(_NOISE * noise, _FAINTEST * strongest)
    ink = np.sign(off) * np.maximum(np.minimum(np.abs(off), strongest) - least, 0)
    if -darkest > lightest:
        ink, paper = np.minimum(ink, 0), 255.0
    else:
        ink, paper = np.maximum(ink, 0), 0.0
    found: Array = np.rint(np.clip(paper + ink, 0, 255)).astype(np.uint8)
    return found[..., np.newaxis]


def has_dark_ink(grey: Array) -> bool:
    """Whether a picture departs from its paper further towards dark than towards light."""
    paper = float(np.median(border(grey)))
    darker, lighter = paper - float(grey.min()), float(grey.max()) - paper
    return darker > lighter or (darker == lighter and paper > 127)


def _reduced(grey: Array) -> Array:
    from PIL import Image

    height, width = grey.shape[:2]
    scale = _LARGEST / max(height, width)
    if scale >= 1:
        return grey
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    small: Array = np.asarray(Image.fromarray(grey[..., 0]).resize(size, Image.Resampling.BOX))
    return small[..., np.newaxis]


def _off_paper(grey: Array) -> tuple[Array, float]:
    """How far each pixel [h, w] is from the paper's surface, and the deviation of the paper.

    The surface is fitted to some of the pixels, evenly spread.
    """
    height, width = grey.shape
    down, along = -(-height // _FITTED), -(-width // _FITTED)
    surfaces = _surfaces(height, width)
    some = surfaces[::down, ::along].reshape(-1, surfaces.shape[-1])
    values = grey[::down, ::along].reshape(-1)
    paper = np.ones(len(values), bool)
    fitted, noise = np.zeros(surfaces.shape[-1]), 0.0
    for _ in range(_FITS):
        fitted = np.linalg.lstsq(some[paper], values[paper], rcond=None)[0]
        off = np.abs(values - some @ fitted)
        noise = max(1.4826 * float(np.median(off)), 0.5)
        paper = off < _FAR * noise
    return grey - surfaces @ fitted, noise


def _surfaces(height: int, width: int) -> Array:
    """The terms of a cubic in two variables from -1 to 1: [h, w, 10]."""
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    return np.stack([x**i * y**j for i in range(4) for j in range(4 - i)], axis=-1)
