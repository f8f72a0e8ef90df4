"""Layers of autoencoders: noise, tied weights, upsampling, and codes that are drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers import close, forward, normal, value

import ranvier as rv
from ranvier import nn
from ranvier.errors import InputError, ShapeError
from ranvier.nn.trace import trace


def trained(layer: nn.Module, x: np.ndarray, step: int = 0, seed: int = 0) -> np.ndarray:
    """The output while training."""
    with trace(True, seed, rv.constant(np.int64(step))):
        return value(layer(rv.constant(x)))


# ---------------------------------------------------------------- noise


def test_gaussian_noise_is_normal() -> None:
    layer, zeros = nn.GaussianNoise(0.5), np.zeros((300, 400), np.float32)
    found = trained(layer, zeros)
    assert abs(found.mean()) < 0.01
    assert found.std() == pytest.approx(0.5, abs=0.005)
    inside = [(abs(found) < 0.5 * k).mean() for k in (1, 2, 3)]
    np.testing.assert_allclose(inside, [0.6827, 0.9545, 0.9973], atol=0.005)
    assert abs(np.corrcoef(found[:, :-1].ravel(), found[:, 1:].ravel())[0, 1]) < 0.01
    assert not np.array_equal(found, trained(layer, zeros, step=1))
    assert not np.array_equal(found, trained(layer, zeros, seed=1))
    assert np.array_equal(found, trained(layer, zeros))
    assert np.array_equal(forward(layer, zeros), zeros)
    assert np.array_equal(trained(nn.GaussianNoise(0), zeros), zeros)


def test_masking_noise_scales_nothing_up() -> None:
    layer, ones = nn.MaskingNoise(0.25), np.ones((200, 300), np.float32)
    found = trained(layer, ones)
    assert np.unique(found).tolist() == [0, 1]
    assert found.mean() == pytest.approx(0.75, abs=0.01)
    assert np.array_equal(forward(layer, ones), ones)


# ---------------------------------------------------------------- back to pictures


def test_upsampling_repeats_elements() -> None:
    x = normal(2, 3, 4, 5)
    close(forward(nn.Upsample(2), x), x.repeat(2, 1).repeat(2, 2))
    close(forward(nn.Upsample((1, 3)), x), x.repeat(3, 2))
    close(forward(nn.Upsample(2, size=(5, 7)), x), x.repeat(2, 1).repeat(2, 2)[:, :5, :7])
    close(forward(nn.Upsample(4), x[:, 0]), x[:, 0].repeat(4, 1))


def test_upsampling_adds_its_gradient_up() -> None:
    x, weights = rv.constant(normal(1, 2, 2, 1)), normal(1, 4, 4, 1, seed=1)
    (slope,) = rv.gradients(rv.sum(nn.Upsample(2)(x) * rv.constant(weights)), [x])
    close(value(slope), weights.reshape(1, 2, 2, 2, 2, 1).sum((2, 4)))


def test_reshape_keeps_the_batch() -> None:
    x = normal(3, 12)
    close(forward(nn.Reshape([2, 3, 2]), x), x.reshape(3, 2, 3, 2))


def test_tied_weights_are_the_transposed_ones() -> None:
    first = nn.Linear(3)
    net = nn.Sequential(first, nn.TiedLinear(first))
    x = normal(5, 4)
    net.build(x.shape)
    assert sorted(net.weights) == ["linear1.bias", "linear1.weight", "tiedlinear1.bias"]
    net.weights["tiedlinear1.bias"] = normal(4, seed=1)
    weight = net.weights["linear1.weight"]
    close(forward(net, x), x @ weight @ weight.T + normal(4, seed=1))
    (slope,) = rv.gradients(rv.sum(net(rv.constant(x))), [first.weight])
    ones = np.ones((5, 4), np.float32)
    close(value(slope), x.T @ (ones @ weight) + ones.T @ (x @ weight))


# ---------------------------------------------------------------- codes


def test_a_gaussian_code_is_drawn_and_its_divergence_added() -> None:
    means, logs = normal(4000, 2), normal(4000, 2, seed=1) * 0.3
    layer, x = nn.GaussianLatent(0.5), rv.constant(np.concatenate([means, logs], 1))
    with trace(True, 0, rv.constant(np.int64(0))) as t:
        code = value(layer(x))
    noise = (code - means) / np.exp(logs / 2)
    np.testing.assert_allclose([noise.mean(), noise.std()], [0, 1], atol=0.03)
    (penalty,) = t.penalties
    wanted = 0.5 * 0.5 * (means**2 + np.exp(logs) - logs - 1).sum(1)
    np.testing.assert_allclose(value(penalty), wanted, rtol=1e-4, atol=1e-6)
    close(forward(layer, x.numpy()), means)


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_what_layers_add_to_the_loss_is_learnt_and_reported(engine: str) -> None:
    """The divergence alone, with its weighted mean over the samples that count."""
    net = nn.Sequential(nn.Linear(2), nn.GaussianLatent(2.0), nn.Linear(1))
    model = rv.Model(net, "mean_squared_error", rv.optim.SGD(0.0), engine=engine)
    x, weights = normal(6, 3), np.float32([1, 2, 0, 1, 1, 1])
    history = model.fit(x, np.zeros((6, 1), np.float32), batch_size=6, weights=weights)
    mean, log = (x @ net.weights["linear1.weight"] + net.weights["linear1.bias"]).T
    each = mean**2 + np.exp(log) - log - 1
    assert history[0]["penalty"] == pytest.approx((each * weights).sum() / 6, rel=1e-5)
    model = rv.Model(net, "mean_squared_error", rv.optim.SGD(0.1), engine=engine)
    longer = model.fit(x, np.zeros((6, 1), np.float32), batch_size=6, epochs=60)
    assert longer[-1]["penalty"] < 0.1 * longer[0]["penalty"]


# ---------------------------------------------------------------- what does not fit


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.GaussianNoise(-1), "GaussianNoise: deviation is -1; use a finite number, 0"),
        (lambda: nn.MaskingNoise(1), r"MaskingNoise: share is 1; use a number in \[0, 0\.998\]"),
        (lambda: nn.Upsample(0), "Upsample: factor is 0; use a whole number, 1 or more"),
        (lambda: nn.Upsample((2, 2), size=(3,)), "Upsample: factor .*different numbers of"),
        (lambda: nn.Reshape([]), r"Reshape: shape is \[\]; use a list of lengths"),
        (lambda: nn.Reshape([2, -1]), "Reshape: a length is -1; use a whole number, 1 or more"),
        (lambda: nn.TiedLinear(nn.ReLU()), "TiedLinear: source is a ReLU; use a Linear"),
        (lambda: nn.GaussianLatent(-1), "GaussianLatent: weight is -1; use a finite number"),
    ],
)
def test_arguments_that_are_none(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (nn.Upsample(2), (2, 3), "expected an input \\[batch, \\*spatial, channel\\]"),
        (nn.Upsample(2, size=9), (2, 4, 4, 1), "a size of 9.9 is larger than the result, 8.8"),
        (nn.Reshape([2, 2]), (3, 5), "expected samples of 4 elements for 2.2, got an input 3.5"),
        (nn.GaussianLatent(), (3, 5), "expected \\[batch, …, 2 code\\], .* got 3.5"),
    ],
)
def test_inputs_that_do_not_fit(layer: nn.Module, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        layer.build(shape)


def test_a_tied_layer_without_its_source() -> None:
    with pytest.raises(InputError, match="tiedlinear: the layer whose weights it shares has not"):
        nn.TiedLinear(nn.Linear(3)).build((1, 3))
    first = nn.Linear(3)
    first.build((1, 4))
    with pytest.raises(ShapeError, match=r"expected 3 input features, got 1.5; give it what the"):
        nn.TiedLinear(first).build((1, 5))
