"""Networks as JSON: every layer comes back, and nothing else than a layer ever does."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import ranvier as rv
from ranvier import nn
from ranvier.errors import InputError
from ranvier.nn import initializers
from ranvier.nn.config import FUNCTIONS, INITIALIZERS, classes, from_config, to_config

PICTURE, ROW, IDS = (2, 8, 8, 4), (2, 6), (2, 5)
SHARED = nn.Linear(4)
LAYERS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "AvgPool": (nn.AvgPool(2, stride=1), PICTURE),
    "BatchNorm": (nn.BatchNorm(), PICTURE),
    "Conv": (nn.Conv(6, (3, 2), stride=2, padding="same", groups=2, use_bias=False), PICTURE),
    "Dropout": (nn.Dropout(0.25), ROW),
    "ELU": (nn.ELU(), ROW),
    "Embedding": (nn.Embedding(10, 3), IDS),
    "Flatten": (nn.Flatten(), PICTURE),
    "GELU": (nn.GELU(), ROW),
    "GaussianLatent": (nn.GaussianLatent(0.5), ROW),
    "GaussianNoise": (nn.GaussianNoise(0.5), ROW),
    "GlobalAvgPool": (nn.GlobalAvgPool(), PICTURE),
    "Identity": (nn.Identity(), ROW),
    "LayerNorm": (nn.LayerNorm(), ROW),
    "LeakyReLU": (nn.LeakyReLU(0.2), ROW),
    "Linear": (nn.Linear(np.int64(3), init=initializers.Orthogonal(2.0)), ROW),
    "MaskingNoise": (nn.MaskingNoise(0.5), ROW),
    "MaxPool": (nn.MaxPool(2), PICTURE),
    "ReLU": (nn.ReLU(), ROW),
    "Reshape": (nn.Reshape([2, 3]), ROW),
    "Residual": (nn.Residual(nn.Conv(4, 3, padding=[(1, 1), (1, 1)]), shortcut=rv.relu), PICTURE),
    "Sequential": (nn.Sequential(nn.Linear(4), rv.tanh, nn.Linear(4), head=nn.Linear(2)), ROW),
    "SELU": (nn.SELU(), ROW),
    "SiLU": (nn.SiLU(), ROW),
    "Sigmoid": (nn.Sigmoid(), ROW),
    "Softmax": (nn.Softmax(), ROW),
    "Softplus": (nn.Softplus(), ROW),
    "Step": (nn.Step(straight_through=True), ROW),
    "Tanh": (nn.Tanh(), ROW),
    "TiedLinear": (nn.Sequential(SHARED, nn.TiedLinear(SHARED)), ROW),
    "Upsample": (nn.Upsample((2, 3), size=(15, 20)), PICTURE),
}
"""An instance of each layer with arguments, and the shape of an input."""


def test_every_layer_has_an_instance_here() -> None:
    assert set(LAYERS) == set(classes())


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_comes_back(name: str) -> None:
    layer, shape = LAYERS[name]
    config = json.loads(json.dumps(to_config(layer)))
    again = from_config(config)
    assert type(again) is type(layer)
    assert to_config(again) == config
    x = rv.input(shape, rv.int32 if name == "Embedding" else rv.float32)
    values = np.arange(np.prod(shape)).reshape(shape).astype(x.dtype) % 10
    found = []
    for each in (layer, again):
        with rv.trace(seed=3):
            y = each(x)
        found.append(rv.compile({"x": x}, {"y": y}, engine="reference")(x=values)["y"])
    assert np.array_equal(found[0], found[1])
    assert {p: a.tobytes() for p, a in layer.weights.items()} == {
        p: a.tobytes() for p, a in again.weights.items()
    }


@pytest.mark.parametrize("name", INITIALIZERS)
def test_every_initializer_comes_back(name: str) -> None:
    needed = {"Constant": (0.5,)}.get(name, ())
    layer = nn.Linear(3, init=INITIALIZERS[name](*needed))
    again = from_config(to_config(layer))
    assert again.init == layer.init  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_comes_back(name: str) -> None:
    net = nn.Sequential(FUNCTIONS[name])
    again = from_config(to_config(net))
    assert list(again) == [FUNCTIONS[name]]  # type: ignore[call-overload]


def test_a_module_at_two_places_is_one_module() -> None:
    shared = nn.Linear(4)
    net = nn.Sequential(shared, nn.Tanh(), nn.Residual(shared))
    again = from_config(json.loads(json.dumps(to_config(net))))
    assert isinstance(again, nn.Sequential)
    assert again[2].body is again[0]


# ---------------------------------------------------------------- what is one's own


class Linear(nn.Module):
    """A class of the user's with the name of a layer."""

    def __call__(self, x: rv.Tensor) -> rv.Tensor:
        return x


def own(x: rv.Tensor) -> rv.Tensor:
    return x


@pytest.mark.parametrize("part", [Linear(), own, lambda x: x])
def test_one_s_own_code_has_no_configuration(part: Any) -> None:
    config = to_config(nn.Sequential(nn.Tanh(), part))
    with pytest.raises(InputError, match=r"of the user's own; load it with rv.load\(path, net="):
        from_config(json.loads(json.dumps(config)))


# ---------------------------------------------------------------- what nobody wrote


def nested(depth: int) -> Any:
    config: Any = {"class": "Tanh", "arguments": {}}
    for _ in range(depth):
        config = {"class": "Sequential", "arguments": {"modules": [config]}}
    return config


@pytest.mark.parametrize(
    "config",
    [
        None, 3, "Linear", [], {}, {"class": "Linear"}, {"arguments": {}},
        {"class": 3, "arguments": {}},
        {"class": ["Linear"], "arguments": {}},
        {"class": "os.system", "arguments": {"command": "ls"}},
        {"class": "Module", "arguments": {}},
        {"class": "Linear", "arguments": []},
        {"class": "Linear", "arguments": {}},
        {"class": "Linear", "arguments": {"outputs": "many"}},
        {"class": "Linear", "arguments": {"width": 3}},
        {"class": "Linear", "arguments": {"outputs": -1}},
        {"class": "Sequential", "arguments": {"modules": 3}},
        {"class": "Sequential", "arguments": {"modules": [3]}},
        {"class": "Sequential", "arguments": {"named": {"dict": [1]}}},
        {"class": "Sequential", "arguments": {"modules": [{"same": 0}]}},
        {"class": "Sequential", "arguments": {"modules": [{"same": "x"}]}},
        {"class": "Sequential", "arguments": {"modules": [{"function": "eval"}]}},
        {"class": "Linear", "arguments": {"init": {"initializer": "exec", "arguments": {}}}},
        {"initializer": "Normal", "arguments": {}},
        {"function": "tanh"},
        nested(100), nested(10_000),
    ],
)  # fmt: skip
def test_a_configuration_that_is_none(config: Any) -> None:
    with pytest.raises(InputError):
        from_config(config)
