"""Files that the tests of the data room write, and how they expect an error."""

from __future__ import annotations

import gzip
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ranvier.data.errors import DataError


def says(text: str) -> Any:
    """Expect a DataError whose whole text is `text`."""
    return pytest.raises(DataError, match=f"^{re.escape(text)}$")


def idx(array: np.ndarray) -> bytes:
    """The IDX file of an array of bytes."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def images(n: int, height: int = 4, width: int = 3, seed: int = 0) -> np.ndarray:
    """Random bytes [n, height, width]."""
    return np.random.default_rng(seed).integers(0, 256, (n, height, width), np.uint8)


def labels(n: int, classes: int = 3) -> np.ndarray:
    """0, 1, 2, 0, 1, … : n of them."""
    return (np.arange(n) % classes).astype(np.uint8)


def write_idx_folder(folder: Path, train: int = 20, test: int = 6) -> Path:
    """The four gzipped files of a small dataset with MNIST's names."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, n in (("train", train), ("t10k", test)):
        for kind, array in (("images-idx3", images(n)), ("labels-idx1", labels(n))):
            (folder / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(idx(array)))
    return folder


def write_picture(path: Path, pixels: np.ndarray) -> Path:
    """Save pixels [h, w] or [h, w, 3] in the format that the name asks for."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path
