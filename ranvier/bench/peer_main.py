"""The peer's side of the conversation: read the job, answer how long steps take.

This file and its neighbours `torch_peer.py` and `jax_peer.py` are run as scripts, by a Python
that need not have Ranvier.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

Run = Callable[[int], object]
"""Runs so many steps to their end."""
Job = dict[str, Any]


def load() -> tuple[Job, dict[str, np.ndarray]]:
    """Return the job and its arrays from the folder that the command line names."""
    folder = Path(sys.argv[1])
    with np.load(folder / "arrays.npz", allow_pickle=False) as arrays:
        return json.loads((folder / "job.json").read_text()), dict(arrays)


def serve(cases: Mapping[str, Run]) -> None:
    """Name the modes, then answer lines `MODE STEPS` until the input ends."""
    _answer({"modes": list(cases)})
    for line in sys.stdin:
        mode, steps = line.split()
        start = perf_counter()
        cases[mode](int(steps))
        _answer({"ms": (perf_counter() - start) / int(steps) * 1e3})


def _answer(value: object) -> None:
    print(json.dumps(value), flush=True)


def layers(config: Any, path: str = "") -> list[tuple[str, str, dict[str, Any]]]:
    """Flatten a network of nested `Sequential`s: (path, class, arguments) of each layer."""
    if config["class"] != "Sequential":
        return [(path, config["class"], config.get("arguments", {}))]
    counts: dict[str, int] = {}
    named = []
    for each in config["arguments"].get("modules", []):
        kind = each["class"].lower()
        counts[kind] = counts.get(kind, 0) + 1
        named.append((f"{kind}{counts[kind]}", each))
    named += config["arguments"].get("named", {}).get("dict", {}).items()
    prefix = f"{path}." if path else ""
    return [layer for name, each in named for layer in layers(each, prefix + name)]
