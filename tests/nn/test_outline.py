"""What a network, a model and a summary look like where they are printed."""

from __future__ import annotations

import numpy as np

import ranvier as rv
from ranvier import nn
from ranvier.nn.module import TIMES


class Twice(nn.Module):
    def __init__(self, size: int, *, scale: float = 1.0) -> None:
        self.first = nn.Linear(size)
        self.others = [nn.Linear(size), self.first]
        self.scale = scale

    def __call__(self, x: rv.Tensor) -> rv.Tensor:
        return self.others[1](self.others[0](self.first(x))) * self.scale


def plain(printed: object) -> str:
    return repr(printed).replace(TIMES, "x")


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv(6, 5, padding="same"), rv.relu, nn.Flatten(), end=nn.Linear(3))


def test_before_it_is_built_a_network_shows_its_layers() -> None:
    assert repr(network()).splitlines() == [
        "Sequential",
        "  conv1: Conv(6, 5, padding='same')",
        "  relu1: relu",
        "  flatten1: Flatten()",
        "  end: Linear(3)",
        "not built yet: shapes unknown",
    ]


def test_once_built_it_shows_shapes_and_parameters() -> None:
    net = network()
    net.build((1, 4, 4, 2))
    lines = [" ".join(line.split()) for line in plain(net).splitlines()]
    assert lines == [
        "Sequential",
        "conv1: Conv(6, 5, padding='same') weight 5x5x2x6, bias 6 306",
        "relu1: relu",
        "flatten1: Flatten()",
        "end: Linear(3) weight 96x3, bias 3 291",
        "597 parameters",
    ]
    assert str(net) == repr(net)


def test_what_lies_deeper_is_indented_and_shared_layers_stand_once() -> None:
    net = nn.Sequential(Twice(4, scale=0.5), nn.BatchNorm())
    net.build((1, 4))
    lines = repr(net).splitlines()
    assert [line.split(":")[0] for line in lines[1:5]] == [
        "  twice1",
        "    first",
        "    others.0",
        "  batchnorm1",
    ]
    assert "Twice(4, scale=0.5)" in lines[1]
    assert lines[4].endswith(" 8")  # running statistics are no parameters
    assert lines[-1] == "48 parameters"


def test_arguments_that_are_long_are_cut() -> None:
    class Table(nn.Module):
        def __init__(self, values: np.ndarray, words: list[str]) -> None:
            self.values = values

    text = repr(Table(np.arange(10000), ["word"] * 1000))
    assert len(text) < 120
    assert "\n" not in text


def test_a_very_deep_network_is_cut() -> None:
    lines = repr(nn.Sequential(*[nn.Tanh() for _ in range(500)])).splitlines()
    assert len(lines) == 202
    assert lines[-2] == "… and 301 more"


def test_a_model_says_how_it_is_judged_and_trained() -> None:
    model = rv.Model(nn.Sequential(nn.Linear(2)), "cross_entropy", "adam", ["accuracy", "f1"])
    first = "Model: loss cross_entropy; metrics accuracy, f1; optimizer adam; untrained"
    assert repr(model).splitlines()[:2] == [first, "Sequential"]
    model.fit(np.ones((4, 3), np.float32), np.array([0, 1, 0, 1]))
    assert repr(model).splitlines()[0].endswith("; trained for 1 epoch")
    assert "linear1: Linear(2)  weight 3x2, bias 2  8" in plain(model)
    assert repr(model.summary()) == str(model.summary())
