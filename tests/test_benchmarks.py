"""The benchmarks' training steps: they build, they train, and the engines agree on them."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import data
import steps

FAST = ("small", "mlp", "norm_net", "attention", "lenet5")
HEAVY = ("resnet20", "resnet34")


def losses(step: steps.Step, count: int, engine: str) -> np.ndarray:
    program = step.compile(engine=engine)
    return program(steps=count, index=step.index(count), **step.arrays)["loss"]


@pytest.mark.parametrize("name", FAST)
def test_the_engines_agree_on_the_first_losses(name: str) -> None:
    build = steps.STEPS[name]
    native, reference = (losses(build(), 8, engine) for engine in ("native", "reference"))
    np.testing.assert_allclose(native, reference, rtol=2e-4)
    assert len(set(native.tolist())) == 8  # fresh rows, fresh weights


@pytest.mark.parametrize("name", [n for n in steps.STEPS if n not in HEAVY])
def test_training_lowers_the_loss(name: str) -> None:
    step = steps.STEPS[name]()
    count = 20 if name == "autoencoder" else 120
    found = losses(step, count, "native")
    assert np.isfinite(found).all()
    assert found[-5:].mean() < 0.95 * found[0]


def test_dropout_keeps_the_mean_and_the_share() -> None:
    x = steps.rv.input((64, 100))
    y = steps.dropout(x, 0.25, steps.rv.constant(1), steps.rv.constant(2), stream=3)
    out = steps.rv.compile({"x": x}, {"y": y}, engine="reference")(x=np.ones((64, 100), "f"))["y"]
    assert abs((out == 0).mean() - 0.25) < 0.03
    assert np.unique(out).tolist() == pytest.approx([0, 4 / 3])


def test_flops_are_the_tables() -> None:
    counted = {name: data.flops(name) / 1e9 for name in data.STEPS if name != "residual"}
    dense = {"small": 0.0021, "mlp": 0.155, "autoencoder": 2.0}
    pictures = {"lenet5": 0.29, "resnet20": 31, "resnet34": 171}
    assert counted == pytest.approx(dense | pictures, rel=0.05)


def test_an_epoch_visits_each_row_at_most_once() -> None:
    epoch = data.batches(data.ROWS // data.BATCH)
    assert len(np.unique(epoch)) == epoch.size
