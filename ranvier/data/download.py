"""Downloads into the data folder: limited in size, checked, and there whole or not at all."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from ranvier.data.errors import DataError
from ranvier.records import dataclass

Progress: TypeAlias = Callable[[str, int, int | None], None]
"""Called with the file's name, the bytes so far, and all of them (None if not announced)."""

LIMIT = 1 << 30
"""Larger downloads than this are broken off unless the caller allows more."""

_CHUNK = 1 << 18
_TIMEOUT = 30.0
_SCHEMES = ("https", "http", "file")


@dataclass(frozen=True)
class Checksum:
    """A checksum in hexadecimal: "sha256", or "md5" where a publisher gives nothing better.

    MD5 finds damage; it does not stop an attacker who can make two files with one MD5.
    """

    kind: str
    digest: str


def data_folder() -> Path:
    """Where datasets are kept: `RANVIER_DATA`, or else the platform's folder for caches."""
    setting = os.environ.get("RANVIER_DATA")
    if setting:
        return Path(setting)
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData/Local") / "ranvier/data"
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/ranvier/data"
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "ranvier/data"


def download(
    url: str,
    target: Path,
    checksum: Checksum | None = None,
    *,
    limit: int = LIMIT,
    progress: Progress | None = None,
    timeout: float = _TIMEOUT,
) -> Path:
    """Fetch `url` into the file `target` (its folder is made) and return `target`.

    An existing `target` is replaced, and only by a file that is complete, at most `limit`
    bytes long and has the checksum. `timeout` is the longest silence in seconds. Raises
    DataError: without a network it says what to put where.
    """
    if url.partition("://")[0] not in _SCHEMES:
        raise DataError(f"{url}: not an address to download from; use https, http or file")
    temporary = _empty_beside(target)
    try:
        with open(temporary, "wb") as out:
            digest = _fetch(url, out.write, target, checksum, limit, progress, timeout)
            out.flush()
            os.fsync(out.fileno())
        if checksum is not None and digest != checksum.digest:
            raise DataError(
                f"{url}: the download has the {checksum.kind} {digest}, not {checksum.digest}; "
                "try again, and tell us if it stays so"
            )
        temporary.chmod(0o644)  # mkstemp's files are the user's alone
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return target


def verify(path: Path, checksum: Checksum, url: str) -> None:
    """Raise DataError unless the file, which was fetched from `url` by hand, has the checksum."""
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, lambda: _hasher(checksum)).hexdigest()
    if digest != checksum.digest:
        raise DataError(
            f"{path}: the {checksum.kind} is {digest}, not {checksum.digest}; "
            f"fetch it anew from {url}"
        )


def _hasher(checksum: Checksum | None) -> hashlib._Hash:
    return hashlib.new(checksum.kind if checksum else "sha256", usedforsecurity=False)


def _empty_beside(target: Path) -> Path:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=target.parent, suffix=".part")
    except OSError as error:
        raise DataError(
            f"{target.parent}: cannot keep data there ({error.strerror}); "
            "set RANVIER_DATA to a folder that can be written"
        ) from None
    os.close(descriptor)
    return Path(name)


def _fetch(
    url: str,
    write: Callable[[bytes], object],
    target: Path,
    checksum: Checksum | None,
    limit: int,
    progress: Progress | None,
    timeout: float,
) -> str:
    """Write the bytes of `url` and return their digest."""
    # Imported here, since few programs download and these take as long to import as the rest.
    import http.client
    import urllib.request

    digest = _hasher(checksum)
    done = 0
    try:
        with urllib.request.urlopen(url, timeout=timeout) as response:
            total = _announced(response.headers.get("Content-Length"))
            while chunk := response.read(_CHUNK):
                done += len(chunk)
                if max(done, total or 0) > limit:
                    raise DataError(f"{url}: more than {limit} bytes; the download is broken off")
                digest.update(chunk)
                write(chunk)
                if progress is not None:
                    progress(target.name, done, total)
    except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
        raise DataError(
            f"cannot download {url} ({_reason(error)}); fetch it elsewhere and put it at {target}"
        ) from None
    if total is not None and done != total:
        raise DataError(
            f"{url}: the download ended after {done} of {total} bytes; try again, "
            f"or fetch it elsewhere and put it at {target}"
        )
    return digest.hexdigest()


def _announced(length: str | None) -> int | None:
    return int(length) if length is not None and length.isdecimal() else None


def _reason(error: Exception) -> str:
    from urllib.error import HTTPError

    if isinstance(error, HTTPError):
        return f"the server answers {error.code}"
    reason = getattr(error, "reason", None) or error
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror
    return str(reason) or type(reason).__name__
