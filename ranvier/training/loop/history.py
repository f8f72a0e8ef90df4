"""`History`: what was measured after each epoch."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, overload

from ranvier.errors import InputError, MissingKeyError
from ranvier.guidance.calls import explain_class
from ranvier.guidance.names import Guided
from ranvier.guidance.values import instead

Record: TypeAlias = dict[str, Any]
"""One epoch: `epoch` and `step` (counted from 1), `loss`, metrics, `validation_…`, …"""


class Measures(dict[str, Any]):
    """Quantities by name; one that was not measured is a MissingKeyError, which is a KeyError."""

    def __missing__(self, key: object) -> Any:
        raise not_measured(key, self)


def not_measured(key: object, known: Iterable[str]) -> MissingKeyError:
    """The error for a quantity that there is not, with the one that is meant."""
    if not isinstance(key, str):
        return MissingKeyError(
            f"there is nothing at {key!r}, quantities are by name: {', '.join(map(repr, known))}"
        )
    return MissingKeyError(f"{key!r} was not measured; {instead(key, known)}")


class History(Guided, Sequence[Record]):
    """The records of the epochs, in order; `history["loss"]` is a column."""

    def __init__(self, records: Sequence[Mapping[str, Any]] = (), stopped: str = "") -> None:
        self.records: list[Record] = [dict(record) for record in records]
        self.stopped = stopped
        """Why training ended before its last epoch, or ""."""

    @overload
    def __getitem__(self, key: int) -> Record: ...
    @overload
    def __getitem__(self, key: slice) -> list[Record]: ...
    @overload
    def __getitem__(self, key: str) -> list[Any]: ...
    def __getitem__(self, key: int | slice | str) -> Any:
        """The record of an epoch, or the column of a quantity; KeyError for one not measured."""
        if isinstance(key, str):
            known = {name: None for record in self.records for name in record}
            if self.records and key not in known:
                raise not_measured(key, known)
            return [record.get(key) for record in self.records]
        return self.records[key]

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def __repr__(self) -> str:
        lines = [
            "  ".join(f"{key} {_short(value)}" for key, value in record.items())
            for record in self.records
        ]
        return "\n".join([*lines, *([f"stopped: {self.stopped}"] if self.stopped else [])])

    def append(self, record: Mapping[str, Any]) -> None:
        """Add the record of an epoch."""
        self.records.append(dict(record))

    def plot(self) -> Any:
        """Draw the learning curves with matplotlib and return its axes, an array [quantities].

        Training and validation share a frame. Raises InputError where matplotlib is not installed
        (`pip install 'ranvier[plot]'`), and for a history without epochs.
        """
        from ranvier.report.axes import plot
        from ranvier.report.curves import learning_curves

        if not self.records:
            raise InputError("the history has no epochs to draw; train the model first, with fit")
        return plot(learning_curves(self.records))

    def to_lines(self) -> bytes:
        """Return one line of JSON for each epoch; equal histories give equal bytes."""
        return "".join(f"{json.dumps(plain(record))}\n" for record in self.records).encode()


explain_class(History)


def plain(value: Any) -> Any:
    """Return a value as JSON has it: arrays as lists, NaN and infinities as null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
