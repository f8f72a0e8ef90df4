"""Arrays by name in safetensors files, with a checksum of all that they hold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError, deserialize

from ranvier import dtypes
from ranvier.errors import InputError
from ranvier.training.files import RunError, canonical, write_atomically

_DTYPES = {
    "F32": dtypes.float32,
    "F64": dtypes.float64,
    "BF16": dtypes.bfloat16,
    "I32": dtypes.int32,
    "I64": dtypes.int64,
    "U8": dtypes.uint8,
    "BOOL": dtypes.bool_,
}
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
        content = path.read_bytes()
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}; check the path") from None
    try:
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        known = json.loads(header["__metadata__"][_KEY])
        arrays = {name: _array(view) for name, view in _views(content)}
        if known["sha256"] == _digest(arrays, known["info"]):
            return arrays, known["info"]
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError, AttributeError):
        pass
    raise RunError(f"{path}: the file is damaged; restore it from a copy, or train again")


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


def _views(content: bytes) -> list[tuple[str, dict[str, Any]]]:
    """What safetensors finds in a file: its stub has no types."""
    found: list[tuple[str, dict[str, Any]]] = deserialize(content)  # type: ignore[no-untyped-call]
    return found


def _array(view: Mapping[str, Any]) -> np.ndarray:
    """A writable array of what safetensors says of one."""
    flat = np.frombuffer(bytearray(view["data"]), _DTYPES[view["dtype"]])
    return flat.reshape(view["shape"])


def _digest(arrays: Mapping[str, np.ndarray], info: Mapping[str, Any]) -> str:
    found = hashlib.sha256(canonical(info))
    for name in sorted(arrays):
        array = arrays[name]
        found.update(f"{name} {array.shape} {array.dtype.name};".encode())
        found.update(array.tobytes())
    return found.hexdigest()
