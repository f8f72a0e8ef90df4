"""Arguments of the wrong kind are refused in one sentence, wherever they are given."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ranvier import nn, optim, regularization, schedules
from ranvier import validation as checks
from ranvier.errors import InputError
from ranvier.optim import Optimizer
from ranvier.regularization import Penalty


def type_name(value: Any) -> str:
    return type(value).__name__


NO_NUMBERS: list[Any] = ["abc", None, True, [1], {}, np.nan, np.inf, 1e39, 10**400, -(10**5000)]
NO_SIZES: list[Any] = [*NO_NUMBERS, 0, -1, 8.5, 1e3, 1 << 63, np.float32(3)]


@pytest.mark.parametrize("value", NO_NUMBERS, ids=type_name)
def test_no_number(value: Any) -> None:
    with pytest.raises(InputError, match=r"^X: y is .{1,60}; use a finite number$"):
        checks.number("X: y", value)


@pytest.mark.parametrize("value", NO_SIZES, ids=type_name)
def test_no_whole_number(value: Any) -> None:
    with pytest.raises(InputError, match=r"^X: y is .{1,60}; use a whole number, 1 or more"):
        checks.whole_number("X: y", value)


def test_numbers_become_python_s_own() -> None:
    for value, wanted in ((np.float32(0.5), 0.5), (np.int64(3), 3), (2, 2), (0.1, 0.1)):
        found = checks.number("y", value)
        assert (found, type(found)) == (wanted, type(wanted))
    assert type(checks.whole_number("y", np.uint8(3))) is int
    assert checks.flag("y", np.bool_(True)) is True
    assert checks.per_axis("y", np.array([3, 2])) == (3, 2)
    assert checks.padding("y", [1, (0, np.int64(2))]) == (1, (0, 2))


@pytest.mark.parametrize(
    ("value", "limits", "text"),
    [
        (-1, {"low": 0}, "y is -1; use a finite number, 0 or more"),
        (1, {"low": 0, "below": 1}, "y is 1; use a number in [0, 1)"),
        (0, {"above": 0, "below": 1}, "y is 0; use a number in (0, 1)"),
        (1e-50, {"above": 0}, "y is 1e-50, which is 0 in float32; use a positive number"),
        (
            1 - 1e-9,
            {"low": 0, "below": 1},
            "y is 0.999999999, which is 1 in float32; use a number in [0, 1)",
        ),
        (2, {"low": 0, "high": 0.5}, "y is 2; use a number in [0, 0.5]"),
    ],
)
def test_ranges(value: float, limits: dict[str, float], text: str) -> None:
    with pytest.raises(InputError) as caught:
        checks.number("y", value, **limits)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    "make",
    [
        nn.Linear, lambda v: nn.Linear(3, init=[v]), lambda v: nn.Conv(v, 3),
        lambda v: nn.Conv(3, v), lambda v: nn.Conv(3, (3, v)), lambda v: nn.Conv(3, 3, stride=v),
        lambda v: nn.Conv(3, 3, dilation=v), lambda v: nn.Conv(3, 3, groups=v),
        lambda v: nn.Embedding(v, 3), lambda v: nn.Embedding(3, v),
        nn.MaxPool, nn.AvgPool, lambda v: nn.AvgPool((2, v)), lambda v: schedules.Cosine(1, v),
        lambda v: schedules.StepDecay(1, v), lambda v: schedules.Exponential(1, v),
        lambda v: schedules.WarmUp(v, 1), lambda v: schedules.OneCycle(1, v),
    ],
)  # fmt: skip
@pytest.mark.parametrize("value", [v for v in NO_SIZES if v != [1]], ids=type_name)
def test_sizes_are_checked_where_they_are_given(make: Callable[[Any], Any], value: Any) -> None:
    with pytest.raises(InputError, match=" is "):
        make(value)


@pytest.mark.parametrize(
    "make",
    [
        nn.Dropout, lambda v: nn.LayerNorm(epsilon=v), nn.LeakyReLU, nn.ELU,
        nn.initializers.Constant, nn.initializers.Orthogonal, optim.SGD,
        lambda v: optim.Momentum(0.1, momentum=v),
        lambda v: optim.RMSprop(decay=v), lambda v: optim.RMSprop(epsilon=v), optim.Adam,
        lambda v: optim.Adam(beta1=v), lambda v: optim.Adam(beta2=v),
        lambda v: optim.Adam(epsilon=v), lambda v: optim.AdamW(weight_decay=v),
        lambda v: optim.SGD(clip_norm=v or "x"), lambda v: optim.SGD(clip_value=v or "x"),
        schedules.Constant, lambda v: schedules.Cosine(v, 3), lambda v: schedules.Cosine(1, 3, v),
        lambda v: schedules.StepDecay(1, 3, v), lambda v: schedules.WarmUp(3, v),
        lambda v: schedules.OneCycle(1, 3, v), lambda v: schedules.OneCycle(1, 3, end=v),
        regularization.L1, regularization.L2, regularization.Dilution,
    ],
)  # fmt: skip
@pytest.mark.parametrize("value", NO_NUMBERS, ids=type_name)
def test_numbers_are_checked_where_they_are_given(make: Callable[[Any], Any], value: Any) -> None:
    with pytest.raises(InputError):
        make(value)


@pytest.mark.parametrize(
    "make",
    [
        lambda v: nn.Linear(3, use_bias=v), lambda v: nn.Conv(3, 3, use_bias=v),
        lambda v: optim.AdamW(decay_vectors=v), lambda v: regularization.L2(1, vectors=v),
        lambda v: regularization.Dilution(0.1, vectors=v),
    ],
)  # fmt: skip
def test_flags_are_checked(make: Callable[[Any], Any]) -> None:
    with pytest.raises(InputError, match="is 'no'; use True or False"):
        make("no")


@pytest.mark.parametrize("padding", ["some", -1, 1.5, (1, 2, 3), [(1, 2, 3)], None, ((1, "x"), 1)])
def test_padding_is_checked(padding: Any) -> None:
    for make in (lambda p: nn.Conv(3, 3, padding=p), lambda p: nn.MaxPool(2, padding=p)):
        with pytest.raises(InputError, match=r"^(Conv|MaxPool): padding "):
            make(padding)


@pytest.mark.parametrize(
    ("family", "config", "text"),
    [
        (Optimizer, None, "None makes no optimizer; use an object with a name"),
        (Optimizer, {}, "there is no None here; there are sgd, "),
        (Optimizer, {"name": ["sgd"]}, r"there is no \['sgd'\] here; there are sgd, "),
        (Optimizer, {"name": "sgd", "learning_rate": {"name": "cosine"}},
         "cosine lacks value, steps; it takes value, steps, final"),
        (Optimizer, {"name": "sgd", "learning_rate": "abc"},
         "sgd: learning_rate is 'abc'; use a finite number, 0 or more, or a schedule"),
        (Penalty, {"name": "l2"}, "l2 lacks strength; it takes strength, vectors"),
        (Penalty, {"name": "l2", "strength": []}, r"l2: strength is \[\]; use a finite number"),
    ],
)  # fmt: skip
def test_configurations_are_checked(family: Any, config: Any, text: str) -> None:
    with pytest.raises(InputError, match=f"^{text}"):
        family.from_config(config)


def test_numpy_s_numbers_have_a_configuration() -> None:
    made = optim.Adam(np.float64(0.1), beta1=np.float32(0.5), clip_norm=np.int64(3))
    assert json.loads(json.dumps(made.config()))["clip_norm"] == 3
    rate = schedules.WarmUp(np.int64(3), np.float64(0.5))
    assert json.loads(json.dumps(rate.config())) == {"name": "warm_up", "steps": 3, "then": 0.5}


def test_a_layer_too_large_for_any_memory() -> None:
    for width in (1 << 50, 1 << 62):
        text = rf"^linear1: weight would hold 1024×{width} numbers, more than"  # noqa: RUF001
        with pytest.raises(InputError, match=text):
            nn.Sequential(nn.Linear(width)).build((1, 1024))
