"""Text that says all of a value, so that what prints alike is alike: keys are made of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from struct import pack
from typing import Any

import numpy as np

from ranvier.errors import CompileError

_PLAIN = frozenset([int, bool, str, type(None)])
"""What `repr` tells apart."""


def exact(value: Any, special: Callable[[Any], str | None] = lambda value: None) -> str:
    """The text of records, tuples, numbers, strings and dtypes; `special` has the first word.

    Of a record it has the fields that its `repr` shows. Raises CompileError for anything else.
    """

    def text(part: Any) -> str:
        found = special(part)
        if found is not None:
            return found
        if isinstance(part, np.dtype):
            return part.str
        if isinstance(part, float):  # by its bits: 0 and -0, and NaNs, differ
            return pack("d", part).hex()
        if type(part) is tuple and not _PLAIN.issuperset(map(type, part)):
            return f"({', '.join(map(text, part))})"
        names = telling(type(part))
        if names is not None:
            parts = [text(getattr(part, name)) for name in names]
            return f"{type(part).__name__}({', '.join(parts)})"
        if type(part) in _PLAIN or isinstance(part, tuple):
            return repr(part)
        raise CompileError(f"no text says all of {part!r}")

    return text(value)


def telling(kind: type[Any]) -> Sequence[str] | None:
    """The fields that tell a record of this class from another; None if it is no record."""
    if kind not in _known:
        shown = [f.name for f in fields(kind) if f.repr] if is_dataclass(kind) else None
        _known[kind] = shown
    return _known[kind]


_known: dict[type[Any], list[str] | None] = {}
