"""Data as the command line names it: a dataset, or a path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ranvier.cli.options import say
from ranvier.data import registry
from ranvier.data.csvfile import read_columns
from ranvier.data.errors import DataError
from ranvier.data.files import from_path, is_table
from ranvier.data.images import manner
from ranvier.data.source import Dataset
from ranvier.training.model import Model
from ranvier.training.objective import ONE
from ranvier.wording import counted


def load_data(
    given: str, label: str | None, regression: bool, features: Sequence[str] | None = None
) -> Dataset:
    """Return the dataset of a name, or else of a path."""
    if given in registry.names():
        if label is not None or regression:
            raise DataError(f"--label and --regression are for tables; {given} is none")
        shown = _Download()
        return registry.load(given, progress=shown)
    if not given or not Path(given).exists():
        known = ", ".join(registry.names())
        name = given or "(nothing)"
        raise DataError(f"{name}: no dataset and no file of that name; datasets are {known}")
    if (label is not None or regression) and not is_table(given):
        raise DataError(f"--label and --regression are for tables; {given} is none")
    found = from_path(given, label=label, regression=regression, features=features)
    for note in _said(found):
        say(f"{given}: {note}")
    return found


def _said(data: Dataset) -> list[str]:
    """What people should know of how data were read."""
    notes, found = data.notes, []
    if skipped := notes.get("skipped"):
        files = counted(len(skipped), "file that is no picture", "files that are no pictures")
        found.append(f"skipped {files}, such as {skipped[0]}")
    if resized := notes.get("resized"):
        height, width = notes["size"]
        pictures = counted(resized, "picture of another size", "pictures of other sizes")
        found.append(f"fitted {pictures} into {width}x{height} pixels")
    return found


def features_of(model: Model) -> Sequence[str] | None:
    """The columns of tables that a run has learnt from, where it knows their names."""
    older = model.settings.about.get("features")  # where earlier versions have kept them
    return model.settings.columns.get(ONE) or older


def names_a_table(given: str) -> bool:
    """Whether data is a table, as opposed to a dataset's name and to other files."""
    return given not in registry.names() and is_table(given)


def description(given: str, data: Dataset, label: str | None, regression: bool) -> dict[str, Any]:
    """Return what a run keeps of its data, so that other data are read in the same way."""
    about: dict[str, Any] = {"data": given, "label": label, "regression": regression}
    if names_a_table(given):
        columns = read_columns(Path(given), label)
        about["label"] = columns.label
    inputs = data.train.inputs
    if isinstance(inputs, np.ndarray) and inputs.dtype == np.uint8 and inputs.shape[3:] == (1,):
        about["pictures"] = asdict(manner(inputs))
    if skipped := data.notes.get("skipped"):
        about["skipped"] = len(skipped)
    if resized := data.notes.get("resized"):
        about["resized"] = resized
    return about


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
