"""Unpacking of tar and zip archives that may be hostile."""

from __future__ import annotations

import gzip
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from ranvier.data.errors import DataError

LIMIT = 8 << 30
"""More bytes than this out of one archive are refused."""

_CHUNK = 1 << 20
_LONGEST_PADDING = 16 << 20
_BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    RuntimeError,  # an encrypted zip, or a method of compression that Python lacks
)
_CLASHES = (FileExistsError, IsADirectoryError, NotADirectoryError)


def unpack(archive: Path, target: Path, limit: int = LIMIT) -> None:
    """Unpack a .tar, .tar.gz or .zip into a new folder `target`, which appears whole or not.

    Only plain files and folders below `target`: an absolute path, a `..`, a link or a device
    refuses the whole archive, and so do more than `limit` bytes. If `target` exists already,
    made by another process say, it is left as it is. Raises DataError, naming the archive.
    """
    if not archive.is_file():
        raise DataError(f"{archive}: there is no such file; check the path")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
        try:
            _extract(archive, building, limit)
            building.chmod(0o755)  # mkdtemp's folders are the user's alone
            _rename(building, target)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    except OSError as error:
        raise DataError(
            f"{archive}: cannot unpack into {target} ({error.strerror}); "
            "make room there, and see that it can be written"
        ) from None


def _rename(building: Path, target: Path) -> None:
    try:
        building.rename(target)
    except OSError:
        if not target.is_dir():  # else another process was first
            raise


def _extract(archive: Path, folder: Path, limit: int) -> None:
    left = limit
    try:
        with _members(archive) as members:
            for name, file in members:
                place = folder / _safe(archive, name)
                if file is None:
                    place.mkdir(parents=True, exist_ok=True)
                    continue
                place.parent.mkdir(parents=True, exist_ok=True)
                with file, open(place, "xb") as out:
                    while chunk := file.read(_CHUNK):
                        left -= len(chunk)
                        if left < 0:
                            raise DataError(
                                f"{archive}: unpacks to more than {limit} bytes; "
                                "unpack it yourself if you trust it"
                            )
                        out.write(chunk)
    except _BROKEN:
        raise DataError(f"{archive}: not a tar or zip archive, or damaged; fetch it anew") from None
    except _CLASHES:
        raise DataError(f"{archive}: the archive names a file twice; fetch it anew") from None


Members = Iterator[tuple[str, IO[bytes] | None]]


@contextmanager
def _members(archive: Path) -> Iterator[Members]:
    """The archive's members: the name, and the content to read; None for a folder."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            yield _zip_members(archive, packed)
    else:
        with tarfile.open(archive) as packed_tar:
            yield _tar_members(archive, packed_tar)
            _drain(packed_tar)


def _tar_members(archive: Path, packed: tarfile.TarFile) -> Members:
    for member in packed:
        if member.isdir():
            yield member.name, None
        elif member.isreg():
            file = packed.extractfile(member)
            assert file is not None
            yield member.name, file
        else:
            raise _unsafe(archive, member.name, "is a link or a device")


def _drain(packed: tarfile.TarFile) -> None:
    """Read the padding behind the last member, so that gzip compares its checksum at the end.

    Bounded, so that the padding is no way round the limit.
    """
    assert packed.fileobj is not None
    for _ in range(_LONGEST_PADDING // _CHUNK):
        if not packed.fileobj.read(_CHUNK):
            return


def _zip_members(archive: Path, packed: zipfile.ZipFile) -> Members:
    for entry in packed.infolist():
        kind = stat.S_IFMT(entry.external_attr >> 16)  # 0 where no Unix system wrote the archive
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _unsafe(archive, entry.filename, "is a link or a device")
        yield entry.filename, None if entry.is_dir() else packed.open(entry)


def _safe(archive: Path, name: str) -> Path:
    """The relative path of a member; DataError if it leaves the folder on any platform."""
    windows, posix = PureWindowsPath(name), PurePosixPath(name)
    if posix.is_absolute() or windows.drive or windows.root:
        raise _unsafe(archive, name, "is an absolute path")
    if ".." in windows.parts:
        raise _unsafe(archive, name, "climbs out of the folder")
    return Path(*posix.parts)


def _unsafe(archive: Path, name: str, fault: str) -> DataError:
    return DataError(f"{archive}: the member {name!r} {fault}; do not trust this archive")
