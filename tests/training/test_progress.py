"""What is shown while a network trains: lines, a bar, or nothing; and how long a call is."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from problems import classifier, spirals

from ranvier.training.pace import Pace
from ranvier.training.progress import Bar, Lines, Progress, progress

X, Y = spirals()


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    classifier().fit(X, Y, epochs=2, validation=(X, Y), progress=True)
    said = capsys.readouterr()
    assert said.out == ""
    first, second = said.err.splitlines()
    assert first.startswith("epoch 1/2  loss ")
    assert second.startswith("epoch 2/2  loss ")
    assert "validation_accuracy" in second
    assert second.endswith(" s")


@pytest.mark.parametrize("wanted", [None, False])
def test_silence(capsys: pytest.CaptureFixture[str], wanted: bool | None) -> None:
    classifier().fit(X, Y, epochs=2, progress=wanted)
    assert capsys.readouterr() == ("", "")


def test_a_bar_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = _Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "150")
    classifier().fit(X, Y, epochs=3, progress=None)
    text = screen.getvalue()
    for part in ("epoch 1/3  loss", "epoch 3/3", "samples/s", "accuracy"):
        assert part in text, part


def test_what_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(progress(False)) is Progress
    assert type(progress(None)) is Progress
    assert type(progress(True)) is Lines
    shell: Any = SimpleNamespace(get_ipython=lambda: SimpleNamespace(config={"IPKernelApp": {}}))
    monkeypatch.setitem(sys.modules, "IPython", shell)
    assert type(progress(None)) is Bar
    assert type(progress(False)) is Progress


def test_calls_take_about_as_long_as_wanted() -> None:
    pace = Pace(0.25)
    assert pace.steps(1000) == 1
    for _ in range(6):
        steps = pace.steps(10_000)
        pace.took(steps, steps * 0.001)
    assert pace.steps(10_000) == 250
    assert pace.steps(7) == 7
    pace.took(250, 100.0)
    assert pace.steps(10_000) == 1
