"""Runs that can be broken off after any step, for the tests of run folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from problems import spirals

import ranvier as rv
from ranvier.training.loop.loop import Training

X, Y = spirals()
EPOCHS = 5
FILES = {"config.json", "weights.safetensors", "state.safetensors", "history.jsonl"}


class Killed(BaseException):
    """Ends a run where it stands, as a power cut would."""


class KillAfter(rv.training.Callback):
    def __init__(self, steps: int) -> None:
        self.left = steps

    def on_steps(self, training: Training) -> None:
        self.left -= 1
        if not self.left:
            raise Killed


@pytest.fixture
def one_step_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that runs can be broken off after any step, with a checkpoint at each."""
    monkeypatch.setattr("ranvier.training.loop.pace.Pace.took", lambda *_: None)
    monkeypatch.setattr("ranvier.training.loop.loop.CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr("ranvier.training.loop.loop._SAVING_SHARE", 0.0)


def fit(model: rv.Model, out: Path | None, resume: bool = False, **arguments: Any) -> Any:
    settings = {"epochs": EPOCHS, "validation": spirals(60, 1), "seed": 3, **arguments}
    return model.fit(X, Y, out=out, resume=resume, **settings)


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}
