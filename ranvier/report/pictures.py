"""Arrays as small PNG pictures inside the page."""

from __future__ import annotations

import base64
import io

import numpy as np

_NEGATIVE, _MIDDLE, _POSITIVE = (
    np.array(c, float) for c in ((0, 90, 181), (247,) * 3, (220, 50, 32))
)
"""A diverging palette that colour-blind readers can tell apart."""

_MOST_INPUTS = 6
_MOST_OUTPUTS = 32


def data_uri(picture: np.ndarray) -> str:
    """Return a picture uint8 [h, w, 1 or 3] as the address of an image."""
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture).save(
        content, "PNG", optimize=True
    )
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"


def filter_rows(weights: np.ndarray) -> list[list[np.ndarray]]:
    """Return kernels [h, w, in, out] as pictures: a row for each input, a column an output.

    Colours run from the most negative weight over 0 to the most positive one of all kernels.
    Of many inputs or outputs the first ones are shown.
    """
    shown = weights[:, :, :_MOST_INPUTS, :_MOST_OUTPUTS].astype(np.float64)
    largest = float(np.abs(shown).max()) or 1.0
    share = (shown / largest)[..., None]
    side = np.where(share < 0, _NEGATIVE, _POSITIVE)
    colours = _MIDDLE + np.abs(share) * (side - _MIDDLE)
    pixels = np.rint(colours).astype(np.uint8)
    return [[pixels[:, :, i, o] for o in range(pixels.shape[3])] for i in range(pixels.shape[2])]
