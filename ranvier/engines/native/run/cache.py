"""Compiled programs kept on disk, so that no process compiles what another has compiled.

An entry is a file named by its key: a magic number, the key, the HMAC-SHA256 of the payload under
a secret of the user's, and the payload: an object file, or how a step uses one. It is written under
another name and renamed, and verified whole before it is used; whatever is truncated, altered or
foreign is deleted and compiled anew. Folder, entries and secret are the user's alone, since who
can make the cache load an object file can run code here.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event

import ml_dtypes
import numpy as np

from ranvier.engines.native.host import Host
from ranvier.engines.native.run.private import private_folder, read_private, secret
from ranvier.errors import CacheError

_MAGIC = b"RANVIER2"
_DIGEST = hashlib.sha256().digest_size
_SIGNED = len(_MAGIC) + _DIGEST
"""The length of the magic number and the key; the signature of key and payload follows."""
_HEADER = _SIGNED + _DIGEST
_LIMIT = 512 << 20
_MOST = 10_000
"""Entries in a folder, all of which are looked at when one is written."""
_ABANDONED = 3600.0
"""Seconds after which an unfinished file counts as left over by a process that died."""
_OURS = re.compile(r"[0-9a-f]{64}\.\w+|tmp\w+\.part")
"""The names of entries, finished or not; nothing else in a folder is ever deleted."""


class Cache:
    """Payloads by key in one folder, at most `limit` bytes of them; None keeps nothing.

    Their files end in `suffix`; the folder may hold those of other caches too.
    """

    def __init__(self, folder: Path | None, suffix: str = ".object", limit: int = _LIMIT) -> None:
        self.folder = folder
        self._suffix = suffix
        self._limit = limit

    def get(self, key: str, make: Callable[[], bytes]) -> bytes:
        """The payload of `key`, read from the folder, or made by `make` and kept.

        Threads that ask for the same key at the same time wait for one of them to make it.
        """
        name = f"{self.folder}:{key}{self._suffix}"
        while True:
            own = _Flight()
            try:
                flight = _flights.setdefault(name, own)
                if flight is own:
                    own.payload = self._read_or_make(key, make)
                    return own.payload
            finally:  # also after a KeyboardInterrupt, so that nobody waits for ever
                if _flights.get(name) is own:
                    del _flights[name]
                own.landed.set()
            flight.landed.wait()
            if flight.payload is not None:
                return flight.payload

    def _read_or_make(self, key: str, make: Callable[[], bytes]) -> bytes:
        payload = self.read(key)
        if payload is None:
            payload = make()
            self.write(key, payload)
        return payload

    def read(self, key: str) -> bytes | None:
        """The verified payload of `key`, or None; an entry that fails is deleted."""
        if self.folder is None:
            return None
        path = self._path(key)
        try:
            payload = _unpack(key, read_private(path), secret(self.folder))
            with suppress(OSError):
                os.utime(path)  # the time of last use, by which entries are dropped
            return payload
        except FileNotFoundError:
            return None
        except (OSError, CacheError):
            with suppress(OSError):
                path.unlink()
            return None

    def write(self, key: str, payload: bytes) -> None:
        """Keep the payload of `key`; a folder that is full or read-only keeps nothing.

        Nor does any folder keep a payload that would drive most others out.
        """
        if self.folder is None or len(payload) > self._limit // 2:
            return
        try:
            entry = _pack(key, payload, secret(self.folder))
            descriptor, temporary = tempfile.mkstemp(dir=self.folder, suffix=".part")
        except (OSError, CacheError):
            return
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(entry)
            Path(temporary).replace(self._path(key))
        except OSError:
            with suppress(OSError):
                Path(temporary).unlink()
        self._trim()

    def _path(self, key: str) -> Path:
        assert self.folder is not None
        return self.folder / f"{key}{self._suffix}"

    def _trim(self) -> None:
        """Delete the entries unused for longest until the rest fits, and abandoned files.

        Without a lock: two processes that trim at once delete the same files, and an entry
        that vanishes is only compiled again.
        """
        assert self.folder is not None
        entries = []
        with suppress(OSError), os.scandir(self.folder) as files:
            for file in (each for each in files if _is_ours(each.name)):
                with suppress(OSError):
                    status = file.stat(follow_symlinks=False)
                    entries.append((status.st_mtime, status.st_size, file.path))
        total, count = sum(size for _, size, _ in entries), len(entries)
        now = time.time()
        for modified, size, path in sorted(entries):
            abandoned = path.endswith(".part") and now - modified > _ABANDONED
            if total > self._limit or count > _MOST or abandoned:
                with suppress(OSError):
                    os.unlink(path)
                total, count = total - size, count - 1


@dataclass
class _Flight:
    """A payload in the making: others wait until it has landed, with or without a payload."""

    landed: Event = field(default_factory=Event)
    payload: bytes | None = None


_flights: dict[str, _Flight] = {}

if hasattr(os, "register_at_fork"):
    # In a forked child nobody is left who would finish what was in the making.
    os.register_at_fork(after_in_child=_flights.clear)


def ir_key(module_text: str, host: Host) -> str:
    """The key of the object that `host` gets from this IR."""
    return _key("ir", module_text, host)


def emission_key(description: str, host: Host) -> str:
    """The key of the object that Ranvier emits for `description` on `host`.

    It saves emitting the IR. `description` must fix everything that the emitters look at, the
    graph and the options; their own source is part of the key.
    """
    return _key(f"emission {_sources()}", description, host)


def linkage_key(description: str, host: Host) -> str:
    """The key of the linkage of a step that `description` says all of.

    Bindings hold constants that NumPy has computed, so its version is part of the key.
    """
    versions = np.__version__, ml_dtypes.__version__
    return _key(f"linkage {_sources()} {versions}", description, host)


def default_cache(suffix: str = ".object") -> Cache:
    """The cache in the user's folder, or in `RANVIER_CACHE`; none if that is set to nothing."""
    return Cache(_private_folder(os.environ.get("RANVIER_CACHE")), suffix)


