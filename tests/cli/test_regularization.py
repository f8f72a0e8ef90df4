"""Each way to regularize is an option of `ranvier train`, and the run keeps it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import call, digits

import ranvier as rv

Capture = pytest.CaptureFixture[str]


def test_every_regularizer_is_an_option(tmp_path: Path, capsys: Capture) -> None:
    given = {
        "l1": 1e-5,
        "l2": 1e-4,
        "weight-decay": 0.01,
        "max-norm": 2.0,
        "dilution": 0.25,
        "dropout": 0.5,
        "dropconnect": 0.125,
    }
    options = [text for name, value in given.items() for text in (f"--{name}", str(value))]
    run, data = tmp_path / "run", digits(tmp_path / "digits")
    arguments = ["mlp", "--data", data, "--epochs", "2", "--set", "hidden=[16]", "--out", run]
    assert call(capsys, "train", *arguments, *options, "--quiet").status == 0
    model = rv.load(run)
    penalties = [(p.name, p.strength) for p in model.objective.penalties]
    assert penalties[-2:] == [("l1", 1e-5), ("l2", 1e-4)]  # after the recipe's own
    rules = model.rules
    assert rules.weight_decay is not None
    assert rules.max_norm is not None
    assert rules.dilution is not None
    assert rules.dropconnect is not None
    assert (rules.weight_decay.strength, rules.max_norm.norm) == (0.01, 2.0)
    assert (rules.dilution.rate, rules.dropconnect.rate) == (0.25, 0.125)
    config = json.loads((run / "config.json").read_text())
    assert "Dropout" in json.dumps(config["net"])
    assert config["training"]["about"]["settings"]["max_norm"] == 2.0


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        ("mlp", ["--dilution", "1"], "--dilution is 1.0; use a number in [0, 0.998]"),
        ("mlp", ["--dilution", "-0.5"], "--dilution is -0.5; use"),
        ("mlp", ["--dropconnect", "nan"], "--dropconnect is nan; use"),
        ("mlp", ["--dropout", "2"], "--dropout is 2.0; use"),
        ("mlp", ["--max-norm", "0"], "--max-norm is 0.0; use a positive number"),
        ("mlp", ["--weight-decay", "-1"], "--weight-decay is -1.0; use"),
        ("mlp", ["--l1", "much"], "'much' is not a valid float"),
        ("small", ["--dropout", "0.5"], "small has no setting 'dropout'"),
        (
            "mlp",
            ["--set", 'max_norm={"norm": 3, "only": "dense*"}'],
            "max_norm: no parameter matches 'dense*'",
        ),
    ],
)
def test_values_that_are_none(
    model: str, arguments: list[str], message: str, tmp_path: Path, capsys: Capture
) -> None:
    data = digits(tmp_path / "digits")
    done = call(capsys, "train", model, "--data", data, "--out", tmp_path / "run", *arguments)
    assert done.status == 2
    assert message in done.err
    assert "Traceback" not in done.err
