"""The public functions and operators against NumPy: values, shapes, dtypes, errors."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from function_cases import CASES, normal, same

import ranvier as rv
from ranvier.errors import DTypeError, GraphError, InputError, RanvierError, ShapeError
from ranvier.graph import compositions, functions, images, statistics

rng = np.random.default_rng(8)


def public() -> list[str]:
    """The functions of tensors that `ranvier` exports."""
    rooms = vars(compositions) | vars(functions) | vars(images) | vars(statistics)
    ours = {name: value for name, value in rooms.items() if callable(value)}
    return [
        name
        for name, value in vars(rv).items()
        if ours.get(name) is value and not isinstance(value, type)
    ]


def test_every_public_function_has_a_case() -> None:
    assert len(public()) > 50
    assert set(public()) == set(CASES)


@pytest.mark.parametrize("name", sorted(CASES))
def test_as_numpy(name: str) -> None:
    count = 0
    for found, wanted in CASES[name]():
        same(found, wanted)
        count += 1
    assert count


@pytest.mark.parametrize("name", sorted(CASES))
def test_documented(name: str) -> None:
    function = getattr(rv, name)
    assert function.__name__ == name
    assert function.__doc__
    assert len(function.__doc__) < 400


@pytest.mark.parametrize("name", sorted(CASES))
def test_found_by_its_qualified_name(name: str) -> None:
    """As pickling a function needs it."""
    function = getattr(rv, name)
    assert function.__qualname__ == name
    assert getattr(sys.modules[function.__module__], name) is function


# ---------------------------------------------------------------- operators and methods


@pytest.mark.parametrize("other", [2, 1.5, np.float64(0.5), np.full((3, 1), 1.25), np.ones(4)])
def test_operators_on_either_side(other: Any) -> None:
    x = np.asarray(rng.uniform(0.5, 2, (3, 4)))
    t = rv.constant(x)
    same(t + other, x + other)
    same(other + t, other + x)
    same(t - other, x - other)
    same(other - t, other - x)
    same(t * other, x * other)
    same(other * t, other * x)
    same(t / other, x / other)
    same(other / t, other / x)
    same(t**other, x**other)
    same(other**t, other**x)
    same(t < other, x < other)
    same(other < t, other < x)
    same(t <= other, x <= other)
    same(t > other, x > other)
    same(t >= other, x >= other)
    same(t == other, x == other)
    same(t != other, x != other)
    same(-t, -x)
    same(abs(-t), x)


def test_logical_operators() -> None:
    a, b = np.array([True, True, False]), np.array([True, False, False])
    same(rv.constant(a) & b, a & b)
    same(a & rv.constant(b), a & b)
    same(rv.constant(a) | b, a | b)
    same(False | rv.constant(b), b)
    same(~rv.constant(a), ~a)


def test_methods() -> None:
    x = normal(2, 3)
    t = rv.constant(x)
    same(t.sum(1), x.sum(1))
    same(t.mean(0, keepdims=True), x.mean(0, keepdims=True))
    same(t.max(), x.max())
    same(t.min(-1), x.min(-1))
    same(t.argmax(1), x.argmax(1))
    same(t.astype("float32"), x.astype("f"))
    assert (t.ndim, t.size, len(t)) == (2, 6, 2)
    assert [row.shape for row in t] == [(3,), (3,)]


def test_numbers_take_the_dtype_of_the_tensor() -> None:
    for dtype in ("float32", "float64", "int32", "int64", "uint8"):
        t = rv.constant([1, 2], dtype)
        assert (t + 1).dtype == t.dtype
        assert (3 * t).dtype == t.dtype
    same(rv.constant([1.0]) * np.float64(2), np.array([2], "f"))
    same(rv.constant([3], "int64") * 2.0, np.array([6]))
    same(rv.add(1, 2.5), np.float32(3.5))
    same(rv.multiply(2, 3), np.int64(6))
    same(rv.multiply(True, 2), np.int64(2))
    same(rv.sum(rv.constant([2**31 - 1, 1], "int32")), np.int64(2**31))
    same(rv.where(rv.constant([True, False]), 1.0, 0), np.array([1, 0], "f"))
    same(rv.sum(rv.constant([True, True])), np.int64(2))
    same(rv.sum(rv.constant([200, 100], "uint8")), np.int64(300))


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_means_of_ones_are_one_whatever_the_count(engine: str) -> None:
    """Also where the count has no exact inverse: the sum is divided, not multiplied."""
    counts = [n for n in range(1, 200) if np.float32(1) / np.float32(n) * np.float32(n) != 1]
    x = rv.input((200,), name="x")
    outputs = {str(n): rv.mean(x[:n]) for n in counts}
    image = x.reshape(1, 200, 1)
    outputs |= {"pool": rv.average_pool(image, 49, 1), "same": rv.average_pool(image, 83, 1, 41)}
    found = rv.compile({"x": x}, outputs, engine=engine)(x=np.ones(200, np.float32))
    assert len(counts) > 10
    assert all((value == 1).all() for value in found.values())


@pytest.mark.parametrize("passes", [None, ()])
@pytest.mark.parametrize("engine", ["native", "reference"])
def test_mean_and_variance_of_nothing_are_nan(engine: str, passes: tuple[()] | None) -> None:
    x = rv.input((0, 3), rv.float64, name="x")
    outputs = {"mean": rv.mean(x, 0), "all": rv.mean(x), "var": rv.var(x, 0), "rows": rv.mean(x, 1)}
    options = {} if passes is None else {"passes": passes}
    found = rv.compile({"x": x}, outputs, engine=engine, **options)(x=np.zeros((0, 3)))
    assert found.pop("rows").shape == (0,)
    assert all(np.isnan(value).all() for value in found.values())


# ---------------------------------------------------------------- indexing

KEYS: tuple[Any, ...] = (
    0, -1, np.int64(2), slice(None), slice(1, None), slice(None, -1), slice(None, None, 2),
    slice(None, None, -1), slice(-1, None, -2), slice(3, 0, -1), slice(10, 20), slice(2, 2),
    slice(-100, 100, 3), slice(None, 1, -1), None, ..., (), (..., 0), (0, ...), (1, 2, 3),
    (slice(1, 3), 0), (None, 0, None), (..., None), (slice(None, None, -2), ..., slice(2, None)),
    (0, None, slice(None, None, -3)), (..., slice(None, None, -1), None, 1),
    (-1, slice(4, None, -2), None), (slice(0, 0), 1),
)  # fmt: skip


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_basic_indexing(key: Any) -> None:
    x = normal(4, 5, 6)
    same(rv.constant(x)[key], x[key])


def test_random_slices() -> None:
    for _ in range(300):
        x = np.arange(int(rng.integers(0, 9)))
        ends = [None if rng.random() < 0.3 else int(rng.integers(-11, 12)) for _ in range(2)]
        step = int(rng.choice([-4, -3, -2, -1, 1, 2, 3, 4]))
        key = slice(*ends, step)
        same(rv.constant(x)[key], x[key])


def test_index_tensors() -> None:
    x = normal(4, 3)
    for index in (np.array([3, 0, 3]), np.array([[1, 2]], np.int32)):
        same(rv.constant(x)[index], x[index])
        same(rv.constant(x)[rv.constant(index)], x[index])
    for known in ([1, 1, 0], [-1], [-4, 3, -2], [], [[0, -1], [1, 2]]):
        same(rv.constant(x)[known], x[known])
    same(rv.constant(x)[np.array([-1, 0], np.int32)], x[[-1, 0]])
    same(rv.constant(x)[rv.constant([-1, 9])], x[[0, 3]])


def test_numpy_integers_are_whole_numbers() -> None:
    """Wherever an int is taken; what is declared stays made of Python's ints."""
    x = normal(2, 3, 4)
    t, i = rv.constant(x), np.int64
    same(t.sum(i(-1)), x.sum(-1))
    same(t.max((np.int32(0), i(2))), x.max((0, 2)))
    same(rv.var(t, np.array([0, 1])), x.var((0, 1)))
    same(t.argmax(np.uint8(1)), x.argmax(1))
    same(rv.softmax(t, i(1)).sum(i(1)), np.ones((2, 4)))
    same(t.reshape(i(6), i(-1)), x.reshape(6, 4))
    same(t.reshape(np.array([4, 6])), x.reshape(4, 6))
    same(t.transpose(i(2), i(-2), np.int32(0)), x.transpose(2, 1, 0))
    same(t.transpose(np.array([1, 0, 2])), x.transpose(1, 0, 2))
    same(rv.swapaxes(t, i(0), i(-1)), x.swapaxes(0, -1))
    same(rv.expand_dims(t, i(1)), np.expand_dims(x, 1))
    same(rv.broadcast_to(t, (i(5), *np.array(x.shape))), np.broadcast_to(x, (5, 2, 3, 4)))
    same(rv.concatenate([t, t], i(1)), np.concatenate([x, x], 1))
    same(rv.stack([t, t], i(0)), np.stack([x, x], 0))
    same(rv.flip(t, (i(0), i(2))), np.flip(x, (0, 2)))
    same(rv.pad(t, np.array([[1, 0], [0, 2], [0, 0]])), np.pad(x, [(1, 0), (0, 2), (0, 0)]))
    same(rv.take(t, [2, 0], axis=i(1)), np.take(x, [2, 0], 1))
    same(rv.scatter_add(t, [1, 1], i(3)).sum(), x.sum())
    same(t[i(1), i(0) : i(3) : i(2), np.uint8(3)], x[1, 0:3:2, 3])
    assert rv.random_uniform((i(2), i(3)), 0, 0, 0).shape == (2, 3)
    declared = rv.broadcast_to(t, (i(5), 2, 3, 4)).op.attributes()["shape"]
    assert all(type(n) is int for n in declared)


