"""Every primitive: its gradient, the gradient of its gradient, its types and what it refuses.

Full Jacobians are compared with central differences of fourth order in float64. With steps of
2e-3 their own error is below 1e-9 for the functions here, so the tolerance is that of the
project's requirement: 1e-6 relative, 1e-8 absolute.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from zlib import crc32

import numpy as np
import pytest
from op_cases import DIFFERENTIABLE, DISCRETE, FLAT, LEAVES, OPS, REFUSED, SAMPLES, TAKES_ANYTHING

import ranvier as rv
from ranvier import dtypes
from ranvier.errors import DTypeError, ShapeError
from ranvier.graph.evaluate import evaluate_all
from ranvier.graph.ops import movement, pointwise
from ranvier.graph.tensor import REGISTRY, Op, Tensor, apply
from ranvier.graph.walk import topological

STEP = 2e-3
STENCIL = ((1, 8 / 12), (2, -1 / 12))


def samples(name: str) -> list[tuple[np.random.Generator, Op, list[np.ndarray]]]:
    """The samples of an op, each with a generator for what the test draws besides."""
    made = []
    for i in range(SAMPLES):
        rng = np.random.default_rng([crc32(name.encode()), i])
        op, arrays = OPS[name](rng, i)
        made.append((rng, op, [np.asarray(array) for array in arrays]))
    return made


def differentiated(arrays: Sequence[np.ndarray]) -> list[int]:
    return [i for i, array in enumerate(arrays) if array.dtype == np.float64]


def differences(
    function: Callable[[list[np.ndarray]], np.ndarray], arrays: Sequence[np.ndarray], which: int
) -> np.ndarray:
    """The Jacobian of a function towards one of its arrays: [result size, array size]."""
    columns = []
    for position in range(arrays[which].size):
        column = 0.0
        for distance, weight in STENCIL:
            for sign in (1, -1):
                moved = [array.copy() for array in arrays]
                moved[which].reshape(-1)[position] += sign * distance * STEP
                column = column + sign * weight / STEP * np.ravel(function(moved))
        columns.append(column)
    if not columns:
        return np.zeros((np.size(function(list(arrays))), 0))
    return np.stack(columns, 1)


def placeholders(arrays: Sequence[np.ndarray]) -> list[Tensor]:
    return [rv.input(array.shape, array.dtype) for array in arrays]


def evaluator(
    results: Sequence[Tensor], inputs: Sequence[Tensor]
) -> Callable[[Sequence[np.ndarray]], list[np.ndarray]]:
    """A function from arrays to the values of `results`; the walk over the graph is done once."""
    order = topological(results)

    def run(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        values = evaluate_all(order, dict(zip(inputs, arrays, strict=True)))
        return [values[result] for result in results]

    return run


def close(found: np.ndarray, wanted: np.ndarray, label: str) -> None:
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-8, err_msg=label)


# ---------------------------------------------------------------- the contract


def test_every_op_has_a_case() -> None:
    ours = {name for name, op in REGISTRY.items() if op.__module__.startswith("ranvier.")}
    assert ours == {*OPS, *LEAVES}
    assert set(OPS) == {*REFUSED, *TAKES_ANYTHING}
    assert SAMPLES >= 20


@pytest.mark.parametrize("name", sorted(OPS))
def test_the_arity_is_that_of_the_samples(name: str) -> None:
    for _, op, arrays in samples(name):
        assert op.arity in (None, len(arrays))
    assert all(REGISTRY[leaf].arity == 0 for leaf in LEAVES)


@pytest.mark.parametrize("name", sorted({*DIFFERENTIABLE, *FLAT} - {"stop_gradient"}))
def test_jacobian(name: str) -> None:
    for number, (_, op, arrays) in enumerate(samples(name)):
        inputs = placeholders(arrays)
        out = apply(op, *inputs)
        seed = rv.input(out.shape, out.dtype)
        which = differentiated(arrays)
        run = evaluator(rv.gradients(out, [inputs[i] for i in which], seed), [*inputs, seed])
        basis = np.eye(out.size).reshape(out.size, *out.shape)
        rows = [run([*arrays, unit]) for unit in basis]
        for slot, i in enumerate(which):
            found = np.array([row[slot] for row in rows]).reshape(out.size, arrays[i].size)
            wanted = differences(lambda moved, op=op: op.meaning(np, *moved), arrays, i)
            close(found, wanted, f"{name}, sample {number}, input {i}")


@pytest.mark.parametrize("name", sorted(DIFFERENTIABLE))
def test_second_derivatives(name: str) -> None:
    """The gradient of (gradient . random vectors), towards the inputs and the seed."""
    for number, (rng, op, arrays) in enumerate(samples(name)):
        inputs = placeholders(arrays)
        out = apply(op, *inputs)
        inputs.append(rv.input(out.shape, out.dtype))
        arrays.append(rng.normal(size=out.shape))
        which = differentiated(arrays)
        first = rv.gradients(out, [inputs[i] for i in which[:-1]], inputs[-1])
        product = rv.constant(0, rv.float64)
        for grad in first:
            product = product + rv.sum(grad * rng.uniform(0.5, 1.5, grad.shape))
        run = evaluator([product], inputs)
        second = evaluator(rv.gradients(product, [inputs[i] for i in which]), inputs)(arrays)
        for found, i in zip(second, which, strict=True):
            wanted = differences(lambda moved, run=run: run(moved)[0], arrays, i)
            close(np.reshape(found, (1, -1)), wanted, f"{name}, sample {number}, input {i}")


@pytest.mark.parametrize("name", sorted({*FLAT, *DISCRETE}))
def test_no_gradient_flows(name: str) -> None:
    assert REGISTRY[name].differentiable is (name in FLAT)
    for _, op, arrays in samples(name):
        inputs = placeholders(arrays)
        out = apply(op, *inputs)
        if name in FLAT:
            assert all(g is None for g in op.gradient(out, rv.ones_like(out)))
        for i in differentiated(arrays):
            loss = rv.sum(out.astype(rv.float64))
            (grad,) = rv.gradients(loss, [inputs[i]])
            assert grad.op.name in ("broadcast_to", "constant")
            assert not grad.numpy().any()


@pytest.mark.parametrize("name", LEAVES)
def test_leaves_are_not_differentiated_through(name: str) -> None:
    assert REGISTRY[name].differentiable is False


@pytest.mark.parametrize("name", sorted(OPS))
def test_the_meaning_has_the_inferred_type(name: str) -> None:
    for number, (_, op, arrays) in enumerate(samples(name)):
        for dtype in dtypes.ALL:
            chosen = [a.astype(dtype) if a.dtype == np.float64 else a for a in arrays]
            try:
                shape, inferred = op.infer(*placeholders(chosen))
            except DTypeError:
                continue
            with np.errstate(all="ignore"):
                value = np.asarray(op.meaning(np, *chosen))
            assert (value.shape, value.dtype) == (shape, inferred), f"{name}, sample {number}"


@pytest.mark.parametrize("name", sorted(OPS))
def test_the_inputs_stay_unchanged(name: str) -> None:
    for _, op, arrays in samples(name):
        copies = [array.copy() for array in arrays]
        np.asarray(op.meaning(np, *arrays))
        assert all(np.array_equal(a, b) for a, b in zip(arrays, copies, strict=True))


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refusals(name: str) -> None:
    for op, types, error in REFUSED[name]:
        inputs = [rv.input(shape, dtype) for shape, dtype in types]
        with pytest.raises(error) as raised:
            apply(op, *inputs)
        message = str(raised.value)
        assert message.startswith(name), message
        assert "\n" not in message
        assert 20 < len(message) < 200, message


def test_leaves_refuse_other_dtypes_and_negative_axes() -> None:
    for build in (rv.constant, rv.Parameter, rv.Buffer):
        with pytest.raises(DTypeError, match="not a tensor dtype"):
            build(np.array(1, "float16"))
        with pytest.raises(DTypeError, match="values of type complex128"):
            build(np.array(1j))
    with pytest.raises(DTypeError, match="not a tensor dtype"):
        rv.input((2,), "float16")
    with pytest.raises(ShapeError, match="negative axis"):
        rv.input((2, -1))


# ---------------------------------------------------------------- conventions at kinks


def gradient_at(function: Callable[[Tensor], Tensor], *values: object) -> list[object]:
    inputs = [rv.constant(value, rv.float64) for value in values]
    grads = rv.gradients(rv.sum(function(*inputs)), inputs)
    return [grad.numpy().tolist() for grad in grads]


def test_relu_at_zero() -> None:
    assert gradient_at(rv.relu, [-1.0, 0.0, -0.0, 1.0]) == [[0, 0, 0, 1]]


def test_abs_at_zero() -> None:
    assert gradient_at(rv.abs, [-1.0, 0.0, 1.0]) == [[-1, 0, 1]]


def test_ties_of_maximum_and_minimum_go_to_the_second() -> None:
    assert gradient_at(rv.maximum, [1.0, 2.0], [1.0, 1.0]) == [[0, 1], [1, 0]]
    assert gradient_at(rv.minimum, [1.0, 0.0], [1.0, 1.0]) == [[0, 1], [1, 0]]


def test_ties_of_max_and_min_share() -> None:
    x = [[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]]
    third = 1 / 3
    assert gradient_at(lambda t: rv.max(t, 1), x) == [[[0, 0.5, 0.5], [third] * 3]]
    assert gradient_at(lambda t: rv.min(t, 1), x) == [[[1, 0, 0], [third] * 3]]
    assert gradient_at(rv.max, x) == [[[0, 0.5, 0.5], [0, 0, 0]]]


def test_power_at_nonpositive_bases() -> None:
    """Towards the exponent 0; towards the base the usual b a^(b-1), for whole b."""
    towards_a, towards_b = gradient_at(rv.power, [-2.0, 0.0, -3.0], [2.0, 2.0, 3.0])
    assert towards_a == [-4, 0, 27]
    assert towards_b == [0, 0, 0]


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_towards_the_exponent_power_is_flat_where_the_base_is_not_positive(engine: str) -> None:
    """Also where the power itself is infinite or NaN, and in all second derivatives."""
    a, b = rv.input((6,), rv.float64), rv.input((6,), rv.float64)
    (towards_b,) = rv.gradients(rv.sum(a**b), [b])
    again = rv.gradients(rv.sum(towards_b), [a, b])
    outputs = dict(zip(("b", "ba", "bb"), [towards_b, *again], strict=True))
    at = [np.array([0.0, -2, 0, -np.inf, 2, np.nan]), np.array([-1.0, 0.5, 0.5, -3, -1, 1])]
    found = rv.compile({"a": a, "b": b}, outputs, engine=engine)(a=at[0], b=at[1])
    log = np.log(2)
    for name, wanted in {"b": log / 2, "ba": (1 - log) / 4, "bb": log**2 / 2}.items():
        expected = [0, 0, 0, 0, wanted, np.nan]
        np.testing.assert_allclose(found[name], expected, rtol=1e-12, err_msg=name)


def test_whole_powers_at_zero() -> None:
    x = rv.constant([0.0, 2.0], rv.float64)
    y, derivatives = x**3, []
    for _ in range(3):
        (y,) = rv.gradients(rv.sum(y), [x])
        derivatives.append(y.numpy().tolist())
    assert derivatives == [[0, 12], [0, 12], [6, 6]]


@pytest.mark.parametrize("passes", [None, ()])
@pytest.mark.parametrize("engine", ["native", "reference"])
def test_derivatives_beyond_the_degree_are_zero(engine: str, passes: tuple[()] | None) -> None:
    """Of x³ and x² at 0, where 0 * 0 ** -1 would be NaN, and elsewhere."""
    x, exponents = rv.input((2, 4), rv.float64), np.array([[3.0], [2.0]])
    at = np.array([0.0, -0.0, -1.5, 2.0])
    y, found = x ** np.broadcast_to(exponents, (2, 4)), []
    for _ in range(5):
        (y,) = rv.gradients(rv.sum(y), [x])
        found.append(y)
    outputs = {f"d{order}": y for order, y in enumerate(found, 1)}
    options = {} if passes is None else {"passes": passes}
    results = rv.compile({"x": x}, outputs, engine=engine, **options)(x=np.stack([at, at]))
    cube, square = [3 * at**2, 6 * at, 6 + 0 * at], [2 * at, 2 + 0 * at, 0 * at]
    for order in range(1, 6):
        wanted = [of[order - 1] if order < 4 else 0 * at for of in (cube, square)]
        np.testing.assert_array_equal(results[f"d{order}"], wanted)


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_whole_powers_by_one_constant(engine: str) -> None:
    x = rv.input((2,), name="x")
    y, wanted = x**3, [[0, 6.75], [0, -9], [6, 6], [0, 0], [0, 0]]
    for values in wanted:
        (y,) = rv.gradients(rv.sum(y), [x])
        found = rv.compile({"x": x}, {"y": y}, engine=engine)(x=np.array([0, -1.5], np.float32))
        assert found["y"].tolist() == values


# ---------------------------------------------------------------- across ops


def test_casts_between_floats_pass_the_gradient() -> None:
    x = rv.constant([1.0, 2.0])
    (grad,) = rv.gradients(rv.sum(x.astype(rv.float64) ** 2), [x])
    assert grad.dtype == rv.float32
    assert grad.numpy().tolist() == [2, 4]


@pytest.mark.parametrize("engine", ["native", "reference"])
@pytest.mark.parametrize("dtype", [rv.float32, rv.float64])
def test_casts_by_way_of_bfloat16_pass_the_gradient(engine: str, dtype: dtypes.DType) -> None:
    """Unrounded, also where a bfloat16 tensor is moved, broadcast and used twice."""
    x = rv.input((3,), dtype, name="x")
    seed = np.array([1.001, 2.002, -3.003], dtype)
    short = x.astype("bfloat16")
    (plain,) = rv.gradients(rv.sum(short.astype(dtype) * seed), [x])
    moved = rv.broadcast_to(rv.flip(short)[:2], (4, 2))
    (both,) = rv.gradients(rv.sum(short.astype(dtype) * seed) + rv.sum(moved.astype(dtype)), [x])
    assert plain.dtype == both.dtype == dtype
    program = rv.compile({"x": x}, {"plain": plain, "both": both}, engine=engine)
    found = program(x=np.array([1.0, 2.0, 3.0], dtype))
    np.testing.assert_allclose(found["plain"], seed, rtol=1e-6)
    np.testing.assert_allclose(found["both"], seed + np.array([0, 4, 4]), rtol=1e-6)


def test_casts_to_integers_stop_the_gradient() -> None:
    x = rv.constant([1.5, 2.5])
    (grad,) = rv.gradients(rv.sum(x.astype(rv.int64).astype(rv.float32)), [x])
    assert not grad.numpy().any()


def test_a_tensor_used_twice_adds_its_gradients() -> None:
    x = rv.constant([1.0, -2.0], rv.float64)
    (grad,) = rv.gradients(rv.sum(x * x + rv.concatenate([x, x])[1:3] * 3.0), [x])
    assert grad.numpy().tolist() == [2 * 1 + 3, 2 * -2 + 3]


@pytest.mark.parametrize("steps", [(1, 1), (2, 3), (4, 1), (5, 5)])
def test_a_slice_and_its_gradient_are_adjoint(steps: tuple[int, int]) -> None:
    """<slice(x), y> = <x, gradient(y)> for every start."""
    rng = np.random.default_rng(0)
    for start in range(4):
        x = rv.constant(rng.normal(size=(7, 5)))
        out = apply(movement.Slice((start, 0), (7, 5), steps), x)
        y = rv.constant(rng.normal(size=out.shape))
        (grad,) = rv.gradients(out, [x], y)
        np.testing.assert_allclose((out * y).sum().numpy(), (x * grad).sum().numpy())


def test_gradients_of_composed_functions() -> None:
    """softmax, log-softmax, gelu and var, against differences."""
    rng = np.random.default_rng(1)
    array = rng.normal(size=(3, 4))
    weights = rng.normal(size=(3, 4))
    for function in (rv.softmax, rv.log_softmax, rv.gelu, lambda t: t * rv.var(t, 1, True)):
        x = rv.input(array.shape, rv.float64)
        loss = rv.sum(function(x) * weights)
        run = evaluator([loss], [x])
        found = evaluator(rv.gradients(loss, [x]), [x])([array])[0]
        close(found.reshape(1, -1), differences(lambda m, r=run: r(m)[0], [array], 0), "composed")


def test_stop_gradient_is_the_identity_forward() -> None:
    x = rv.constant([1.0, -2.0], rv.float64)
    y = apply(pointwise.StopGradient(), x)
    assert y.numpy().tolist() == [1, -2]
    (grad,) = rv.gradients(rv.sum(y * x), [x])
    assert grad.numpy().tolist() == [1, -2]
