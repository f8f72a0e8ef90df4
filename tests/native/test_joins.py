"""Concatenations compute each element once, however many parts they have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod

import numpy as np
import pytest
from plans import plan

import ranvier as rv
from ranvier.engines.native.fuse import joins
from ranvier.engines.native.inspect.describe import describe_schedule
from ranvier.engines.native.inspect.repetition import repetition
from ranvier.engines.native.run.linking import slots_of
from ranvier.engines.native.schedule.deduplicate import deduplicate
from ranvier.engines.native.schedule.kernels import BodyKernel, Load
from ranvier.engines.native.schedule.schedule import Schedule

Parts = Sequence[rv.Tensor]
Graph = tuple[Mapping[str, rv.Tensor], Parts]


def of_one(n: int) -> Graph:
    """Functions of one input."""
    x = rv.input((100, 8), name="x")
    return {"x": x}, [rv.tanh(x * float(i + 1)) for i in range(n)]


def of_many(n: int, rows: int = 100) -> Graph:
    """The same function of as many inputs."""
    inputs = {f"x{i}": rv.input((rows, 8), name=f"x{i}") for i in range(n)}
    return inputs, [rv.tanh(x) for x in inputs.values()]


JOINED: dict[str, Callable[[Parts], rv.Tensor]] = {
    "concatenate": lambda parts: rv.concatenate(parts, 0),
    "stack": lambda parts: rv.stack(parts, 1),
}


def loads(found: Schedule) -> int:
    """How many elements the kernels read."""
    bodies = [k.body for k in found.sequenced.kernels if isinstance(k, BodyKernel)]
    counts = [(sum(isinstance(x, Load) for x in body.instructions), body.domain) for body in bodies]
    return sum(count * prod(domain) for count, domain in counts)


# ------------------------------------------------------------ how much work there is


@pytest.mark.parametrize("join", JOINED)
@pytest.mark.parametrize("make", [of_one, of_many])
@pytest.mark.parametrize("n", [6, 64, 1000])
def test_each_element_is_computed_once(n: int, make: Callable[[int], Graph], join: str) -> None:
    inputs, parts = make(n)
    found = plan(inputs, {"y": JOINED[join](parts)})
    assert repetition(found.sequenced.kernels) == 1
    assert loads(found) <= n * parts[0].size
    assert found.arena.size == 0  # each part is stored in the result


def test_two_long_parts_are_computed_once() -> None:
    x = rv.input((5000, 8), name="x")
    found = plan({"x": x}, {"y": rv.concatenate([rv.tanh(x), rv.exp(x)], 1)})
    assert repetition(found.sequenced.kernels) == 1
    assert loads(found) == x.size


@pytest.mark.parametrize(("n", "rows"), [(2, 5000), (64, 100)])
def test_its_gradient_too(n: int, rows: int) -> None:
    inputs, parts = of_many(n, rows)
    y = rv.concatenate(parts, 0)
    loss = rv.sum(y * y * y)
    gradients = rv.gradients(loss, list(inputs.values()))
    outputs = {f"slope{i}": gradient for i, gradient in enumerate(gradients)}
    found = plan(inputs, {"loss": loss, **outputs})
    times = repetition(found.sequenced.kernels)
    assert times is not None
    assert times < 1.5  # an element's multiplications may cost less than memory
    assert loads(found) <= 6 * y.size


def test_inputs_are_read_once() -> None:
    inputs, _ = of_many(64)
    found = plan(inputs, {"y": rv.concatenate(list(inputs.values()), 0) * 2.0})
    assert loads(found) <= 2 * 64 * 800  # copied into buffer, then read


def test_a_thousand_equal_parts_share_their_code() -> None:
    inputs, parts = of_many(1000)
    y = rv.concatenate(parts, 0)
    gradients = rv.gradients(rv.sum(y * y), list(inputs.values()))
    outputs = {f"slope{i}": gradient for i, gradient in enumerate(gradients[:50])}
    found = plan(inputs, {"y": y, **outputs})
    kernel_calls = deduplicate(found.sequenced, slots_of(found))
    assert len(kernel_calls.calls) >= 1000
    assert len(kernel_calls.patterns) < 10


def test_kernels_are_of_bounded_size() -> None:
    inputs, parts = of_one(1000)
    found = plan(inputs, {"y": rv.concatenate(parts, 0)})
    assert max(len(kernel.nodes) for kernel in found.sequenced.kernels) <= 64


# ------------------------------------------------------------ where fusion stays


def test_few_cheap_parts_are_read_where_they_are_used() -> None:
    x, y = (rv.input((1000, 64), name=name) for name in "xy")
    joined = rv.concatenate([x * 2.0, y], 1)
    found = plan({"x": x, "y": y}, {"z": rv.softmax(joined)})
    assert len(found.sequenced.kernels) == 1


def test_describe_tells_where_work_is_repeated() -> None:
    x = rv.input((10, 8), name="x")
    short = rv.concatenate([rv.tanh(x), rv.exp(x)], 1)  # a kernel more would take longer
    found = plan({"x": x}, {"y": short, "z": rv.exp(x * x)})
    head, first, second, total, _ = describe_schedule(found, None).splitlines()
    assert head.split()[:4] == ["kernel", "MFLOP", "kB", "times"]
    assert {first.split()[3], second.split()[3]} == {"2.00", "1.00"}
    assert total.split()[3] == "1.50"


def test_describe_tells_of_passes_and_of_windows() -> None:
    x = rv.input((64, 32), name="x")
    (softmax,) = plan({"x": x}, {"y": rv.softmax(x)}).sequenced.kernels
    times = repetition([softmax])
    assert times is not None
    assert 1 < times < 2  # the exponentials once more when they are divided by their sum
    squares = x * x
    (windows,) = plan({"x": x}, {"y": squares[1:] + squares[:-1]}).sequenced.kernels
    assert repetition([windows]) == pytest.approx((63 * 3) / (64 + 63), abs=0.01)


# ------------------------------------------------------------ results


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Store part by part whatever repeats any work; without the cache, which cannot know."""
    monkeypatch.setattr(joins, "LEAST_REPEATED", 0)
    monkeypatch.setattr(joins, "REPEATED_LIMIT", 0)
    monkeypatch.setenv("RANVIER_CACHE", "")


