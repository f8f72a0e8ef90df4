"""What people pass as data, as splits of arrays that programs take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from ranvier import dtypes
from ranvier.data.errors import DataError
from ranvier.data.source import Dataset, Names, Split
from ranvier.training.feed.frames import (
    column_array,
    frame_array,
    is_frame,
    places,
    refuse_dates,
    refuse_sparse,
)
from ranvier.training.objective import ONE, by_name
from ranvier.validation import shown

Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"
Arrays: TypeAlias = "Array | Mapping[str, Array]"
ByInput: TypeAlias = "Mapping[str, Names]"
"""The names of the columns of each input that has such, by the name of the input."""

NAMELESS: ByInput = {}


def as_split(
    inputs: Any, targets: Any = None, weights: Any = None, columns: ByInput = NAMELESS
) -> Split:
    """Return arrays, or what NumPy makes arrays of, as a split; float64 becomes float32.

    columns: those that are taken of a data frame, in this order; all where there are none.
    """
    clean = None if weights is None else _array(weights, "weights")
    if clean is not None and clean.dtype.kind in "iub":
        clean = clean.astype(np.float32)
    wanted = None if targets is None else _arrays(targets, "targets")[0]
    arrays, names = _arrays(inputs, "inputs", columns)
    several = isinstance(arrays, Mapping)
    return Split(arrays, wanted, clean, columns=names if several else names.get(ONE, ()))


def is_arrays(data: Any) -> bool:
    """Whether `data` is arrays (by name, or one), and not an iterable of batches."""
    if isinstance(data, Mapping):
        return all(is_arrays(value) for value in data.values())
    if isinstance(data, np.ndarray) or hasattr(data, "__array__"):
        return True
    return isinstance(data, list) and bool(data) and not isinstance(data[0], tuple | Split)


def normalized(split: Split, columns: ByInput = NAMELESS) -> Split:
    """Return a split with arrays as programs take them, its named columns as `columns` has them."""
    clean = as_split(split.inputs, split.targets, split.weights)
    given = names_by_input(split)
    names = {name: columns.get(name, own) for name, own in given.items()}
    arrays = {
        name: _in_order(array, given.get(name, ()), names.get(name, ()), name)
        for name, array in by_name(clean.inputs).items()
    }
    several = isinstance(clean.inputs, Mapping)
    return replace(
        split,
        inputs=arrays if several else arrays[ONE],
        targets=clean.targets,
        weights=clean.weights,
        columns=names if several else names.get(ONE, ()),
    )


def names_by_input(split: Split) -> ByInput:
    """Return the names of the columns of a split's inputs, by input, where they have any."""
    return {name: tuple(names) for name, names in by_name(split.columns).items() if names}


def whole_split(
    data: Any,
    targets: Any = None,
    weights: Any = None,
    what: str = "data",
    columns: ByInput = NAMELESS,
) -> Split | None:
    """Return the split that arrays, a pair or triple of them, a split or a dataset are.

    None where `data` is an iterable of batches. Columns that have names are those of `columns`,
    in their order; see `as_split`. Raises DataError, which calls it `what`, for anything else,
    and where there are no rows.
    """
    split = _whole_split(data, targets, weights, what, columns)
    if split is not None and not len(split):
        raise DataError(f"{what}: there are no rows; pass at least one")
    return split


def _whole_split(
    data: Any, targets: Any, weights: Any, what: str, columns: ByInput
) -> Split | None:
    if isinstance(data, Dataset | Split):
        if targets is not None or weights is not None:
            raise DataError(
                f"a {type(data).__name__.lower()} has targets and weights already; pass it alone"
            )
        return normalized(data.train if isinstance(data, Dataset) else data, columns)
    if targets is not None and _several(data, targets):
        raise DataError(
            f"{what} is a list of {len(data)} arrays; give several inputs by name, as "
            "fit({'a': a, 'b': b}, y), which calls the network as net(a=…, b=…)"
        )
    if targets is not None or is_arrays(data):
        return as_split(data, targets, weights, columns)
    if isinstance(data, tuple) and len(data) in (2, 3) and all(is_arrays(each) for each in data):
        if weights is not None:
            raise DataError("a tuple carries its own weights; pass (inputs, targets, weights)")
        inputs, wanted, counts = (*data, None)[:3]
        return as_split(inputs, wanted, counts, columns)
    refuse_sparse(data, what)
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


def _in_order(array: Array, given: Names, wanted: Names, name: str) -> Array:
    """An array with its columns as they are wanted, where they have names."""
    if not given or not wanted or given == wanted:
        return array
    found: Array = array[..., places(wanted, given, f"input {name!r}" if name else "inputs")]
    return found


def _arrays(values: Any, what: str, columns: ByInput = NAMELESS) -> tuple[Arrays, ByInput]:
    """Arrays, one or by name, and the names of their columns where they have such."""
    if not isinstance(values, Mapping):
        array, names = _named(values, what, columns.get(ONE, ()))
        return array, {ONE: names} if names else {}
    if not values:
        raise DataError(f"{what}: there are no arrays; pass at least one by name")
    pairs = {
        str(name): _named(value, f"{what}[{name!r}]", columns.get(str(name), ()))
        for name, value in values.items()
    }
    named = {name: names for name, (_, names) in pairs.items() if names}
    return {name: array for name, (array, _) in pairs.items()}, named


def _named(value: Any, what: str, columns: Names) -> tuple[Array, Names]:
    """An array, and the names of its columns where they have such."""
    if not is_frame(value):
        return _array(value, what), ()
    array, names = frame_array(value, columns, what)
    return _array(array, what), names


def _array(value: Any, what: str) -> Array:
    refuse_sparse(value, what)
    try:
        array = np.asarray(value)
    except ValueError:
        raise DataError(f"{what}: rows differ in length; make them equally long") from None
    refuse_dates(array, what)
    if array.dtype == object and array.ndim == 1 and hasattr(value, "dtype"):
        array = column_array(value, what)
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
