"""The table of first programs: each with what its author is told, or that it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Program(NamedTuple):
    """A program, and the phrases that the sentence it meets must hold; none where it runs."""

    run: Callable[[], object]
    phrases: tuple[str, ...]


class Table(dict[str, Program]):
    """Programs by name; `@table.runs` and `@table.meets(phrase, …)` add one."""

    def runs(self, program: Callable[[], object]) -> Callable[[], object]:
        self[program.__name__] = Program(program, ())
        return program

    def meets(self, *phrases: str) -> Callable[[Callable[[], object]], Callable[[], object]]:
        def added(program: Callable[[], object]) -> Callable[[], object]:
            self[program.__name__] = Program(program, phrases)
            return program

        return added