def drawn(kind: str) -> tuple[dict[str, rv.Tensor], dict[rv.State, rv.Tensor]]:
    """Results and updates in which parts of that kind are joined."""
    tanh, product = rv.tanh(X), X @ W
    state = rv.Buffer(np.arange(24, dtype=np.float32).reshape(4, 6), name="s")
    parts: dict[str, Parts] = {
        "sums of rows": [rv.sum(X * float(i), 1, keepdims=True) for i in range(3)],
        "products": [product, X @ (W * 2.0), tanh @ W],
        "products in other shapes": [product.reshape(6, 4).T, product.T.reshape(4, 6)],
        "inputs": [X, W[:4], X, X],
        "one tensor": [tanh, tanh, tanh],
        "rows taken": [rv.take(X, np.array([3, 0, 0, 1])), tanh, rv.take(tanh, np.arange(4))],
        "padded": [rv.pad(tanh[:, 1:], [(0, 0), (1, 0)]), tanh],
        "nothing": [tanh[:, :0], tanh, X[:, :0] * 2.0, X],
        "joined": [rv.concatenate([tanh, rv.exp(X)], 1), rv.concatenate([X, tanh], 1)],
        "random numbers": [rv.random_uniform((4, 6), 1, 2, i) for i in range(3)],
        "slices": [tanh[:2], tanh[2:], rv.flip(tanh, 1)[1:3]],
    }
    if kind == "state":
        shifted = rv.concatenate([state[1:], rv.tanh(state[:1] + X[:1])], 0)
        return {"y": shifted * 2.0, "old": state + 1.0}, {state: shifted}
    if kind == "state and result":
        whole = rv.concatenate([rv.exp(X[:1]), rv.tanh(state[1:])], 0)
        return {"y": whole, "z": rv.sum(whole, 0)}, {state: whole}
    axis = 0 if kind == "slices" else 1
    whole = rv.concatenate(parts[kind], axis)
    return {
        "whole": whole,
        "part": tanh,
        "scaled": rv.sin(whole) * 0.5,
        "turned": whole.T.reshape(-1),
        "sums": rv.sum(whole, 0),
        "product": whole.T @ X if axis else whole @ W,
        "stacked": rv.stack([*[p * 2.0 for p in parts[kind][:2]], parts[kind][0]], 0)
        if parts[kind][0].shape == parts[kind][1].shape
        else whole,
    }, {}


X, W = rv.input((4, 6), name="x"), rv.input((6, 6), name="w")
KINDS = (
    "sums of rows", "products", "products in other shapes", "inputs", "one tensor", "rows taken",
    "padded", "nothing", "joined", "random numbers", "slices", "state", "state and result",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_parts_of_all_kinds(kind: str, always: None) -> None:
    outputs, updates = drawn(kind)
    rng = np.random.default_rng(0)
    given = {"x": rng.normal(size=(4, 6)).astype("f"), "w": rng.normal(size=(6, 6)).astype("f")}
    first = {state: state.value for state in updates}

    def results(**options: object) -> list[np.ndarray]:
        for state, value in first.items():
            state.value = value
        found = rv.compile({"x": X, "w": W}, outputs, updates, **options)(**given)  # type: ignore[arg-type]
        return [*found.values(), *(state.value for state in updates)]

    want = results(engine="reference")
    for passes in ({}, {"passes": ()}):
        for options in ({}, {"in_place": False, "threads": 3}, {"fuse": False}):
            for got, expected in zip(results(**passes, **options), want, strict=True):
                np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_images_in_many_channels(always: None) -> None:
    """Convolutions, one with a border, store their channels in one image."""
    x, w = rv.input((2, 9, 9, 3), name="x"), rv.input((3, 3, 3, 5), name="w")
    kinds = [rv.convolution(x, w, padding=1), rv.convolution(rv.tanh(x), w, padding=1)]
    image = rv.concatenate([*kinds, rv.relu(kinds[0]), x], -1)
    outputs = {
        "image": image,
        "next": rv.max_pool(rv.pad(image, [(0, 0), (1, 0), (1, 0), (0, 0)]), 2),
    }
    rng = np.random.default_rng(0)
    given = {k: rng.normal(size=t.shape).astype("f") for k, t in (("x", x), ("w", w))}
    want = rv.compile({"x": x, "w": w}, outputs, engine="reference")(**given)
    found = rv.compile({"x": x, "w": w}, outputs, threads=2)(**given)
    for name, expected in want.items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-4)