def _key(kind: str, text: str, host: Host) -> str:
    import llvmlite
    from llvmlite import binding as llvm

    import ranvier
    from ranvier.engines.native.run.jit import PIPELINE_REVISION

    parts = (
        kind,
        ranvier.__version__,
        llvmlite.__version__,
        str(llvm.llvm_version_info),
        str(PIPELINE_REVISION),
        repr(replace(host, cores=0)),  # the code is the same for any number of cores
        text,
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@functools.cache
def _sources() -> str:
    """A digest of the source that turns graphs into IR, so that editing it empties no cache."""
    engines = Path(__file__).parents[2]
    digest = hashlib.sha256()
    for folder in (engines, engines.parent / "graph"):
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()


def _pack(key: str, payload: bytes, own: bytes) -> bytes:
    head = _MAGIC + bytes.fromhex(key)
    return head + _signature(key, payload, own) + payload


def _unpack(key: str, entry: bytes, own: bytes) -> bytes:
    """The payload of an entry; raises CacheError unless it is whole, ours, and that of `key`."""
    head, signature, payload = entry[:_SIGNED], entry[_SIGNED:_HEADER], entry[_HEADER:]
    if head[: len(_MAGIC)] != _MAGIC:
        raise CacheError("the cache entry has another format")
    right = hmac.compare_digest(signature, _signature(key, payload, own))
    if not right or head != _MAGIC + bytes.fromhex(key):
        raise CacheError("the cache entry is damaged, or another program's or user's")
    return payload


def _signature(key: str, payload: bytes, own: bytes) -> bytes:
    """What only this user can say of a payload and its key."""
    digest = hmac.new(own, bytes.fromhex(key), "sha256")
    digest.update(payload)
    return digest.digest()


def _is_ours(name: str) -> bool:
    return _OURS.fullmatch(name) is not None


def _private_folder(setting: str | None) -> Path | None:
    """The folder for objects, made if need be; None unless it is the user's alone."""
    if setting == "":
        return None
    try:
        folder = (Path(setting) if setting else _user_folder()) / "objects"
        return folder if private_folder(folder, _is_ours) else None
    except (OSError, RuntimeError):  # RuntimeError: there is no home folder
        return None


def _user_folder() -> Path:
    """Where this platform keeps a user's caches."""
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData/Local") / "ranvier/cache"
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/ranvier"
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "ranvier"
