"""Arrays by name in safetensors files, with a checksum of all that they hold."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import safetensors.numpy

from ranvier import dtypes
from ranvier.errors import InputError
from ranvier.reading import open_plain, parse_json
from ranvier.records import dataclass
from ranvier.training.run.files import RunError, canonical, write_atomically

_DTYPES = {
    "F32": dtypes.float32,
    "F64": dtypes.float64,
    "BF16": dtypes.bfloat16,
    "I32": dtypes.int32,
    "I64": dtypes.int64,
    "U8": dtypes.uint8,
    "BOOL": dtypes.bool_,
}
_MOST_AXES = 64
"""Of NumPy's arrays."""
_KEY = "ranvier"
"""The one key of the metadata: more of them would be written in no fixed order."""


def save_arrays(
    path: Path, arrays: Mapping[str, np.ndarray], info: Mapping[str, Any] | None = None
) -> None:
    """Write arrays and what else is to be known, as JSON; equal contents give equal bytes.

    Raises InputError for a name or a dtype that the file could not give back.
    """
    plain = {name: _storable(name, array) for name, array in arrays.items()}
    known = json.loads(json.dumps(info or {}, allow_nan=False))  # as read: keys are strings
    text = json.dumps({"sha256": _digest(plain, known), "info": known}, allow_nan=False)
    write_atomically(path, safetensors.numpy.save(plain, {_KEY: text}))


def load_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `save_arrays` wrote; RunError where it is missing or damaged."""
    try:
        with open_plain(path) as file:
            places, known = _header(file)
            arrays = {name: _array(file, place) for name, place in places.items()}
        if known["sha256"] == _digest(arrays, known["info"]):
            return arrays, dict(known["info"])
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}; check the path") from None
    except (ValueError, KeyError, TypeError, RecursionError, AttributeError):
        pass
    raise RunError(f"{path}: the file is damaged; restore it from a copy, or train again")


@dataclass(frozen=True)
class _Place:
    """An array in a file: where its bytes are, from the file's beginning, and what they mean."""

    start: int
    end: int
    dtype: dtypes.DType
    shape: tuple[int, ...]


def _header(file: BinaryIO) -> tuple[dict[str, _Place], dict[str, Any]]:
    """Where the arrays of a file are, by their places, and its metadata.

    The format: the length of the header in eight bytes, the header in JSON, then the arrays side
    by side up to the end. Raises ValueError, TypeError or KeyError for anything else, before
    memory is spent on arrays.
    """
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    if length > size - 8:
        raise ValueError("the header is longer than the file")
    header = parse_json(file.read(length))
    known = parse_json(header.pop("__metadata__")[_KEY])
    found = {name: _place(entry, 8 + length) for name, entry in header.items()}
    end = 8 + length
    for place in sorted(found.values(), key=lambda place: (place.start, place.end)):
        if place.start != end:
            raise ValueError("the arrays do not lie side by side")
        end = place.end
    if end != size:
        raise ValueError("the arrays do not end where the file does")
    return dict(sorted(found.items(), key=lambda item: item[1].start)), known


def _place(entry: Mapping[str, Any], base: int) -> _Place:
    dtype, shape = _DTYPES[entry["dtype"]], entry["shape"]
    start, end = entry["data_offsets"]
    if len(shape) > _MOST_AXES:
        raise ValueError("no array has so many axes")
    if not all(type(n) is int and n >= 0 for n in (*shape, start)):
        raise ValueError("shapes and places are whole numbers")
    if end - start != prod(shape) * dtype.itemsize:
        raise ValueError("an array has not as many bytes as its shape needs")
    return _Place(base + start, base + end, dtype, tuple(shape))


def _array(file: BinaryIO, place: _Place) -> np.ndarray:
    """A writable array, read from its place."""
    array = np.empty(place.shape, place.dtype)
    file.seek(place.start)
    if file.readinto(_bytes(array)) != array.nbytes:  # type: ignore[attr-defined]
        raise ValueError("the file became shorter")
    return array


def _bytes(array: np.ndarray) -> memoryview:
    """The bytes of an array that lies without gaps."""
    return array.reshape(-1).view(np.uint8).data


def _storable(name: str, array: np.ndarray) -> np.ndarray:
    """The array, contiguous and in this machine's byte order."""
    if name == "__metadata__" or any("\ud800" <= letter <= "\udfff" for letter in name):
        raise InputError(f"an array cannot be saved under the name {name!r}; choose another")
    if array.dtype.newbyteorder("=") not in _DTYPES.values():
        raise InputError(
            f"{name}: arrays of {array.dtype.name} cannot be saved; convert it to one of "
            f"{', '.join(dtype.name for dtype in _DTYPES.values())}"
        )
    return np.asarray(array, array.dtype.newbyteorder("="), order="C", copy=None)


def _digest(arrays: Mapping[str, np.ndarray], info: Mapping[str, Any]) -> str:
    found = hashlib.sha256(canonical(info))
    for name in sorted(arrays):
        array = arrays[name]
        found.update(f"{name} {array.shape} {array.dtype.name};".encode())
        found.update(_bytes(array))
    return found.hexdigest()
