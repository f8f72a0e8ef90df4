"""A text table as it was read, and its columns of words as columns of 0 and 1.

A column `colour` of red and blue becomes `colour=blue` and `colour=red`. The names say all that is
needed to read other tables in the same way, so a run that keeps names keeps categories too.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ranvier.data.errors import DataError
from ranvier.data.header import number_in
from ranvier.records import dataclass

_MOST = 20
"""A column with more different words tells rows apart and not kinds."""


@dataclass(frozen=True)
class Table:
    """A CSV file: where it is, its columns, and each row with the line that it ends on."""

    path: Path
    columns: tuple[str, ...]
    rows: list[list[str]]
    lines: list[int]


def with_categories(table: Table, label: str, features: Sequence[str] | None) -> Table:
    """Return a table in which columns of categories have become a column for each category.

    label: the column that stays as it is. features: the names that are looked for, which decide
    the categories; without them those of the table, in order. Raises DataError for a category
    that is none of these.
    """
    if features is None:
        found = _categories_of(table, label)
    else:
        found = _categories_in(table, features)
    if not found:
        return table
    columns: list[str] = []
    for place, name in enumerate(table.columns):
        kinds = found.get(place)
        columns += [name] if kinds is None else [f"{name}={kind}" for kind in kinds]
    pairs = zip(table.rows, table.lines, strict=True)
    rows = [_encoded(table, found, row, line) for row, line in pairs]
    return Table(table.path, tuple(columns), rows, table.lines)


def _categories_of(table: Table, label: str) -> dict[int, list[str]]:
    """The categories of each column of words by its place, where they are kinds."""
    found = {}
    for place, name in enumerate(table.columns):
        if name == label or number_in(table.rows[0][place]) is not None:
            continue
        kinds = sorted({row[place] for row in table.rows})
        words = all(kind and number_in(kind) is None for kind in kinds)
        if words and 2 <= len(kinds) <= min(_MOST, max(2, len(table.rows) // 2)):
            found[place] = kinds
    return found


def _categories_in(table: Table, features: Sequence[str]) -> dict[int, list[str]]:
    """The categories that names such as `colour=red` tell, by the place of the column."""
    places = {name: place for place, name in enumerate(table.columns)}
    found: dict[int, list[str]] = {}
    for feature in features:
        if feature in places:
            continue
        ends = [end for end, sign in enumerate(feature) if sign == "="]
        known = [end for end in ends if feature[:end] in places]
        if known:
            found.setdefault(places[feature[: known[-1]]], []).append(feature[known[-1] + 1 :])
    return found


def _encoded(table: Table, found: dict[int, list[str]], row: list[str], line: int) -> list[str]:
    fields: list[str] = []
    for place, field in enumerate(row):
        kinds = found.get(place)
        if kinds is None:
            fields.append(field)
            continue
        if field not in kinds:
            raise DataError(
                f"{table.path}, line {line}: column {table.columns[place]!r} holds {field!r}, "
                f"which is none of {', '.join(kinds)}; mend it, or leave the row out"
            )
        fields += ["1" if field == kind else "0" for kind in kinds]
    return fields
