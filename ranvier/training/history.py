"""`History`: what was measured after each epoch."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias, overload

Record: TypeAlias = dict[str, Any]
"""One epoch: `epoch` and `step` (counted from 1), `loss`, metrics, `validation_…`, …"""


class History(Sequence[Record]):
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
        if isinstance(key, str):
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

    def to_lines(self) -> bytes:
        """Return one line of JSON for each epoch; equal histories give equal bytes."""
        return "".join(f"{json.dumps(plain(record))}\n" for record in self.records).encode()


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
