"""Files as they are read: plain ones only, and no deeper or larger than memory and time allow."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

_DEEPEST = 200
"""Levels of JSON, more than any file of ours has; walks over it recurse."""

_MOST_VALUES = 4_000_000
"""Values of JSON: of the smallest ones, some 100 bytes each in Python."""


def open_plain(path: Path) -> BinaryIO:
    """Open a plain file for reading.

    Raises OSError for one that cannot be opened, and for what would never end or never begin: a
    device, a pipe, a socket.
    """
    kind = path.stat().st_mode
    if stat.S_ISDIR(kind):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(kind):
        fault = "it is a pipe, a socket or a device; copy what it gives to a plain file"
        raise OSError(errno.EINVAL, fault, str(path))
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags), "rb")


def read_plain(path: Path) -> bytes:
    """Return what a plain file holds; OSError as `open_plain` raises it."""
    with open_plain(path) as file:
        return file.read()


def parse_json(content: bytes | str, objects: int = _MOST_VALUES) -> Any:
    """Return the value of a JSON text; ValueError for what is none, or is too deep or too long.

    A text of a few megabytes could otherwise become gigabytes of empty lists. objects: how many
    of them there may be.
    """
    text = content if isinstance(content, str) else content.decode("utf-8")
    if sum(map(text.count, ",[{")) > _MOST_VALUES or text.count("{") > objects:
        raise ValueError("more values of JSON than any file of ours has")
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("JSON that is nested too deeply") from None
    level = [value]
    for _ in range(_DEEPEST):
        level = [item for each in level for item in _items(each)]
        if not level:
            return value
    raise ValueError(f"JSON that is nested deeper than {_DEEPEST}")


def _items(value: Any) -> Any:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