# ---------------------------------------------------------------- errors

ONE = rv.constant([1.0, 2.0])
TWO = rv.constant(np.ones((2, 3), "f"))
WHOLE = rv.constant([1, 2])
TRUTH = rv.constant([True, False])

ERRORS: list[tuple[type[Exception], str, Callable[[], Any]]] = [
    (ShapeError, "do not broadcast", lambda: ONE + TWO),
    (ShapeError, "do not broadcast", lambda: rv.where(TRUTH, TWO, 0)),
    (DTypeError, "float32 and float64", lambda: ONE + np.ones(2)),
    (DTypeError, "float32 and int64", lambda: ONE * WHOLE),
    (DTypeError, "1.5 does not fit int64", lambda: WHOLE + 1.5),
    (DTypeError, "bool tensor", lambda: TRUTH & 1),
    (DTypeError, "-1 does not fit uint8", lambda: WHOLE.astype("uint8") > -1),
    (DTypeError, "not a tensor dtype", lambda: ONE.astype(None)),
    (DTypeError, "300 does not fit uint8", lambda: WHOLE.astype("uint8") < 300),
    (DTypeError, "divide takes float32", lambda: WHOLE / 2),
    (DTypeError, "not a tensor dtype", lambda: ONE.astype("float16")),
    (DTypeError, "not a tensor dtype", lambda: ONE.astype("nonsense")),
    (ShapeError, "reshape", lambda: ONE.reshape(3)),
    (ShapeError, "reshape", lambda: ONE.reshape(-1, 3)),
    (ShapeError, "reshape: shape (-1, -1); one axis may be -1", lambda: ONE.reshape(-1, -1)),
    (ShapeError, "reshape: shape (-3, -2); one axis may be", lambda: TWO.reshape(-3, -2)),
    (ShapeError, "the 2 elements of (2,) do not fill (-1, 4)", lambda: ONE.reshape(-1, 4)),
    (ShapeError, "the 0 elements of (0, 2) do not fill (0, -1)",
     lambda: rv.input((0, 2)).reshape(0, -1)),
    (ShapeError, "(2,) has 2 elements, (3, 4) would have 12", lambda: ONE.reshape(3, 4)),
    (DTypeError, "shape (1.0, 2) is not made of whole numbers", lambda: ONE.reshape(1.0, 2)),
    (DTypeError, "axis 0.5 is not made of whole", lambda: TWO.sum(0.5)),  # type: ignore[arg-type]
    (DTypeError, "axes (1, None) is not made", lambda: TWO.transpose(1, None)),  # type: ignore
    (ShapeError, "transpose", lambda: TWO.transpose(0, 0)),
    (ShapeError, "axis 2 does not fit", lambda: rv.swapaxes(TWO, 0, 2)),
    (ShapeError, "axis 2 does not fit", lambda: TWO.sum(2)),
    (ShapeError, "sum: axis (0, 0) names an axis twice", lambda: TWO.sum((0, 0))),
    (ShapeError, "sum: axis (0, -2) names an axis twice", lambda: TWO.sum((0, -2))),
    (ShapeError, "max: axis 5 does not fit a tensor of 1 axis; use -1 to 0",
     lambda: rv.max(ONE, 5)),
    (ShapeError, "sum: axis 0 does not fit a tensor of 0 axes; it has none",
     lambda: rv.sum(1.0, 0)),
    (ShapeError, "mean: axis 2 does not fit", lambda: TWO.mean(2)),
    (ShapeError, "flip: axis 2 does not fit", lambda: rv.flip(TWO, 2)),
    (ShapeError, "argmax: axis 2 does not fit", lambda: rv.argmax(TWO, 2)),
    (ShapeError, "concatenate: axis 2 does not", lambda: rv.concatenate([TWO, TWO], 2)),
    (DTypeError, "swapaxes: axis (0, 1) is not a whole number",
     lambda: rv.swapaxes(TWO, (0, 1), 1)),  # type: ignore[arg-type]
    (DTypeError, "concatenate: axis (0,) is not a whole number",
     lambda: rv.concatenate([TWO, TWO], (0,))),  # type: ignore[arg-type]
    (DTypeError, "expand_dims: axis None is not made",
     lambda: rv.expand_dims(TWO, None)),  # type: ignore[arg-type]
    (ShapeError, "expand_dims: axis (0, 0) names", lambda: rv.expand_dims(TWO, (0, 0))),
    (ShapeError, "axis -4 does not fit", lambda: rv.expand_dims(TWO, -4)),
    (ShapeError, "broadcast_to", lambda: rv.broadcast_to(TWO, (3,))),
    (ShapeError, "pad: widths [(1, 1), (1, 1), (1, 1)] do not fit 2 axes; give one number",
     lambda: rv.pad(TWO, [(1, 1)] * 3)),
    (ShapeError, "do not fit 2 axes", lambda: rv.pad(TWO, [(1, 1, 1), (1, 1, 1)])),
    (ShapeError, "do not fit 2 axes", lambda: rv.pad(TWO, [(1, 1), (1,)])),
    (DTypeError, "pad: widths [0.5] is not made of whole", lambda: rv.pad(TWO, 0.5)),
    (ShapeError, "pad", lambda: rv.pad(TWO, [(-1, 0), (0, 0)])),
    (ShapeError, "at least one", lambda: rv.concatenate([])),
    (ShapeError, "stack needs at least one", lambda: rv.stack([])),
    (ShapeError, "stack: axis 3 does not fit", lambda: rv.stack([TWO, TWO], 3)),
    (ShapeError, "stack: shapes (2, 3) and (2,) differ", lambda: rv.stack([TWO, ONE])),
    (DTypeError, "stack: axis None is not a whole number",
     lambda: rv.stack([TWO, TWO], None)),  # type: ignore[arg-type]
    (ShapeError, "differ beside axis", lambda: rv.concatenate([TWO, rv.constant([[1.0]])])),
    (DTypeError, "concatenate", lambda: rv.concatenate([ONE, WHOLE])),
    (ShapeError, "scalar", lambda: ONE @ 2.0),
    (ShapeError, "inner lengths 3 and 2", lambda: TWO @ TWO),
    (ShapeError, "matmul: (3,) by (4,): the inner lengths 3 and 4 differ",
     lambda: rv.matmul(np.ones(3), np.ones(4))),
    (ShapeError, "matmul: (2, 3) by (2,): the inner", lambda: TWO @ ONE),
    (ShapeError, "matmul: (2, 1, 3) by (3, 3, 1): the leading axes (2,) and (3,) do not broadcast",
     lambda: normal(2, 1, 3) @ rv.constant(normal(3, 3, 1))),
    (DTypeError, "one floating dtype", lambda: WHOLE @ WHOLE),
    (ShapeError, "nothing along", lambda: rv.max(rv.input((0, 2)), 0)),
    (ShapeError, "argmax", lambda: rv.argmax(rv.input((0,)))),
    (DTypeError, "indices are float32", lambda: rv.take(TWO, ONE)),
    (DTypeError, "indices are float32", lambda: TWO[ONE]),
    (ShapeError, "no rows", lambda: rv.take(rv.input((0, 2)), WHOLE)),
    (ShapeError, "take: index 2 is outside an axis of length 2; use -2 to 1", lambda: TWO[[0, 2]]),
    (ShapeError, "take: index -4 is outside an axis of length 3",
     lambda: rv.take(TWO, np.array([-4]), 1)),
    (ShapeError, "take: index 6 is outside an axis of length 6", lambda: rv.take(TWO, 6, None)),
    (ShapeError, "scatter_add: index 2 is outside", lambda: rv.scatter_add(ONE, [0, 2], 2)),
    (ShapeError, "take: axis 2 does not fit", lambda: rv.take(TWO, [0], 2)),
    (DTypeError, "take: indices are float32", lambda: TWO[[0.5]]),
    (DTypeError, "take: indices are bool", lambda: TWO[np.array([True, False])]),
    (ShapeError, "holds `...` more than once", lambda: TWO[..., ...]),
    (ShapeError, "axis 0 has step 0", lambda: TWO[::0]),
    (DTypeError, "the slice of axis 1 of shape (2, 3) is not made", lambda: TWO[:, 0.5:]),
    (DTypeError, "the slice of axis 0 of shape (2, 3) is not made", lambda: TWO[: rv.sum(WHOLE)]),
    (DTypeError, "is not made of whole numbers", lambda: TWO[:: rv.sum(WHOLE)]),
    (ShapeError, "3 indices for a tensor", lambda: TWO[0, 0, 0]),
    (ShapeError, "index 2 is outside axis 0", lambda: TWO[2]),
    (ShapeError, "index -4 is outside axis 1", lambda: TWO[:, -4]),
    (DTypeError, "cannot index", lambda: TWO[1.5]),
    (DTypeError, "cannot index", lambda: TWO[0, WHOLE]),
    (DTypeError, "cannot index", lambda: TWO[True]),
    (DTypeError, "cannot index", lambda: TWO["a"]),
    (DTypeError, "random_bits", lambda: rv.random_bits((2,), 0, 0, 0, rv.float32)),
    (ShapeError, "reduce it to a scalar", lambda: rv.gradients(ONE, [ONE])),
    (DTypeError, "only floats do", lambda: rv.gradients(rv.sum(ONE), [WHOLE])),
    (DTypeError, "mean takes float32 or float64, not bool; use .as", lambda: rv.mean(TRUTH)),
    (DTypeError, "mean takes float32 or float64, not int64; use .as", lambda: WHOLE.mean()),
    (DTypeError, "var takes float32 or float64, not int64; use .as", lambda: rv.var(WHOLE)),
    (DTypeError, "one_hot takes integer indices, not bool; use", lambda: rv.one_hot(TRUTH, 2)),
    (DTypeError, "one_hot takes integer indices, not float32", lambda: rv.one_hot(ONE, 2)),
    (DTypeError, "one_hot: classes 2.5 is not", lambda: rv.one_hot(WHOLE, 2.5)),  # type: ignore
    (ShapeError, "one_hot: classes -1 must be one number", lambda: rv.one_hot(WHOLE, -1)),
    (ShapeError, "one_hot: classes (2, 3) must be", lambda: rv.one_hot(WHOLE, (2, 3))),  # type: ignore
    (RanvierError, "rv.where", lambda: bool(ONE)),
    (RanvierError, "rv.where", lambda: 1.0 in ONE),
    (TypeError, "no length", lambda: len(rv.constant(1.0))),
    (AttributeError, "immutable", lambda: setattr(ONE, "shape", ())),
    (DTypeError, "no tensor holds values of type NoneType", lambda: rv.constant(None)),
    (DTypeError, "values of type complex128", lambda: rv.constant(1j)),
    (DTypeError, "take its value with .numpy()", lambda: rv.constant([ONE, ONE])),
    (DTypeError, "take its value with .numpy()", lambda: np.asarray(ONE)),
    (DTypeError, "take its value with .numpy()", lambda: rv.constant(ONE)),
    (DTypeError, "w: a tensor is no array", lambda: rv.Parameter(ONE, name="w")),
    (DTypeError, "too large for float32", lambda: ONE * 10**400),
    (DTypeError, "too large for int64", lambda: WHOLE * 10**400),
    (DTypeError, "input x: shape (2.7, 3) is not made", lambda: rv.input((2.7, 3), name="x")),
    (DTypeError, "input: shape 2.5 is not made of whole", lambda: rv.input(2.5)),
    (DTypeError, "input: shape None is not made of whole", lambda: rv.input(None)),
    (DTypeError, "input: shape 'ab' is not made of whole", lambda: rv.input("ab")),
    (DTypeError, "shape of type Tensor is not made", lambda: rv.input(WHOLE)),
    (ShapeError, "input x: shape (2, -1) has a negative", lambda: rv.input((2, -1), name="x")),
    (ShapeError, "broadcast_to: shape (-2, 2) has a", lambda: rv.broadcast_to(ONE, (-2, 2))),
    (ShapeError, "random_uniform: shape (-2,) has", lambda: rv.random_uniform((-2,), 0, 0, 0)),
    (DTypeError, "random_uniform: seed 1.5 does not", lambda: rv.random_uniform((2,), 1.5, 0, 0)),
    (DTypeError, f"seed {2**63} does not fit", lambda: rv.random_uniform((2,), 2**63, 0, 0)),
    (DTypeError, "step 0.5 does not fit", lambda: rv.random_uniform((2,), 0, 0.5, 0)),
    (DTypeError, "stream 1.5 is not a whole number",
     lambda: rv.random_uniform((2,), 0, 0, 1.5)),  # type: ignore[arg-type]
    (DTypeError, "rows 1.5 is not a whole number",
     lambda: rv.scatter_add(ONE, [0, 1], 1.5)),  # type: ignore[arg-type]
    (GraphError, "neither copied nor pickled", lambda: copy.deepcopy(ONE)),
    (GraphError, "neither copied nor pickled", lambda: copy.copy(rv.Parameter([1.0]))),
    (GraphError, "neither copied nor pickled", lambda: copy.deepcopy({"w": rv.Buffer([1.0])})),
    (InputError, "has no value", lambda: rv.input((2,)).numpy()),
]  # fmt: skip


