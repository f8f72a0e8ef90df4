"""`lock`: a folder that one process at a time writes to.

The lock is the system's, on an open file: it ends with the process, however that ends, so a
killed run leaves none behind.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from pathlib import Path
from typing import IO

from ranvier.training.run.files import RunError

LOCK = ".lock"
"""The file that is locked; the holder removes it at the end."""

_APPENDING = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NONBLOCK", 0)
"""Without waiting for a reader, where somebody has put a pipe there."""

_HELD = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)


class Lock:
    """The right to write to a folder, from here to `release`; RunError where another has it.

    Where the file system knows no locks, nobody is kept out.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK
        self._file = self._open()
        while not self._same():  # the last holder has removed the file that we have locked
            self._file.close()
            self._file = self._open()

    def release(self) -> None:
        """Remove the file and let others in."""
        if os.name == "nt":  # where an open file cannot be removed
            self._file.close()
        with contextlib.suppress(OSError):
            self._path.unlink()
        self._file.close()

    def _open(self) -> IO[bytes]:
        try:
            file = os.fdopen(os.open(self._path, _APPENDING, 0o666), "ab")
        except OSError as error:
            raise RunError(f"cannot write {self._path}: {error.strerror}; mend that") from None
        try:
            _lock(file)
        except OSError as error:
            if error.errno in _HELD:
                file.close()
                raise RunError(
                    f"another run is writing to {self._path.parent}; wait until it ends, or "
                    "choose another folder"
                ) from None
        return file

    def _same(self) -> bool:
        """Whether the locked file is still the one that others would open."""
        try:
            return os.path.samestat(os.fstat(self._file.fileno()), self._path.stat())
        except FileNotFoundError:
            return False


def _lock(file: IO[bytes]) -> None:
    """Lock an open file without waiting; OSError where that cannot be."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
