"""Compiling costs in proportion to the graph: few attempts at fusion, kernels of bounded size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from plans import plan

import ranvier as rv
from ranvier.engines.native.emit.loops.body import plan_body
from ranvier.engines.native.fuse import fusion as group
from ranvier.engines.native.schedule.kernels import BodyKernel, Compute, Kernel
from ranvier.engines.native.schedule.schedule import Schedule

X = rv.input((1000,), name="x")


def ops(kernel: Kernel) -> int:
    """The pointwise ops that a kernel's code computes."""
    if not isinstance(kernel, BodyKernel):
        return 0
    return sum(isinstance(x, Compute) for x in kernel.body.instructions)


def passes(kernel: Kernel) -> int:
    """How many times a kernel runs over its columns."""
    assert isinstance(kernel, BodyKernel)
    body = kernel.body
    return plan_body(body, range(body.rows, len(body.domain))).passes


def residual(layers: int) -> Schedule:
    """A training step of residual layers with batch normalization, of few channels.

    Its convolutions compute several neighbours as one, so that weights and gains are repeated:
    small tensors that turn out, layer by layer, to be needed in memory.
    """
    x = rv.input((8, 7, 9, 5), name="x")
    parameters: list[rv.Parameter] = []

    def parameter(*shape: int) -> rv.Parameter:
        name = f"p{len(parameters)}"
        parameters.append(rv.Parameter(np.full(shape, 0.1, np.float32), name=name))
        return parameters[-1]

    h = x
    for _ in range(layers):
        y = rv.convolution(h, parameter(3, 3, 5, 5), padding=1)
        centred = y - y.mean((0, 1, 2))
        scale = rv.rsqrt(rv.var(y, (0, 1, 2)) + 1e-5)
        h = h + rv.relu(centred * scale * parameter(5) + parameter(5))
    loss = rv.mean(h * h)
    gradients = rv.gradients(loss, parameters)
    updates = {p: p - 0.1 * g for p, g in zip(parameters, gradients, strict=True)}
    return plan({"x": x}, {"loss": loss}, updates)


def test_grouping_starts_again_a_few_times_at_any_depth(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = []
    run = group._Fuser.run

    def counted(self: group._Fuser, *args: object) -> object:
        attempts.append(self)
        return run(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(group._Fuser, "run", counted)
    found = []
    for layers in (4, 16):
        attempts.clear()
        kernels = len(residual(layers).sequenced.kernels)
        found.append((len(attempts), kernels))
    (few, short), (many, long) = found
    assert few == many <= 4
    assert long <= 4.4 * short


def chain() -> rv.Tensor:
    """Pointwise ops after each other."""
    y = X
    for i in range(3000):
        y = y * 0.99 if i % 2 else y + 0.25
    return y


def sums() -> rv.Tensor:
    """Reductions that follow from each other."""
    y = X
    for _ in range(60):
        y = rv.tanh(y) * y + rv.sum(y) * 0.01
    return y


def many_results() -> dict[str, rv.Tensor]:
    return {f"y{i}": rv.tanh(X * float(i + 1)) for i in range(300)}


@pytest.mark.parametrize("make", [chain, sums])
def test_kernels_are_of_bounded_size(make: Callable[[], rv.Tensor]) -> None:
    kernels = plan({"x": X}, {"y": make()}).sequenced.kernels
    assert max(map(ops, kernels)) <= group.MOST_WORK
    assert max(map(passes, kernels)) <= group.MOST_PASSES + 1
    assert len(kernels) <= 30


def test_many_results_are_divided_among_kernels() -> None:
    kernels = plan({"x": X}, many_results()).sequenced.kernels
    assert max(len(kernel.nodes) for kernel in kernels) <= group.MOST_ANCHORS
    assert len(kernels) <= 6


@pytest.mark.parametrize("make", [chain, sums])
def test_divided_kernels_compute_the_same(make: Callable[[], rv.Tensor]) -> None:
    y = make()
    given = {"x": np.linspace(-1, 1, 1000, dtype=np.float32)}
    want = rv.compile({"x": X}, {"y": y}, engine="reference")(**given)["y"]
    found = rv.compile({"x": X}, {"y": y}, threads=2)(**given)["y"]
    np.testing.assert_allclose(found, want, rtol=1e-3, atol=1e-3)
