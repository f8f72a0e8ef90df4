"""What people name as inputs of a trained run: pictures, folders of them, and rows of tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ranvier.cli.data import features_of
from ranvier.cli.options import say
from ranvier.data.corpora import MNIST_PREPROCESS
from ranvier.data.csvfile import read_rows
from ranvier.data.errors import DataError
from ranvier.data.images import MNIST_MANNER, SUFFIXES, Manner, picture
from ranvier.training.model import Model
from ranvier.training.objective import ONE
from ranvier.wording import counted

_TABLES = (".csv", ".tsv")


class Samples:
    """The name and the array of each sample that the inputs hold, and why others hold none."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.rows: list[np.ndarray] = []
        self.errors: dict[str, str] = {}


def read_inputs(model: Model, inputs: Sequence[Path], ink: str) -> Samples:
    """Read all that the inputs hold, for a model of one input.

    Raises DataError where the model has several, or where there is one input and it is bad.
    """
    form = model.settings.inputs.get(ONE)
    if form is None:
        raise DataError("the network has several inputs; use it from Python")
    read = Samples()
    for path in inputs:
        _read(read, path, model, tuple(form["shape"]), ink)
    if not read.names and len(read.errors) == 1:
        raise DataError(next(iter(read.errors.values())))
    return read


def _read(read: Samples, path: Path, model: Model, shape: tuple[int, ...], ink: str) -> None:
    """Add what an input holds, or the error."""
    try:
        if path.suffix.lower() in _TABLES:
            label = model.settings.about.get("label")
            numbers = read_rows(path, int(np.prod(shape)), label, features_of(model))
            read.names += [f"{path}:{line}" for line in numbers.lines]
            read.rows += list(numbers.values.reshape(-1, *shape))
        elif len(shape) != 3:
            raise DataError(
                f"{path}: the network takes rows of {int(np.prod(shape))} numbers, no pictures; "
                "use a .csv file"
            )
        elif path.is_dir():
            for each in _pictures(path):
                _read(read, each, model, shape, ink)
        else:
            seen = _manner(model)
            pixels = picture(path, shape, centre=seen.centred, ink=ink, paper=seen.paper)
            read.names.append(str(path))
            read.rows.append(pixels)
    except DataError as error:
        read.errors[str(path)] = str(error)


def _pictures(folder: Path) -> list[Path]:
    """The pictures in a folder and the folders below it, by name; others are counted."""
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(p.startswith(".") for p in path.relative_to(folder).parts)
    )
    found = [path for path in files if path.suffix.lower() in SUFFIXES]
    if not found:
        raise DataError(f"{folder}: the folder holds no pictures; put some there")
    if others := len(files) - len(found):
        skipped = counted(others, "file that is no picture", "files that are no pictures")
        say(f"{folder}: skipped {skipped}")
    return found


def _manner(model: Model) -> Manner:
    """How the pictures were made that the network has learnt from, as far as is known."""
    known = model.settings.about.get("pictures")
    if isinstance(known, Mapping):
        return Manner(known.get("paper"), bool(known.get("centred")))
    return MNIST_MANNER if model.preprocess == MNIST_PREPROCESS else Manner()
