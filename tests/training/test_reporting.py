"""Reports from Python: what they say of a run, and that measuring leaves it as it is."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import classifier, spirals

import ranvier as rv
from ranvier import nn
from ranvier.data.errors import DataError
from ranvier.data.source import Dataset, Split
from ranvier.training.loop.speed import share_of_peak, speed
from ranvier.training.run import machine
from ranvier.training.run.reporting import write_report

X, Y = spirals()
NAMES = tuple(f"arm {n}" for n in range(int(Y.max()) + 1))


def dataset() -> Dataset:
    parts = [Split(X[n : n + 30], Y[n : n + 30]) for n in (0, 30, 60)]
    return Dataset("spirals", *parts, classes=NAMES)


def settings_of(page: str) -> dict[str, str]:
    """The table of settings as a dict."""
    plain = page.replace("<wbr>", "")
    rows = re.findall(r'<tr><th>([^<]*)</th><td class="path">([^<]*)</td></tr>', plain)
    return {unescape(name): unescape(value) for name, value in rows}


def test_settings_name_what_regularizes(tmp_path: Path) -> None:
    reg = rv.regularization
    net = nn.Sequential(nn.Linear(8), nn.Tanh(), nn.Linear(len(NAMES)))
    model = rv.Model(
        net,
        "cross_entropy",
        "adam",
        ["accuracy"],
        penalties=[reg.L2(1e-3), reg.L1(0.25)],
        dilution=reg.Dilution(0.5),
        class_weights=np.linspace(1, 2, len(NAMES)),
    )
    model.fit(dataset(), epochs=1)
    found = settings_of(model.write_report(tmp_path, dataset()).read_text())
    assert (found["penalties.1.name"], found["penalties.1.strength"]) == ("l2", "0.001")
    assert (found["penalties.2.name"], found["penalties.2.strength"]) == ("l1", "0.25")
    assert found["dilution.rate"] == "0.5"
    assert found[f"class_weights.{NAMES[-1]}"] == "2.0"
    assert found["optimizer.name"] == "adam"


def test_a_report_says_when_where_and_how_well(tmp_path: Path) -> None:
    model = classifier()
    data = dataset()
    history = model.fit(data, epochs=3)
    path = model.write_report(tmp_path / "page.html", data, title="Spirals, again")
    page = path.read_text()
    assert path == tmp_path / "page.html"
    for text in ("<h1>Spirals, again</h1>", machine.processor(), f"Ranvier {rv.__version__}"):
        assert text in page, text
    counts = (len(part) for part in (data.train, data.validation, data.test))
    assert "{:,} training, {:,} validation, {:,} test".format(*counts) in page
    best = int(np.argmin(history["validation_loss"])) + 1
    assert f"{best} of 3, by the validation loss" in page
    error = 1 - model.evaluate(data)["accuracy"]
    assert page.count(f"{100 * error:.2f} %</b>") == 1
    assert "test accuracy" not in page  # the same fact once more
    assert "Confusion matrix" in page
    assert NAMES[0] in page


def test_of_arrays_alone_there_is_a_report_too(tmp_path: Path) -> None:
    model = classifier()
    model.fit(X, Y, epochs=1)
    page = model.write_report(tmp_path, (X, Y)).read_text()
    assert f"{len(X)} test<" in page
    assert "predicted class" in page
    assert "Best epoch" not in page
    with pytest.raises(DataError, match="as arrays"):
        model.write_report(tmp_path, iter([(X, Y)]))


def test_a_loaded_run_has_the_same_curves(tmp_path: Path) -> None:
    model = classifier()
    model.fit(dataset(), epochs=2, out=tmp_path / "run")
    curves = re.compile(r'data-chart="[^"]*"')
    first = model.write_report(tmp_path / "first.html", dataset()).read_text()
    loaded = rv.load(tmp_path / "run")
    assert list(loaded.history) == list(model.history)
    assert loaded.timings == model.timings
    again = loaded.write_report(tmp_path / "run", dataset())
    assert again == tmp_path / "run" / "report.html"
    assert curves.findall(again.read_text()) == curves.findall(first)
    assert len(curves.findall(first)) > 1


def test_date_and_machine_stand_in_the_timings_alone(tmp_path: Path) -> None:
    for name in ("a", "b"):
        classifier().fit(X, Y, epochs=2, out=tmp_path / name, validation=(X, Y))
    lines = (tmp_path / "a" / "timings.jsonl").read_text().splitlines()
    for line in lines:
        found = json.loads(line)
        assert {"date", "version", "processor", "threads"} <= set(found)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found["date"])
    for name in ("history.jsonl", "weights.safetensors", "state.safetensors", "config.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_binary_probabilities_have_a_confusion_matrix(tmp_path: Path) -> None:
    labels = (Y == 0).astype(np.int64)
    net = nn.Sequential(nn.Linear(8), nn.Tanh(), nn.Linear(1))
    model = rv.Model(net, "binary_cross_entropy", "adam")
    model.fit(X, labels, epochs=1)
    page = model.write_report(tmp_path, (X, labels)).read_text()
    said = (model.predict(X).reshape(-1) > 0.5).astype(int)
    counts = [int(((labels == 1) & (said == n)).sum()) for n in (0, 1)]
    for n, count in enumerate(counts):
        assert f'title="1 taken for {n}: {count}"' in page


# ---------------------------------------------------------------- speed


def test_measuring_the_share_changes_nothing() -> None:
    model = classifier()
    model.fit(dataset(), epochs=1, batch_size=16)

    def state() -> dict[str, Any]:
        return {**model.net.weights, **{p: b.value for p, b in model.optimizer.state().items()}}

    before = state()
    assert share_of_peak(model, dataset().train) > 0
    after = state()
    assert before.keys() == after.keys()
    for path, value in before.items():
        assert np.array_equal(value, after[path]), path


def test_steps_and_peak_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    import ranvier.training.loop.speed as module
    from ranvier.engines.native.inspect.peak import PeakLoop

    told: list[str] = []
    real = PeakLoop.rate
    monkeypatch.setattr(
        PeakLoop, "rate", lambda self, steps: told.append("peak") or real(self, steps)
    )
    model = classifier()
    model.fit(dataset(), epochs=1, batch_size=16)
    program = model.training_program(module.Resident(dataset().train, 16, 0))
    kind = type(program)
    run = kind.__call__
    monkeypatch.setattr(kind, "__call__", lambda *a, **k: told.append("steps") or run(*a, **k))
    share_of_peak(model, dataset().train)
    turns = [name for n, name in enumerate(told) if n == 0 or told[n - 1] != name]
    assert turns[-6:] == ["steps", "peak"] * 3


def test_without_a_training_set_there_is_no_share() -> None:
    model = classifier()
    model.fit(X, Y, epochs=1)
    found = speed(model, None, model.timings)
    assert found.share_of_peak is None
    assert found.samples_per_second is not None
    assert speed(model, None, []).samples_per_second is None


def test_what_is_measured_already_is_not_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = classifier()
    model.fit(X, Y, epochs=1)
    monkeypatch.setattr(type(model), "evaluate", None)
    path = write_report(model, (X, Y), tmp_path, measured={"loss": 0.125, "accuracy": 0.75})
    assert "25.00 %" in path.read_text()


def test_the_loss_of_a_regression_says_what_it_is_of(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(1))
    model = rv.Model(net, metrics=["mean_absolute_error"], standardize_targets=True)
    prices = (200_000 + 30_000 * X[:, :1]).astype(np.float32)
    model.fit(X, prices, epochs=1)
    page = model.write_report(tmp_path, (X, prices)).read_text()
    assert "test loss, of standardized targets<" in page
    assert "mean absolute error<" in page
    assert "&quot;both agree&quot;" in page
