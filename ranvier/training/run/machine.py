"""What a run was made on: the facts that no two runs need share."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_CPU_INFO = Path("/proc/cpuinfo")


def stamp(engine: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return date (UTC), version, processor and threads of what an engine computes now."""
    from datetime import UTC, datetime  # these take their time to import

    from ranvier import __version__

    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    threads = 1
    if engine == "native":
        from ranvier.engines.native.host import host

        threads = options.get("threads") or host().cores
    return {"date": now, "version": __version__, "processor": processor(), "threads": threads}


@functools.cache
def processor() -> str:
    """Return the processor's name as its maker has it, or else that of its architecture."""
    import platform

    try:
        lines = _CPU_INFO.read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(filter(None, names), platform.processor() or platform.machine())
