"""What people pass as data, as splits of arrays that programs take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from ranvier import dtypes
from ranvier.checks import shown
from ranvier.data.errors import DataError
from ranvier.data.source import Dataset, Split

Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"
Arrays: TypeAlias = "Array | Mapping[str, Array]"


def as_split(inputs: Any, targets: Any = None, weights: Any = None) -> Split:
    """Return arrays, or what NumPy makes arrays of, as a split; float64 becomes float32."""
    clean = None if weights is None else _array(weights, "weights")
    if clean is not None and clean.dtype.kind in "iub":
        clean = clean.astype(np.float32)
    wanted = None if targets is None else _arrays(targets, "targets")
    return Split(_arrays(inputs, "inputs"), wanted, clean)


def is_arrays(data: Any) -> bool:
    """Whether `data` is arrays (by name, or one), and not an iterable of batches."""
    if isinstance(data, Mapping):
        return all(is_arrays(value) for value in data.values())
    if isinstance(data, np.ndarray) or hasattr(data, "__array__"):
        return True
    return isinstance(data, list) and bool(data) and not isinstance(data[0], tuple | Split)


def normalized(split: Split) -> Split:
    """Return a split with arrays as programs take them."""
    clean = as_split(split.inputs, split.targets, split.weights)
    return replace(split, inputs=clean.inputs, targets=clean.targets, weights=clean.weights)


def whole_split(
    data: Any, targets: Any = None, weights: Any = None, what: str = "data"
) -> Split | None:
    """Return the split that arrays, a pair or triple of them, a split or a dataset are.

    None where `data` is an iterable of batches. Raises DataError, which calls it `what`, for
    anything else, and where there are no rows.
    """
    split = _whole_split(data, targets, weights, what)
    if split is not None and not len(split):
        raise DataError(f"{what}: there are no rows; pass at least one")
    return split


def _whole_split(data: Any, targets: Any, weights: Any, what: str) -> Split | None:
    if isinstance(data, Dataset | Split):
        if targets is not None or weights is not None:
            raise DataError(
                f"a {type(data).__name__.lower()} has targets and weights already; pass it alone"
            )
        return normalized(data.train if isinstance(data, Dataset) else data)
    if targets is not None and _several(data, targets):
        raise DataError(
            f"{what} is a list of {len(data)} arrays; give several inputs by name, as "
            "fit({'a': a, 'b': b}, y), which calls the network as net(a=…, b=…)"
        )
    if targets is not None or is_arrays(data):
        return as_split(data, targets, weights)
    if isinstance(data, tuple) and len(data) in (2, 3) and all(is_arrays(each) for each in data):
        if weights is not None:
            raise DataError("a tuple carries its own weights; pass (inputs, targets, weights)")
        return as_split(*data)
    if hasattr(data, "__iter__") and not isinstance(data, str | bytes):
        if weights is not None:
            raise DataError("batches carry their own weights; yield (inputs, targets, weights)")
        return None
    raise DataError(
        f"{what} is a {type(data).__name__}; pass arrays, a Split, a Dataset or batches"
    )


def _several(data: Any, targets: Any) -> bool:
    """Whether `data` is a list of inputs, each with a row for each target, and no list of rows."""
    if not isinstance(data, list | tuple) or not hasattr(targets, "__len__"):
        return False
    rows = {len(each) for each in data if isinstance(each, np.ndarray) and each.ndim}
    arrays = all(isinstance(each, np.ndarray) for each in data)
    return arrays and rows == {len(targets)} != {len(data)}


def as_pair(data: Any) -> Any:
    """Return a list of two or three arrays as a tuple, which a pair (inputs, targets) is."""
    arrays = isinstance(data, list) and all(isinstance(each, np.ndarray) for each in data)
    return tuple(data) if arrays and len(data) in (2, 3) else data


def _arrays(values: Any, what: str) -> Arrays:
    if isinstance(values, Mapping):
        if not values:
            raise DataError(f"{what}: there are no arrays; pass at least one by name")
        return {str(name): _array(value, f"{what}[{name!r}]") for name, value in values.items()}
    return _array(values, what)


def _array(value: Any, what: str) -> Array:
    try:
        array = np.asarray(value)
    except ValueError:
        raise DataError(f"{what}: rows differ in length; make them equally long") from None
    if array.dtype == np.float64 or array.dtype == np.float16:
        with np.errstate(over="ignore"):
            array = array.astype(np.float32)
    elif array.dtype.kind in "iu" and array.dtype not in dtypes.INTEGER:
        array = _whole(array, what)
    elif array.dtype.kind in "OUSMmcV" and array.dtype != dtypes.bfloat16:
        raise DataError(f"{what} holds {array.dtype}, not numbers; {_numbered(what, array)}")
    return array


def _numbered(what: str, array: Array) -> str:
    """How to make numbers of what is none."""
    if what.startswith("inputs") and array.dtype.kind in "US" and array.size:
        text = shown(array.flat[0])
        return (
            f"turn texts, such as {text}, into ids of one length first, as "
            "rv.data.character_vocabulary(texts).encode(text) does, and begin the network with "
            "nn.Embedding"
        )
    return "turn words into numbers first, as np.unique(labels, return_inverse=True) does"


def _whole(array: Array, what: str) -> Array:
    """Whole numbers of a size that tensors do not have, as int64."""
    if array.size and array.max() > np.iinfo(np.int64).max:
        raise DataError(f"{what} holds {array.max()}, more than int64; use smaller numbers")
    return array.astype(np.int64)
