"""What is shown while a network trains: lines, a bar, or nothing; and how long a call is."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from problems import classifier, spirals

import ranvier as rv
from ranvier.training.loop.pace import Pace
from ranvier.training.loop.progress import Lines, Notebook, Progress, progress

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
    assert re.search(r"  accuracy 0\.\d{4} \(val\. 0\.\d{4}\)  ", second)
    assert re.search(r"  \d[\d.]* m?s$", second)


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
    notebook(monkeypatch)
    assert type(progress(None)) is Notebook
    assert type(progress(True)) is Notebook
    assert type(progress(False)) is Progress


class _Handle:
    """What IPython's `display` returns, and what a notebook then shows."""

    def __init__(self, content: dict[str, str]) -> None:
        self.shown = [content["text/plain"]]

    def update(self, content: dict[str, str], *, raw: bool) -> None:
        assert raw
        self.shown.append(content["text/plain"])


def notebook(monkeypatch: pytest.MonkeyPatch) -> list[_Handle]:
    """Make this process look like the kernel of a notebook without ipywidgets."""
    handles: list[_Handle] = []

    def display(content: dict[str, str], *, raw: bool, display_id: bool) -> _Handle:
        assert raw
        assert display_id
        handles.append(_Handle(content))
        return handles[-1]

    kernel = SimpleNamespace(config={"IPKernelApp": {}})
    shell: Any = SimpleNamespace(get_ipython=lambda: kernel)
    monkeypatch.setitem(sys.modules, "IPython", shell)
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    return handles


def test_a_notebook_shows_one_text_without_widgets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    handles = notebook(monkeypatch)
    monkeypatch.setattr("ranvier.training.loop.progress._BETWEEN_SECONDS", 0)
    classifier().fit(X, Y, epochs=23, batch_size=30, validation=(X, Y))
    assert capsys.readouterr() == ("", "")
    (handle,) = handles
    assert handle.shown[0] == "compiling"
    bars = [text for text in handle.shown if "samples/s" in text]
    assert len(bars) >= 23
    assert re.search(r"\[#*\.*\] +\d+ %  epoch \d+/23  loss .*samples/s  .+ m?s left$", bars[-1])
    lines = handle.shown[-1].splitlines()
    assert lines[0] == "… 3 earlier epochs"
    assert [line.split("  ")[0] for line in lines[1:]] == [f"epoch {n}/23" for n in range(4, 24)]


def test_a_notebook_is_told_no_sooner_than_it_can_read(monkeypatch: pytest.MonkeyPatch) -> None:
    handles = notebook(monkeypatch)
    monkeypatch.setattr("ranvier.training.loop.progress._BETWEEN_SECONDS", 1e9)
    classifier().fit(X, Y, epochs=5)
    assert len(handles[0].shown) == 2
    assert len(handles[0].shown[-1].splitlines()) == 5


@pytest.mark.parametrize("width", [80, 120])
def test_lines_of_many_quantities_fit_the_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int
) -> None:
    metrics = ["accuracy", "f1", "precision", "recall"]
    model = classifier(metrics=metrics, penalties=[rv.regularization.L2(1e-3)])
    model.fit(X, Y, epochs=2, validation=(X, Y), progress=True)
    for line in capsys.readouterr().err.splitlines():
        assert len(line) <= 80
        assert " …  " in line  # what has no room is not left out in silence
    screen = _Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", str(width))
    model.fit(X, Y, epochs=2, validation=(X, Y))
    lines = [line for line in screen.getvalue().splitlines() if line.startswith("epoch")]
    assert lines
    assert all(len(line) <= width for line in lines)


def test_what_matters_stands_first(capsys: pytest.CaptureFixture[str]) -> None:
    """Validation values alone where more quantities have room then."""
    name = "mean_absolute_error"
    record = {"epoch": 40, "step": 9, "loss": 0.0046, "penalty": 0.5, name: 12761.125}
    record |= {"validation_loss": 0.0053, f"validation_{name}": 12814.125}
    with Lines() as shown:
        shown.begin(None, 40, 0, 0)  # type: ignore[arg-type]
        shown.finish_epoch(record)
    line = capsys.readouterr().err.rstrip()
    start = "epoch 40/40  loss (val. 0.0053)  mean_absolute_error (val. 12814.1)"
    assert line.startswith(f"{start}  ")
    assert len(line) <= 80


def test_both_values_stand_where_all_quantities_have_room(
    capsys: pytest.CaptureFixture[str],
) -> None:
    record = {"epoch": 1, "loss": 0.27, "accuracy": 0.92, "penalty": 0.08, "learning_rate": 0.1}
    record |= {"validation_loss": 0.1, "validation_accuracy": 0.97}
    with Lines() as shown:
        shown.begin(None, 2, 0, 0)  # type: ignore[arg-type]
        shown.finish_epoch(record)
    line = "epoch 1/2  loss 0.2700 (val. 0.1000)  accuracy 0.9200 (val. 0.9700)  "
    assert capsys.readouterr().err.startswith(line)


def test_large_numbers_are_short(capsys: pytest.CaptureFixture[str]) -> None:
    with Lines() as shown:
        shown.begin(None, 1, 0, 0)  # type: ignore[arg-type]
        shown.finish_epoch({"epoch": 1, "step": 3, "loss": 123456789.25, "validation_loss": 0.5})
    assert "loss 1.23457e+08 (val. 0.5000)" in capsys.readouterr().err


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


def test_a_finished_run_says_so_in_every_form(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    said = "the run has its 1 epoch already; nothing is left to train but with more epochs"
    classifier().fit(X, Y, epochs=1, out=tmp_path / "run")
    classifier().fit(X, Y, epochs=1, out=tmp_path / "run", resume=True, progress=True)
    assert capsys.readouterr().err == f"{said}\n"
    screen = _Terminal()
    with monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", screen)
        patched.setenv("COLUMNS", "150")
        classifier().fit(X, Y, epochs=1, out=tmp_path / "run", resume=True)
    assert said in screen.getvalue()
    handles = notebook(monkeypatch)
    classifier().fit(X, Y, epochs=1, out=tmp_path / "run", resume=True)
    assert handles[0].shown[-1] == said
