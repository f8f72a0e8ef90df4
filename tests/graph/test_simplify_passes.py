"""Each simplification pass alone: what it turns into what."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import ranvier as rv
from ranvier.errors import GraphError
from ranvier.graph.evaluate import evaluate
from ranvier.graph.printing import show
from ranvier.graph.simplify import PASSES, simplify
from ranvier.graph.tensor import Tensor


def x_input(*shape: int, dtype: Any = "float32") -> Tensor:
    return rv.input(shape, dtype, name="x")


def text(tensor: Tensor | Sequence[Tensor]) -> str:
    """The printed graph, one call a line, without types and the list of roots."""
    lines = show(tensor if isinstance(tensor, Sequence) else [tensor]).splitlines()
    return "\n".join(re.sub(r": .* = ", " = ", line) for line in lines if line[0] == "%")


def simple(tensor: Tensor, *passes: str) -> Tensor:
    return simplify([tensor], passes or tuple(PASSES))[0]


# ---------------------------------------------------------------- each pass alone


KERNEL, VECTOR = (rv.Buffer(np.ones(shape, np.float32)) for shape in ((2, 4, 5), (5,)))

CASES: list[tuple[str, Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = [
    ("views", lambda x: x.reshape(12).reshape(2, 6), lambda x: x.reshape(2, 6)),
    ("views", lambda x: x.reshape(12).reshape(3, 4), lambda x: x),
    ("views", lambda x: x.T.T, lambda x: x),
    ("views", lambda x: rv.expand_dims(x, 0).transpose(1, 0, 2), lambda x: x.reshape(3, 1, 4)),
    (
        "views",
        lambda x: rv.broadcast_to(rv.broadcast_to(x, (2, 3, 4)), (5, 2, 3, 4)),
        lambda x: rv.broadcast_to(x, (5, 2, 3, 4)),
    ),
    ("views", lambda x: rv.broadcast_to(x, (1, 3, 4)), lambda x: x.reshape(1, 3, 4)),
    (
        "views",
        lambda x: rv.broadcast_to(x, (2, 3, 4)).transpose(0, 2, 1),
        lambda x: rv.broadcast_to(x.T, (2, 4, 3)),
    ),
    ("views", lambda x: rv.broadcast_to(x, (2, 3, 4))[1, 1:], lambda x: x[1:]),
    ("views", lambda x: x.reshape(3, 2, 2)[1:], lambda x: x[1:].reshape(2, 2, 2)),
    (
        "views",
        lambda x: x.reshape(3, 2, 2).transpose(1, 2, 0),
        lambda x: x.T.reshape(2, 2, 3),
    ),
    (
        "views",
        lambda x: rv.broadcast_to(x, (2, 3, 4)).reshape(2, 3, 1, 4),
        lambda x: rv.broadcast_to(x.reshape(3, 1, 4), (2, 3, 1, 4)),
    ),
    ("views", lambda x: x[1:][:, ::2][1:], lambda x: x[2:, ::2]),
    ("views", lambda x: x[:, 0:4:3][:, ::1], lambda x: x[:, ::3]),
    (
        "views",
        lambda x: rv.pad(rv.pad(x, [(1, 0)] * 2), [(0, 2)] * 2),
        lambda x: rv.pad(x, [(1, 2)] * 2),
    ),
    ("views", lambda x: rv.pad(x, [(2, 2)] * 2)[3:5, 2:4], lambda x: x[1:3, :2]),
    ("views", lambda x: rv.pad(x, [(2, 2)] * 2)[1:5, 2:], lambda x: rv.pad(x, [(1, 0), (0, 2)])),
    ("views", lambda x: rv.flip(rv.flip(x, 0), (0, 1)), lambda x: rv.flip(x, 1)),
    ("views", lambda x: rv.flip(x[:1], 0), lambda x: x[:1]),
    ("views", lambda x: rv.concatenate([x, x[:, :1]], 1)[:, 1:3], lambda x: x[:, 1:3]),
    ("views", lambda x: rv.concatenate([x[:0], x]), lambda x: x),
    ("fold", lambda x: x + (rv.constant(2.0) * 3.0 + 1.0), lambda x: x + 7.0),
    ("fold", lambda x: x * rv.constant(np.full((3, 4), 2, "f")), lambda x: x * 2.0),
    ("fold", lambda x: x + rv.sum(rv.ones_like(x)), lambda x: x + 12.0),
    ("arithmetic", lambda x: x * 1.0, lambda x: x),
    ("arithmetic", lambda x: 1.0 * x / 1.0 - 0.0, lambda x: x),
    ("arithmetic", lambda x: x + -0.0, lambda x: x),
    ("arithmetic", lambda x: rv.negative(-x), lambda x: x),
    ("arithmetic", lambda x: x * -1.0, lambda x: -x),
    ("arithmetic", lambda x: -x * 3.0, lambda x: x * -3.0),
    ("arithmetic", lambda x: 3.0 + x, lambda x: x + 3.0),
    ("arithmetic", lambda x: rv.exp(x) + -x, lambda x: rv.exp(x) - x),
    ("arithmetic", lambda x: -x + rv.exp(x), lambda x: rv.exp(x) - x),
    ("arithmetic", lambda x: rv.exp(x) - (-x), lambda x: rv.exp(x) + x),
    ("arithmetic", lambda x: -x * -rv.exp(x), lambda x: x * rv.exp(x)),
    ("arithmetic", lambda x: x / 8.0, lambda x: x * 0.125),
    ("arithmetic", lambda x: x**2, lambda x: x * x),
    ("arithmetic", lambda x: x**1, lambda x: x),
    ("arithmetic", lambda x: x**0, lambda x: rv.ones_like(x)),
    ("arithmetic", lambda x: rv.exp(x) ** 0.5, lambda x: rv.sqrt(rv.exp(x))),
    ("arithmetic", lambda x: (x * x + 1e-5) ** -0.5, lambda x: rv.rsqrt(x * x + 1e-5)),
    ("arithmetic", lambda x: x**-1, lambda x: 1.0 / x),
    ("arithmetic", lambda x: abs(abs(-x)), lambda x: abs(x)),
    ("arithmetic", lambda x: rv.where(rv.constant(True), x, -x), lambda x: x),
    ("arithmetic", lambda x: rv.where(~(x > 1), x, -x), lambda x: rv.where(x > 1, -x, x)),
    ("arithmetic", lambda x: rv.maximum(x, x), lambda x: x),
    ("arithmetic", lambda x: ~(x == 1), lambda x: x != 1),
    ("arithmetic", lambda x: (x < 1) & True, lambda x: x < 1),
    ("arithmetic", lambda x: x.astype("float64").astype("float32"), lambda x: x),
    ("arithmetic", lambda x: rv.stop_gradient(x), lambda x: x),
    (
        "lift",
        lambda x: rv.exp(rv.broadcast_to(x, (2, 3, 4))),
        lambda x: rv.broadcast_to(rv.exp(x), (2, 3, 4)),
    ),
    (
        "lift",
        lambda x: rv.exp(x.reshape(12)) + 1.0,
        lambda x: (rv.exp(x) + 1.0).reshape(12),
    ),
    ("lift", lambda x: rv.sum(x.reshape(3, 2, 2), (1, 2)), lambda x: rv.sum(x, 1)),
    (
        "reductions",
        lambda x: rv.sum(x.reshape(3, 1, 4), 1),
        lambda x: x.reshape(3, 1, 4).reshape(3, 4),
    ),
    ("reductions", lambda x: rv.sum(rv.broadcast_to(x, (8, 3, 4)), 0), lambda x: x * 8.0),
    ("reductions", lambda x: rv.max(x.T, 0), lambda x: rv.max(x, 1)),
    ("products", lambda x: (x @ x.T).T, lambda x: x.T.T @ x.T),
    (
        "scales",
        lambda x: (rv.convolution(x.reshape(1, 3, 4), KERNEL) + VECTOR) * VECTOR,
        lambda x: rv.convolution(x.reshape(1, 3, 4), KERNEL * VECTOR) + VECTOR * VECTOR,
    ),
    ("share", lambda x: rv.exp(x) * rv.exp(x), lambda x: (lambda e: e * e)(rv.exp(x))),
]


@pytest.mark.parametrize(("name", "before", "after"), CASES)
def test_pass_alone(
    name: str, before: Callable[[Tensor], Tensor], after: Callable[[Tensor], Tensor]
) -> None:
    x = x_input(3, 4)
    original = before(x)
    got, wanted = simple(original, name), after(x)
    assert text(tidy(got)) == text(tidy(wanted))
    array = np.arange(12, dtype="f").reshape(3, 4) / 4 - 1
    (old,), (new,) = evaluate([original], {x: array}), evaluate([got], {x: array})
    np.testing.assert_allclose(new, old, rtol=1e-6)


def tidy(tensor: Tensor) -> Tensor:
    """Merge the equal constants and broadcasts that a case writes more than once."""
    return simple(tensor, "share")


@pytest.mark.parametrize("name", list(PASSES))
def test_each_pass_has_a_case_and_can_be_switched_off(name: str) -> None:
    changed = False
    for owner, before, _ in CASES:
        original = before(x_input(3, 4))
        others = tuple(other for other in PASSES if other != name)
        without, everything = simple(original, *others), simple(original)
        if owner == name:
            changed = changed or text(without) != text(everything)
    assert changed


def test_an_unknown_pass_is_refused() -> None:
    with pytest.raises(GraphError, match="no pass 'inline'"):
        simplify([x_input(2)], ["inline"])
