"""Where data index rows of a table, and whether what they hold lies inside it.

A compiled program moves an index that is outside to the nearest row, so data are looked through
when they are bound. Which of them index is found in the graph: the integers of a `take`, a
`scatter_add` or a `one_hot` that are made of data alone, by views, casts and arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from ranvier import dtypes
from ranvier.data.errors import DataError
from ranvier.data.source import Split
from ranvier.graph.evaluate import evaluate_all
from ranvier.graph.leaves import Constant, Input, State
from ranvier.graph.ops import movement
from ranvier.graph.ops.indexing import ScatterAdd, Take
from ranvier.graph.ops.movement import BroadcastTo
from ranvier.graph.ops.pointwise import Equal, Pointwise
from ranvier.graph.tensor import Tensor
from ranvier.graph.walk import topological
from ranvier.records import dataclass
from ranvier.training.feed.arrays import Array
from ranvier.training.objective import by_name
from ranvier.training.programs import Learner, judging, traced
from ranvier.training.run.settings import Form, Settings, form_of

CHUNK = 1024
"""How many samples are looked through at a time."""


@dataclass(frozen=True)
class Lookup:
    """Indices [batch, …] into `rows` rows, made of the inputs `sources`; `order` computes them.

    holder: what has the rows, for errors.
    """

    indices: Tensor
    rows: int
    holder: str
    sources: tuple[Tensor, ...]
    order: tuple[Tensor, ...]


def lookups(trace: Callable[[int], Iterable[Tensor]]) -> list[Lookup]:
    """Return the lookups of the graph whose results `trace` gives for a number of samples.

    A table as long as the batch is made of it, and none that data could miss.
    """
    alone = list(_found(trace(1)))
    several = list(_found(trace(CHUNK))) if alone else []
    return [many for one, many in zip(alone, several, strict=False) if one.rows == many.rows]


def _found(roots: Iterable[Tensor]) -> Iterator[Lookup]:
    for tensor in topological(roots):
        for indices, rows, holder in _indexing(tensor):
            order = topological([indices])
            sources = tuple(each for each in order if isinstance(each.op, Input))
            if sources and all(_plain(each) for each in order):
                yield Lookup(indices, rows, holder, sources, tuple(order))


def _indexing(tensor: Tensor) -> Iterator[tuple[Tensor, int, str]]:
    """The indices, the number of rows and who has them, where a tensor is a lookup."""
    if isinstance(tensor.op, Take):
        table = tensor.inputs[0]
        name = f" {table.label}" if isinstance(table, State) and table.label else ""
        yield tensor.inputs[1], table.shape[0], f"the table{name} has {table.shape[0]} rows"
    elif isinstance(tensor.op, ScatterAdd):
        yield tensor.inputs[1], tensor.op.rows, f"scatter_add has {tensor.op.rows} rows"
    elif isinstance(tensor.op, Equal) and tensor.inputs[0].dtype in dtypes.INTEGER:
        for indices, numbers in (tensor.inputs, tensor.inputs[::-1]):
            if _counts_up(numbers) and _one_along_last(indices):
                classes = numbers.shape[-1]
                yield indices.inputs[0], classes, f"one_hot has {classes} classes"


def _counts_up(tensor: Tensor) -> bool:
    """Whether a tensor is 0, 1, 2, … along its last axis, as `one_hot` has it."""
    source = tensor.inputs[0] if isinstance(tensor.op, BroadcastTo) else tensor
    if not isinstance(source.op, Constant) or source.shape != tensor.shape[-1:]:
        return False
    return np.array_equal(source.op.value, np.arange(source.size))


def _one_along_last(tensor: Tensor) -> bool:
    return isinstance(tensor.op, BroadcastTo) and tensor.inputs[0].shape[-1:] == (1,)


def _plain(tensor: Tensor) -> bool:
    """Whether a tensor is an input or a constant, or a view, cast or number of such."""
    kinds = (Input, Constant, Pointwise)
    return isinstance(tensor.op, kinds) or type(tensor.op).__module__ == movement.__name__


class Tables:
    """What the data of a model index: tables of its network, and of what judges it."""

    def __init__(self, learner: Learner, settings: Settings) -> None:
        self._learner, self._settings = learner, settings
        self._of_inputs = lookups(lambda n: traced(learner, settings.example(n)).values())
        self._of_targets: dict[str, list[Lookup]] = {}

    def check(self, split: Split) -> None:
        """Raise DataError for integers that index outside of a table."""
        check_lookups(self._of_inputs, by_name(split.inputs), "input")
        objective = self._learner.objective
        if split.targets is None or not objective.may_look_up:
            return
        targets = by_name(split.targets)
        forms = {name: form_of(array.shape, array.dtype) for name, array in targets.items()}
        key = repr(forms)
        if key not in self._of_targets:
            self._of_targets[key] = lookups(lambda n: self._judging(forms, n))
        check_lookups(self._of_targets[key], targets, "target", objective.ignored)

    def _judging(self, forms: dict[str, Form], batch: int) -> list[Tensor]:
        inputs, targets = self._settings.example(batch), by_name(Settings(forms).example(batch))
        return judging(self._learner, inputs, targets)


# ---------------------------------------------------------------- looking through arrays


def check_lookups(
    found: Sequence[Lookup],
    arrays: Mapping[str, Array],
    what: str,
    spared: Mapping[str, int] | None = None,
) -> None:
    """Raise DataError, with the row, for an index outside its table.

    arrays: those of the inputs, by their names. what: how they are called, "input" or "target".
    spared: an index of an input that stands for none.
    """
    for lookup in found:
        names = [_name(source) for source in lookup.sources]
        given = [arrays[name] for name in names if name in arrays]
        if len(given) < len(names):  # the program's error says so
            continue
        none = (spared or {}).get(names[0])
        for first in range(0, len(given[0]), CHUNK):
            parts = [array[first : first + CHUNK] for array in given]
            if _outside(lookup, parts, none) is not None:
                row, index = _first_outside(lookup, parts, none)
                called = f"{what} {names[0]!r}" if names[0] else f"the {what}s"
                raise DataError(
                    f"{called}: row {first + row} holds the id {index}, and {lookup.holder}; use "
                    f"0 to {lookup.rows - 1}, or make more"
                )


def _name(source: Tensor) -> str:
    assert isinstance(source.op, Input)
    return source.op.label or ""


def _first_outside(lookup: Lookup, parts: Sequence[Array], spared: int | None) -> tuple[int, int]:
    """The first sample with an index outside the table, and that index."""
    for row in range(len(parts[0])):
        index = _outside(lookup, [part[row : row + 1] for part in parts], spared)
        if index is not None:
            return row, index
    raise AssertionError("samples are independent of each other")


def _outside(lookup: Lookup, parts: Sequence[Array], spared: int | None) -> int | None:
    """An index outside the table, of samples that are filled up with copies of the first."""
    filled = (np.concatenate([p, np.repeat(p[:1], CHUNK - len(p), 0)]) for p in parts)
    given = dict(zip(lookup.sources, filled, strict=True))
    indices = evaluate_all(lookup.order, given)[lookup.indices]
    wrong = (indices < 0) | (indices >= lookup.rows)
    if spared is not None:
        wrong &= indices != spared
    return int(indices[wrong][0]) if wrong.any() else None
