"""Folders and files that are the user's alone, because what they hold is run as the user.

Whoever could once write to a folder may have left something there, which stays when the folder
is closed. So nothing is taken for the user's own because of where it lies: a file's owner and mode
are looked at when it is open, and what it holds is signed with a secret of the user's.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ranvier.errors import CacheError

KEY = "key"
"""The file of the secret."""

_KEY_BYTES = 32
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_READING = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)  # a pipe without a writer would be waited for
    | getattr(os, "O_BINARY", 0)
)


def private_folder(folder: Path, ours: Callable[[str], bool]) -> bool:
    """Make a folder of the user's alone; return whether it is one.

    One that others could look into is closed to them, and the files in it whose names are `ours`
    are deleted.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or not _is_users(status):
        return False
    if not _is_open(status):
        return True
    folder.chmod(0o700)
    for name in os.listdir(folder):
        if name == KEY or ours(name):
            with suppress(OSError):
                os.unlink(folder / name)
    return not _is_open(folder.lstat())  # some file systems keep no modes


def read_private(path: Path) -> bytes:
    """Return what a file of the user's alone holds.

    Raises CacheError for a file that others own, can read or can write, and for what is no
    plain file; OSError for one that cannot be read, a symbolic link for instance.
    """
    descriptor = os.open(path, _READING)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or not _is_users(status) or _is_open(status):
            raise CacheError(f"{path} is no file of this user's alone")
        return file.read()


def secret(folder: Path) -> bytes:
    """Return the secret of a private folder, which is made where there is none.

    It is there whole or not at all, and all processes that start at once get the same one.
    Raises OSError or CacheError where none can be kept.
    """
    path = folder / KEY
    for _ in range(3):
        try:
            found = read_private(path)
            if len(found) == _KEY_BYTES:
                return found
        except FileNotFoundError:
            _make_secret(path)
            continue
        except (OSError, CacheError):
            pass
        path.unlink()
    raise CacheError(f"{path}: no secret can be kept there")


def _make_secret(path: Path) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.urandom(_KEY_BYTES))
        try:
            os.link(temporary, path)  # unlike a renaming, it never replaces another's
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            os.replace(temporary, path)
    finally:
        with suppress(OSError):
            os.unlink(temporary)


def _is_users(status: os.stat_result) -> bool:
    return not hasattr(os, "geteuid") or status.st_uid == os.geteuid()


def _is_open(status: os.stat_result) -> bool:
    """Whether others than the owner may do anything with it; Windows has no such modes."""
    return hasattr(os, "geteuid") and bool(stat.S_IMODE(status.st_mode) & _OTHERS)
