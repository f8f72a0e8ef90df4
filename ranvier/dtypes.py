"""The dtypes of tensors: NumPy's own, and bfloat16 from ml_dtypes."""

from __future__ import annotations

from typing import Any, TypeAlias

import ml_dtypes
import numpy as np

from ranvier.errors import DTypeError

DType: TypeAlias = "np.dtype[Any]"

float32: DType = np.dtype(np.float32)
float64: DType = np.dtype(np.float64)
bfloat16: DType = np.dtype(ml_dtypes.bfloat16)
int32: DType = np.dtype(np.int32)
int64: DType = np.dtype(np.int64)
uint8: DType = np.dtype(np.uint8)
bool_: DType = np.dtype(np.bool_)

ALL: tuple[DType, ...] = (float32, float64, bfloat16, int32, int64, uint8, bool_)
FLOATING: tuple[DType, ...] = (float32, float64)
INTEGER: tuple[DType, ...] = (int32, int64, uint8)
NUMERIC: tuple[DType, ...] = FLOATING + INTEGER

_BY_NAME: dict[str, DType] = {dtype.name: dtype for dtype in ALL}


def as_dtype(value: Any) -> DType:
    """Return the tensor dtype that `value` names (a name, a NumPy type or dtype).

    Raises DTypeError for a dtype that tensors do not have.
    """
    try:
        dtype = _BY_NAME[value] if value in _BY_NAME else np.dtype(value)
        known = value is not None and dtype in ALL  # NumPy reads None as float64.
    except TypeError:
        known = False
    if not known:
        raise DTypeError(f"{value!r} is not a tensor dtype; use one of {', '.join(_BY_NAME)}")
    return dtype


def is_floating(dtype: DType) -> bool:
    """Whether arithmetic on `dtype` rounds (float32, float64; bfloat16 is storage only)."""
    return dtype in FLOATING


def convert(array: np.ndarray, dtype: DType, what: str = "") -> np.ndarray:
    """Return `array` as `dtype`.

    Raises DTypeError, beginning with `what`, where integers or bools would change a value.
    """
    if array.dtype == dtype:
        return array
    try:
        with np.errstate(invalid="ignore"):
            converted = array.astype(dtype)
    except OverflowError:
        raise DTypeError(
            f"{what}a number is too large for {dtype}; use smaller numbers or another dtype"
        ) from None
    if dtype in (*INTEGER, bool_):
        changed = np.asarray(converted != array, np.bool_)
        if changed.any():
            raise DTypeError(f"{what}{array[changed][0]} does not fit {dtype}; {_range(dtype)}")
    return converted


def _range(dtype: DType) -> str:
    if dtype == bool_:
        return "use True and False, or another dtype"
    limits = np.iinfo(dtype)
    return f"use whole numbers from {limits.min} to {limits.max}, or another dtype"
