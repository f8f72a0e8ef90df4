"""What a network learns from: a split of paired arrays, and the dataset of three splits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import Any, TypeAlias

import numpy as np

from ranvier.data.batching import split_order
from ranvier.data.errors import DataError
from ranvier.guidance.calls import explain
from ranvier.records import dataclass

Array: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"
Arrays: TypeAlias = "Array | Mapping[str, Array]"
Names: TypeAlias = tuple[str, ...]
"""The names of the columns of an array of inputs, in the order of its last axis."""


@dataclass(frozen=True, eq=False)
class Split:
    """Observations: inputs and their targets, row by row, and optionally each row's weight.

    `inputs` and `targets` are an array or several by name, all of one length; `weights` is
    [n], finite and not negative. Targets of None are the inputs, preprocessed, as autoencoders
    want them. A dataset tells its splits what their numbers mean: `classes`
    and `preprocess` are those of `Dataset`. `columns` names the columns of the inputs, by which
    a model finds them again: of one array, or of several by name. Raises DataError where arrays
    do not fit.
    """

    inputs: Arrays
    targets: Arrays | None
    weights: Array | None = None
    classes: tuple[str, ...] = ()
    preprocess: Mapping[str, Any] = field(default_factory=dict)
    columns: Names | Mapping[str, Names] = ()

    def __post_init__(self) -> None:
        lengths = {name: _rows(name, array) for name, array in self.arrays().items()}
        if not lengths:
            raise DataError("a split without arrays; pass at least one array of inputs")
        if len(set(lengths.values())) > 1:
            met = ", ".join(f"{name} has {length} rows" for name, length in lengths.items())
            raise DataError(f"the arrays of a split differ in length: {met}; pair them row by row")
        if self.weights is not None:
            _check_weights(self.weights)

    def __len__(self) -> int:
        return len(next(iter(self.arrays().values())))

    def take(self, rows: Array | slice) -> Split:
        """Return the split of these rows: whole numbers from 0 to len - 1, or a slice (a view)."""
        if not isinstance(rows, slice):
            rows = _row_numbers(np.asarray(rows), len(self))
        weights = None if self.weights is None else self.weights[rows]
        inputs = _take(self.inputs, rows)
        targets = None if self.targets is None else _take(self.targets, rows)
        return replace(self, inputs=inputs, targets=targets, weights=weights)

    def arrays(self) -> dict[str, Array]:
        """Every array by the name that an error calls it by."""
        found: dict[str, Array] = {}
        for kind, arrays in (("inputs", self.inputs), ("targets", self.targets)):
            if isinstance(arrays, Mapping):
                found |= {f"{kind}[{name!r}]": array for name, array in arrays.items()}
            elif arrays is not None:
                found[kind] = arrays
        if self.weights is not None:
            found["weights"] = self.weights
        return found


@dataclass(frozen=True, eq=False)
class Dataset:
    """A named dataset: its training, validation and test sets.

    `classes` names the classes that integer targets count, or the symbols of a text; it is
    empty where targets are numbers or strings. `preprocess` is JSON: what the model does inside
    its graph to raw inputs x, which stay as they are in memory. Its keys: `scale` (x · scale),
    then `mean` and `std` ((x − mean) / std, numbers that broadcast over the last axis), and
    `vocabulary` (see `ranvier.data.text.Vocabulary.from_json`). `own_test` says whether the test
    set is the source's own, and not cut off from its rows. `notes` says what reading the source
    has passed over or changed, see `folders.PictureFolder`.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    classes: tuple[str, ...] = ()
    preprocess: Mapping[str, Any] = field(default_factory=dict)
    own_test: bool = True
    notes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            json.dumps(dict(self.preprocess), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise DataError(
                f"{self.name}: preprocess is not JSON ({error}); use numbers, strings and lists"
            ) from None
        for part in ("train", "validation", "test"):
            split = getattr(self, part)
            known = replace(split, classes=self.classes, preprocess=self.preprocess)
            object.__setattr__(self, part, known)

    def __repr__(self) -> str:
        sizes = f"{len(self.train)} + {len(self.validation)} + {len(self.test)}"
        return f"Dataset({self.name!r}, {sizes}, {len(self.classes)} classes)"


def joined(splits: Sequence[Split]) -> Split:
    """Return splits of the same arrays, one below the other."""
    first = splits[0]
    targets = None if first.targets is None else _joined([each.targets for each in splits])
    weights = None if first.weights is None else _joined([each.weights for each in splits])
    inputs = _joined([each.inputs for each in splits])
    return replace(first, inputs=inputs, targets=targets, weights=weights)


def split_off(
    split: Split, part: float, seed: int = 0, groups: Array | None = None
) -> tuple[Split, Split]:
    """Divide a split at random: (the rest, the part), each in the order of the original.

    `part` is a count (int) or a fraction between 0 and 1 (float, rounded to whole rows). Equal
    arguments give equal halves on every platform. With `groups`, a label for each row, rows of
    one group stay together, so that the halves share none; then `part` counts groups. Raises
    DataError unless both halves get a row.
    """
    ranks, units = _ranks(len(split), seed, groups)
    count = round(part * units) if isinstance(part, float) else part
    if not 0 < count < units:
        what = "rows" if groups is None else "groups"
        raise DataError(
            f"cannot split {part} off {units} {what}; leave at least one on either side"
        )
    chosen = ranks < count
    return split.take(np.flatnonzero(~chosen)), split.take(np.flatnonzero(chosen))


def three_parts(
    whole: Split, seed: int = 0, groups: Array | None = None, part: float = 0.1
) -> tuple[Split, Split, Split]:
    """Divide a source of one part into (train, validation, test), `part` each for the last two.

    The division is that of `split_off`: random, seeded, at least one row (or group) in each.
    """
    ranks, units = _ranks(len(whole), seed, groups)
    if units < 3:
        raise DataError(
            f"{units} observations cannot be divided into training, validation and test; "
            "at least 3 are needed"
        )
    count = max(1, round(part * units))
    train = whole.take(np.flatnonzero(ranks >= 2 * count))
    validation = whole.take(np.flatnonzero((ranks >= count) & (ranks < 2 * count)))
    return train, validation, whole.take(np.flatnonzero(ranks < count))


def _ranks(rows: int, seed: int, groups: Array | None) -> tuple[Array, int]:
    """Return each row's place in a random order of the groups, and how many groups there are.

    Without `groups` every row is a group of its own.
    """
    if groups is None:
        units, members = rows, np.arange(rows)
    else:
        distinct, members = np.unique(groups, return_inverse=True)
        units = len(distinct)
    places = np.empty(units, np.int64)
    places[split_order(units, seed)] = np.arange(units)
    return places[members], units


def _rows(name: str, array: Array) -> int:
    if not isinstance(array, np.ndarray) or array.ndim == 0:
        found = "an array without axes" if isinstance(array, np.ndarray) else type(array).__name__
        raise DataError(f"{name} is {found}; use a NumPy array with a row for each")
    return len(array)


def _check_weights(weights: Array) -> None:
    if weights.ndim != 1 or weights.dtype.kind != "f":
        raise DataError(
            f"weights are {weights.dtype} of shape {weights.shape}; use one float for each row"
        )
    bad = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(bad):
        raise DataError(
            f"the weight of row {bad[0]} is {weights[bad[0]]}; use finite weights, 0 or more"
        )


def _row_numbers(rows: Array, length: int) -> Array:
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
        raise DataError(f"rows are {rows.dtype} of shape {rows.shape}; use a list of row numbers")
    bad = rows[(rows < 0) | (rows >= length)]
    if len(bad):
        raise DataError(f"row {bad[0]} of a split of {length}; use 0 to {length - 1}")
    return rows


def _joined(arrays: Sequence[Any]) -> Any:
    if isinstance(arrays[0], Mapping):
        return {name: np.concatenate([each[name] for each in arrays]) for name in arrays[0]}
    return np.concatenate(arrays)


def _take(arrays: Arrays, rows: Array | slice) -> Arrays:
    if isinstance(arrays, Mapping):
        return {name: array[rows] for name, array in arrays.items()}
    return arrays[rows]


explain(globals())
