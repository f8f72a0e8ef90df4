"""The facts of one machine that the compiler needs, in one record.

No other file knows how wide a vector is or how large a cache: it asks a `Host`. `host()`
describes the machine at hand; `example_host` describes others, for compiling without running.
llvmlite is imported only when the machine at hand is asked for, since it is slow to import.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from pathlib import Path

from ranvier.dtypes import DType
from ranvier.engines.native.run.cores import available_cores
from ranvier.errors import InputError
from ranvier.records import dataclass

VECTOR_BITS = "RANVIER_VECTOR_BITS"
"""The environment variable that asks for narrower vectors than an x86 processor has."""

CACHE_LINE = 64
"""Bytes of a cache line; where lines are longer, two requests for memory meet in one."""

_L1_DEFAULT = 32 << 10
_L2_DEFAULT = 512 << 10


@dataclass(frozen=True)
class Host:
    """A processor as the compiler sees it.

    `triple`, `cpu` and `features` are LLVM's; sizes are in bytes, caches those of one core;
    `cores` is the number of cores that this process may use, by its affinity and quota.
    """

    triple: str
    cpu: str
    features: str
    vector_bytes: int
    vector_registers: int
    l1_bytes: int
    l2_bytes: int
    cores: int

    def lanes(self, dtype: DType) -> int:
        """The elements of `dtype` in one vector register."""
        return self.vector_bytes // dtype.itemsize

    @property
    def is_x86(self) -> bool:
        """Whether this is a 64-bit x86 processor."""
        return self.triple.startswith(("x86_64", "amd64"))

    @property
    def is_arm(self) -> bool:
        """Whether this is a 64-bit ARM processor."""
        return self.triple.startswith(("aarch64", "arm64"))


@functools.cache
def host() -> Host:
    """The machine that this process runs on; RANVIER_VECTOR_BITS may narrow its vectors.

    Raises InputError where that is no width of x86 vectors.
    """
    from llvmlite import binding as llvm

    features = _narrowed(dict(llvm.get_host_cpu_features()), os.environ.get(VECTOR_BITS, "512"))
    if features.get("avx512f"):
        # LLVM would otherwise split 64-byte vectors in two on many server processors.
        features["prefer-256-bit"] = False
    triple = llvm.get_process_triple()
    vector_bytes, registers = _vectors(triple, features)
    l1_bytes, l2_bytes = _caches()
    return Host(
        triple=triple,
        cpu=llvm.get_host_cpu_name(),
        features=",".join(f"{'+' if on else '-'}{name}" for name, on in sorted(features.items())),
        vector_bytes=vector_bytes,
        vector_registers=registers,
        l1_bytes=l1_bytes,
        l2_bytes=l2_bytes,
        cores=available_cores(),
    )


def example_host(name: str) -> Host:
    """A typical machine with "avx512", "avx2" or "neon", for compiling without running."""
    return _EXAMPLES[name]


_EXAMPLES = {
    "avx512": Host(
        triple="x86_64-unknown-linux-gnu",
        cpu="skylake-avx512",
        features="-prefer-256-bit",
        vector_bytes=64,
        vector_registers=32,
        l1_bytes=32 << 10,
        l2_bytes=1 << 20,
        cores=8,
    ),
    "avx2": Host(
        triple="x86_64-unknown-linux-gnu",
        cpu="haswell",
        features="+avx2,+fma",
        vector_bytes=32,
        vector_registers=16,
        l1_bytes=32 << 10,
        l2_bytes=256 << 10,
        cores=4,
    ),
    "neon": Host(
        triple="aarch64-unknown-linux-gnu",
        cpu="generic",
        features="+neon",
        vector_bytes=16,
        vector_registers=32,
        l1_bytes=64 << 10,
        l2_bytes=1 << 20,
        cores=4,
    ),
}


def _vectors(triple: str, features: dict[str, bool]) -> tuple[int, int]:
    """The bytes of a vector register and the number of them."""
    if not triple.startswith(("x86_64", "amd64")):
        return 16, 32
    if all(features.get(f) for f in ("avx512f", "avx512bw", "avx512dq", "avx512vl")):
        return 64, 32
    if features.get("avx2") and features.get("fma"):
        return 32, 16
    return 16, 16


def _narrowed(features: dict[str, bool], bits: str) -> dict[str, bool]:
    """The features without those that need vectors of more than so many bits."""
    if bits not in _WIDER_THAN:
        raise InputError(f"{VECTOR_BITS} is {bits!r}; use 128, 256 or 512, or leave it unset")
    return {name: on and not name.startswith(_WIDER_THAN[bits]) for name, on in features.items()}


_WIDER_THAN: dict[str, tuple[str, ...]] = {
    "512": (),
    "256": ("avx512", "avx10"),
    "128": ("avx", "fma", "f16c", "xop", "vaes", "vpclmulqdq"),
}
"""The beginnings of the names of features that vectors of so many bits do without."""


def _caches() -> tuple[int, int]:
    """The sizes of a core's first-level data cache and second-level cache."""
    if sys.platform == "darwin":
        l1 = _darwin("hw.perflevel0.l1dcachesize") or _darwin("hw.l1dcachesize")
        # The second level is shared by a cluster of four or more cores.
        l2 = (_darwin("hw.perflevel0.l2cachesize") or _darwin("hw.l2cachesize")) // 4
    else:
        l1, l2 = _linux_cache(1), _linux_cache(2)
    return l1 or _L1_DEFAULT, l2 or _L2_DEFAULT


def _linux_cache(level: int) -> int:
    """The size of the data cache of `level`, or 0 where the system does not tell."""
    for folder in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        try:
            kind = (folder / "type").read_text().strip()
            found = int((folder / "level").read_text())
            size = (folder / "size").read_text().strip()
        except (OSError, ValueError):
            continue
        if found == level and kind in ("Data", "Unified") and size.endswith("K"):
            return int(size[:-1]) << 10
    return 0


def _darwin(name: str) -> int:
    """The value of a macOS system parameter, or 0 where there is none."""
    value, size = ctypes.c_int64(0), ctypes.c_size_t(8)
    library = ctypes.CDLL(None)
    library.sysctlbyname(name.encode(), ctypes.byref(value), ctypes.byref(size), None, 0)
    return value.value
