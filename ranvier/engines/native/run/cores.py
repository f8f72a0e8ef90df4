"""How many cores this process may use: its affinity mask, and the CPU quota of its containers.

A container with a quota sees all cores of the machine, but its threads together may run for so
much time only; with more threads than that, all of them are halted again and again.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from ranvier.records import dataclass


def available_cores(root: Path = Path("/")) -> int:
    """The number of cores that this process may use, at least 1.

    The cores of its affinity mask, or fewer if a quota, rounded to whole cores, is smaller.
    """
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    quota = cpu_quota(root)
    return cores if quota is None else max(1, min(cores, math.floor(quota + 0.5)))


def cpu_quota(root: Path = Path("/")) -> float | None:
    """The cores' worth of time that Linux control groups leave to this process, or None.

    It is the smallest quota of the process's own group and of those around it, as far as they
    are mounted. `root` is where `proc` and the mounts are looked up. Files that are missing or
    hold something else say nothing.
    """
    groups, mounts = _lines(root / "proc/self/cgroup"), _lines(root / "proc/self/mountinfo")
    hierarchies = [each for line in mounts if (each := _hierarchy(line)) is not None]
    quotas = [
        quota
        for line in groups
        for hierarchy in hierarchies
        for folder in _folders(root, hierarchy, line)
        if (quota := (_quota_2 if hierarchy.version == 2 else _quota_1)(folder)) is not None
    ]
    return min(quotas, default=None)


@dataclass(frozen=True)
class _Hierarchy:
    """A mounted tree of control groups: the group at its top, and where that is mounted."""

    version: int
    top: PurePosixPath
    mount: PurePosixPath


def _hierarchy(line: str) -> _Hierarchy | None:
    """What a line of mountinfo says, if it mounts a tree that can hold quotas."""
    fields, _, rest = line.partition(" - ")
    buffer, kind = fields.split(), rest.split()
    if len(buffer) < 5 or len(kind) < 3:
        return None
    version = {"cgroup2": 2, "cgroup": 1}.get(kind[0])
    if version is None or (version == 1 and "cpu" not in kind[2].split(",")):
        return None
    return _Hierarchy(version, _unescaped(buffer[3]), _unescaped(buffer[4]))


def _unescaped(text: str) -> PurePosixPath:
    """A path of mountinfo, where blanks and the like are octal numbers."""
    return PurePosixPath(re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text))


def _folders(root: Path, hierarchy: _Hierarchy, line: str) -> Iterator[Path]:
    """The folders of a process's group and of those around it, by its line in `cgroup`.

    Such a line is `number:controllers:path`; of version 2, `0::path`. Seen from within a
    container, the path may lie outside the mount: then only the mount's top is known.
    """
    number, _, rest = line.partition(":")
    controllers, _, path = rest.partition(":")
    wanted = number == "0" and not controllers
    if hierarchy.version == 1:
        wanted = "cpu" in controllers.split(",")
    if not wanted:
        return
    group, inner = PurePosixPath(path), PurePosixPath()
    if group.is_relative_to(hierarchy.top) and ".." not in group.parts:
        inner = group.relative_to(hierarchy.top)
    mount = root / hierarchy.mount.relative_to("/")
    for each in (inner, *inner.parents):
        yield mount / each


def _quota_2(folder: Path) -> float | None:
    """The quota in `cpu.max` of version 2: `quota period` in microseconds, or `max period`."""
    words = " ".join(_lines(folder / "cpu.max")).split()
    return _ratio(words[0], words[1]) if len(words) == 2 else None


def _quota_1(folder: Path) -> float | None:
    """The quota of version 1, in microseconds of each period; -1 means none."""
    quota, period = (
        " ".join(_lines(folder / f"cpu.cfs_{name}_us")) for name in ("quota", "period")
    )
    return _ratio(quota, period)


def _ratio(quota: str, period: str) -> float | None:
    """How many cores' worth a quota is; None unless both are positive numbers."""
    if not (quota.isdecimal() and period.isdecimal() and int(quota) and int(period)):
        return None
    return int(quota) / int(period)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []
