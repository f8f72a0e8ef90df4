"""Activation units by name, and the step with and without a gradient."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import forward, value

import ranvier as rv
from ranvier import nn
from ranvier.errors import DTypeError, InputError
from ranvier.nn.layers.units import ACTIVATIONS

FAR = np.float32([-np.inf, -3e38, -1.5, -1e-30, -0.0, 0.0, 1e-30, 0.3, 7, 3e38, np.inf])


def slope_of(layer: nn.Module, x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    given = rv.constant(x)
    (slope,) = rv.gradients(rv.sum(layer(given) * rv.constant(weights)), [given])
    return value(slope)


def test_the_step_has_no_gradient() -> None:
    assert (slope_of(nn.Step(), FAR, np.ones(11, np.float32)) == 0).all()
    assert forward(nn.Step(), FAR).tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1]


def test_straight_through_the_gradient_passes_and_the_output_is_the_same() -> None:
    layer = nn.Step(straight_through=True)
    assert forward(layer, FAR).tolist() == forward(nn.Step(), FAR).tolist()
    finite, weights = FAR[1:-1], np.arange(9, dtype=np.float32)
    assert slope_of(layer, finite, weights).tolist() == weights.tolist()


@pytest.mark.parametrize("engine", ["native", "reference"])
@pytest.mark.parametrize("straight_through", [True, False])
def test_layers_before_a_step_learn_only_straight_through(
    engine: str, straight_through: bool
) -> None:
    net = nn.Sequential(nn.Linear(4), nn.Step(straight_through=straight_through), nn.Linear(1))
    net.build((1, 2))
    before = dict(net.weights)
    model = rv.Model(net, "mean_squared_error", rv.optim.SGD(0.1), engine=engine)
    model.fit(np.ones((8, 2), np.float32), np.ones((8, 1), np.float32), epochs=3)
    same = np.array_equal(net.weights["linear1.weight"], before["linear1.weight"])
    assert same is not straight_through
    assert not np.array_equal(net.weights["linear2.weight"], before["linear2.weight"])


def test_every_name_gives_its_layer() -> None:
    x = np.linspace(-3, 3, 7, dtype=np.float32)
    for name, kind in ACTIVATIONS.items():
        assert type(nn.activation(name)) is kind
        assert forward(nn.activation(name), x).shape == x.shape
    assert nn.activation("relu") is not nn.activation("relu")


def test_names_and_arguments_that_there_are_not() -> None:
    with pytest.raises(InputError, match="there is no activation 'ReLU'; there are identity, step"):
        nn.activation("ReLU")
    with pytest.raises(InputError, match="there is no activation 3"):
        nn.activation(3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="Step: straight_through is 1; use True or False"):
        nn.Step(straight_through=1)  # type: ignore[arg-type]
    with pytest.raises(DTypeError, match="expected floats, got int64"):
        nn.Step(straight_through=True)(rv.constant([1, 2]))
