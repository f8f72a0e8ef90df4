"""Arrays as small PNG pictures inside the page."""

from __future__ import annotations

import base64
import io

import numpy as np

_NEGATIVE, _MIDDLE, _POSITIVE = (
    np.array(c, float) for c in ((0, 90, 181), (247,) * 3, (220, 50, 32))
)
"""A diverging palette that colour-blind readers can tell apart."""
_GAP = 128
"""The grey between the inputs of a filter."""

MOST_INPUTS, MOST_FILTERS = 6, 64
"""Of more inputs or filters of a layer, the first ones are drawn."""


def data_uri(picture: np.ndarray) -> str:
    """Return a picture uint8 [h, w, 1 or 3] as the address of an image."""
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture).save(
        content, "PNG", optimize=True
    )
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"


def filter_pictures(weights: np.ndarray) -> list[np.ndarray]:
    """Return kernels [h, w, in, out] as a picture a filter: its inputs one below the other.

    Colours run from the most negative weight over 0 to the most positive one of all kernels
    that are drawn, at most `MOST_INPUTS` of at most `MOST_FILTERS` filters.
    """
    shown = weights[:, :, :MOST_INPUTS, :MOST_FILTERS].astype(np.float64)
    largest = float(np.abs(shown).max()) or 1.0
    share = (shown / largest)[..., None]
    side = np.where(share < 0, _NEGATIVE, _POSITIVE)
    pixels = np.rint(_MIDDLE + np.abs(share) * (side - _MIDDLE)).astype(np.uint8)
    height, width, inputs, count, _ = pixels.shape
    spaced = np.full((count, inputs, height + 1, width, 3), _GAP, np.uint8)
    spaced[:, :, :height] = pixels.transpose(3, 2, 0, 1, 4)
    return list(spaced.reshape(count, -1, width, 3)[:, :-1])
