"""Feeds: how observations reach a program, step by step.

A feed says which inputs its program has, and yields what each call is given. `Resident` serves
training on arrays in memory: the program gathers each batch's rows itself, by the epoch's
permutation. `InOrder` serves evaluation and prediction. `Streamed` serves batches that come one
by one, from disk for instance. The last, smaller batch is filled up with copies of a sample, of
weight 0, so that it runs through the same program and counts as what it is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ranvier import dtypes
from ranvier.data.batching import batches, permutation
from ranvier.data.errors import DataError
from ranvier.data.source import Split
from ranvier.graph import functions as f
from ranvier.graph.leaves import input as make_input
from ranvier.graph.tensor import Tensor
from ranvier.records import dataclass
from ranvier.training.feed.arrays import Array, ByInput, as_split, normalized
from ranvier.training.feed.prefetch import prefetch
from ranvier.training.loop.pace import Pace
from ranvier.training.objective import ONE, Tensors, by_name
from ranvier.training.run.settings import Form, form_of


@dataclass(frozen=True)
class Batch:
    """The tensors of one batch in a program's graph; `targets` is None where there are none."""

    placeholders: Mapping[str, Tensor]
    inputs: Tensors
    targets: Tensors | None
    weights: Tensor


@dataclass(frozen=True)
class Call:
    """What one call of a program runs: the number of steps, its arrays, its real samples."""

    steps: int
    arrays: Mapping[str, Array]
    samples: int


class Feed(ABC):
    """Base. `steps` and `samples` are those of one epoch, None where they are not known."""

    batch_size: int
    steps: int | None
    samples: int | None

    @abstractmethod
    def batch(self) -> Batch:
        """Return new tensors for a program that this feed serves."""

    @abstractmethod
    def calls(self, epoch: int, start: int, pace: Pace) -> Iterator[Call]:
        """Yield the calls of an epoch (from 0) from step `start` on."""

    _arrays: dict[str, Array]
    """Arrays by the names of the program's inputs: all rows, or those of the first batch."""

    @property
    @abstractmethod
    def key(self) -> tuple[Any, ...]:
        """What programs depend on: feeds with equal keys can share one."""

    @property
    def resident(self) -> Mapping[str, Array]:
        """The arrays with all samples, by the names of the program's inputs; none of a stream."""
        return self._arrays

    @property
    def inputs(self) -> dict[str, Array]:
        """The arrays of the inputs by name: all rows, or those of the first batch."""
        return {
            name.removeprefix(_INPUTS).removeprefix("."): array
            for name, array in self._arrays.items()
            if name.partition(".")[0] == _INPUTS
        }

    @property
    def forms(self) -> dict[str, Form]:
        """What one sample of each input is like, by name."""
        return {name: form_of(array.shape, array.dtype) for name, array in self.inputs.items()}


