"""Regularization by one argument of the model: what each rule does, and that runs keep it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import spirals
from small_runs import contents, fit, one_step_a_call  # noqa: F401 (a fixture)

import ranvier as rv
from ranvier import nn
from ranvier import regularization as reg
from ranvier.errors import InputError

X, Y = spirals()
ENGINES = ["native", "reference"]


def made(engine: str = "native", **arguments: Any) -> rv.Model:
    """A network without dropout, by plain gradient descent."""
    net = nn.Sequential(nn.Linear(16), nn.Tanh(), nn.Linear(3))
    settings = {"optimizer": rv.optim.SGD(0.1), "engine": engine, **arguments}
    model = rv.Model(net, "cross_entropy", **settings)
    model.net.build((1, 2), seed=1)
    return model


def one_step(model: rv.Model, epochs: int = 1) -> dict[str, np.ndarray]:
    model.fit(X, Y, batch_size=len(X), epochs=epochs, seed=1)
    return dict(model.weights)


def close(found: np.ndarray, wanted: np.ndarray) -> None:
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


# ---------------------------------------------------------------- what each does


@pytest.mark.parametrize("engine", ENGINES)
def test_penalties_pull_the_weights(engine: str) -> None:
    start, plain = dict(made().weights), one_step(made(engine))
    found = one_step(made(engine, l1=0.3, l2=reg.L2(0.2, only="linear2.*")))
    one, two = "linear1.weight", "linear2.weight"
    close(found[one], plain[one] - 0.1 * 0.3 * np.sign(start[one]))
    close(found[two], plain[two] - 0.1 * (0.3 * np.sign(start[two]) + 0.4 * start[two]))
    close(found["linear1.bias"], plain["linear1.bias"])


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_decay_is_apart_from_the_gradient(engine: str, optimizer: str) -> None:
    given = {"optimizer": {"name": optimizer, "learning_rate": 0.05}}
    start, plain = dict(made().weights), one_step(made(engine, **given))
    found = one_step(made(engine, weight_decay=0.2, **given))
    for path, value in plain.items():
        shrunk = 0.05 * 0.2 * start[path] if path.endswith("weight") else 0
        close(found[path], value - shrunk)


def test_the_model_s_decay_is_that_of_adamw() -> None:
    adamw = one_step(made(optimizer=rv.optim.AdamW(0.05, weight_decay=0.2)), epochs=5)
    adam = one_step(made(optimizer=rv.optim.Adam(0.05), weight_decay=0.2), epochs=5)
    for path, value in adamw.items():
        np.testing.assert_allclose(adam[path], value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
def test_max_norm_holds_after_each_step(engine: str) -> None:
    norms: list[np.ndarray] = []

    def look(training: Any, record: Any) -> None:
        norms.append(np.linalg.norm(training.net.weights["linear1.weight"], axis=0))

    limit = reg.MaxNorm(0.8, only="linear1.*")
    model = made(engine, max_norm=limit, optimizer=rv.optim.SGD(0.5))
    model.fit(X, Y, batch_size=len(X), epochs=20, callbacks=[look])
    assert all((norm <= 0.8 * (1 + 1e-6)).all() for norm in norms)
    assert (norms[-1] > 0.8 * (1 - 1e-6)).any()
    assert (norms[-1] < 0.7).any()  # those within the bound are left alone
    assert np.linalg.norm(model.weights["linear2.weight"], axis=0).max() > 0.8


def test_max_norm_of_a_convolution_is_that_of_each_feature_map() -> None:
    net = nn.Sequential(nn.Conv(4, 3), nn.Flatten(), nn.Linear(2))
    model = rv.Model(net, "cross_entropy", rv.optim.SGD(0.01), max_norm=0.5)
    pictures = np.random.default_rng(0).normal(size=(20, 6, 6, 2)).astype(np.float32)
    model.fit(pictures, np.arange(20) % 2)
    found = np.linalg.norm(model.weights["conv1.weight"].reshape(-1, 4), axis=0)
    np.testing.assert_allclose(found, 0.5, rtol=1e-5)


@pytest.mark.parametrize("every", ["batch", "epoch"])
def test_dilution_is_chosen_anew(every: str) -> None:
    # Wide, so that shares are near their means; two batches an epoch.
    net = nn.Sequential(nn.Linear(400), nn.Tanh(), nn.Linear(3))
    rule = reg.Dilution(0.25, every, only="linear2.*")
    model = rv.Model(net, "cross_entropy", rv.optim.SGD(0.1), dilution=rule)
    model.fit(X, Y, batch_size=45, epochs=1)
    before = dict(model.weights)
    model.fit(X, Y, batch_size=45, epochs=1)
    kept = {path: (model.weights[path] == old).mean() for path, old in before.items()}
    assert kept["linear1.weight"] == 0
    wanted = 0.25 if every == "epoch" else 0.25**2
    assert abs(kept["linear2.weight"] - wanted) < 0.04


def test_diluted_weights_do_not_decay_but_are_bounded() -> None:
    everything = {"weight_decay": 0.5, "dilution": reg.Dilution(0.5), "max_norm": 0.3}
    start = dict(made().weights)["linear1.weight"]
    found = one_step(made(**everything))["linear1.weight"]
    assert (np.linalg.norm(found, axis=0) <= 0.3 * (1 + 1e-6)).all()
    loose = one_step(made(**{**everything, "max_norm": 100.0}))["linear1.weight"]
    assert 0.2 < (loose == start).mean() < 0.8


@pytest.mark.parametrize("engine", ENGINES)
def test_dropconnect_leaves_out_weights_while_training(engine: str) -> None:
    # One linear unit whose output is the sum of the weights that stay, times 1 / their share.
    net = nn.Sequential(nn.Linear(1, use_bias=False))
    model = rv.Model(net, "mean_absolute_error", rv.optim.SGD(1.0), dropconnect=0.25, engine=engine)
    ones, zeros = np.ones((4, 500), np.float32), np.zeros((4, 1), np.float32)
    net.build((1, 500))
    net.weights["linear1.weight"] = ones[:1].T
    assert model.evaluate(ones, zeros)["loss"] == 500
    history = model.fit(ones, zeros, batch_size=4)
    assert abs(history[0]["loss"] - 500) < 60
    # The gradient of a weight that stays is 4/3, of one that does not 0.
    moved = 1 - model.weights["linear1.weight"]
    np.testing.assert_allclose(np.unique(moved.round(4)), [0, 4 / 3], atol=1e-4)
    stayed = (moved > 0).mean()
    assert abs(stayed - 0.75) < 0.08
    assert history[0]["loss"] == pytest.approx(500 * stayed * 4 / 3, rel=1e-5)
    # A new choice at the next step.
    before = model.weights["linear1.weight"]
    model.fit(ones, zeros, batch_size=4)
    assert ((model.weights["linear1.weight"] == before) != (moved == 0)).any()


def test_early_stopping_by_one_argument() -> None:
    model = made(early_stopping=2)
    history = model.fit(X, Y, epochs=50, validation=(X[:10], (Y[:10] + 1) % 3))
    assert len(history) < 50
    assert history.stopped == "validation_loss has not improved for 2 epochs"


# ---------------------------------------------------------------- runs


ALL: dict[str, Any] = {
    "l1": 1e-4,
    "l2": reg.L2(1e-3, only="linear1.*"),
    "weight_decay": reg.WeightDecay(0.1, only="linear*"),
    "max_norm": 0.9,
    "dilution": reg.Dilution(0.25, "epoch"),
    "dropconnect": 0.125,
    "early_stopping": 50,
}


def test_a_run_keeps_the_rules(tmp_path: Path) -> None:
    model = made(**ALL)
    model.fit(X, Y, epochs=2, validation=(X, Y))
    model.save(tmp_path / "run")
    again = rv.load(tmp_path / "run")
    assert again.rules == model.rules
    assert again.objective.penalties == model.objective.penalties
    assert again.early_stopping is not None
    assert again.early_stopping.config() == {
        "monitor": "validation_loss",
        "patience": 50,
        "min_delta": 0.0,
        "mode": "min",
    }
    for each in (model, again):
        each.fit(X, Y, epochs=2, validation=(X, Y), seed=4)
    for path, value in model.weights.items():
        assert np.array_equal(again.weights[path], value), path


def test_the_engines_agree_and_threads_change_no_bit() -> None:
    runs = [made(**ALL, threads=1), made(**ALL, threads=2), made("reference", **ALL)]
    for model in runs:
        model.fit(X, Y, epochs=3, validation=(X, Y), seed=5)
    for path, value in runs[0].weights.items():
        assert np.array_equal(runs[1].weights[path], value), path
        np.testing.assert_allclose(runs[2].weights[path], value, rtol=2e-4, atol=1e-5)


@pytest.mark.usefixtures("one_step_a_call")
def test_a_run_that_was_broken_off_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    fit(made(**ALL), tmp_path / "whole")
    fit(made(**ALL), tmp_path / "parts", epochs=2)
    fit(made(**ALL), tmp_path / "parts", resume=True)
    whole, parts = contents(tmp_path / "whole"), contents(tmp_path / "parts")
    assert whole["weights.safetensors"] == parts["weights.safetensors"]


# ---------------------------------------------------------------- what does not fit


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dilution": 1.0}, r"dilution: rate is 1\.0; use a number in \[0, 0\.998\]"),
        ({"dilution": -0.1}, r"dilution: rate is -0\.1; use"),
        ({"dropconnect": 1}, r"dropconnect: rate is 1; use a number in \[0, 0\.998\]"),
        ({"max_norm": 0}, "max_norm: norm is 0; use a positive number"),
        ({"weight_decay": -1}, "weight_decay: strength is -1; use a finite number, 0 or more"),
        ({"l1": "x"}, "l1: strength is 'x'; use a finite number"),
        ({"l1": reg.L2(0.1)}, "l1 is a L2; use a number or a L1"),
        ({"max_norm": {"nrm": 3}}, "max_norm has no argument 'nrm'; it has norm, only"),
        ({"early_stopping": 0}, "early_stopping is 0; use a whole number, 1 or more"),
        (
            {"weight_decay": 0.1, "optimizer": "adamw"},
            r"adamw has a weight_decay of its own, 0\.01, which would add up",
        ),
    ],
)
def test_arguments_that_are_none(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        made(**arguments)


@pytest.mark.parametrize("rule", [reg.L1, reg.WeightDecay, reg.MaxNorm, reg.DropConnect])
def test_patterns_that_match_nothing(rule: Any) -> None:
    given = rule(0.5, only="dense*")
    with pytest.raises(InputError, match=r"no parameter matches 'dense\*'; they are linear1\.w"):
        made(**{rule.name: given}).fit(X, Y)
    with pytest.raises(InputError, match="only is 3; use a pattern of paths"):
        rule(0.5, only=3)
