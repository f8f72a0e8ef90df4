"""Regression on standardized targets: numbers of any size and unit are learnt alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ranvier as rv
from ranvier import nn
from ranvier.data.errors import DataError
from ranvier.errors import InputError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 3)).astype(np.float32)
SCORES = X @ [1.0, -2.0, 0.5] + RNG.normal(0, 0.1, 300)
PRICES = 200_000 + 30_000 * SCORES
METRICS = ["mean_absolute_error", "mean_squared_error", "r2"]


def regressor(loss: Any = "mean_squared_error", outputs: int = 1, **arguments: Any) -> rv.Model:
    net = nn.Sequential(nn.Linear(16), nn.ReLU(), nn.Linear(outputs))
    return rv.Model(net, loss, rv.optim.Adam(0.01), METRICS, **arguments)


def r2(model: rv.Model, targets: np.ndarray) -> float:
    return float(rv.metrics.r2(model.predict(X), targets))


@pytest.mark.parametrize("loss", ["mean_squared_error", "mean_absolute_error", "huber"])
def test_prices_near_200000_are_learnt(loss: str) -> None:
    model = regressor(loss, standardize_targets=True)
    history = model.fit(X, PRICES[:, None], epochs=20, validation=0.2)
    assert r2(model, PRICES) > 0.97
    assert history[-1]["validation_r2"] > 0.97
    plain = regressor(loss)
    plain.fit(X, PRICES[:, None], epochs=20)
    assert r2(plain, PRICES) < 0


def test_metrics_are_in_the_target_s_unit_and_the_loss_is_not() -> None:
    model = regressor(standardize_targets=True)
    model.fit(X, PRICES[:, None], epochs=10)
    found, errors = model.evaluate(X, PRICES[:, None]), model.predict(X)[:, 0] - PRICES
    assert found["mean_absolute_error"] == pytest.approx(np.abs(errors).mean(), rel=1e-3)
    assert found["mean_squared_error"] == pytest.approx((errors**2).mean(), rel=1e-3)
    assert found["loss"] == pytest.approx((errors**2).mean() / PRICES.var(), rel=1e-3)
    scores = model.predict(X, logits=True)[:, 0]
    restored = scores * PRICES.std() + PRICES.mean()
    assert np.allclose(restored, model.predict(X)[:, 0], rtol=1e-4)


def test_the_unit_changes_nothing() -> None:
    """The same numbers in another unit give the same network, up to rounding."""
    ends = []
    for factor in (1.0, 1e6):
        model = regressor(standardize_targets=True)
        model.fit(X, PRICES[:, None] * factor, epochs=3)
        ends.append(model.evaluate(X, PRICES[:, None] * factor))
    assert ends[0]["loss"] == pytest.approx(ends[1]["loss"], rel=1e-2)
    assert ends[0]["mean_absolute_error"] * 1e6 == pytest.approx(
        ends[1]["mean_absolute_error"], rel=1e-2
    )


def test_each_output_has_a_scale_of_its_own() -> None:
    targets = np.stack([PRICES, SCORES / 1000, np.full(300, 7.0)], axis=1)
    model = regressor(outputs=3, standardize_targets=True)
    model.fit(X, targets, epochs=30)
    for column in (0, 1):
        assert rv.metrics.r2(model.predict(X)[:, column], targets[:, column]) > 0.9
    assert np.abs(model.predict(X)[:, 2] - 7).max() < 2


def test_whole_numbers_and_targets_without_a_second_axis() -> None:
    model = regressor(standardize_targets=True)
    model.fit(X, PRICES.round().astype(np.int64), epochs=20)
    assert model.predict(X).shape == (300, 1)
    assert r2(model, PRICES) > 0.97


def test_the_scale_is_that_of_the_first_training_and_is_saved(tmp_path: Path) -> None:
    model = regressor(standardize_targets=True)
    model.fit(X, PRICES[:, None], epochs=5)
    model.save(tmp_path / "run")
    loaded = rv.load(tmp_path / "run")
    assert np.array_equal(loaded.predict(X), model.predict(X))
    assert loaded.evaluate(X, PRICES[:, None]) == model.evaluate(X, PRICES[:, None])
    for each in (model, loaded):
        each.fit(X[:50], PRICES[:50, None] + 1e6, epochs=1)
    assert np.array_equal(loaded.predict(X), model.predict(X))
    scale = json.loads((tmp_path / "run" / "config.json").read_text())["heads"][""]["standardize"]
    assert scale["mean"] == pytest.approx([PRICES.mean()], rel=1e-6)
    assert scale["std"] == pytest.approx([PRICES.std()], rel=1e-5)


def test_a_resumed_run_has_the_same_scale(tmp_path: Path) -> None:
    def fit(name: str, epochs: int, resume: bool = False) -> bytes:
        model = regressor(standardize_targets=True)
        model.fit(X, PRICES[:, None], epochs=epochs, out=tmp_path / name, resume=resume)
        return (tmp_path / name / "weights.safetensors").read_bytes()

    fit("cut", 2)
    assert fit("cut", 4, resume=True) == fit("whole", 4)
    with pytest.raises(rv.training.RunError, match="standardize"):
        regressor().fit(X, PRICES[:, None], epochs=5, out=tmp_path / "cut", resume=True)


def test_several_outputs_standardize_those_on_numbers() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            self.body, self.price, self.kind = nn.Linear(16), nn.Linear(1), nn.Linear(2)

        def __call__(self, x: Any) -> Any:
            middle = rv.tanh(self.body(x))
            return {"price": self.price(middle), "kind": self.kind(middle)}

    losses = {"price": "mean_squared_error", "kind": "cross_entropy"}
    targets = {"price": PRICES[:, None], "kind": (SCORES > 0).astype(int)}
    for given in (True, {"price": True}, {"price": {"mean": 2e5, "std": 5e4}}):
        model = rv.Model(Two(), losses, rv.optim.Adam(0.01), standardize_targets=given)
        model.fit(X, targets, epochs=20)
        found = model.predict(X)
        assert rv.metrics.r2(found["price"], PRICES) > 0.97
        assert (found["kind"].argmax(1) == targets["kind"]).mean() > 0.9


def test_batches_need_a_scale_that_is_known() -> None:
    batches = [(X[:100], PRICES[:100, None]), (X[100:200], PRICES[100:200, None])]
    with pytest.raises(DataError, match="the scale of targets that come in batches is not known"):
        regressor(standardize_targets=True).fit(batches)
    model = regressor(standardize_targets={"mean": PRICES.mean(), "std": PRICES.std()})
    model.fit(batches, epochs=30)
    assert r2(model, PRICES) > 0.9


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mean": 1.0}, "standardize_targets has {'mean': 1.0}; use True, False or"),
        ({"mean": 1.0, "std": 0.0}, "a std above 0"),
        ({"mean": [1.0, 2.0], "std": [1.0]}, "standardize_targets has"),
        ("yes", "standardize_targets has 'yes'"),
        ({"price": True}, "names the output 'price', which has no loss on numbers"),
    ],
)
def test_what_is_no_scale(given: Any, message: str) -> None:
    with pytest.raises(InputError) as error:
        regressor(standardize_targets=given)
    assert message in str(error.value)


def test_classes_are_not_standardized() -> None:
    for loss in ("cross_entropy", "binary_cross_entropy", "hinge"):
        with pytest.raises(InputError, match="standardize_targets is for losses on numbers"):
            rv.Model(nn.Linear(2), loss, standardize_targets=True)


def test_targets_that_are_not_finite_are_refused_and_nothing_is_learnt() -> None:
    model = regressor(standardize_targets=True)
    with pytest.raises(DataError, match="hold NaN"):
        model.fit(X, np.where(np.arange(300) == 7, np.nan, PRICES)[:, None])
    model.fit(X, PRICES[:, None], epochs=20)
    assert r2(model, PRICES) > 0.97


def test_the_learning_rate_search_sees_standardized_targets() -> None:
    model = regressor(standardize_targets=True)
    found = rv.training.find_learning_rate(model, X, PRICES[:, None], steps=30)
    assert found.losses[0] < 10
