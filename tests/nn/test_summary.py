"""What a network is made of, counted by hand."""

from __future__ import annotations

import pytest

import ranvier as rv
from ranvier import nn
from ranvier.models.lenet5 import lenet5
from ranvier.nn.summary import multiply_adds, summarize


def test_lenet5_by_hand() -> None:
    found = summarize(lenet5((28, 28, 1), 10), (1, 28, 28, 1))
    counted = {layer.path: layer for layer in found.layers}
    assert counted["conv1"].parameters == 5 * 5 * 1 * 6 + 6
    assert counted["conv1"].multiply_adds == 28 * 28 * 6 * 25
    assert counted["conv2"].multiply_adds == 10 * 10 * 16 * 25 * 6
    assert counted["linear1"].parameters == 400 * 120 + 120
    assert counted["avgpool1"].shape == (14, 14, 6)
    assert counted["avgpool1"].activation_bytes == 14 * 14 * 6 * 4
    assert found.parameters == found.trainable == 61_706
    assert found.multiply_adds == 416_520
    assert [layer.path for layer in found.layers][:3] == ["conv1", "tanh1", "avgpool1"]
    assert set(found.to_json()) == {"parameters", "multiply_adds", "activation_bytes", "layers"}


def test_vgg19_has_19_6_billion() -> None:
    layers: list[nn.Module] = []
    for channels, count in ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4)):
        for _ in range(count):
            layers += [nn.Conv(channels, 3, padding="same"), nn.ReLU()]
        layers.append(nn.MaxPool(2))
    dense = [nn.Linear(4096), nn.ReLU(), nn.Linear(4096), nn.ReLU(), nn.Linear(1000)]
    zeros = nn.initializers.zeros
    for layer in (*layers, *dense):
        if isinstance(layer, nn.Conv | nn.Linear):
            layer.init = zeros  # drawing 144 million numbers takes seconds
    found = summarize(nn.Sequential(*layers, nn.Flatten(), *dense), (1, 224, 224, 3))
    assert found.multiply_adds == 19_632_062_464
    assert found.parameters == 143_667_240


def test_shared_layers_count_once_and_work_twice() -> None:
    shared = nn.Linear(4)
    found = summarize(nn.Sequential(shared, nn.Tanh(), shared), (1, 4))
    assert [layer.parameters for layer in found.layers] == [20, 0, 0]
    assert found.parameters == 20
    assert found.multiply_adds == 32


def test_work_outside_layers_is_counted() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            self.dense = nn.Linear(4)

        def __call__(self, x: rv.Tensor) -> rv.Tensor:
            y = self.dense(x)
            return y @ self.param("mix", (4, 5), nn.initializers.zeros)

    found = summarize(Own(), (1, 3))
    assert found.layers[-1].path == "(own operations)"
    assert found.layers[-1].multiply_adds == 20
    assert found.layers[-1].parameters == 20
    assert found.multiply_adds == 12 + 20


def test_frozen_layers_and_nested_paths() -> None:
    net = nn.Sequential(encoder=nn.Sequential(nn.Linear(3)), head=nn.Linear(2))
    net.build((1, 4))
    net.freeze("encoder.*")
    found = summarize(net, (1, 4))
    assert [(layer.path, layer.trainable) for layer in found.layers] == [
        ("encoder.linear1", False),
        ("head", True),
    ]
    assert (found.parameters, found.trainable) == (23, 8)
    assert "15 frozen" in str(found)


def test_nothing_changes_by_looking() -> None:
    net = nn.Sequential(nn.Linear(3), nn.BatchNorm(), nn.Dropout(0.5))
    net.build((4, 2), seed=1)
    before = {path: array.tobytes() for path, array in net.weights.items()}
    summarize(net, (1, 2))
    assert before == {path: array.tobytes() for path, array in net.weights.items()}


def test_the_table_is_aligned() -> None:
    lines = str(summarize(lenet5((28, 28, 1), 10), (1, 28, 28, 1))).splitlines()
    ends = {len(line) for line in lines[2:-2]}
    assert len(ends) == 1
    assert "61,706 parameters (247 kB)" in lines[-1]
    assert "416,520 multiply-adds" in lines[-1]


def test_several_inputs() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            self.left, self.right = nn.Linear(3), nn.Linear(3)

        def __call__(self, x: rv.Tensor, y: rv.Tensor) -> dict[str, rv.Tensor]:
            return {"sum": self.left(x) + self.right(y)}

    assert summarize(Two(), (1, 2), (1, 4)).multiply_adds == 18


def test_gradients_need_as_much_again() -> None:
    """A product's two gradients are two products of the same size; convolutions likewise."""
    for layer, shape in ((nn.Linear(7), (5, 3)), (nn.Conv(4, 3, stride=2), (2, 9, 9, 3))):
        x = rv.input(shape)
        y = layer(x)
        forward = multiply_adds([y])
        weight = layer.parameters()["weight"]
        slopes = rv.gradients(rv.sum(y * y), [x, weight])
        assert multiply_adds(slopes) == pytest.approx(3 * forward)
