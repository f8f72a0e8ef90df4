"""Arrays in NumPy's .npz archives; nothing in them is ever unpickled."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Mapping
from math import prod
from pathlib import Path

import numpy as np
from numpy.lib.format import read_array_header_1_0, read_array_header_2_0, read_magic

from ranvier.data.errors import DataError
from ranvier.data.idx import check_growth
from ranvier.data.labels import (
    check_classes,
    check_range,
    class_names,
    class_numbers,
    numbered_classes,
)
from ranvier.data.source import Array, Split
from ranvier.reading import open_plain

_CHUNK = 1 << 20
_MOST_AXES = 32

_PAIRS = {
    "train": (("inputs", "targets"), ("x_train", "y_train")),
    "validation": (("x_validation", "y_validation"),),
    "test": (("x_test", "y_test"),),
}


def read_npz(path: Path) -> tuple[dict[str, Split], tuple[str, ...]]:
    """Return the parts ("train", perhaps "validation" and "test") and the class names.

    The keys are `inputs` and `targets` for a whole, or `x_train`, `y_train`, `x_test`, `y_test`
    and perhaps `x_validation`, `y_validation`; `classes` may name the classes. Inputs: bytes
    stay bytes (images [n, h, w] get a channel), other whole numbers become int32 (ids), floats
    float32. Targets: one whole number or string a row is a class; floats are numbers to
    predict, float32. Raises DataError, naming file and key.
    """
    arrays = _read_arrays(path)
    keys = {part: _keys(path, part, arrays) for part in _PAIRS}
    found = {part: pair for part, pair in keys.items() if pair is not None}
    if "train" not in found:
        held = ", ".join(arrays) or "none"
        raise DataError(
            f"{path}: the keys are {held}; use inputs and targets, or x_train, y_train, "
            "x_test and y_test"
        )
    targets = {part: _targets(arrays[y], f"{path}, {y!r}") for part, (_, y) in found.items()}
    key = found["train"][1]
    classes = _classes(arrays.get("classes"), targets["train"], path, f"{path}, {key!r}")
    parts = {}
    for part, (x, y) in found.items():
        inputs = _inputs(arrays[x], f"{path}, {x!r}")
        if len(inputs) != len(targets[part]):
            raise DataError(
                f"{path}: {x!r} has {len(inputs)} rows, {y!r} {len(targets[part])}; "
                "pair them row by row"
            )
        numbers = _numbered(targets[part], classes, f"{path}, {y!r}")
        parts[part] = Split(inputs, numbers)
    return parts, classes


def _read_arrays(path: Path) -> dict[str, Array]:
    damaged = f"{path}: not an .npz archive, or damaged; write it with numpy.savez"
    try:
        with open_plain(path) as file, zipfile.ZipFile(file) as archive:
            members = [each for each in archive.infolist() if each.filename.endswith(".npy")]
            size = os.fstat(file.fileno()).st_size
            check_growth(path, sum(each.file_size for each in members), size)
            return {each.filename[:-4]: _read_member(path, archive, each) for each in members}
    except OSError as error:
        if error.strerror is None:
            raise DataError(damaged) from None
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except DataError:
        raise
    except (ValueError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError):
        raise DataError(damaged) from None


def _read_member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    """An array, whose header and size are compared before memory is spent on it."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError("a method of compression that NumPy does not write")
    with archive.open(member) as file:
        version = read_magic(file)
        read_header = read_array_header_1_0 if version == (1, 0) else read_array_header_2_0
        shape, by_columns, dtype = read_header(file)
        if dtype.hasobject:
            raise DataError(
                f"{path}: holds Python objects, which are never loaded; "
                "save arrays of numbers or strings"
            )
        size = member.file_size - file.tell()
        if len(shape) > _MOST_AXES or min(shape, default=0) < 0 or not dtype.itemsize:
            raise ValueError("no shape of an array")
        if prod(shape) * dtype.itemsize != size:
            raise ValueError("the shape does not fit the file")
        content, place = np.empty(size, np.uint8), 0
        while part := file.read(_CHUNK):  # to the end, where the checksum is compared
            content[place : place + len(part)] = np.frombuffer(part, np.uint8)
            place += len(part)
        if place != size:
            raise EOFError("the array is cut off")
    flat = content.view(dtype)
    return flat.reshape(shape[::-1]).T if by_columns else flat.reshape(shape)


def _keys(path: Path, part: str, arrays: Mapping[str, Array]) -> tuple[str, str] | None:
    for x, y in _PAIRS[part]:
        if (x in arrays) != (y in arrays):
            present, absent = (x, y) if x in arrays else (y, x)
            raise DataError(f"{path}: has {present!r} but no {absent!r}; add it")
        if x in arrays:
            return x, y
    return None


def _inputs(array: Array, name: str) -> Array:
    if array.ndim == 0 or array.size == 0:
        raise DataError(f"{name}: there are no rows; use an array with one for each observation")
    if array.dtype == np.uint8:
        return array[..., np.newaxis] if array.ndim == 3 else array
    if array.dtype.kind in "iu":
        return _whole(array, name)
    if array.dtype.kind == "f":
        array = _finite(array, name)
        return array[:, np.newaxis] if array.ndim == 1 else array
    raise DataError(f"{name}: the dtype is {array.dtype}; use numbers")


def _targets(array: Array, name: str) -> Array:
    """The targets with classes still as they are in the file, flat."""
    if array.ndim == 0 or array.size == 0:
        raise DataError(f"{name}: there are no rows; use an array with one for each observation")
    if array.dtype.kind == "f":
        array = _finite(array, name)
        return array[:, np.newaxis] if array.ndim == 1 else array
    if array.dtype.kind not in "biuU":
        raise DataError(f"{name}: the dtype is {array.dtype}; use class numbers, names or floats")
    if array.size != len(array):
        raise DataError(
            f"{name}: classes of shape {array.shape}; use one for each row, or floats to predict"
        )
    flat = array.reshape(-1)
    return flat if array.dtype.kind == "U" else _whole(flat, name)


def _classes(named: Array | None, targets: Array, path: Path, name: str) -> tuple[str, ...]:
    if targets.dtype.kind == "f":
        return ()
    if named is not None:
        if named.ndim != 1 or named.dtype.kind != "U":
            raise DataError(f"{path}, 'classes': {named.dtype} of shape {named.shape}; use names")
        return tuple(str(name) for name in named)
    if targets.dtype.kind == "U":
        classes = class_names([str(label) for label in targets])
        check_classes(classes, name)
        return classes
    return numbered_classes(targets, name)


def _numbered(targets: Array, classes: tuple[str, ...], name: str) -> Array:
    """The targets of a part as class numbers, or as they are where there are no classes."""
    floats = targets.dtype.kind == "f"
    if floats != (not classes):
        found, training = ("floats", "classes") if floats else ("class numbers", "floats")
        raise DataError(
            f"{name}: {found}, but the training targets are {training}; use one kind for both"
        )
    if targets.dtype.kind == "U":
        return class_numbers([str(label) for label in targets], classes, name)
    if targets.dtype.kind == "f":
        return targets
    check_range(targets, len(classes), name)
    return targets


def _whole(array: Array, name: str) -> Array:
    bounds = np.iinfo(np.int32)
    flat = array.reshape(len(array), -1)
    bad = np.argwhere((flat > bounds.max) | (flat < bounds.min))
    if len(bad):
        row, column = bad[0]
        raise DataError(
            f"{name}: row {row} holds {flat[row, column]}, more than int32; use smaller numbers"
        )
    return array.astype(np.int32)


def _finite(array: Array, name: str) -> Array:
    with np.errstate(over="ignore"):
        converted = array.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(converted).reshape(len(array), -1).all(axis=1))
    if len(bad):
        raise DataError(
            f"{name}: row {bad[0]} holds NaN, infinity or a number beyond float32; "
            "replace it or leave the row out"
        )
    return converted
