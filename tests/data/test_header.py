"""Tables with a header and without one are told apart, and what cannot be told is said."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from data_files import says

from ranvier.data import DataWarning, from_path
from ranvier.data.csvfile import read_columns, read_rows
from ranvier.data.header import First, first_row

RNG = np.random.default_rng(0)
FLOWERS = [
    [*(f"{x:.1f}" for x in RNG.normal(4, 1, 4)), f"Iris-{kind}"]
    for kind in ("setosa", "versicolor", "virginica")
    for _ in range(20)
]
NUMBERS = [[f"{x:.3f}" for x in row] for row in RNG.normal(0, 1, (40, 4))]
WHOLE = [[str(x) for x in row] for row in RNG.integers(0, 17, (40, 6))]
PEOPLE = [[f"country {n}", *(str(x) for x in RNG.integers(10**4, 10**9, 3))] for n in range(40)]
SPECTRA = [[f"{x:.4f}" for x in row] for row in RNG.uniform(0, 1, (40, 8))]

HEADERS: dict[str, tuple[str, Sequence[Sequence[str]]]] = {
    "words": ("a,b,c,kind", [[*row[:3], row[4]] for row in FLOWERS]),
    "words over numbers": ("a,b,c,d", NUMBERS),
    "one word": ("1,2,3,label", NUMBERS),
    "years": ("country,2019,2020,2021", PEOPLE),
    "two years": ("country,2019,2020", [row[:3] for row in PEOPLE]),
    "numbers over classes": ("0,1,2,label", [[*row[:3], row[4]] for row in FLOWERS]),
    "years only": ("2018,2019,2020,2021", NUMBERS),
    "saved without names": ("0,1,2,3", NUMBERS),
    "pixels": ("0,1,2,3,4,5", WHOLE),
    "wave lengths": (",".join(f"{400 + 2.5 * n:g}" for n in range(8)), SPECTRA),
    "words alone": ("colour,kind", [["red", "yes"], ["blue", "no"], ["red", "no"]]),
    "an index without a name": (",a,b", [["0", "1.5", "2"], ["1", "2.5", "7"]]),
    "one row below": ("a,b", [["3", "-3"]]),
    "a row that is bad": ("a,b", [["1", "x"], ["2", "y"], ["many", "x"]]),
    "no rows": ("a,b", []),
}
VALUES: dict[str, Sequence[Sequence[str]]] = {
    "flowers": FLOWERS,
    "numbers": NUMBERS,
    "whole numbers": WHOLE,
    "class first": [[str(n % 3 + 1), *row] for n, row in enumerate(NUMBERS)],
    "names that are one each": [[*row[:3], f"car {n}"] for n, row in enumerate(NUMBERS)],
    "rows with numbers": [[str(n), *row] for n, row in enumerate(NUMBERS)],
    "a missing number": [["5.1", "?", "0.2", "yes"], *([*row[:3], "yes"] for row in NUMBERS)],
    "sorted": [[str(n + 1), str(2 * n + 3), str(n * n)] for n in range(30)],
    "two rows": [["3", "-3"], ["-3", "3"]],
    "words alone": [["red", "yes"], ["blue", "no"], ["red", "no"], ["red", "yes"]],
    "equal fields": [["0", "0", "1"], ["0", "5", "1"], ["3", "0", "0"]],
}


@pytest.mark.parametrize("kind", HEADERS)
def test_names(kind: str) -> None:
    names, rows = HEADERS[kind]
    width = len(names.split(","))
    assert first_row(names.split(","), [row[:width] for row in rows]) is First.NAMES


@pytest.mark.parametrize("kind", VALUES)
def test_values(kind: str) -> None:
    first, *below = VALUES[kind]
    assert first_row(first, below) is First.VALUES


def test_no_row_of_common_tables_is_taken_for_names() -> None:
    """Whichever row comes first."""
    for rows in (FLOWERS, NUMBERS, WHOLE):
        for place, row in enumerate(rows):
            assert first_row(row, [*rows[:place], *rows[place + 1 :]]) is First.VALUES


def write(folder: Path, rows: Sequence[Sequence[str]], name: str = "table.csv") -> Path:
    path = folder / name
    path.write_text("\n".join(map(",".join, rows)) + "\n")
    return path


def test_a_table_without_a_header_keeps_its_first_row(tmp_path: Path) -> None:
    path = write(tmp_path, FLOWERS)
    text = (
        f"{path}: line 1 is a row like those below it, and no header; the columns are called "
        "column1 to column5"
    )
    with pytest.warns(DataWarning) as warned:
        dataset = from_path(path)
    assert str(warned[0].message) == text
    assert sum(map(len, (dataset.train, dataset.validation, dataset.test))) == len(FLOWERS)
    with pytest.warns(DataWarning):
        columns = read_columns(path, "column1")
    assert columns.label == "column1"
    assert columns.features == ("column2", "column3", "column4", "column5")


def test_rows_to_predict_without_a_header(tmp_path: Path) -> None:
    path = write(tmp_path, [row[:4] for row in FLOWERS])
    with pytest.warns(DataWarning, match="line 1 is a row"):
        rows = read_rows(path, 4)
    assert rows.values.shape == (len(FLOWERS), 4)
    assert rows.lines[0] == 1
    with (
        pytest.warns(DataWarning),
        says(f"{path}: there is no column 'a', 'b'; the network takes a, b"),
    ):
        read_rows(path, 2, features=["a", "b"])


def test_names_that_are_looked_for_are_names(tmp_path: Path) -> None:
    """Even one row is enough then, whatever the names are."""
    path = write(tmp_path, [["7", "3", "9"], ["9", "7", "3"]])
    rows = read_rows(path, 2, features=["9", "3"])
    assert rows.values.tolist() == [[3, 7]]


def test_ordinary_headers_are_silent(tmp_path: Path) -> None:
    """Warnings are errors in these tests."""
    rows = [["2019", "2020", "2021", "kind"], *([*row[:3], row[4]] for row in FLOWERS)]
    assert from_path(write(tmp_path, rows)).classes == tuple(sorted({row[4] for row in FLOWERS}))
