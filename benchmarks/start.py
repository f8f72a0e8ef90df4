"""One fresh process: how long until the first step? Prints a JSON line; `python start.py mlp`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).parents[1]))

began = perf_counter()
import ranvier  # noqa: E402, F401 (the import is what is timed)

imported = perf_counter()


def main(name: str) -> None:
    """Time compilation and the first step, whose inputs are ready."""
    import steps

    step = steps.STEPS[name]()
    start = perf_counter()
    program = step.compile()
    compiled = perf_counter()
    program(index=step.index(1)[0], **step.arrays)
    end = perf_counter()
    times = {"import": imported - began, "compile": compiled - start, "first": end - compiled}
    print(json.dumps(times))


if __name__ == "__main__":
    main(sys.argv[1])
