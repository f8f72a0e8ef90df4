"""Columns of words in tables: one column of 0 and 1 for each category, known by its name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from data_files import says

import ranvier as rv
from ranvier.data import from_path
from ranvier.data.csvfile import read_rows

COLOURS = np.random.default_rng(0).choice(["red", "blue", "green=dark"], 60)
LINES = [f"{n % 7},{c},{'yes' if c == 'red' else 'no'}" for n, c in enumerate(COLOURS)]
NAMES = ("size", "colour=blue", "colour=green=dark", "colour=red")


def write(folder: Path, header: str, lines: list[str], name: str = "t.csv") -> Path:
    path = folder / name
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def test_words_become_columns(tmp_path: Path) -> None:
    data = from_path(write(tmp_path, "size,colour,kind", LINES))
    inputs, targets = np.asarray(data.train.inputs), np.asarray(data.train.targets)
    assert data.train.columns == NAMES
    assert set(np.unique(inputs[:, 1:])) == {0, 1}
    assert (inputs[:, 1:].sum(1) == 1).all()
    assert np.array_equal(inputs[:, 3], targets)
    model = rv.Model(rv.nn.Linear(2), "cross_entropy", rv.optim.Adam(0.1), ["accuracy"])
    model.fit(data, epochs=30)
    assert model.evaluate(data)["accuracy"] == 1


def test_other_tables_are_read_by_the_names(tmp_path: Path) -> None:
    """The order of columns and rows does not matter, nor that a category does not occur."""
    path = write(tmp_path, "colour,more,size", ["green=dark,x,2", "red,y,3"])
    rows = read_rows(path, 4, features=NAMES)
    assert rows.values.tolist() == [[2, 0, 1, 0], [3, 0, 0, 1]]
    path = write(tmp_path, "colour,size", ["red,2", "pink,3"])
    with says(
        f"{path}, line 3: column 'colour' holds 'pink', which is none of blue, green=dark, red; "
        "mend it, or leave the row out"
    ):
        read_rows(path, 4, features=NAMES)
    path = write(tmp_path, "size", ["2", "3"])
    with says(
        f"{path}: there is no column 'colour=blue', 'colour=green=dark', 'colour=red'; "
        "the network takes size, colour=blue, colour=green=dark, colour=red"
    ):
        read_rows(path, 4, features=NAMES)


@pytest.mark.parametrize(
    "lines",
    [
        [f"{n},name {n},{n % 2}" for n in range(30)],
        [f"{n},{'many' if n == 7 else n},{n % 2}" for n in range(30)],
        [f"{n},red,{n % 2}" for n in range(30)],
    ],
    ids=["one for each row", "a mistake among numbers", "always the same"],
)
def test_words_that_are_no_categories_are_refused(tmp_path: Path, lines: list[str]) -> None:
    with pytest.raises(rv.data.DataError, match=r"column 'b' holds .* where a number belongs"):
        from_path(write(tmp_path, "a,b,kind", lines))
