"""What a piece of code costs in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

import pytest

_SCRIPT = """
import json, sys
from pathlib import Path
import ranvier as rv; from ranvier.errors import RanvierError
from ranvier.data import from_path
error = ""
try:
    exec(sys.argv[1], {"rv": rv, "from_path": from_path, "path": Path(sys.argv[2])})
except RanvierError as found:
    error = f"{type(found).__name__}: {found}"
status = Path("/proc/self/status").read_text().split("VmHWM:")[1]
print(json.dumps([error, int(status.split()[0]) / 1024]))
"""


@dataclass(frozen=True)
class Cost:
    """The error that code ended with, or "", and the most memory that its process held."""

    error: str
    megabytes: float


def cost(code: str, path: object, seconds: float = 60) -> Cost:
    """Run code that knows `rv`, `from_path` and `path`; a traceback of others fails the test.

    Not `ru_maxrss`: it begins at what the parent holds.
    """
    if not sys.platform.startswith("linux"):
        pytest.skip("peak memory is read from /proc")
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, code, str(path)],
        capture_output=True, text=True, timeout=seconds, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return Cost(*json.loads(done.stdout.splitlines()[-1]))
