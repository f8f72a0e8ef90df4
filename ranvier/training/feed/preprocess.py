"""What a program does to raw inputs before the network sees them: part of its graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ranvier import dtypes
from ranvier.errors import InputError
from ranvier.graph import functions as f
from ranvier.graph.tensor import Tensor
from ranvier.training.objective import ONE, Tensors
from ranvier.training.run.files import as_json

_KEYS = ("scale", "mean", "std", "vocabulary")


def check(preprocess: Mapping[str, Any]) -> dict[str, Any]:
    """Return the preprocessing of a file or a user; InputError for what is none."""
    for key in preprocess:
        if key not in _KEYS:
            raise InputError(f"preprocess has {key!r}; its keys are {', '.join(_KEYS)}")
    for key in ("scale", "mean", "std"):
        if key in preprocess:
            try:
                numbers = np.asarray(preprocess[key], np.float32)
            except (TypeError, ValueError):
                numbers = np.array(np.nan)
            if not np.isfinite(numbers).all() or (key == "std" and not (numbers > 0).all()):
                raise InputError(
                    f"preprocess: {key} is {preprocess[key]!r}; use finite numbers, a std above 0"
                )
    found: dict[str, Any] = as_json(dict(preprocess), "preprocess")
    return found


def preprocessed(inputs: Tensors, preprocess: Mapping[str, Any]) -> Tensors:
    """Return x · scale, then (x - mean) / std, float32; without these keys x as it is.

    Several inputs by name stay as they are: what is done to them belongs in the network.
    """
    if isinstance(inputs, Mapping):
        return inputs if list(inputs) != [ONE] else preprocessed(inputs[ONE], preprocess)
    if not any(key in preprocess for key in ("scale", "mean", "std")):
        return inputs
    x = f.cast(inputs, dtypes.float32)
    if "scale" in preprocess:
        x = x * _numbers(preprocess["scale"])
    if "mean" in preprocess:
        x = x - _numbers(preprocess["mean"])
    return x / _numbers(preprocess["std"]) if "std" in preprocess else x


def _numbers(value: Any) -> Tensor:
    return f.as_tensor(np.asarray(value, np.float32))
