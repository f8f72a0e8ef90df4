"""Data as the command line names it: a dataset, or a path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ranvier.cli.options import say
from ranvier.data import registry
from ranvier.data.errors import DataError
from ranvier.data.files import from_path
from ranvier.data.source import Dataset


def load_data(given: str, label: str | None, regression: bool) -> Dataset:
    """Return the dataset of a name, or else of a path."""
    if given in registry.names():
        if label is not None or regression:
            raise DataError(f"--label and --regression are for tables; {given} is none")
        shown = _Download()
        return registry.load(given, progress=shown)
    if not Path(given).exists():
        known = ", ".join(registry.names())
        raise DataError(f"{given}: no dataset and no file of that name; datasets are {known}")
    return from_path(given, label=label, regression=regression)


class _Download:
    """Says how far a download is, each tenth of it."""

    def __init__(self) -> None:
        self._told: tuple[str, int] = ("", -1)

    def __call__(self, name: str, done: int, total: int | None) -> None:
        tenth = 10 * done // total if total else done >> 24
        if self._told != (name, tenth):
            self._told = (name, tenth)
            share = f"{100 * done // total} %" if total else f"{done >> 20} MB"
            say(f"downloading {name}: {share}")


def kinds(data: Dataset) -> dict[str, Any]:
    """Return how many rows the parts of a dataset have."""
    return {part: len(getattr(data, part)) for part in ("train", "validation", "test")}
