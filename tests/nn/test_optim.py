"""Optimizers against NumPy over several native steps; schedules, clipping, penalties, dilution."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from helpers import close, normal, value

import ranvier as rv
from ranvier import losses, nn, optim, regularization, schedules
from ranvier.errors import InputError
from ranvier.nn.trace import trace

STEPS = 5
Rule = Iterator[None]


def sgd(w: np.ndarray, g: Callable[[], np.ndarray], **_: Any) -> Rule:
    while True:
        w -= 0.1 * g()
        yield


def momentum(w: np.ndarray, g: Callable[[], np.ndarray], nesterov: bool = False) -> Rule:
    v = np.zeros_like(w)
    while True:
        slope = g()
        v[...] = 0.8 * v - 0.1 * slope
        w += 0.8 * v - 0.1 * slope if nesterov else v
        yield


def rmsprop(w: np.ndarray, g: Callable[[], np.ndarray]) -> Rule:
    s = np.zeros_like(w)
    while True:
        slope = g()
        s[...] = 0.9 * s + 0.1 * slope**2
        w -= 0.1 * slope / (np.sqrt(s) + 1e-8)
        yield


def adam(w: np.ndarray, g: Callable[[], np.ndarray], decay: float = 0.0) -> Rule:
    m, v, t = np.zeros_like(w), np.zeros_like(w), 0
    while True:
        slope, t = g(), t + 1
        w *= 1 - 0.1 * decay
        m[...] = 0.9 * m + 0.1 * slope
        v[...] = 0.999 * v + 0.001 * slope**2
        w -= 0.1 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        yield


RULES: dict[str, tuple[optim.Optimizer, Callable[..., Rule]]] = {
    "sgd": (optim.SGD(0.1), sgd),
    "momentum": (optim.Momentum(0.1, momentum=0.8), momentum),
    "nesterov": (optim.Nesterov(0.1, momentum=0.8), lambda w, g: momentum(w, g, True)),
    "rmsprop": (optim.RMSprop(0.1), rmsprop),
    "adam": (optim.Adam(0.1), adam),
    "adamw": (optim.AdamW(0.1, weight_decay=0.2), lambda w, g: adam(w, g, 0.2 * (w.ndim > 1))),
}


@pytest.mark.parametrize("engine", ["native", "reference"])
@pytest.mark.parametrize("name", RULES)
def test_updates_match_numpy(name: str, engine: str) -> None:
    assert set(RULES) == set(optim.Optimizer.family)
    settings, rule = RULES[name]
    optimizer = settings.fresh()
    weight = rv.Parameter(normal(4, 3), name="weight")
    bias = rv.Parameter(normal(3, seed=1), name="bias")
    x, t = normal(6, 4, seed=2).astype(np.float64), normal(6, 3, seed=3).astype(np.float64)
    error = rv.constant(x.astype(np.float32)) @ weight + bias - t.astype(np.float32)
    updates = optimizer.updates(rv.sum(error * error) * 0.5, [weight, bias])
    program = rv.compile({}, {"step": optimizer.step}, updates, engine=engine)

    w, b = weight.value.astype(np.float64), bias.value.astype(np.float64)
    slopes: dict[str, np.ndarray] = {}
    of_w, of_b = rule(w, lambda: slopes["w"]), rule(b, lambda: slopes["b"])
    for _ in range(STEPS):
        residual = x @ w + b - t
        slopes = {"w": x.T @ residual, "b": residual.sum(0)}
        next(of_w), next(of_b)
    assert program(steps=STEPS)["step"].tolist() == list(range(STEPS))
    close(weight.value, w, 1e-4)
    close(bias.value, b, 1e-4)
    assert optimizer.step.value == STEPS


def published(name: str, w: np.ndarray, g: np.ndarray, rate: float, s: dict[str, Any]) -> None:
    """One update in float64, as the papers write it, with the default arguments."""
    s["t"] = s.get("t", 0) + 1
    m, v = s.setdefault("m", np.zeros_like(w)), s.setdefault("v", np.zeros_like(w))
    if name == "sgd":
        w -= rate * g
    elif name == "momentum":
        m[...] = 0.9 * m - rate * g
        w += m
    elif name == "nesterov":
        before = m.copy()
        m[...] = 0.9 * m - rate * g
        w += -0.9 * before + 1.9 * m  # the form of Bengio, Boulanger-Lewandowski & Pascanu
    elif name == "rmsprop":
        v[...] = 0.9 * v + 0.1 * g**2
        w -= rate * g / (np.sqrt(v) + 1e-8)
    else:
        if name == "adamw" and w.ndim > 1:
            w -= rate * 0.01 * w
        m[...] = 0.9 * m + 0.1 * g
        v[...] = 0.999 * v + 0.001 * g**2
        first, second = m / (1 - 0.9 ** s["t"]), v / (1 - 0.999 ** s["t"])
        w -= rate * first / (np.sqrt(second) + 1e-8)


@pytest.mark.parametrize("limits", [{}, {"clip_norm": 3.0}, {"clip_value": 1.0, "clip_norm": 2.5}])
@pytest.mark.parametrize("name", RULES)
def test_updates_with_a_schedule_and_clipping(name: str, limits: dict[str, float]) -> None:
    rate = {"name": "warm_up", "steps": 3, "then": {"name": "step", "value": 0.1, "every": 2}}
    rates = [0.1 / 3, 0.2 / 3, 0.1, 0.1, 0.1, 0.01, 0.01, 0.001]
    optimizer = optim.get({"name": name, "learning_rate": rate, **limits})
    weight = rv.Parameter(normal(4, 3), name="weight")
    bias = rv.Parameter(normal(3, seed=1), name="bias")
    x, t = normal(6, 4, seed=2), normal(6, 3, seed=3)
    error = rv.constant(x) @ weight + bias - t
    program = rv.compile({}, {}, optimizer.updates(rv.sum(error * error), {"w": weight, "b": bias}))
    w, b = weight.value.astype(np.float64), bias.value.astype(np.float64)
    states: list[dict[str, Any]] = [{}, {}]
    for each in rates:
        residual = x.astype(np.float64) @ w + b - t
        slopes = [2 * x.T @ residual, 2 * residual.sum(0)]
        if "clip_value" in limits:
            slopes = [np.clip(g, -limits["clip_value"], limits["clip_value"]) for g in slopes]
        if "clip_norm" in limits:
            norm = np.sqrt(sum((g**2).sum() for g in slopes))
            assert norm > limits["clip_norm"]
            slopes = [g * limits["clip_norm"] / norm for g in slopes]
        for array, slope, state in zip((w, b), slopes, states, strict=True):
            published(name, array, slope, each, state)
    program(steps=len(rates))
    close(weight.value, w, 2e-4)
    close(bias.value, b, 2e-4)


@pytest.mark.parametrize("given", [nn.Linear(3), [1.0], {"w": 3}, None])
def test_what_are_no_parameters(given: Any) -> None:
    with pytest.raises(InputError, match=r"are no parameters; pass net.parameters\(\), or a list"):
        optim.SGD().updates(rv.constant(0.0), given)


def test_fresh_is_of_the_same_class_and_settings_without_history() -> None:
    class Own(optim.Adam):
        """A class that no file can name."""

    w = rv.Parameter(normal(2), name="w")
    for made in (Own(schedules.Cosine(0.1, 9), beta1=0.5, clip_norm=2.0), optim.Nesterov(0.2)):
        rv.compile({}, {}, made.updates(rv.sum(w * w), [w]))(steps=3)
        made.learning_rate_scale.value = 0.5
        fresh = made.fresh()
        assert type(fresh) is type(made)
        assert fresh.config() == made.config()
        assert {path: buffer.value for path, buffer in fresh.state().items()} == {
            "step": 0,
            "learning_rate_scale": 1,
        }
        assert made.step.value == 3


def test_config_makes_the_same_optimizer_again() -> None:
    made = optim.AdamW(schedules.WarmUp(5, schedules.Cosine(0.1, 100)), beta1=0.8, clip_norm=1.0)
    text = json.dumps(made.config())
    again = optim.get(json.loads(text))
    assert isinstance(again, optim.AdamW)
    assert json.dumps(again.config()) == text
    assert optim.get("adam").config() == optim.Adam().config()
    with pytest.raises(InputError, match=r"there is no 'os.system' here; there are sgd"):
        optim.get("os.system")
    with pytest.raises(InputError, match="sgd has no argument 'beta'; it has learning_rate, clip"):
        optim.get({"name": "sgd", "beta": 1})


def test_state_is_shared_by_later_calls_and_named() -> None:
    w = rv.Parameter(normal(3, 2), name="w")
    optimizer = optim.Adam()
    first = optimizer.updates(rv.sum(w * w), {"net.w": w})
    second = optimizer.updates(rv.sum(w), {"net.w": w})
    assert (
        set(first)
        == set(second)
        == {w, *optimizer.state().values()} - {optimizer.learning_rate_scale}
    )
    moments = ["net.w.first_moment", "net.w.second_moment"]
    assert list(optimizer.state()) == ["step", "learning_rate_scale", *moments]
    assert optimizer.fresh().state().keys() == {"step", "learning_rate_scale"}


def test_learning_rate_scale_is_set_between_calls() -> None:
    w = rv.Parameter(np.zeros(2, np.float32), name="w")
    optimizer = optim.SGD(0.5)
    program = rv.compile({}, {}, optimizer.updates(rv.sum(w), [w]))
    program()
    optimizer.learning_rate_scale.value = 0.1
    program()
    close(w.value, [-0.55, -0.55])


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_float64_is_trained_at_the_exact_rate(engine: str) -> None:
    def moved(optimizer: optim.Optimizer, scale: float = 1.0) -> float:
        w = rv.Parameter(np.zeros(1), name="w")
        updates = optimizer.updates(rv.sum(w * 3.0), [w])
        optimizer.learning_rate_scale.value = scale
        rv.compile({}, {}, updates, engine=engine)()
        return float(w.value[0])

    assert moved(optim.SGD(0.1)) == -(0.1 * 3.0)
    assert moved(optim.SGD(0.1), 0.7) == -(0.1 * 0.7 * 3.0)
    assert moved(optim.SGD(schedules.StepDecay(0.3, 5))) == -(0.3 * 3.0)
    assert moved(optim.SGD(1.0, clip_norm=0.1)) == pytest.approx(-0.1, rel=1e-15)


def test_clipping() -> None:
    g = [np.float32([[3, -4]]), np.float32([12])]
    tensors = [rv.constant(a) for a in g]
    close(value(optim.global_norm(tensors)), 13)
    for norm, scale in ((6.5, 0.5), (20.0, 1.0)):
        for found, wanted in zip(optim.clipped(tensors, norm=norm), g, strict=True):
            close(value(found), wanted * scale)
    close(value(optim.clipped(tensors, value=3.5)[0]), [[3, -3.5]])
    zero = optim.clipped([rv.constant([0.0, 0.0])], norm=1.0)[0]
    assert value(zero).tolist() == [0, 0]
    with pytest.raises(InputError, match="sgd: clip_norm is 0; use a positive number or None"):
        optim.SGD(clip_norm=0)


# ---------------------------------------------------------------- schedules

SCHEDULES: list[tuple[schedules.Schedule, Callable[[int], float]]] = [
    (schedules.Constant(0.3), lambda s: 0.3),
    (schedules.StepDecay(0.5, 3), lambda s: 0.5 * 0.1 ** (s // 3)),
    (schedules.Exponential(0.5, 10, 0.5), lambda s: 0.5 * 0.5 ** (s / 10)),
    (
        schedules.Cosine(1.0, 8, 0.2),
        lambda s: 0.2 + 0.8 * (1 + math.cos(math.pi * min(s, 8) / 8)) / 2,
    ),
    (
        schedules.WarmUp(4, schedules.StepDecay(1.0, 2, 0.5)),
        lambda s: (s + 1) / 4 if s < 4 else 0.5 ** ((s - 4) // 2),
    ),
    (
        schedules.OneCycle(1.0, 10, rise=0.4),
        lambda s: (
            0.04 + 0.96 * (1 - math.cos(math.pi * s / 4)) / 2
            if s < 4
            else 1e-4 + (1 - 1e-4) * (1 + math.cos(math.pi * min(1, (s - 4) / 6))) / 2
        ),
    ),
]


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_schedules_match_their_formulas(engine: str) -> None:
    assert {s.name for s, _ in SCHEDULES} == set(schedules.Schedule.family)
    step = rv.Buffer(np.int64(0))
    rates = {schedule.name: schedule(step) for schedule, _ in SCHEDULES}
    found = rv.compile({}, rates, {step: step + 1}, engine=engine)(steps=14)
    for schedule, formula in SCHEDULES:
        wanted = [formula(s) for s in range(14)]
        np.testing.assert_allclose(found[schedule.name], wanted, rtol=1e-14)
        assert schedules.as_schedule(schedule.config()) == schedule


def test_schedules_refuse_what_makes_no_rate() -> None:
    with pytest.raises(InputError, match=r"^sgd: learning_rate is -1; use a finite number, 0"):
        optim.SGD(-1)
    with pytest.raises(InputError, match="cosine schedule: steps is 0; use a whole number, 1"):
        schedules.Cosine(0.1, 0)


# ---------------------------------------------------------------- regularization


def test_penalties() -> None:
    w, b = rv.Parameter(normal(3, 2), name="w"), rv.Parameter(normal(2, seed=1), name="b")
    named = {"w": w, "b": b}
    l1, l2 = regularization.L1(0.1), regularization.L2(0.2, vectors=True)
    wanted = 0.1 * abs(w.value).sum()
    close(value(l1(named.values())), wanted)
    wanted += 0.2 * ((w.value**2).sum() + (b.value**2).sum())
    both = regularization.penalty([l1, l2], named)
    close(value(both), wanted)
    close(value(rv.gradients(both, [w])[0]), 0.1 * np.sign(w.value) + 0.4 * w.value)
    assert regularization.Penalty.from_config(l2.config()) == l2


@pytest.mark.parametrize(("every", "fresh"), [("batch", [1, 1, 1]), ("epoch", [0, 1, 0])])
def test_dilution_leaves_out_a_share_of_the_weights(every: str, fresh: list[int]) -> None:
    w = rv.Parameter(np.zeros((80, 90), np.float32), name="w")
    b = rv.Parameter(np.zeros(7, np.float32), name="b")
    optimizer = optim.SGD(1.0)
    updates = optimizer.updates(rv.sum(w) + rv.sum(b), [w, b])
    dilution = regularization.Dilution(0.25, every)
    masked = dilution.masked(updates, {"w": w, "b": b}, 0, optimizer.step, steps_per_epoch=2)
    program = rv.compile({}, {}, masked)
    masks, before = [], w.value
    for _ in range(4):
        program()
        masks.append(before != w.value)
        before = w.value
    assert all(abs(mask.mean() - 0.75) < 0.02 for mask in masks)
    assert [int((a != c).any()) for a, c in pairwise(masks)] == fresh
    assert b.value.tolist() == [-4] * 7


# ---------------------------------------------------------------- all together


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_a_network_learns_xor_with_everything_on(engine: str) -> None:
    net = nn.Sequential(nn.Linear(16), nn.BatchNorm(), nn.Tanh(), nn.Dropout(0.05), nn.Linear(2))
    x, y, w = rv.input((5, 2)), rv.input((5,), rv.int64), rv.input((5,))
    net.build(x, seed=1)
    optimizer, loss = (
        optim.AdamW(schedules.WarmUp(10, 0.05), clip_norm=5.0),
        losses.get("cross_entropy"),
    )
    with trace(training=True, seed=1, step=optimizer.step, weights=w) as t:
        mean = losses.total(loss(net(x), y), w)
    extra = regularization.penalty([regularization.L2(1e-4)], net.parameters())
    updates = {**optimizer.updates(mean + extra, net.parameters()), **t.updates}
    inputs = {"x": x, "y": y, "w": w}
    learn = rv.compile(inputs, {"loss": mean, "penalty": extra}, updates, engine=engine)
    answer = rv.compile({"x": x}, {"p": loss.link(net(x))}, engine=engine)
    points = np.float32([[0, 0], [0, 1], [1, 0], [1, 1], [9, 9]])  # the last is padding
    labels = np.array([0, 1, 1, 0, 0])
    losses_seen = learn(steps=200, x=points, y=labels, w=np.float32([1, 1, 1, 1, 0]))["loss"]
    assert losses_seen[-20:].mean() < 0.2 < losses_seen[0]
    assert answer(x=points)["p"].argmax(-1)[:4].tolist() == [0, 1, 1, 0]