class Resident(Feed):
    """Arrays in memory, visited in a new random order each epoch, which `seed` decides."""

    def __init__(self, split: Split, batch_size: int, seed: int) -> None:
        self._split = split
        self._seed = seed
        self.samples = len(split)
        self.batch_size = min(batch_size, self.samples)
        self.steps = -(-self.samples // self.batch_size)
        self._arrays = _flat(split)

    @property
    def key(self) -> tuple[Any, ...]:
        return ("resident", self.batch_size, _layout(self._arrays))

    def batch(self) -> Batch:
        whole = {name: make_input(a.shape, a.dtype, name) for name, a in self._arrays.items()}
        index = make_input((self.batch_size,), dtypes.int64, "index")
        filled = make_input((self.batch_size,), dtypes.float32, "weight")
        rows = {name: f.take(array, index) for name, array in whole.items()}
        weights = filled * rows.pop(_WEIGHTS) if _WEIGHTS in rows else filled
        inputs, targets = _nested(rows)
        return Batch({**whole, "index": index, "weight": filled}, inputs, targets, weights)

    def calls(self, epoch: int, start: int, pace: Pace) -> Iterator[Call]:
        assert self.samples is not None
        order = permutation(self.samples, epoch, self._seed)
        indices, weights = batches(self.samples, self.batch_size, order)
        while start < len(indices):
            count = pace.steps(len(indices) - start)
            part = slice(start, start + count)
            arrays = {**self._arrays, "index": indices[part], "weight": weights[part]}
            yield Call(count, arrays, int(np.count_nonzero(weights[part])))
            start += count


class InOrder(Feed):
    """Arrays in memory, visited once in their own order; no row is copied but the last ones."""

    def __init__(self, split: Split, batch_size: int) -> None:
        self.samples = len(split)
        # Powers of two, so that few programs serve all small numbers of rows.
        self.batch_size = min(batch_size, 1 << max(self.samples - 1, 0).bit_length())
        self.steps = -(-self.samples // self.batch_size)
        self._arrays = _flat(split)

    @property
    def key(self) -> tuple[Any, ...]:
        return ("in order", self.batch_size, _layout(self._arrays, 1))

    def batch(self) -> Batch:
        return _batch(self.batch_size, self._arrays)

    def calls(self, epoch: int, start: int, pace: Pace) -> Iterator[Call]:
        assert self.samples is not None
        size, whole = self.batch_size, self.samples // self.batch_size
        ones = np.ones(self.samples, np.float32)
        given = {_WEIGHTS: ones, **self._arrays}
        while start < whole:
            count = pace.steps(whole - start)
            rows = slice(start * size, (start + count) * size)
            yield Call(
                count,
                {name: a[rows].reshape(count, size, *a.shape[1:]) for name, a in given.items()},
                count * size,
            )
            start += count
        if start == whole and (left := self.samples - whole * size):
            rest = _filled({name: a[-left:] for name, a in given.items()}, size)
            yield Call(1, rest, left)


class Streamed(Feed):
    """Batches from an iterable of `(inputs, targets)`, `(inputs, targets, weights)` or splits.

    The first batch decides shapes and size; later ones may be smaller. A thread in the
    background fetches the next batches while one is computed. accept: what is done to each
    batch, and checked of it, before it is used. columns: gives the names by which columns that
    have such are found, once they are known.
    """

    steps = None
    samples = None

    def __init__(
        self,
        source: Iterable[Any],
        accept: Callable[[Split], Split] = lambda split: split,
        columns: Callable[[], ByInput] = dict,
    ) -> None:
        self._source = source
        self._columns = columns
        self._accept = accept
        self._begun: Iterator[Any] | None = iter(source)
        given = next(self._begun, None)
        if given is None:
            raise DataError("the iterable of batches is empty; pass one that yields batches")
        self._seen = [given]
        self.first = self._split(given, 0)
        self._arrays = _flat(self.first)
        self.batch_size = len(self.first)

    @property
    def resident(self) -> Mapping[str, Array]:
        return {}

    @property
    def key(self) -> tuple[Any, ...]:
        return ("streamed", self.batch_size, _layout(self._arrays, 1))

    def batch(self) -> Batch:
        return _batch(self.batch_size, self._arrays)

    def calls(self, epoch: int, start: int, pace: Pace) -> Iterator[Call]:
        number = -1
        for number, given in enumerate(prefetch(self._visit())):
            if number < start:  # a resumed epoch has seen it
                continue
            split = self._split(given, number)
            arrays = {_WEIGHTS: np.ones(len(split), np.float32), **_flat(split)}
            self._check(arrays, number)
            yield Call(1, _filled(arrays, self.batch_size), len(split))
        if number + 1 < max(start, 1):
            raise DataError(
                f"the batches of epoch {epoch + 1} end after {number + 1}; give as many each epoch"
            )

    def _visit(self) -> Iterator[Any]:
        """The batches from the first one on."""
        again = iter(self._source)
        if again is not self._begun:
            self._begun, self._seen = None, []
            return again
        if not self._seen:  # one iterator serves all visits, and has been through them
            raise DataError(
                "the iterator of batches is used up after one epoch; pass a list, or an object "
                "whose __iter__ starts anew"
            )
        return _chained(self._seen.pop(), again)

    def _split(self, given: Any, number: int) -> Split:
        """What was given as a batch, as the program takes it."""
        try:
            split = _as_batch(given, self._columns())
            if not len(split):
                raise DataError("there are no rows; leave empty batches out")
            return self._accept(split)
        except DataError as error:
            raise DataError(f"batch {number}: {error}") from None

    def _check(self, arrays: Mapping[str, Array], number: int) -> None:
        for name, wanted in self._arrays.items():
            found = arrays.get(name)
            if found is None or found.shape[1:] != wanted.shape[1:] or found.dtype != wanted.dtype:
                met = "nothing" if found is None else f"{found.dtype} {found.shape[1:]}"
                raise DataError(
                    f"batch {number}: {name} is {met} for each sample, in the first batch it was "
                    f"{wanted.dtype} {wanted.shape[1:]}; give all batches one form"
                )
            if len(found) > self.batch_size:
                raise DataError(
                    f"batch {number} has {len(found)} samples, the first {self.batch_size}; no "
                    "batch may be larger than the first"
                )


# ---------------------------------------------------------------- arrays by the names of inputs

_INPUTS, _TARGETS, _WEIGHTS = "inputs", "targets", "weights"


def _flat(split: Split) -> dict[str, Array]:
    """The arrays of a split by the names that the program's inputs have."""
    found = {}
    for kind, arrays in ((_INPUTS, split.inputs), (_TARGETS, split.targets)):
        if arrays is not None:
            for name, array in by_name(arrays).items():
                found[f"{kind}.{name}" if name else kind] = array
    if split.weights is not None:
        found[_WEIGHTS] = split.weights.astype(np.float32)
    return found


def _nested(tensors: Mapping[str, Tensor]) -> tuple[Tensors, Tensors | None]:
    """The inputs and targets of tensors by the names of `_flat`."""
    kinds: dict[str, dict[str, Tensor]] = {_INPUTS: {}, _TARGETS: {}}
    for name, tensor in tensors.items():
        kind, _, rest = name.partition(".")
        kinds[kind][rest] = tensor
    return _plain(kinds[_INPUTS]), _plain(kinds[_TARGETS]) if kinds[_TARGETS] else None


def _plain(found: dict[str, Tensor]) -> Any:
    return found[ONE] if list(found) == [ONE] else found


def _batch(size: int, arrays: Mapping[str, Array]) -> Batch:
    """Tensors for a program that is given batches of arrays like these."""
    like = {**arrays, _WEIGHTS: np.empty(0, np.float32)}
    given = {name: make_input((size, *a.shape[1:]), a.dtype, name) for name, a in like.items()}
    inputs, targets = _nested({name: t for name, t in given.items() if name != _WEIGHTS})
    return Batch(given, inputs, targets, given[_WEIGHTS])


def _layout(arrays: Mapping[str, Array], start: int = 0) -> tuple[Any, ...]:
    return tuple((name, a.shape[start:], a.dtype.name) for name, a in arrays.items())


def _filled(arrays: Mapping[str, Array], size: int) -> dict[str, Array]:
    """The arrays [1, size, …] of one step, a batch that may be too small filled up.

    With its last row, whose weight there is 0: rows of zeros might give NaN, and 0 · NaN is NaN.
    """
    found = {}
    for name, array in arrays.items():
        if len(array) < size:
            rows = np.repeat(array[-1:], size - len(array), 0)
            array = np.concatenate([array, rows * 0 if name == _WEIGHTS else rows])
        found[name] = array[None]
    return found


def _as_batch(given: Any, columns: ByInput) -> Split:
    if isinstance(given, tuple | list) and len(given) in (2, 3):
        inputs, targets, weights = (*given, None)[:3]
        return as_split(inputs, targets, weights, columns)
    if isinstance(given, Split):
        return normalized(given, columns)
    raise DataError(
        f"a batch is a {type(given).__name__}; yield (inputs, targets), (inputs, targets, weights) "
        "or a Split"
    )


def _chained(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest
