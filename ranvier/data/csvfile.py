"""Tables of numbers in text files (CSV): features, and a column of labels or of numbers."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from ranvier.data.errors import DataError, DataWarning
from ranvier.data.header import SEEN, First, first_row, number_in
from ranvier.data.idx import read_bytes
from ranvier.data.labels import check_classes, class_names, class_numbers, is_whole
from ranvier.data.source import Array, Split
from ranvier.data.table import Table, with_categories
from ranvier.records import dataclass

_FEW_CLASSES = 20
"""Up to so many classes are taken as such, however few rows there are."""

_LARGEST = float(np.finfo(np.float32).max)


def read_csv(
    path: Path, label: str | None, regression: bool, features: Sequence[str] | None = None
) -> tuple[Split, tuple[str, ...]]:
    """Return the rows as a split, and the class names.

    Inputs are float32[n, f], and keep their names: the columns `features`, by name, or else every
    column but the label's. A column of words becomes one of 0 and 1 for each of its categories,
    2 to 20, which is called `column=category` (see `table`). The label's column, the last one
    unless `label` names another, becomes class numbers int32[n] or, for `regression`, numbers
    float32[n, 1] without classes. Raises DataError, naming file and line.
    """
    table = _read_table(path, features)
    place = _label_place(table, label)
    if len(table.columns) < 2:
        raise DataError(f"{path}: {table.columns[0]!r} is the only column; add columns of features")
    name = table.columns[place]
    table = with_categories(table, name, features)
    place = table.columns.index(name)
    if features is None:
        features = _others(table, place)
    inputs = _numbers(table, _places(table, features))
    if regression:
        return Split(inputs, _numbers(table, [place]), columns=tuple(features)), ()
    labels = _labels(table, place)
    classes = class_names(labels)
    check_classes(classes, str(path))
    _check_labels(table, place, len(classes))
    numbers = class_numbers(labels, classes, str(path))
    return Split(inputs, numbers, columns=tuple(features)), classes


@dataclass(frozen=True)
class Rows:
    """Numbers float32[n, f] and the line of the file that each row ends on."""

    values: Array
    lines: list[int]


@dataclass(frozen=True)
class Columns:
    """The names of a table's features, in their order, and of the label."""

    features: tuple[str, ...]
    label: str


def read_columns(path: Path, label: str | None = None) -> Columns:
    """Return what `read_csv` takes for features and label; DataError for a bad header."""
    table = _read_table(path, most=SEEN)
    place = _label_place(table, label)
    return Columns(_others(table, place), table.columns[place])


def read_rows(
    path: Path, width: int, label: str | None = None, features: Sequence[str] | None = None
) -> Rows:
    """Return the rows of a table that is to be predicted, `width` features each.

    They are the columns `features`, by name. Without these names they are all columns in their
    order, where the label's, the last one unless `label` names another, may be there or not.
    Raises DataError, naming file and line.
    """
    table = _read_table(path, features)
    if features is not None:
        table = with_categories(table, "", features)
        return Rows(_numbers(table, _places(table, features)), table.lines)
    columns = list(range(len(table.columns)))
    if len(columns) == width + 1:
        del columns[_label_place(table, label)]
    if len(columns) != width:
        raise DataError(
            f"{path}: {len(table.columns)} columns, but the network takes {width} numbers a row; "
            "give the columns that it was trained on, in their order"
        )
    return Rows(_numbers(table, columns), table.lines)


def _read_table(
    path: Path, features: Sequence[str] | None = None, most: int | None = None
) -> Table:
    """Read a table, or `most` of its rows; columns without a header are column1, column2, …

    features: the names of columns that are looked for; where they stand in the first row, that
    is a header for certain.
    """
    records = list(islice(_records(path), None if most is None else most + 1))
    rows, lines = [row for row, _ in records], [line for _, line in records]
    table = Table(path, tuple(rows[0]), rows[1:], lines[1:])
    _check_rows(table)
    headed = features is not None and set(features) <= set(table.columns)
    found = First.NAMES if headed else first_row(table.columns, table.rows)
    if found is First.UNCLEAR:
        raise DataError(
            f"{path}, line {lines[0]}: the numbers may be the names of columns, or a row; put a "
            "line with the columns' names above it, or make a word of one of the names"
        )
    if found is First.VALUES:
        return _unheaded(path, rows, lines)
    _check_header(table)
    return table


def _unheaded(path: Path, rows: list[list[str]], lines: list[int]) -> Table:
    """A table whose first row is one like the others."""
    names = tuple(f"column{place + 1}" for place in range(len(rows[0])))
    warnings.warn(
        f"{path}: line {lines[0]} is a row like those below it, and no header; the columns are "
        f"called {names[0]} to {names[-1]}",
        DataWarning,
        stacklevel=4,
    )
    return Table(path, names, rows, lines)


def _records(path: Path) -> Iterator[tuple[list[str], int]]:
    """Every row that is not empty, the header first, and the line that it ends on."""
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: byte {error.start} is not UTF-8; save the table as UTF-8"
        ) from None
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    found = False
    try:
        for row in reader:
            if row:
                found = True
                yield [entry.strip() for entry in row], reader.line_num
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}; mend the quotes") from None
    if not found:
        raise DataError(f"{path}: the file is empty; it needs a header and rows")


def _check_header(table: Table) -> None:
    seen: set[str] = set()
    for column, name in enumerate(table.columns):
        if not name:
            raise DataError(
                f"{table.path}, line 1: column {column + 1} has no name; name every column"
            )
        if name in seen:
            raise DataError(f"{table.path}, line 1: two columns are named {name!r}; rename one")
        seen.add(name)


def _check_rows(table: Table) -> None:
    if not table.rows:
        raise DataError(f"{table.path}: there are no rows below the header; add some")
    width = len(table.columns)
    for row, line in zip(table.rows, table.lines, strict=True):
        if len(row) != width:
            raise DataError(
                f"{table.path}, line {line}: {len(row)} fields, but the header has {width}; "
                "mend the line"
            )


def _others(table: Table, place: int) -> tuple[str, ...]:
    """The names of all columns but one."""
    return table.columns[:place] + table.columns[place + 1 :]


def _places(table: Table, names: Sequence[str]) -> list[int]:
    places = {name: place for place, name in enumerate(table.columns)}
    missing = [name for name in names if name not in places]
    if missing:
        raise DataError(
            f"{table.path}: there is no column {', '.join(map(repr, missing))}; "
            f"the network takes {', '.join(names)}"
        )
    return [places[name] for name in names]


def _label_place(table: Table, label: str | None) -> int:
    if label is None:
        return len(table.columns) - 1
    if label not in table.columns:
        names = ", ".join(table.columns)
        raise DataError(f"{table.path}: there is no column {label!r}; the columns are {names}")
    return table.columns.index(label)


def _numbers(table: Table, columns: list[int]) -> Array:
    values = np.empty((len(table.rows), len(columns)), np.float32)
    for number, (row, line) in enumerate(zip(table.rows, table.lines, strict=True)):
        try:
            parsed = [float(row[column]) for column in columns]
        except ValueError:
            parsed = [np.nan]
        # False for NaN, infinity and what float32 cannot hold.
        if not all(abs(value) <= _LARGEST for value in parsed):
            raise _not_a_number(table, row, line, columns)
        values[number] = parsed
    return values


def _not_a_number(table: Table, row: list[str], line: int, columns: list[int]) -> DataError:
    """The error that names the first bad field of a row."""
    for column in columns:
        entry, name = row[column], table.columns[column]
        where = f"{table.path}, line {line}: column {name!r}"
        if not entry:
            return DataError(f"{where} is empty; fill it in or leave the row out")
        if not _is_number(entry):
            return DataError(
                f"{where} holds {entry!r} where a number belongs; "
                "turn the column into numbers or leave it out"
            )
        if not abs(float(entry)) <= _LARGEST:
            return DataError(
                f"{where} holds {entry!r}, which is no finite float32; "
                "replace it or leave the row out"
            )
    raise AssertionError("the row has no bad field")


def _labels(table: Table, place: int) -> list[str]:
    labels = []
    for row, line in zip(table.rows, table.lines, strict=True):
        where = f"{table.path}, line {line}: the label {table.columns[place]!r}"
        if not row[place] or row[place].lower() == "nan":
            raise DataError(f"{where} is missing; fill it in or leave the row out")
        if _is_number(row[place]) and not is_whole(row[place]):
            raise DataError(
                f"{where} is {row[place]}, no class; "
                "use regression=True to predict numbers, or whole numbers as classes"
            )
        labels.append(row[place])
    return labels


def _check_labels(table: Table, place: int, classes: int) -> None:
    """Refuse a label that tells rows apart and not kinds, as a price or a name does."""
    if classes > max(_FEW_CLASSES, len(table.rows) / 2):
        raise DataError(
            f"{table.path}: the label {table.columns[place]!r} has {classes} different values in "
            f"{len(table.rows)} rows; use regression (--regression) to predict it as a number, "
            "or another column as the label (--label)"
        )


def _is_number(text: str) -> bool:
    return number_in(text) is not None