@pytest.mark.parametrize(("error", "part", "build"), ERRORS)
def test_errors(error: type[Exception], part: str, build: Callable[[], Any]) -> None:
    with pytest.raises(error) as raised:
        build()
    message = str(raised.value)
    assert part in message
    assert "\n" not in message


# ---------------------------------------------------------------- leaves


def test_constants_choose_their_dtype() -> None:
    assert rv.constant(1.5).dtype == rv.float32
    assert rv.constant([1, 2]).dtype == rv.int64
    assert rv.constant([True]).dtype == rv.bool_
    assert rv.constant(np.ones(2)).dtype == rv.float64
    assert rv.constant(np.float64(1)).dtype == rv.float64
    assert rv.constant(1, "uint8").dtype == rv.uint8


def test_constants_do_not_follow_their_source() -> None:
    source = np.ones(2)
    tensor = rv.constant(source)
    source[0] = 5
    assert tensor.numpy().tolist() == [1, 1]


def test_state_reads_copies_and_writes_in_place() -> None:
    state = rv.Parameter([[1.0, 2.0]], name="w")
    address = state.storage.ctypes.data
    assert address % 64 == 0
    copy = state.value
    state.value = np.array([[3.0, 4.0]])
    assert copy.tolist() == [[1, 2]]
    assert state.value.tolist() == [[3, 4]]
    assert state.storage.ctypes.data == address
    assert (state * 2).numpy().tolist() == [[6, 8]]
    with pytest.raises(ShapeError, match="w has shape"):
        state.value = np.zeros(3)
    with pytest.raises(AttributeError, match="immutable"):
        state.shape = (2,)  # type: ignore[misc]


def test_inputs_take_a_number_as_shape() -> None:
    assert rv.input(3).shape == (3,)
    assert rv.input((2, 3), "int32").dtype == rv.int32
