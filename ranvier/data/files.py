"""Your own data: a file or folder on disk as a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ranvier.data.csvfile import read_csv
from ranvier.data.errors import DataError
from ranvier.data.folders import PARTS, read_picture_folder
from ranvier.data.idx import idx_file, read_part
from ranvier.data.labels import check_range, normalization, numbered_classes
from ranvier.data.npz import read_npz
from ranvier.data.source import Dataset, Split, split_off, three_parts
from ranvier.guidance.calls import explained

_FORMATS = (
    "a folder of IDX files, a folder with a subfolder of pictures for each class, "
    "a .npz archive or a .csv table"
)
_PART = 0.1


_TABLES = (".csv", ".tsv")


def is_table(path: str | Path) -> bool:
    """Whether a path is that of a table: a file .csv or .tsv."""
    return Path(path).suffix.lower() in _TABLES and Path(path).is_file()


@explained
def from_path(
    path: str | Path,
    *,
    label: str | None = None,
    regression: bool = False,
    features: Sequence[str] | None = None,
    seed: int = 0,
) -> Dataset:
    """Read your own data, named after the file or folder.

    - a folder of IDX files with the names of MNIST's (see `idx.read_part`);
    - a folder with a subfolder of pictures for each class, or with such folders inside `train`,
      `test` and `validation` (see `folders.read_picture_folder`);
    - an .npz archive (see `npz.read_npz`);
    - a .csv or .tsv table with a header (see `csvfile.read_csv`); `label` names the column to
      predict, the last one without it, and `regression` says that it holds numbers, not classes;
      `features` names the columns to predict from, all others without it.

    Where the source has one part only, a tenth of its rows becomes the validation set and a
    tenth the test set; where it lacks one of them, a tenth of the training rows becomes that:
    at random, by `seed`, the same on every platform. `preprocess` normalizes by the training
    set's mean and deviation. Raises DataError: one sentence that names the file and, in a
    table, the line.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder; check the path")
    if not path.is_file() and not path.is_dir():
        raise DataError(f"{path}: is a pipe or a device; copy what it gives to a plain file")
    table = is_table(path)
    if (label is not None or regression or features is not None) and not table:
        raise DataError(f"{path}: label, regression and features are for tables; leave them out")
    notes: dict[str, Any] = {}
    if path.is_dir():
        parts, classes, notes = _read_folder(path)
    elif table:
        rows, classes = read_csv(path, label, regression, features)
        parts = {"train": rows}
    elif path.suffix.lower() == ".npz":
        parts, classes = read_npz(path)
    else:
        raise DataError(f"{path}: not a format that can be read; use {_FORMATS}")
    own_test = "test" in parts
    train, validation, test = _three(parts, seed, str(path))
    preprocess = normalization(_array(train))
    return Dataset(path.stem, train, validation, test, classes, preprocess, own_test, notes)


def _read_folder(folder: Path) -> tuple[dict[str, Split], tuple[str, ...], dict[str, Any]]:
    if any(idx_file(folder, part, kind) for part in ("train", "test") for kind in _IDX):
        return *_read_idx_folder(folder), {}
    entries = [entry for entry in folder.iterdir() if entry.name[0] != "."]
    if not entries:
        raise DataError(f"{folder}: the folder is empty; use {_FORMATS}")
    if not any(entry.is_dir() for entry in entries):
        raise DataError(f"{folder}: neither IDX files nor subfolders of pictures; use {_FORMATS}")
    found = read_picture_folder(folder)
    return found.parts, found.classes, found.notes


_IDX = ("images", "labels")


def _read_idx_folder(folder: Path) -> tuple[dict[str, Split], tuple[str, ...]]:
    parts = {"train": read_part(folder, "train")}
    if any(idx_file(folder, "test", kind) for kind in _IDX):
        parts["test"] = read_part(folder, "test")
    for part, split in parts.items():
        if not len(split):
            raise DataError(f"{idx_file(folder, part, 'labels')}: there are no labels; add some")
    classes = numbered_classes(_labels(parts["train"]), str(idx_file(folder, "train", "labels")))
    for part, split in parts.items():
        check_range(_labels(split), len(classes), str(idx_file(folder, part, "labels")))
    return parts, classes


def _labels(split: Split) -> np.ndarray:
    assert isinstance(split.targets, np.ndarray)
    return split.targets


def _array(split: Split) -> np.ndarray:
    assert isinstance(split.inputs, np.ndarray)
    return split.inputs


def _three(parts: dict[str, Split], seed: int, name: str) -> tuple[Split, Split, Split]:
    """The training, validation and test sets, those that are absent taken from training."""
    needed = 4 - len(parts)
    train = parts["train"]
    if len(train) < needed:
        raise DataError(
            f"{name}: {len(train)} training rows cannot give training, validation and test; "
            f"add rows, at least {needed} in all"
        )
    if len(parts) == 1:
        return three_parts(train, seed, part=_PART)
    for part in PARTS[1:]:
        if part not in parts:
            count = max(1, round(_PART * len(train)))
            train, parts[part] = split_off(train, count, seed)
    return train, parts["validation"], parts["test"]
