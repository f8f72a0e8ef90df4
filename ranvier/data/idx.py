"""The IDX format of MNIST and its relatives: a header of big-endian words, then plain bytes.

A file begins with two zero bytes, the element type (8 = unsigned byte, the only one that these
datasets use), the number of axes, and each axis's length as 32 bits; the elements follow.
"""

from __future__ import annotations

import gzip
import os
import zlib
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ranvier.data.errors import DataError
from ranvier.data.source import Array, Split
from ranvier.reading import open_plain

_TYPES = {8: "uint8", 9: "int8", 11: "int16", 12: "int32", 13: "float32", 14: "float64"}
_LIMIT = 4 << 30
"""More bytes than this in one file are refused rather than unpacked."""
_HARMLESS = 128 << 20
_MOST_GROWTH = 100
"""An archive may unpack to so many bytes, or to so many times its own."""
_CHUNK = 1 << 20

_PARTS = {"train": ("train",), "test": ("t10k", "test")}
_KINDS = {"images": 3, "labels": 1}


def read_idx(path: Path, axes: int) -> Array:
    """Read a whole IDX file of unsigned bytes with this number of axes, gzipped (.gz) or plain.

    Raises DataError, naming the file, for anything but exactly such a file.
    """
    return parse_idx(read_bytes(path), axes, str(path))


def parse_idx(content: bytes, axes: int, name: str) -> Array:
    """Return the array uint8 (read-only) that these bytes describe; `name` is for errors."""
    shape = _header(content, axes, name)
    start, size = 4 + 4 * axes, prod(shape)
    found = len(content) - start
    if found != size:
        fault = "is truncated" if found < size else "has trailing bytes"
        raise DataError(
            f"{name}: the file {fault}: its header announces {size} bytes of data, "
            f"{found} follow; fetch it anew"
        )
    return np.frombuffer(content, np.uint8, size, start).reshape(shape)


def _header(content: bytes, axes: int, name: str) -> tuple[int, ...]:
    if len(content) < 4 + 4 * axes:
        raise DataError(
            f"{name}: the file is truncated: {len(content)} bytes are less than an IDX header "
            f"of {4 + 4 * axes}; fetch it anew"
        )
    if content[:2] != b"\0\0" or content[2] not in _TYPES:
        raise DataError(
            f"{name}: not an IDX file: it begins with 0x{content[:4].hex()}, "
            f"not 0x000008{axes:02x}; fetch it anew"
        )
    if content[2] != 8:
        raise DataError(
            f"{name}: the elements are {_TYPES[content[2]]}; write them as unsigned bytes (uint8)"
        )
    if content[3] != axes:
        raise DataError(
            f"{name}: the file has {content[3]} axes, not {axes}; "
            "images have 3 (count, height, width), labels 1"
        )
    return tuple(int(n) for n in np.frombuffer(content, ">u4", axes, 4))


def read_bytes(path: Path, limit: int = _LIMIT) -> bytes:
    """Read a plain file, unpacked if its name ends with .gz; at most `limit` bytes.

    Raises DataError for a larger one, and for an archive that becomes very many times larger when
    it is unpacked.
    """
    try:
        with open_plain(path) as file:
            size = os.fstat(file.fileno()).st_size
            if path.suffix != ".gz":
                content = file.read(limit + 1) if size <= limit else None
            else:
                content = _unpacked(path, file, size, limit)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file; check the path") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"{path}: the gzip archive is {_fault(path, error)}; fetch it anew"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    if content is None or len(content) > limit:
        raise DataError(f"{path}: holds more than {limit} bytes; split it into smaller files")
    return content


def _unpacked(path: Path, file: BinaryIO, size: int, limit: int) -> bytes:
    """What a gzip archive of `size` bytes holds, or a little more than `limit` bytes of it."""
    parts, total = [], 0
    with gzip.open(file) as unpacked:
        while total <= limit and (part := unpacked.read(_CHUNK)):
            parts.append(part)
            total += len(part)
            check_growth(path, total, size)
    return b"".join(parts)


def check_growth(path: Path, unpacked: int, packed: int) -> None:
    """Raise DataError where so many bytes out of so few are no data, but a bomb."""
    if unpacked > _HARMLESS and unpacked > _MOST_GROWTH * packed:
        raise DataError(
            f"{path}: unpacks to more than {unpacked >> 20} MB, over {_MOST_GROWTH} times its "
            "size; unpack it yourself if you trust it"
        )


def _fault(path: Path, error: Exception) -> str:
    """What is wrong with an archive that does not unpack."""
    if isinstance(error, EOFError):
        return "truncated"
    with open_plain(path) as file:
        if file.read(2) != b"\x1f\x8b":
            return "none (it does not begin with 1f 8b)"
    return "damaged"


def idx_file(folder: Path, part: str, kind: str) -> Path | None:
    """Return the file of a part ("train", "test") and kind ("images", "labels"), or None.

    Both spellings in use are known, `train-images-idx3-ubyte` and `train-images.idx3-ubyte`,
    with and without .gz; `t10k` is the official name of the test set.
    """
    for prefix in _PARTS[part]:
        for join in "-.":
            for suffix in ("", ".gz"):
                path = folder / f"{prefix}-{kind}{join}idx{_KINDS[kind]}-ubyte{suffix}"
                if path.is_file():
                    return path
    return None


def read_part(folder: Path, part: str) -> Split:
    """Read the images uint8[n,h,w,1] and labels int32[n] of a part from a folder of IDX files."""
    paths = {}
    for kind, axes in _KINDS.items():
        path = idx_file(folder, part, kind)
        if path is None:
            official = f"{_PARTS[part][0]}-{kind}-idx{axes}-ubyte.gz"
            raise DataError(f"{folder}: there is no {official}; put that file there")
        paths[kind] = path
    images, labels = (read_idx(paths[kind], axes) for kind, axes in _KINDS.items())
    return pair(images, labels, str(paths["images"]), str(paths["labels"]))


def pair(images: Array, labels: Array, images_name: str, labels_name: str) -> Split:
    """Return the split of images uint8[n,h,w] and labels uint8[n]; DataError if n differs."""
    if len(images) != len(labels):
        raise DataError(
            f"{images_name} holds {len(images)} images, {labels_name} {len(labels)} labels; "
            "fetch both from the same source"
        )
    return Split(images[..., np.newaxis], labels.astype(np.int32))
