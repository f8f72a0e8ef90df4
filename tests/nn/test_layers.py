"""Each layer computes its formula, in plain NumPy, and lets the gradient through."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from helpers import close, forward, normal, value

import ranvier as rv
from ranvier import nn
from ranvier.errors import DTypeError
from ranvier.nn.module import Module
from ranvier.nn.trace import trace


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def gelu(x: np.ndarray) -> np.ndarray:
    return x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2


Formula = Callable[[np.ndarray], np.ndarray]
ACTIVATIONS: list[tuple[Module, Formula]] = [
    (nn.Identity(), lambda x: x),
    (nn.Step(), lambda x: (x >= 0).astype(x.dtype)),
    (nn.Step(straight_through=True), lambda x: (x >= 0).astype(x.dtype)),
    (nn.Sigmoid(), sigmoid),
    (nn.Tanh(), np.tanh),
    (nn.ReLU(), lambda x: np.maximum(x, 0)),
    (nn.LeakyReLU(0.1), lambda x: np.where(x > 0, x, 0.1 * x)),
    (nn.ELU(0.5), lambda x: np.where(x > 0, x, 0.5 * np.expm1(x))),
    (nn.SELU(), lambda x: 1.05070098 * np.where(x > 0, x, 1.67326324 * np.expm1(x))),
    (nn.GELU(), gelu),
    (nn.SiLU(), lambda x: x * sigmoid(x)),
    (nn.Softplus(), lambda x: np.logaddexp(x, 0)),
    (nn.Softmax(), softmax),
]


@pytest.mark.parametrize(("layer", "formula"), ACTIVATIONS, ids=lambda v: type(v).__name__)
def test_activation_matches_its_formula(layer: Module, formula: Formula) -> None:
    x = np.concatenate([normal(3, 8) * 3, [[0, -0.0, 1, -1, 20, -20, 5, -5]]]).astype(np.float32)
    close(forward(layer, x), formula(x))
    assert layer.states() == {}


@pytest.mark.parametrize("layer", [nn.ELU(), nn.Softplus(), nn.SiLU(), nn.Sigmoid()])
def test_gradients_of_activations_stay_finite_far_out(layer: Module) -> None:
    x = rv.constant([-500.0, -90.0, 0.0, 90.0, 500.0])
    (slope,) = rv.gradients(rv.sum(layer(x)), [x])
    assert np.isfinite(value(slope)).all()


@pytest.mark.parametrize("engine", ["native", "reference"])
@pytest.mark.parametrize(
    ("layer", "value_of", "slope_of"),
    [
        (nn.Softplus(), lambda x: np.log1p(np.exp(x)), sigmoid),
        (nn.ELU(), lambda x: np.where(x > 0, x, np.expm1(x)), lambda x: np.exp(np.minimum(x, 0))),
        (nn.Sigmoid(), sigmoid, lambda x: sigmoid(x) * sigmoid(-x)),
    ],
    ids=lambda v: type(v).__name__,
)
def test_activations_keep_their_digits_near_zero_and_far_out(
    layer: Module, value_of: Formula, slope_of: Formula, engine: str
) -> None:
    at = np.float32([-80, -30, -12, -1, -1e-4, -1e-8, 0, 1e-8, 1e-4, 2, 10])
    x = rv.input(at.shape)
    y = layer(x)
    (slope,) = rv.gradients(rv.sum(y), [x])
    found = rv.compile({"x": x}, {"y": y, "slope": slope}, engine=engine)(x=at)
    exact = at.astype(np.float64)
    np.testing.assert_allclose(found["y"], value_of(exact), rtol=1e-6)
    # The slope of the sigmoid is p (1 - p), which has few digits where p is near 1.
    far = 1e-2 if isinstance(layer, nn.Sigmoid) else 1e-6
    np.testing.assert_allclose(found["slope"], slope_of(exact), rtol=far)


def test_elu_has_the_slope_alpha_at_zero() -> None:
    for alpha in (1.0, 0.5):
        x = rv.constant([0.0])
        assert value(rv.gradients(rv.sum(nn.ELU(alpha)(x)), [x])[0]).tolist() == [alpha]


def test_linear_works_on_the_last_axis() -> None:
    layer, x = nn.Linear(3), normal(2, 5, 4)
    layer.build(x.shape)
    layer.weights["bias"] = np.float32([1, 2, 3])
    close(forward(layer, x), x @ layer.weights["weight"] + [1, 2, 3])
    plain = nn.Linear(3, use_bias=False)
    plain.build(x.shape)
    assert list(plain.weights) == ["weight"]


@pytest.mark.parametrize("kernel", [3, (3, 2)])
@pytest.mark.parametrize("groups", [1, 2])
def test_conv_matches_a_plain_loop(kernel: int | tuple[int, int], groups: int) -> None:
    layer, x = nn.Conv(4, kernel, stride=2, padding=1, groups=groups), normal(2, 7, 6, 2)
    layer.build(x.shape)
    layer.weights["bias"] = normal(4, seed=1)
    weight, bias = layer.weights["weight"], layer.weights["bias"]
    high, wide = weight.shape[:2]
    assert weight.shape == (high, wide, 2 // groups, 4)
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    found = forward(layer, x)
    wanted = np.zeros_like(found)
    for i in range(found.shape[1]):
        for j in range(found.shape[2]):
            patch = padded[:, 2 * i : 2 * i + high, 2 * j : 2 * j + wide]
            for c in range(4):
                first = c // (4 // groups) * (2 // groups)
                seen = patch[..., first : first + 2 // groups]
                wanted[:, i, j, c] = (seen * weight[..., c]).sum((1, 2, 3)) + bias[c]
    close(found, wanted)


def test_conv_serves_sequences_and_images() -> None:
    assert nn.Conv(5, 3, padding="same").build((2, 9, 4)).shape == (2, 9, 5)
    assert nn.Conv(5, 3, stride=2, padding="same").build((2, 9, 8, 4)).shape == (2, 5, 4, 5)
    assert nn.Conv(5, 3, dilation=2, use_bias=False).build((2, 9, 8, 4)).shape == (2, 5, 4, 5)


def test_pooling_and_flatten() -> None:
    x = normal(2, 4, 6, 3)
    windows = x.reshape(2, 2, 2, 3, 2, 3)
    close(forward(nn.MaxPool(2), x), windows.max((2, 4)))
    close(forward(nn.AvgPool(2), x), windows.mean((2, 4)))
    close(forward(nn.GlobalAvgPool(), x), x.mean((1, 2)))
    close(forward(nn.Flatten(), x), x.reshape(2, -1))
    assert nn.MaxPool(3, stride=2, padding=1).build((2, 7, 7, 3)).shape == (2, 4, 4, 3)


def test_layer_norm() -> None:
    layer, x = nn.LayerNorm(), normal(3, 4, 5) * 3 + 1
    layer.build(x.shape)
    layer.weights["gain"], layer.weights["shift"] = normal(5, seed=1), normal(5, seed=2)
    standard = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    close(forward(layer, x), standard * layer.weights["gain"] + layer.weights["shift"], 1e-4)


def test_embedding_takes_rows() -> None:
    layer, x = nn.Embedding(300, 4), np.array([[0, 255], [7, 7]], np.uint8)
    assert layer.build(rv.input(x.shape, x.dtype)).shape == (2, 2, 4)
    close(forward(layer, x), layer.weights["weight"][x])
    with pytest.raises(DTypeError, match=r"^embedding: expected integers, got float32; convert"):
        layer.build((2, 2))


def test_residual_adds_the_shortcut() -> None:
    x = normal(2, 4)
    block = nn.Residual(nn.Sequential(nn.Linear(4), nn.Tanh()))
    block.build(x.shape)
    assert list(block.weights) == ["body.linear1.weight", "body.linear1.bias"]
    close(forward(block, x), x + np.tanh(x @ block.weights["body.linear1.weight"]))
    wide = nn.Residual(nn.Linear(3), nn.Linear(3))
    wide.build(x.shape)
    weights = wide.weights["body.weight"] + wide.weights["shortcut.weight"]
    close(forward(wide, x), x @ weights)


# ---------------------------------------------------------------- layers that know the mode


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_rounded_share_and_the_mean(rate: float) -> None:
    layer, ones = nn.Dropout(rate), rv.constant(np.ones((200, 300), np.float32))
    with trace(training=True, seed=3, step=rv.constant(0)):
        y = value(layer(ones))
    kept = 256 - round(256 * rate)
    assert set(np.unique(y)) == {0, np.float32(256 / kept)}
    assert abs((y != 0).mean() - kept / 256) < 0.01
    assert value(layer(ones)).min() == 1  # no trace: evaluation


def test_dropout_draws_by_seed_step_path_and_ordinal() -> None:
    ones = rv.constant(np.ones((64, 64), np.float32))
    net = nn.Sequential(nn.Dropout(), nn.Dropout())
    first, second = net

    def draw(seed: int, step: int, layer: Module, times: int = 1) -> bytes:
        with trace(training=True, seed=seed, step=rv.constant(step)):
            return [value(layer(ones)) for _ in range(times)][-1].tobytes()

    assert draw(0, 0, first) == draw(0, 0, first)
    others = [draw(1, 0, first), draw(0, 1, first), draw(0, 0, second), draw(0, 0, first, 2)]
    assert len({draw(0, 0, first), *others}) == 5


def test_dropout_without_a_step_counts_by_itself() -> None:
    x = rv.input((32, 32))
    with trace(training=True, seed=0) as t:
        y = nn.Dropout()(x)
    (counter,) = t.updates
    program = rv.compile({"x": x}, {"y": y}, t.updates)
    y = program(steps=3, x=np.ones((32, 32), np.float32))["y"]
    assert len({mask.tobytes() for mask in y}) == 3
    assert counter.value == 3


def test_batch_norm_trains_on_the_batch_and_evaluates_on_running_statistics() -> None:
    layer, x = nn.BatchNorm(), normal(4, 3, 5) * 2 + 1
    layer.build(x.shape)
    layer.weights["gain"], layer.weights["shift"] = normal(5, seed=1), normal(5, seed=2)
    gain, shift = layer.weights["gain"], layer.weights["shift"]
    with trace(training=True) as t:
        y = value(layer(rv.constant(x)))
    mean, variance = x.mean((0, 1)), x.var((0, 1))
    close(y, (x - mean) / np.sqrt(variance + 1e-5) * gain + shift, 1e-4)
    buffers = layer.buffers()
    assert set(t.updates) == set(buffers.values())
    close(value(t.updates[buffers["mean"]]), 0.1 * mean)
    close(value(t.updates[buffers["variance"]]), 0.9 + 0.1 * variance * 12 / 11)
    layer.weights["mean"], layer.weights["variance"] = mean, variance
    close(forward(layer, x), y, 1e-4)


def test_batch_norm_leaves_out_samples_of_weight_zero() -> None:
    layer, x = nn.BatchNorm(), normal(5, 3, 2)
    layer.build(x.shape)
    x[3:] = 100
    weights = rv.constant(np.float32([1, 1, 1, 0, 0]))
    with trace(training=True, weights=weights) as t:
        y = value(layer(rv.constant(x)))
    with trace(training=True) as whole:
        wanted = value(layer(rv.constant(x[:3])))
    close(y[:3], wanted, 1e-4)
    for buffer in layer.buffers().values():
        close(value(t.updates[buffer]), value(whole.updates[buffer]))


def test_batch_norm_keeps_its_statistics_where_no_sample_counts() -> None:
    layer, x = nn.BatchNorm(), normal(4, 3)
    layer.build(x.shape)
    layer.weights["mean"] = np.float32([1, 2, 3])
    with trace(training=True, weights=rv.constant(np.zeros(4, np.float32))) as t:
        y = value(layer(rv.constant(x)))
    assert np.isfinite(y).all()
    for buffer in layer.buffers().values():
        np.testing.assert_array_equal(value(t.updates[buffer]), buffer.value)


def test_the_variance_of_one_outlier_among_many_stays_right() -> None:
    values = np.zeros((1 << 18, 2), np.float32)
    values[1 << 17] = 1000 + 1 / 3
    values[0, 1] = -1000
    x = rv.input(values.shape, name="x")
    mean, variance = rv.moments(x, 0)
    found = rv.compile({"x": x}, {"m": mean, "v": variance})(x=values)
    exact = values.astype(np.float64)
    np.testing.assert_allclose(found["m"], exact.mean(0), atol=1e-5)
    np.testing.assert_allclose(found["v"], exact.var(0), rtol=2e-4)


def test_batch_norm_called_twice_moves_its_statistics_twice() -> None:
    layer, x = nn.BatchNorm(), normal(8, 2) + 3
    layer.build(x.shape)
    with trace(training=True) as t:
        layer(rv.constant(x)), layer(rv.constant(x))
    close(value(t.updates[layer.mean]), x.mean(0) * (0.1 + 0.9 * 0.1))


# ---------------------------------------------------------------- gradients

TRAINED = {
    "linear": (nn.Linear(3), (4, 5)),
    "conv": (nn.Conv(3, 3), (2, 5, 5, 2)),
    "batch_norm": (nn.BatchNorm(), (4, 5)),
    "layer_norm": (nn.LayerNorm(), (4, 5)),
    "residual": (nn.Residual(nn.Linear(5)), (4, 5)),
}


@pytest.mark.parametrize("name", TRAINED)
def test_gradients_reach_input_and_parameters(name: str) -> None:
    layer, shape = TRAINED[name]
    x = rv.constant(normal(*shape))
    layer.build(shape)
    with trace(training=True):
        y = layer(x)
    loss = rv.sum(y * normal(*y.shape, seed=1))
    for slope in rv.gradients(loss, [x, *layer.parameters().values()]):
        assert np.abs(value(slope)).max() > 1e-3
