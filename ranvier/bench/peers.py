"""Peers: other libraries that run the same step, each in a process of its own.

A peer gets the network as the configuration that run folders hold, with the initial weights
and the rows, and answers how long its steps take. It sleeps while others are timed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from ranvier.bench.step import BenchStep
from ranvier.errors import InputError
from ranvier.models.recipe import Recipe
from ranvier.nn.config import to_config

_HERE = Path(__file__).parent
_SCRIPTS = {"torch": "torch_peer.py", "jax": "jax_peer.py"}


class Peer:
    """A process that times the steps of another library."""

    def __init__(self, name: str, python: str, job: dict[str, Any], arrays: dict[str, Any]) -> None:
        self.name = name
        self._folder = tempfile.TemporaryDirectory()
        path = Path(self._folder.name)
        np.savez(path / "arrays.npz", **arrays)
        (path / "job.json").write_text(json.dumps(job))
        self._process = subprocess.Popen(
            [python, str(_HERE / _SCRIPTS[name]), str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            self.modes: list[str] = self._answer()["modes"]
        except BaseException:
            self.close()
            raise

    def milliseconds(self, mode: str, steps: int) -> float:
        """Return the milliseconds of a step over one run of so many."""
        assert self._process.stdin is not None
        try:
            print(mode, steps, file=self._process.stdin, flush=True)
        except BrokenPipeError:
            raise self._failure() from None
        return float(self._answer()["ms"])

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._failure()
        try:
            return dict(json.loads(line))
        except (ValueError, TypeError):
            raise InputError(f"the peer {self.name} answers {line.strip()!r}, no JSON") from None

    def _failure(self) -> InputError:
        """What a process that has ended said last."""
        assert self._process.stderr is not None
        lines = self._process.stderr.read().strip().splitlines()
        last = lines[-1] if lines else f"it ended without a word, status {self._process.wait()}"
        return InputError(f"the peer {self.name} failed: {last}; see that its Python can run it")

    def close(self) -> None:
        """End the process."""
        self._process.communicate()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def start_peer(
    name: str, recipe: Recipe, step: BenchStep, threads: int, python: str | None
) -> Peer:
    """Start a peer on the step's network, initial weights and rows."""
    if name not in _SCRIPTS:
        raise InputError(f"there is no peer {name!r}; there are {', '.join(_SCRIPTS)}")
    job = {
        "net": to_config(step.model.net),
        "loss": recipe.loss,
        "optimizer": step.model.optimizer.config(),
        "batch_size": step.batch_size,
        "threads": threads,
    }
    weights = {f"weights/{path}": array for path, array in step.initial.items()}
    rows = {"inputs": step.inputs, "targets": step.targets, "index": step.index}
    return Peer(name, python or sys.executable, job, {**rows, **weights})
