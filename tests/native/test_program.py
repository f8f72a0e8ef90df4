"""Programs as objects of the cache: what differs never shares code, what is equal does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import STEPS, compiled, contents, restore, values

import ranvier as rv
from ranvier.engines.native import pipeline
from ranvier.engines.native.program import NativeProgram
from ranvier.errors import CompileError, InputError
from ranvier.graph.tensor import REGISTRY


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("RANVIER_CACHE", str(tmp_path))
    return tmp_path / "objects"


def entries(folder: Path, kind: str) -> set[str]:
    """The names of the cache's objects, or of its linkages."""
    return {path.name for path in folder.glob(f"*.{kind}")}


def keys(folder: Path) -> set[str]:
    return entries(folder, "object")


# ------------------------------------------------------------ cold and from the cache


@pytest.mark.parametrize("name", ["small", "norm_net", "attention"])
def test_a_cached_program_gives_the_same_bits(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    found = []
    for _ in range(2):
        step = STEPS[name]()
        states = list(step.updates)
        program = compiled(step)
        found.append(contents(program(steps=3, index=step.index(3), **step.arrays), states))
        monkeypatch.setattr(pipeline, "compile_object", _never)
        monkeypatch.setattr(pipeline, "schedule_step", _never)
    assert found[0] == found[1]
    assert len(keys(folder)) == len(entries(folder, "linkage")) == 1


def _never(*_: object) -> bytes:
    raise CompileError("compiled although the cache has it")


def test_code_without_a_binding_and_a_binding_without_code(folder: Path) -> None:
    x = rv.input((5,), name="x")
    for kind in ("object", "linkage"):
        for name in entries(folder, kind):
            (folder / name).unlink()
        found = rv.compile({"x": x}, {"y": x * 3.0})(x=np.arange(5, dtype=np.float32))
        np.testing.assert_array_equal(found["y"], np.arange(5, dtype=np.float32) * 3)
        assert len(keys(folder)) == len(entries(folder, "linkage")) == 1


BUILD = """
import sys; sys.path[:0] = sys.argv[1:]
from networks import STEPS, compiled
junk = [object() for _ in range(int(sys.argv[3]))]  # other addresses for all that follows
for name in ("small", "norm_net", "attention"):
    compiled(STEPS[name]())
"""


def test_every_process_finds_what_another_has_compiled(folder: Path) -> None:
    """The order of sets and the addresses of objects leave no trace in a program."""
    tests = Path(__file__).parents[1]
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", BUILD, str(tests.parent), str(tests), seed + "017"]
        subprocess.run(command, env=environment, check=True, timeout=100)
        assert len(keys(folder)) == len(entries(folder, "linkage")) == 3


CACHED = """
import sys
import ranvier as rv
x = rv.input((5,), name="x")
rv.compile({"x": x}, {"y": x * 3.0})
slow = "ranvier.engines.native.emit", "ranvier.engines.native.schedule.schedule"
print(any(name.startswith(slow) for name in sys.modules))
"""


def test_the_scheduler_and_the_emitters_are_imported_only_at_need(folder: Path) -> None:
    command = [sys.executable, "-c", CACHED]
    found = [
        subprocess.run(command, check=True, timeout=100, capture_output=True, text=True).stdout
        for _ in range(2)
    ]
    assert found == ["True\n", "False\n"]


@pytest.mark.parametrize("kind", ["object", "linkage"])
def test_a_damaged_entry_is_made_anew(folder: Path, kind: str) -> None:
    x = rv.input((5,), name="x")
    array = np.arange(5, dtype=np.float32)
    first = rv.compile({"x": x}, {"y": x * 3.0})(x=array)
    (entry,) = folder.glob(f"*.{kind}")
    whole = entry.read_bytes()
    entry.write_bytes(whole[:-8] + b"\0" * 8)
    again = rv.compile({"x": x}, {"y": x * 3.0})(x=array)
    np.testing.assert_array_equal(first["y"], again["y"])
    assert entry.read_bytes() == whole


# ------------------------------------------------------------ what differs has other code

Build = Callable[[Mapping[str, rv.Tensor]], rv.Tensor]


def _buffer(shape: tuple[int, ...], seed: int, name: str | None = None) -> rv.Buffer:
    rng = np.random.default_rng(seed)
    return rv.Buffer(rng.uniform(-2, 2, shape).astype(np.float32), name=name)


def _mask(low: float, high: float) -> Build:
    return lambda v: rv.where((v["a"] > low) & (v["a"] < high), v["a"], v["b"])


PAIRS: dict[str, tuple[Build, Build]] = {
    "literal": (lambda v: v["a"] * 1.5, lambda v: v["a"] * 1.25),
    "literal's last bit": (
        lambda v: v["a"] * float(np.float32(0.1)),
        lambda v: v["a"] * float(np.nextafter(np.float32(0.1), np.float32(1))),
    ),
    "literal's sign of zero": (
        lambda v: rv.where(v["a"] > 0, 0.0, v["a"]),
        lambda v: rv.where(v["a"] > 0, -0.0, v["a"]),
    ),
    "literal not a number": (
        lambda v: rv.where(v["a"] > 0, np.float32("nan"), v["a"]),
        lambda v: rv.where(v["a"] > 0, np.float32("inf"), v["a"]),
    ),
    "two literals": (_mask(-0.5, 1.0), _mask(-1.0, 0.5)),
    "truth of a literal": (
        lambda v: rv.where(v["a"] > 0, rv.constant(True), v["b"] > 0),
        lambda v: rv.where(v["a"] > 0, rv.constant(False), v["b"] > 0),
    ),
    "dtype of a constant": (
        lambda v: rv.take(v["a"], rv.constant(np.array([1, 0], np.int32))),
        lambda v: rv.take(v["a"], rv.constant(np.array([1, 0], np.int64))),
    ),
    "dtype of a literal": (
        lambda v: rv.cast(rv.cast(v["i"], rv.int32) * rv.constant(2, rv.int32), rv.int64),
        lambda v: v["i"] * rv.constant(2, rv.int64),
    ),
    "dtype of a cast": (
        lambda v: rv.cast(rv.cast(v["a"] * 300.0, rv.int32), rv.float32),
        lambda v: rv.cast(rv.cast(v["a"] * 300.0, rv.bfloat16), rv.float32),
    ),
    "op": (lambda v: v["a"] + v["b"], lambda v: v["a"] - v["b"]),
    "order of operands": (lambda v: v["a"] - v["b"], lambda v: v["b"] - v["a"]),
    "reduction": (lambda v: rv.max(v["a"], 1), lambda v: rv.min(v["a"], 1)),
    "axis": (lambda v: v["a"].sum(0), lambda v: v["a"].sum(1)),
    "transposition": (lambda v: v["a"] @ v["b"], lambda v: v["a"] @ v["b"].T),
    "side of a product": (lambda v: v["a"] @ v["b"], lambda v: v["b"] @ v["a"]),
    "offset of a view": (lambda v: v["a"][1:5] * 2.0, lambda v: v["a"][2:6] * 2.0),
    "step of a view": (lambda v: v["a"][0:3] * 2.0, lambda v: v["a"][0:6:2] * 2.0),
    "width of a pad": (
        lambda v: rv.pad(v["a"], [(1, 0), (0, 0)]), lambda v: rv.pad(v["a"], [(0, 1), (0, 0)])
    ),
    "stream of random bits": (
        lambda v: rv.random_uniform((7,), 1, 2, 3), lambda v: rv.random_uniform((7,), 1, 2, 4)
    ),
    "rows of a scatter": (
        lambda v: rv.scatter_add(v["a"], v["r"], 7)[:7],
        lambda v: rv.scatter_add(v["a"], v["r"], 8)[:7],
    ),
    "which of two states": (
        lambda v: (v["s"] - v["t"]) @ v["s"], lambda v: (v["s"] - v["t"]) @ v["t"]
    ),
}  # fmt: skip
"""Pairs of graphs over the same inputs that differ in one thing."""

EXCHANGED = ("order of operands", "side of a product")
"""Of those, the pairs with one code, to which a and b are given in either order."""


def _run(build: Build, names: tuple[str, ...] = ("s", "t"), **options: Any) -> np.ndarray:
    """The graph by the native engine; checked against the reference."""
    rng = np.random.default_rng(0)
    inputs = {"a": rv.input((7, 7), name="a"), "b": rv.input((7, 7), name="b")}
    inputs |= {"i": rv.input((7,), rv.int64), "r": rv.input((7,), rv.int64)}
    arrays = {name: rng.uniform(-2, 2, (7, 7)).astype(np.float32) for name in "ab"}
    arrays |= {"i": rng.integers(0, 1 << 40, 7), "r": rng.integers(0, 7, 7)}
    states = {"s": _buffer((7, 7), 1, names[0]), "t": _buffer((7, 7), 2, names[1])}
    result = build({**inputs, **states})
    want = rv.compile(inputs, {"y": result}, engine="reference")(**arrays)["y"]
    got = rv.compile(inputs, {"y": result}, **options)(**arrays)["y"]
    np.testing.assert_allclose(
        got.astype(np.float64), want.astype(np.float64), rtol=1e-5, atol=1e-6
    )
    return got


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("name", PAIRS)
def test_different_graphs_have_different_code(folder: Path, name: str, fuse: bool) -> None:
    for count, build in enumerate(PAIRS[name], 1):
        for _ in range(2):
            _run(build, fuse=fuse)
            assert len(keys(folder)) == (1 if name in EXCHANGED else count)
            assert len(entries(folder, "linkage")) == count


def test_states_of_the_same_name_are_told_apart(folder: Path) -> None:
    """The two graphs print alike; each must read its own states."""
    for build in PAIRS["which of two states"]:
        _run(build, names=("same", "same"))
    assert len(keys(folder)) == 2


def test_crossing_updates_of_states_of_the_same_name(folder: Path) -> None:
    """Copies beside states of one name are told apart."""
    for first in (True, False):
        a, b, c = (_buffer((6, 6), seed, "w") for seed in range(3))
        before = values((a, b, c))
        new = {a: b @ a, b: a.T, c: (a if first else b) + 1.0}
        rv.compile({}, {}, new)()
        x, y, _ = before
        want = [y @ x, x.T, (x if first else y) + 1]
        for state, value in zip((a, b, c), want, strict=True):
            np.testing.assert_allclose(state.value, value, rtol=1e-5, atol=1e-6)
    assert len(keys(folder)) == 2


@pytest.mark.parametrize("option", [{"fuse": False}, {"in_place": False}, {"passes": ()}])
def test_other_options_that_change_kernels_have_other_code(
    folder: Path, option: Mapping[str, Any]
) -> None:
    for options in ({}, option):
        s = _buffer((9,), 1)
        program = rv.compile({}, {}, {s: rv.tanh(s * 1.0 + 2.0) + s.sum()}, **options)
        program()
        again = s.value
        s.value = _buffer((9,), 1).value
        rv.compile({}, {}, {s: rv.tanh(s * 1.0 + 2.0) + s.sum()}, engine="reference")()
        np.testing.assert_allclose(again, s.value, rtol=1e-6)
    assert len(keys(folder)) == 2


def test_the_number_of_threads_does_not_change_the_code(folder: Path) -> None:
    """Of a pointwise program, and of one with scratch memory for each thread."""
    x, w = rv.input((2, 32, 32, 64), name="x"), rv.constant(np.ones((3, 3, 64, 64), np.float32))
    for threads in (1, 2, 5, None):
        rv.compile({}, {"y": _buffer((9,), 1) * 2.0}, threads=threads)
        program = rv.compile({"x": x}, {"y": rv.convolution(x, w, padding=1)}, threads=threads)
        assert "winograd" in str(program.schedule)
    assert len(keys(folder)) == 2


def test_constants_are_data_and_not_code(folder: Path) -> None:
    """Programs that differ in the elements of an array share code, not the array."""
    for seed in (1, 2):
        value = _buffer((9,), seed).value
        found = rv.compile({}, {"y": rv.constant(value) * _buffer((9,), 3)})()["y"]
        np.testing.assert_array_equal(found, value * _buffer((9,), 3).value)
    assert len(keys(folder)) == 1


def test_every_op_prints_its_attributes() -> None:
    """Keys are made of this text: an op without it would share code with its likes."""
    for op in REGISTRY.values():
        if op.__module__.startswith("ranvier.graph.ops"):
            assert "__repr__" in {name for base in op.__mro__[:-1] for name in vars(base)}


# ------------------------------------------------------------ lives of programs


def test_two_programs_share_state() -> None:
    s = _buffer((5,), 1)
    start = s.value
    add, double = rv.compile({}, {}, {s: s + 1.0}), rv.compile({}, {"old": s}, {s: s * 2.0})
    add()
    np.testing.assert_array_equal(double()["old"], start + 1)
    np.testing.assert_array_equal(s.value, (start + 1) * 2)
    restore([s], [start])
    np.testing.assert_array_equal(double(steps=2)["old"], [start, start * 2])


def test_no_steps_do_nothing() -> None:
    s = _buffer((5,), 1)
    start = s.value
    found = rv.compile({}, {"old": s}, {s: s + 1.0})(steps=0)
    assert found["old"].shape == (0, 5)
    np.testing.assert_array_equal(s.value, start)


def test_outputs_of_earlier_calls_stay_as_they_were() -> None:
    x = rv.input((300,), name="x")
    program = rv.compile({"x": x}, {"y": rv.tanh(x)})
    first = program(x=np.zeros(300, np.float32))["y"]
    program(x=np.ones(300, np.float32))
    np.testing.assert_array_equal(first, 0)


def test_inputs_that_the_graph_does_not_read() -> None:
    x, unused = rv.input((3,), name="x"), rv.input((2, 2), name="unused")
    program = rv.compile({"x": x, "unused": unused}, {"y": x + 1.0})
    found = program(x=np.zeros(3, np.float32), unused=np.zeros((2, 2), np.float32))
    np.testing.assert_array_equal(found["y"], 1)


def test_release_twice() -> None:
    program = rv.compile({}, {"y": _buffer((3,), 1) * 2.0})
    assert isinstance(program, NativeProgram)
    program()
    program.release()
    program.release()


def test_a_profile_is_of_one_step_or_more() -> None:
    program = compiled(STEPS["small"]())
    with pytest.raises(InputError, match="profile: steps is 0; use 1 or more"):
        program.profile(steps=0)


def test_an_empty_batch_can_be_checked_and_bisected() -> None:
    x, w, v = (
        rv.input(shape, name=name) for name, shape in (("x", (0, 3)), ("w", (3, 4)), ("v", (4, 2)))
    )
    given = {"x": np.zeros((0, 3)), "w": np.ones((3, 4)), "v": np.ones((4, 2))}
    given = {name: array.astype(np.float32) for name, array in given.items()}
    program = rv.compile({"x": x, "w": w, "v": v}, {"y": x @ w @ v}, check_finite=True)
    assert program(**given)["y"].shape == (0, 2)
    assert program.bisect(**given) is None


def test_numbers_too_small_to_be_normal_are_no_error() -> None:
    x = rv.input((4,), name="x")
    program = rv.compile({"x": x}, {"y": x * 0.5})
    assert program.bisect(x=np.float32([1e-38, 2e-38, 0, 1e-40])) is None


def test_numbers_in_bfloat16_are_moved() -> None:
    x, c = rv.input((3,), rv.bfloat16, name="x"), rv.input((3,), rv.bool_, name="c")
    chosen = rv.where(c, x, rv.constant(1.5, rv.bfloat16))
    outputs = {"y": chosen, "z": rv.concatenate([x, rv.ones_like(x)], 0)}
    given = {"x": np.array([2, 3, 4], rv.bfloat16), "c": np.array([True, False, True])}
    found = rv.compile({"x": x, "c": c}, outputs)(**given)
    assert found["y"].astype(np.float32).tolist() == [2, 1.5, 4]
    assert found["z"].astype(np.float32).tolist() == [2, 3, 4, 1, 1, 1]


def test_more_memory_than_there_is() -> None:
    x = rv.input((1 << 24,), name="x")
    outer = rv.tanh(rv.reshape(x, (-1, 1)) * rv.reshape(x, (1, -1)))
    with pytest.raises(InputError, match=r"GB for its temporaries.*use a smaller batch"):
        rv.compile({"x": x}, {"y": rv.sum(outer @ rv.reshape(x, (-1, 1)))})
