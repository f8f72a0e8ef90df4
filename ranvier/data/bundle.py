"""The data that comes with Ranvier, each file verified before it is used."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from pathlib import Path

from ranvier.data.errors import DataError

FOLDER = Path(__file__).parent / "bundled"


def read_bundled(name: str, folder: Path = FOLDER) -> bytes:
    """Return the unpacked content of a bundled .gz file.

    Raises DataError if the file is missing or its SHA-256 is not that of `checksums.json`.
    """
    path = folder / name
    try:
        packed = path.read_bytes()
        expected = json.loads((folder / "checksums.json").read_text("utf-8"))[name]
    except (OSError, ValueError, KeyError):
        raise DataError(
            f"{path}: the bundled file or its checksum is missing; install ranvier anew"
        ) from None
    if hashlib.sha256(packed).hexdigest() != expected:
        raise DataError(f"{path}: the bundled file is damaged; install ranvier anew")
    try:
        return gzip.decompress(packed)
    except (OSError, EOFError, zlib.error):  # a wrong file with a checksum to match
        raise DataError(f"{path}: the bundled file is not gzip; install ranvier anew") from None
