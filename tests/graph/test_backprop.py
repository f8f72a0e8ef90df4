"""Back-propagation: the walk itself. (The gradient rules of the ops have a contract test.)"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ranvier as rv
from ranvier.errors import DTypeError, GraphError, ShapeError
from ranvier.graph.evaluate import evaluate
from ranvier.graph.simplify import simplify
from ranvier.graph.tensor import Tensor
from ranvier.graph.verify import verify
from ranvier.graph.walk import topological


def value(tensor: Tensor, **arrays: object) -> np.ndarray:
    names = {getattr(t.op, "label", None): t for t in topological([tensor])}
    inputs = {names[k]: np.asarray(v, names[k].dtype) for k, v in arrays.items() if k in names}
    return evaluate([tensor], inputs)[0]


def scalar(name: str = "x") -> Tensor:
    return rv.input((), "float64", name=name)


# ---------------------------------------------------------------- sums over paths


def test_paths_add_up() -> None:
    """d(x² + 3x)/dx through two uses of x and a tensor used twice."""
    x = scalar()
    (g,) = rv.gradients(x * x + x * 3.0, [x])
    assert value(g, x=5.0) == 13.0


def test_the_gradient_towards_a_tensor_inside_the_graph() -> None:
    x = scalar()
    y = x * 2.0
    assert [float(value(g, x=5.0)) for g in rv.gradients(y * y, [y, x])] == [20.0, 40.0]


def test_a_parameter_that_the_loss_does_not_read_gets_zeros() -> None:
    x, other = rv.input((2,)), rv.input((3, 4))
    (g,) = rv.gradients(rv.sum(x), [other])
    assert (g.shape, g.dtype) == (other.shape, other.dtype)
    np.testing.assert_array_equal(value(g), np.zeros((3, 4)))


def test_the_loss_itself_and_a_parameter_twice() -> None:
    x = scalar()
    first, second, third = rv.gradients(x, [x, x, x])
    assert first is second is third
    assert value(first) == 1.0


def test_parameters_from_a_generator() -> None:
    w = rv.Parameter(np.array([1, 2, 3], "f"))
    (g,) = rv.gradients(rv.sum(w * w), (p for p in [w]))
    np.testing.assert_array_equal(g.numpy(), [2, 4, 6])


def test_no_parameters() -> None:
    assert rv.gradients(scalar(), []) == []


@pytest.mark.parametrize(
    "block",
    [
        lambda x: rv.stop_gradient(x),
        lambda x: rv.floor(x),
        lambda x: rv.sign(x),
        lambda x: (x > 0).astype("float64"),
        lambda x: x.astype("int64").astype("float64"),
    ],
)
def test_what_stops_a_gradient_gives_zeros(block: Callable[[Tensor], Tensor]) -> None:
    x = scalar()
    (g,) = rv.gradients(block(x) * 2.0, [x])
    assert value(g, x=1.5) == 0.0
    (g,) = rv.gradients(block(x) * x, [x])
    assert value(g, x=1.5) == value(block(x), x=1.5)


def test_only_paths_to_the_parameters_are_walked() -> None:
    """No gradient towards the data: one product forward, one backward."""
    x, w = rv.input((4, 3)), rv.Parameter(np.ones((3, 2), "f"))
    names = [t.op.name for t in topological(rv.gradients(rv.sum(rv.tanh(x @ w)), [w]))]
    assert names.count("matmul") == 2


# ---------------------------------------------------------------- seeds


def test_a_seed_gives_the_product_of_vector_and_jacobian() -> None:
    x, seed = rv.input((3,), "float64", name="x"), rv.input((3,), "float64", name="seed")
    (g,) = rv.gradients(x * x, [x], seed)
    np.testing.assert_array_equal(value(g, x=[1, 2, 3], seed=[1, 10, 100]), [2, 40, 600])


def test_a_seed_may_be_a_list_or_an_array() -> None:
    w = rv.Parameter(np.array([1, 2, 3], "f"))
    for seed in ([1, 10, 100], [1.0, 10.0, 100.0], np.array([1, 10, 100], "f")):
        (g,) = rv.gradients(w * w, [w], seed)
        np.testing.assert_array_equal(g.numpy(), [2, 40, 600])


# ---------------------------------------------------------------- errors


def test_a_loss_that_is_no_scalar_is_refused() -> None:
    x = rv.input((2, 3))
    with pytest.raises(ShapeError, match=r"\(2, 3\).*\.sum\(\) or \.mean\(\)"):
        rv.gradients(x, [x])


def test_a_seed_of_another_shape_or_dtype_is_refused() -> None:
    x = rv.input((2, 3))
    with pytest.raises(ShapeError, match=r"the seed has shape \(3, 2\), the loss \(2, 3\)"):
        rv.gradients(x, [x], rv.input((3, 2)))
    for seed in (rv.input((2, 3), "float64"), np.ones((2, 3))):
        with pytest.raises(DTypeError, match="the seed is float64, the loss float32; convert"):
            rv.gradients(x, [x], seed)


def test_what_is_no_list_of_tensors_is_refused() -> None:
    w = rv.Parameter(np.ones(3, "f"))
    loss = rv.sum(w * w)
    wrong: list[tuple[str, Any, Any]] = [
        ("parameters is one tensor; pass a list, [w]", loss, w),
        ("parameters is of type NoneType; pass a list of tensors", loss, None),
        ("a parameter is of type NoneType; it must be a tensor", loss, [w, None]),
        ("a parameter is of type str; it must be a tensor", loss, {"w": w}),
        ("the loss is of type float; it must be a tensor", 1.0, [w]),
    ]
    for text, given, parameters in wrong:
        with pytest.raises(GraphError, match=f"^{re.escape(f'gradients: {text}')}$"):
            rv.gradients(given, parameters)


def test_integers_have_no_gradient() -> None:
    x, n = rv.input(()), rv.input((), rv.int64)
    with pytest.raises(DTypeError, match="only floats"):
        rv.gradients(x, [n])
    with pytest.raises(DTypeError, match="only floats"):
        rv.gradients(n, [x])


# ---------------------------------------------------------------- higher derivatives

HIGHER: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[float], float]]] = {
    "cube": (lambda x: x**3, lambda x: 6 * x),
    "exp": (rv.exp, np.exp),
    "sin": (rv.sin, lambda x: -np.sin(x)),
    "log": (rv.log, lambda x: -1 / x**2),
    "tanh": (rv.tanh, lambda x: -2 * np.tanh(x) * (1 - np.tanh(x) ** 2)),
    "quotient": (lambda x: 1.0 / x, lambda x: 2 / x**3),
    "sqrt": (rv.sqrt, lambda x: -0.25 * x**-1.5),
    "broadcast and sum": (lambda x: rv.sum(rv.broadcast_to(x * x, (5,))), lambda x: 10.0),
    "linear": (lambda x: x * 3.0, lambda x: 0.0),
    "relu": (lambda x: rv.relu(x) * x, lambda x: 2.0),
}


@pytest.mark.parametrize("simplified", [False, True])
@pytest.mark.parametrize("name", HIGHER)
def test_second_derivatives(name: str, simplified: bool) -> None:
    function, wanted = HIGHER[name]
    x = scalar()
    (first,) = rv.gradients(function(x), [x])
    (second,) = rv.gradients(first, [x])
    if simplified:
        (second,) = simplify([second])
    np.testing.assert_allclose(value(second, x=0.7), wanted(0.7), rtol=1e-12)


def test_a_product_of_hessian_and_vector() -> None:
    """H v of log Σ exp x: diag(p) v - p (p·v), with p = softmax x."""
    x, v = (rv.input((4,), "float64", name=n) for n in ("x", "v"))
    (g,) = rv.gradients(rv.log(rv.sum(rv.exp(x))), [x])
    (hv,) = simplify(rv.gradients(rv.sum(g * v), [x]))
    at, direction = np.array([0.1, -0.4, 1.0, 0.3]), np.array([1.0, 2.0, -1.0, 0.5])
    p = np.exp(at) / np.exp(at).sum()
    wanted = p * direction - p * (p @ direction)
    np.testing.assert_allclose(value(hv, x=at, v=direction), wanted, rtol=1e-12)


def test_tenth_derivative() -> None:
    x = scalar()
    tensor = rv.exp(x * 0.5)
    for _ in range(10):
        (tensor,) = simplify(rv.gradients(tensor, [x]))
    np.testing.assert_allclose(value(tensor, x=0.3), 0.5**10 * np.exp(0.15), rtol=1e-12)


# ---------------------------------------------------------------- size


def test_deep_chains_do_not_meet_the_recursion_limit() -> None:
    x = scalar()
    tensor = x
    for _ in range(20_000):
        tensor = rv.sin(tensor)
    grads = rv.gradients(tensor, [x])
    verify(grads)
    np.testing.assert_allclose(value(simplify(grads)[0], x=0.0), 1.0)


def test_shared_tensors_are_walked_once() -> None:
    """64 doublings have 2^64 paths."""
    x = scalar()
    tensor = x
    for _ in range(64):
        tensor = tensor + tensor
    (g,) = rv.gradients(tensor, [x])
    assert value(g, x=1.0) == 2.0**64
    assert len(topological([g])) < 200
