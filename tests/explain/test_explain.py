"""`explain`: every number equals what float64 arithmetic by hand gives, and the page holds them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ranvier as rv
from ranvier import models, nn
from ranvier.cli.main import run as command
from ranvier.errors import InputError, RanvierError
from ranvier.explain.page import page

X = np.array([0.5, -1.25], np.float32)


def small(loss: str = "mean_squared_error", last: int = 1) -> rv.Model:
    """A network 2-3-1 of tanh units, with weights that are known."""
    net = nn.Sequential(nn.Linear(3), nn.Tanh(), nn.Linear(last))
    model = rv.Model(net, loss, rv.optim.SGD(0.1))
    random = np.random.default_rng(3)
    inputs = random.normal(size=(8, 2)).astype(np.float32)
    if loss == "cross_entropy":
        targets: Any = random.integers(0, last, 8)
    else:
        targets = random.normal(size=(8, last)).astype(np.float32)
    model.fit(inputs, targets, epochs=1, seed=1, progress=False)
    return model


def test_a_small_network_by_hand() -> None:
    model = small()
    w = {path: value.astype(np.float64) for path, value in model.weights.items()}
    found = model.explain(X, np.array([0.75], np.float32))
    z = X @ w["linear1.weight"] + w["linear1.bias"]
    a = np.tanh(z)
    y = a @ w["linear2.weight"] + w["linear2.bias"]
    assert found.loss == pytest.approx(float((y[0] - 0.75) ** 2), rel=1e-5)
    out = 2 * (y - 0.75)
    back = w["linear2.weight"] @ out
    delta = back * (1 - a**2)
    expected = {
        ("linear1", "output"): z, ("linear1", "delta"): delta, ("tanh1", "output"): a,
        ("tanh1", "delta"): back, ("linear2", "output"): y, ("linear2", "delta"): out,
    }  # fmt: skip
    for (path, name), value in expected.items():
        np.testing.assert_allclose(getattr(found[path], name), value, rtol=2e-5, atol=1e-6)
    gradients = {"linear1": np.outer(X, delta), "linear2": np.outer(a, out)}
    for path, gradient in gradients.items():
        step = found[path]
        np.testing.assert_allclose(step.gradients["weight"], gradient, rtol=2e-5, atol=1e-6)
        np.testing.assert_allclose(step.gradients["bias"], step.delta, rtol=1e-6)
        np.testing.assert_array_equal(step.weights["weight"], model.weights[f"{path}.weight"])


def test_the_loss_and_the_gradients_are_those_of_training() -> None:
    """One step of plain gradient descent on the sample moves the weights by rate times gradient."""
    model = small("cross_entropy", 3)
    found = model.explain(X, np.int64(2))
    assert found.loss == pytest.approx(model.evaluate(X[None], np.array([2]))["loss"], rel=1e-6)
    before = dict(model.weights.items())
    model.fit(X[None], np.array([2]), epochs=1, batch_size=1, progress=False)
    for path, value in model.weights.items():
        layer, _, name = path.rpartition(".")
        np.testing.assert_allclose(
            value, before[path] - 0.1 * found[layer].gradients[name], rtol=1e-5, atol=1e-7
        )
    np.testing.assert_allclose(found.prediction.sum(), 1, rtol=1e-6)


def pictures() -> rv.Model:
    net = nn.Sequential(
        nn.Conv(4, 3, padding="same"), nn.ReLU(), nn.MaxPool(2), nn.Conv(6, 3, stride=2),
        nn.AvgPool(2), nn.Flatten(), nn.Dropout(0.5), nn.Linear(3),
    )  # fmt: skip
    model = rv.Model(net, "cross_entropy", "adam", classes=("a", "b", "c"))
    random = np.random.default_rng(0)
    images = random.normal(size=(12, 12, 12, 2)).astype(np.float32)
    model.fit(images, random.integers(0, 3, 12), epochs=1, progress=False)
    return model


def test_patches_of_a_convolution_give_its_output() -> None:
    model = pictures()
    image = np.random.default_rng(1).normal(size=(12, 12, 2)).astype(np.float32)
    found = model.explain(image, np.int64(1))
    for path in ("conv1", "conv2"):
        step = found[path]
        window = step.window
        assert window is not None
        for row, column in ((0, 0), (1, 1)):
            top = row * window["stride"][0] - window["before"][0]
            left = column * window["stride"][1] - window["before"][1]
            total = step.weights["bias"].astype(np.float64).copy()
            for y in range(3):
                for x in range(3):
                    r, c = top + y, left + x
                    if 0 <= r < step.inputs.shape[0] and 0 <= c < step.inputs.shape[1]:
                        total += step.inputs[r, c].astype(np.float64) @ step.weights["weight"][y, x]
            np.testing.assert_allclose(step.output[row, column], total, rtol=1e-4, atol=1e-5)
    pooled = found["maxpool1"]
    assert pooled.window is not None
    assert pooled.window["kernel"] == [2, 2]
    np.testing.assert_array_equal(pooled.output[0, 0], pooled.inputs[:2, :2].max((0, 1)))
    np.testing.assert_array_equal(found["dropout1"].output, found["dropout1"].inputs)


def test_the_page_holds_the_numbers_and_nothing_from_elsewhere() -> None:
    found = small().explain(X, np.array([0.75], np.float32))
    text = page(found)
    assert "http" not in re.sub(r'"http://www\.w3\.org/2000/svg"', "", text)
    data = json.loads(re.search(r'<script id="data"[^>]*>(.*?)</script>', text)[1])  # type: ignore[index]
    shown = {layer["path"]: layer for layer in data["layers"]}
    for step in found.steps:
        layer = shown[step.path]
        for key, value in (("value", step.output), ("delta", step.delta)):
            np.testing.assert_allclose(layer["out"][key], value.ravel(), rtol=1e-8)
        for name, gradient in step.gradients.items():
            given = layer["parameters"][name]
            np.testing.assert_allclose(given["gradient"], gradient.ravel(), rtol=1e-8)
            np.testing.assert_allclose(given["value"], step.weights[name].ravel(), rtol=1e-8)


def test_lenet5_fits_a_page(tmp_path: Path) -> None:
    digits = rv.datasets.load("mnist")
    recipe = models.get("lenet5")
    model = rv.Model(
        recipe.build((28, 28, 1), 10), "cross_entropy", "adam", preprocess=digits.train.preprocess
    )
    model.fit(digits.train.inputs[:32], digits.train.targets[:32], progress=False)
    written = model.explain(digits.test.inputs[0], digits.test.targets[0]).write(
        tmp_path / "deep/page.html"
    )
    assert written.stat().st_size < 2_000_000


def test_an_autoencoder_needs_no_target() -> None:
    net = nn.Sequential(nn.Linear(1), nn.Linear(2))
    model = rv.Model(net, "mean_squared_error")
    model.fit(np.ones((4, 2), np.float32), progress=False)
    found = model.explain(X)
    assert found.target is None
    assert "linear1 (Linear) 1" in str(found)


def test_errors() -> None:
    model = small()
    found = model.explain(X, np.array([0.0], np.float32))
    with pytest.raises(InputError, match="no layer is called 'linear9'; there are linear1, tanh1"):
        found["linear9"]
    with pytest.raises(RanvierError, match="one input and one output"):
        model.explain({"a": X}, 1)
    with pytest.raises(RanvierError):
        model.explain(np.zeros(5, np.float32), np.array([0.0], np.float32))


def test_the_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    rows = [(i / 10, (7 * i % 10) / 10, "yes" if i % 2 else "no") for i in range(40)]
    table.write_text("a,b,label\n" + "\n".join(f"{a},{b},{c}" for a, b, c in rows) + "\n")
    run = tmp_path / "run"
    small_run = ["--set", "hidden=[4]", "--epochs", "1", "--quiet", "--out", str(run)]
    assert command(["train", "mlp", "--data", str(table), *small_run]) == 0
    out = tmp_path / "page.html"
    assert command(["explain", str(run), str(table), "--row", "3", "--target", "yes", "--out",
                    str(out), "--json"]) == 0  # fmt: skip
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert Path(found["page"]).read_text("utf-8").startswith("<!DOCTYPE html>")
    assert {"path", "kind", "output", "delta", "weights", "gradients"} == set(found["layers"][0])
    for arguments, message in (
        (["--target", "maybe"], "there is no such class; there are no, yes"),
        (["--row", "41"], "has 40 rows, no row 41"),
    ):
        assert command(["explain", str(run), str(table), *arguments]) == 2
        assert message in capsys.readouterr().err
