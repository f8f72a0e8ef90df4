"""The timed process's side: it answers each line "CASE STEPS" with milliseconds per step.

One such process is a contender; the others sleep in `readline` while it is timed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from time import perf_counter

Case = Callable[[int], object]
"""Runs so many steps; whatever must be ready for them was made beforehand."""


def serve(cases: Mapping[str, Callable[[], Case]]) -> None:
    """Answer requests until the input ends; a case is prepared at its first mention."""
    ready: dict[str, Case] = {}
    for line in sys.stdin:
        name, steps = line.split()
        if name not in ready:
            ready[name] = cases[name]()
        answer = {"case": name, "steps": int(steps), "ms": milliseconds(ready[name], int(steps))}
        print(json.dumps(answer), flush=True)


def milliseconds(case: Case, steps: int) -> float:
    """Milliseconds of wall time per step over one run of so many steps."""
    start = perf_counter()
    case(steps)
    return (perf_counter() - start) / steps * 1e3
