"""Mistakes of callers: each is met by one clear sentence, the same from every engine."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

import ranvier as rv
from ranvier.engines.native.program import NativeProgram
from ranvier.errors import (
    DTypeError,
    GraphError,
    InputError,
    NonFiniteError,
    RanvierError,
    ShapeError,
)

ENGINES = ("native", "reference")
GOOD = np.ones((2, 3), np.float32)
ROWS = np.arange(4)
WHOLE = f"use whole numbers from {-(2**63)} to {2**63 - 1}, or another dtype"


def says(kind: type[RanvierError], text: str) -> Any:
    """Expect an error of exactly this kind whose whole text is `text`."""
    assert issubclass(kind, RanvierError)
    return pytest.raises(kind, match=f"^{re.escape(text)}$")


# ------------------------------------------------------------ calls


@pytest.fixture(params=ENGINES)
def program(request: pytest.FixtureRequest) -> rv.Program:
    """Inputs x float32[2,3] and rows int64[4] into a table of 5 rows."""
    x, rows = rv.input((2, 3), name="x"), rv.input((4,), rv.int64, "rows")
    table = rv.Parameter(np.zeros((5, 2), np.float32), name="table")
    outputs = {"y": x + 1.0, "taken": rv.take(table, rows)}
    return rv.compile({"x": x, "rows": rows}, outputs, engine=request.param)


Calls = Mapping[str, tuple[Mapping[str, Any], type[RanvierError], str]]

CALLS: Calls = {
    "wrong shape": (
        {"x": np.ones((3, 2), np.float32)}, ShapeError,
        "input 'x' has shape (2, 3); the array has (3, 2)",
    ),
    "wrong shape of a stream": (
        {"x": np.ones((3, 2, 3), np.float32), "steps": 5}, ShapeError,
        "input 'x' has shape (2, 3) or (5, 2, 3), one slice a step; the array has (3, 2, 3)",
    ),
    "stream without steps": (
        {"x": np.ones((5, 2, 3), np.float32)}, ShapeError,
        "input 'x' has shape (2, 3); the array has (5, 2, 3)",
    ),
    "wrong dtype": (
        {"x": np.ones((2, 3))}, DTypeError,
        "input 'x' is float32, the array float64; convert it with .astype('float32')",
    ),
    "foreign byte order": (
        {"x": np.ones((2, 3), ">f4")}, DTypeError,
        "input 'x' is float32, the array >f4; convert it with .astype('float32')",
    ),
    "fractions for integers": (
        {"rows": [0.5, 1.0, 2.0, 3.0]}, DTypeError,
        f"input 'rows': 0.5 does not fit int64; {WHOLE}",
    ),
    "a tensor for an array": (
        {"x": rv.constant(np.ones((2, 3), np.float32))}, DTypeError,
        "input 'x': a tensor is no array; take its value with .numpy()",
    ),
    "words for an array": (
        {"x": "ones"}, DTypeError,
        "input 'x': no tensor holds values of type str; use numbers or bools",
    ),
    "a list with rows of different lengths": (
        {"x": [[1.0, 2.0, 3.0], [1.0]]}, ShapeError,
        "input 'x': the rows of a nested list differ in length or depth, so it is no array; make "
        "them equally long, with padding for instance",
    ),
    "missing input": (
        {"x": None}, InputError,
        "input 'x' (float32[2,3]) is missing; pass x=…",
    ),
    "unknown input": (
        {"z": GOOD}, InputError,
        "the program has no input 'z'; its inputs are: x, rows",
    ),
    "index too large": (
        {"rows": [0, 5, 1, 2]}, InputError,
        "input 'rows' indexes 5 rows and holds 5; use 0 to 4",
    ),
    "negative index": (
        {"rows": [0, -1, 1, 2]}, InputError,
        "input 'rows' indexes 5 rows and holds -1; use 0 to 4",
    ),
    "bad index in a later step": (
        {"rows": np.array([[0, 1, 2, 3], [0, 1, 2, 9]]), "steps": 2}, InputError,
        "input 'rows' indexes 5 rows and holds 9; use 0 to 4",
    ),
    "negative number of steps": (
        {"steps": -1}, InputError,
        "steps is -1; use a whole number, 0 or more",
    ),
    "truth for a number of steps": (
        {"steps": True}, InputError,
        "steps is True; use a whole number, 0 or more",
    ),
    "broken number of steps": (
        {"steps": 2.5}, InputError,
        "steps is 2.5; use a whole number, 0 or more",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_calls(program: rv.Program, name: str) -> None:
    changed, kind, text = CALLS[name]
    arguments = {"x": GOOD, "rows": ROWS, **changed}
    arguments = {key: value for key, value in arguments.items() if value is not None}
    with says(kind, text):
        program(**arguments)
    np.testing.assert_array_equal(program(x=GOOD, rows=ROWS)["y"], 2)


def test_a_program_without_inputs() -> None:
    with says(InputError, "the program has no input 'x'; its inputs are: none"):
        rv.compile({}, {"y": rv.constant(1.0) * 2.0})(x=GOOD)


def test_inputs_are_passed_by_name(program: rv.Program) -> None:
    with says(InputError, "an array stands without a name; pass inputs by name, such as x=…"):
        program(GOOD, ROWS)
    text = "an array stands without a name; pass inputs by name, but this program has none"
    with says(InputError, text):
        rv.compile({}, {"y": rv.constant(1.0)}, engine="reference")(GOOD)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_input_may_have_any_name(engine: str) -> None:
    x = rv.input((2, 3))
    program = rv.compile({"self": x}, {"y": x + 1.0}, engine=engine)
    np.testing.assert_array_equal(program(**{"self": GOOD})["y"], 2)
    if isinstance(program, NativeProgram):
        np.testing.assert_array_equal(program.profile(**{"self": GOOD})["y"], [GOOD + 1])
        assert program.bisect(**{"self": GOOD}) is None


def test_threads_may_be_a_number_of_numpys() -> None:
    x = rv.input((2, 3))
    program = rv.compile({"x": x}, {"y": x + 1.0}, threads=np.int64(2), passes=["fold"])
    assert program.options.threads == 2
    assert program.options.passes == ("fold",)
    np.testing.assert_array_equal(program(x=GOOD)["y"], 2)


def test_numbers_and_lists_become_arrays(program: rv.Program) -> None:
    found = program(x=[[1, 2, 3], [4, 5, 6]], rows=[0, 1, 2, 3])["y"]
    np.testing.assert_array_equal(found, [[2, 3, 4], [5, 6, 7]])


def test_a_released_program() -> None:
    x = rv.input((2, 3), name="x")
    program = rv.compile({"x": x}, {"y": x + 1.0})
    assert isinstance(program, NativeProgram)
    program.release()
    with says(InputError, "the program has been released; compile it again"):
        program(x=GOOD)


RAGGED = [[1.0, 2.0], [3.0]]


def test_lists_with_rows_of_different_lengths() -> None:
    table = rv.Parameter(np.zeros((2, 2), np.float32))
    builds: tuple[Callable[[], object], ...] = (
        lambda: rv.constant(RAGGED),
        lambda: table + RAGGED,
        lambda: rv.take(table, [[0], [1, 0]]),
        lambda: rv.Buffer(RAGGED),
        lambda: setattr(table, "value", RAGGED),
    )
    for build in builds:
        with says(
            ShapeError,
            "the rows of a nested list differ in length or depth, so it is no array; make them "
            "equally long, with padding for instance",
        ):
            build()


# ------------------------------------------------------------ compiling

X = rv.input((2, 3), name="x")
UNNAMED = rv.input((4,))
W = rv.Parameter(np.zeros(3, np.float32), name="w")
BARE = rv.Buffer(np.zeros(3, np.float32))

COMPILES: dict[str, tuple[Callable[[], object], type[RanvierError], str]] = {
    "unknown engine": (
        lambda: rv.compile({"x": X}, {"y": X}, engine="torch"), InputError,
        "there is no engine 'torch'; use 'native' or 'reference'",
    ),
    "unknown option": (
        lambda: rv.compile({"x": X}, {"y": X}, speed="high"), InputError,
        "compile has no option 'speed'; it has passes, threads, fuse, in_place, check_finite, "
        "verify",
    ),
    "no threads": (
        lambda: rv.compile({"x": X}, {"y": X}, threads=0), InputError,
        "threads is 0; use a whole number from 1 on, or None",
    ),
    "threads by name": (
        lambda: rv.compile({"x": X}, {"y": X}, threads="all"), InputError,
        "threads is 'all'; use a whole number from 1 on, or None",
    ),
    "threads by truth": (
        lambda: rv.compile({"x": X}, {"y": X}, threads=True), InputError,
        "threads is True; use a whole number from 1 on, or None",
    ),
    "no list of passes": (
        lambda: rv.compile({"x": X}, {"y": X}, passes=None), InputError,
        "passes is None; use a list of names, such as ['fold']",
    ),
    "passes that are no names": (
        lambda: rv.compile({"x": X}, {"y": X}, passes=[["fold"]]), InputError,
        "passes is [['fold']]; use a list of names, such as ['fold']",
    ),
    "passes in a word": (
        lambda: rv.compile({"x": X}, {"y": X}, passes="fold"), InputError,
        "passes is 'fold'; use a list of names, such as ['fold']",
    ),
    "outputs that are one tensor": (
        lambda: rv.compile({"x": X}, X), GraphError,  # type: ignore[arg-type]
        "outputs is of type Tensor; pass a dictionary of tensors by name",
    ),
    "outputs that would pass for pairs": (
        lambda: rv.compile({}, rv.constant(np.ones((5, 2)))), GraphError,  # type: ignore[arg-type]
        "outputs is of type Tensor; pass a dictionary of tensors by name",
    ),
    "outputs in a list": (
        lambda: rv.compile({"x": X}, [X]), GraphError,  # type: ignore[arg-type]
        "outputs is of type list; pass a dictionary of tensors by name",
    ),
    "inputs in a list": (
        lambda: rv.compile([X], {"y": X}), GraphError,  # type: ignore[arg-type]
        "inputs is of type list; pass a dictionary of tensors by name",
    ),
    "updates in a list": (
        lambda: rv.compile({}, {}, [W]), GraphError,  # type: ignore[arg-type]
        "updates is of type list; pass a dictionary of new values by state",
    ),
    "an input without a name": (
        lambda: rv.compile({0: X}, {"y": X}), GraphError,  # type: ignore[dict-item]
        "inputs has a name of type int; use strings",
    ),
    "an output called by a tensor": (
        lambda: rv.compile({}, {W: W}), GraphError,  # type: ignore[dict-item]
        "outputs has a name of type Parameter; use strings",
    ),
    "shape of an update": (
        lambda: rv.compile({"x": X}, {}, {W: X}), ShapeError,
        "the update of w is float32[2,3], the state float32[3]; they must agree",
    ),
    "dtype of an update": (
        lambda: rv.compile({}, {}, {BARE: BARE.astype("float64")}), ShapeError,
        "the update of a state is float64[3], the state float32[3]; they must agree",
    ),
    "update of a tensor": (
        lambda: rv.compile({"x": X}, {}, {X: X}), GraphError,  # type: ignore[dict-item]
        "updates has a key that is no Parameter or Buffer",
    ),
    "update by a number": (
        lambda: rv.compile({}, {}, {W: 1.0}), GraphError,  # type: ignore[dict-item]
        "the update of w is of type float; it must be a tensor",
    ),
    "output that is a number": (
        lambda: rv.compile({}, {"y": 1.0}), GraphError,  # type: ignore[dict-item]
        "outputs['y'] is of type float; it must be a tensor",
    ),
    "input that is an array": (
        lambda: rv.compile({"x": GOOD}, {"y": X}), GraphError,  # type: ignore[dict-item]
        "inputs['x'] is of type ndarray; it must be a tensor",
    ),
    "input that is computed": (
        lambda: rv.compile({"x": X + 1.0}, {"y": X}), GraphError,
        "inputs['x'] is computed by add; make it with rv.input(...)",
    ),
    "input that is state": (
        lambda: rv.compile({"w": W}, {"y": W}), GraphError,
        "inputs['w'] is a state; make it with rv.input(...)",
    ),
    "input named twice": (
        lambda: rv.compile({"a": X, "b": X}, {"y": X}), GraphError,
        "inputs 'a' and 'b' are one tensor; name it once",
    ),
    "input called steps": (
        lambda: rv.compile({"steps": X}, {"y": X}), GraphError,
        "an input cannot be called 'steps', which counts the steps of a call",
    ),
    "input not named": (
        lambda: rv.compile({}, {"y": X}), GraphError,
        "the graph reads the input x, which `inputs` does not name",
    ),
    "input without a label not named": (
        lambda: rv.compile({}, {"y": UNNAMED}), GraphError,
        "the graph reads the input float32[4], which `inputs` does not name",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", COMPILES)
def test_compiling(name: str) -> None:
    build, kind, text = COMPILES[name]
    with says(kind, text):
        build()


# ------------------------------------------------------------ the first NaN or infinity

LOOK = "; look at its inputs, the learning rate and the data"


def _logarithms(engine: str) -> tuple[rv.Program, rv.Buffer]:
    x, count = rv.input((2, 3), name="x"), rv.Buffer(np.int64(0), name="count")
    outputs = {"y": (rv.log(x) * 2.0).sum(0)}
    new = {count: count + 1}
    return rv.compile({"x": x}, outputs, new, engine=engine, check_finite=True), count


def with_value(value: float, *at: int) -> np.ndarray:
    array = GOOD.copy()
    array[at] = value
    return array


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("value", "at", "what"),
    [
        (-1.0, (1, 2), "log gave nan at (1, 2) of float32[2,3], computed from float32[2,3]"),
        (0.0, (0, 1), "log gave -inf at (0, 1) of float32[2,3], computed from float32[2,3]"),
        (np.nan, (1, 0), "input x gave nan at (1, 0) of float32[2,3]"),
        (np.inf, (1, 1), "input x gave inf at (1, 1) of float32[2,3]"),
    ],
)
def test_the_first_value_that_is_not_finite(
    engine: str, value: float, at: tuple[int, ...], what: str
) -> None:
    program, count = _logarithms(engine)
    bad = with_value(value, *at)
    with says(NonFiniteError, f"step 0: {what}{LOOK}"):
        program(x=bad)
    with says(NonFiniteError, f"step 2: {what}{LOOK}"):
        program(steps=4, x=np.stack([GOOD, GOOD, bad, GOOD]))
    assert count.value == 2  # a bad step changes no state
    assert np.isfinite(program(x=GOOD)["y"]).all()
    assert count.value == 3


@pytest.mark.parametrize("engine", ENGINES)
def test_a_state_that_grows_beyond_all_bounds(engine: str) -> None:
    w = rv.Parameter(np.array([1.0, 1e36], np.float32), name="w")
    program = rv.compile({}, {}, {w: w * 10.0}, engine=engine, check_finite=True)
    what = "multiply gave inf at (1,) of float32[2], computed from float32[2], float32[2]"
    with says(NonFiniteError, f"step 2: {what}{LOOK}"):
        program(steps=5)
    np.testing.assert_allclose(w.value, [100, 1e38], rtol=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_state_that_is_not_finite_from_the_start(engine: str) -> None:
    w = rv.Parameter(np.array([1.0, np.nan], np.float32), name="w")
    program = rv.compile({}, {"y": w + 1.0}, engine=engine, check_finite=True)
    with says(NonFiniteError, f"step 0: state w gave nan at (1,) of float32[2]{LOOK}"):
        program()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_scalar_has_no_position(engine: str) -> None:
    x = rv.input((), name="x")
    program = rv.compile({"x": x}, {"y": rv.sqrt(x - 2.0)}, engine=engine, check_finite=True)
    what = "sqrt gave nan of float32[], computed from float32[]"
    with says(NonFiniteError, f"step 0: {what}{LOOK}"):
        program(x=1.0)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_value_that_a_choice_hides_is_found_all_the_same(engine: str) -> None:
    """The gradient would not be finite: zero times infinity."""
    x = rv.input((2, 3), name="x")
    y = rv.where(x > 0.0, rv.log(x), rv.zeros_like(x))
    program = rv.compile({"x": x}, {"y": y}, engine=engine, check_finite=True)
    what = "log gave -inf at (0, 0) of float32[2,3], computed from float32[2,3]"
    with says(NonFiniteError, f"step 0: {what}{LOOK}"):
        program(x=with_value(0.0, 0, 0))


@pytest.mark.parametrize("engine", ENGINES)
def test_an_infinity_that_is_meant_is_no_error(engine: str) -> None:
    """A mask of -inf before a softmax, the border of max pooling; but not what comes of them."""
    x, mask = rv.input((2, 3), name="x"), np.array([[0, 1, 1], [0, 0, 1]], bool)
    hidden = rv.where(rv.constant(mask), rv.constant(np.float32(-np.inf)), x)
    outputs = {
        "y": rv.softmax(hidden),
        "largest": rv.max_pool(x.reshape(1, 2, 3, 1), 3, 2, 1),
        "nothing": (hidden - hidden).sum(1),
    }
    for name in ("y", "largest"):
        program = rv.compile({"x": x}, {name: outputs[name]}, engine=engine, check_finite=True)
        assert np.isfinite(program(x=GOOD)[name]).all()
    program = rv.compile({"x": x}, {"z": outputs["nothing"]}, engine=engine, check_finite=True)
    with pytest.raises(NonFiniteError, match="step 0: subtract gave nan at"):
        program(x=GOOD)


@pytest.mark.parametrize("engine", ENGINES)
def test_unchecked_programs_compute_on(engine: str) -> None:
    x = rv.input((2, 3), name="x")
    program = rv.compile({"x": x}, {"y": rv.log(x)}, engine=engine)
    assert program(x=with_value(0.0, 1, 2))["y"][1, 2] == -np.inf
