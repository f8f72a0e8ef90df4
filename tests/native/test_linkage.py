"""Bindings: a step that the cache knows runs as one that was scheduled, and no other is taken
for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from networks import STEPS, compiled

import ranvier as rv
from ranvier import dtypes
from ranvier.engines.native import pipeline
from ranvier.engines.native import program as native
from ranvier.engines.native.program import NativeProgram
from ranvier.engines.native.run.linkage import Linkage, numbered, step_text
from ranvier.engines.native.schedule.keys import exact
from ranvier.engines.program import Options, Signature
from ranvier.errors import CompileError, InputError, NonFiniteError
from ranvier.graph.leaves import Constant
from ranvier.graph.ops.pointwise import Pointwise
from ranvier.graph.tensor import REGISTRY, Tensor, apply
from ranvier.records import dataclass


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("RANVIER_CACHE", str(tmp_path))
    return tmp_path / "objects"


def linkages(folder: Path) -> list[Path]:
    return list(folder.glob("*.linkage"))


def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on nothing may be scheduled."""

    def never(*_: object) -> None:
        raise CompileError("scheduled although the cache knows the step")

    monkeypatch.setattr(pipeline, "schedule_step", never)


def text_of(
    outputs: Mapping[str, Tensor],
    inputs: Mapping[str, Tensor] | None = None,
    updates: Mapping[rv.State, Tensor] | None = None,
    **options: Any,
) -> str | None:
    signature = Signature(inputs or {}, outputs, updates or {})
    return step_text(numbered(signature), signature, Options(**options))


# ------------------------------------------------------------ what a known step does


def test_a_known_step_can_be_looked_into() -> None:
    """Its schedule is made when something asks for it, and is the one that was compiled."""
    found = []
    for _ in range(2):
        step = STEPS["norm_net"]()
        program = compiled(step)
        assert (program._schedule is None) == bool(found)
        given = {"index": step.index(1)[0], **step.arrays}
        assert program.bisect(**given) is None
        program.profile(**given)
        assert "peak" in program.describe()
        program._profile = None
        found.append((program.describe(), str(program.schedule)))
    assert found[0] == found[1]


def test_a_known_step_is_checked_for_nan() -> None:
    x = rv.input((3,), name="x")
    for known_step in (False, True):
        program = rv.compile({"x": x}, {"y": rv.log(x)}, check_finite=True)
        assert (program._schedule is None) == known_step  # type: ignore[attr-defined]
        with pytest.raises(NonFiniteError, match="log gave nan at"):
            program(x=-np.ones(3, np.float32))


def test_a_known_step_knows_what_its_inputs_index() -> None:
    table, rows = rv.constant(np.zeros((4, 2), np.float32)), rv.input((3,), rv.int64, name="rows")
    for known_step in (False, True):
        program = rv.compile({"rows": rows}, {"y": rv.take(table, rows)})
        assert (program._schedule is None) == known_step  # type: ignore[attr-defined]
        with pytest.raises(InputError, match="indexes 4 rows and holds 9"):
            program(rows=np.array([1, 2, 9]))


def test_constants_that_simplifying_makes_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    kinds = {"f": np.float32, "d": np.float64, "b": dtypes.bfloat16, "i": np.int64, "t": np.bool_}
    values = {name: rng.normal(size=(5, 3)).astype(kind) for name, kind in kinds.items()}
    rows = rv.input((2,), rv.int64, name="rows")
    for _ in range(2):
        made = {name: rv.take(rv.flip(rv.constant(v)), rows) for name, v in values.items()}
        program = rv.compile({"rows": rows}, made)
        found = program(rows=np.array([4, 1]))
        for name, value in values.items():
            assert found[name].dtype == value.dtype
            np.testing.assert_array_equal(found[name], value[::-1, ::-1][[4, 1]])
        known(monkeypatch)


def test_given_constants_are_not_kept_a_second_time(folder: Path) -> None:
    value = np.random.default_rng(0).normal(size=100_000).astype(np.float32)
    x = rv.input(value.shape, name="x")
    rv.compile({"x": x}, {"y": x * rv.constant(value)})
    assert [path.stat().st_size < 1000 for path in linkages(folder)] == [True]


def test_a_step_without_room_is_refused_before_it_is_compiled(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> np.ndarray:
        raise MemoryError

    monkeypatch.setattr(native, "aligned_empty", full)
    x = rv.input((64, 64), name="x")
    with pytest.raises(InputError, match=r"needs .* GB for its temporaries, the largest"):
        rv.compile({"x": x}, {"y": rv.tanh(rv.exp(x) @ x) @ x})
    assert list(folder.iterdir()) == []


def test_a_binding_is_the_same_when_unpacked() -> None:
    array = np.float32([[1, 2], [-0.0, np.inf]])
    numbers = {"arena": 4096, "kernels": 3, "barriers": 2, "seconds": 1.5e-6, "buffers": 4}
    numbers["counters"] = 1
    sides: dict[str, Any] = {"outputs": {"y": 0}, "temporaries": [[1, 64]], "rows": {"x": 7}}
    packed = Linkage("ab", leaves=[[0, 2]], constants=[(array, 3)], **numbers, **sides).pack()
    again = Linkage.unpack(packed)
    assert again.pack() == packed
    assert again.constants[0][0].tobytes() == array.tobytes()
    assert {name: getattr(again, name) for name in (*numbers, *sides)} == {**numbers, **sides}


# ------------------------------------------------------------ what is told apart

A, B = rv.input((4, 4), name="a"), rv.input((4, 4), name="b")
S, T = (rv.Buffer(np.zeros((4, 4), np.float32), name="same") for _ in range(2))
BITS = np.arange(100, dtype=np.float32)

DIFFERENT: dict[str, Sequence[Callable[[], str | None]]] = {
    "names": (
        lambda: text_of({"y": A + B}, {"a": A, "b": B}),
        lambda: text_of({"y": A + B}, {"b": A, "a": B}),
        lambda: text_of({"z": A + B}, {"a": A, "b": B}),
    ),
    "which output": (
        lambda: text_of({"y": A + B, "z": A - B}, {"a": A, "b": B}),
        lambda: text_of({"z": A + B, "y": A - B}, {"a": A, "b": B}),
    ),
    "which state": (
        lambda: text_of({}, updates={S: S @ T, T: T @ S}),
        lambda: text_of({}, updates={T: S @ T, S: T @ S}),
        lambda: text_of({}, updates={S: S @ T}),
        lambda: text_of({"y": S @ T}),
    ),
    "a shared tensor": (
        lambda: text_of({"y": (s := rv.tanh(A)) * s}, {"a": A}),
        lambda: text_of({"y": rv.tanh(A) * rv.tanh(A)}, {"a": A}),
    ),
    "options": tuple(
        lambda chosen=chosen: text_of({"y": A + B}, {"a": A, "b": B}, **chosen)
        for chosen in (
            {},
            {"fuse": False},
            {"in_place": False},
            {"passes": ()},
            {"passes": ("fold",)},
            {"check_finite": True},
            {"threads": 3},
        )
    ),
    "constants": tuple(
        lambda value=value: text_of({"y": rv.constant(value) * 2.0})
        for value in (
            BITS,
            np.where(BITS == 99, -99, BITS).astype(np.float32),
            BITS.reshape(10, 10),
            BITS.view(np.int32),
            BITS[:4],
            BITS[:4].reshape(2, 2),
            np.float32(0.0),
            np.float32(-0.0),
            np.zeros(1, np.float32),
        )
    ),
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_different_steps_have_different_texts(what: str) -> None:
    texts = [make() for make in DIFFERENT[what]]
    assert None not in texts
    assert len(set(texts)) == len(texts)


def test_an_unsound_tensor_is_not_taken_for_a_sound_one() -> None:
    x = rv.Buffer(np.zeros(3, np.float32), name="x")
    assert text_of({"y": x * 2.0}) is not None
    assert text_of({"y": Tensor(x.op, (), x.shape, x.dtype) * 2.0}) is None
    value = np.zeros(3, np.float32)
    for shape, dtype, changing in (((3,), rv.float32, True), ((1,), rv.float32, False)):
        value.flags.writeable = changing
        assert text_of({"y": Tensor(Constant(value), (), shape, dtype)}) is None


def test_a_step_with_a_foreign_op_is_scheduled_anew(folder: Path) -> None:
    """What it means may change between two runs, and no key would tell."""
    try:

        @dataclass(frozen=True)
        class Thrice(Pointwise):
            name = "thrice"
            arity = 1

            def meaning(self, xp: Any, x: Any) -> Any:
                return x * factor

        for factor in (3, 4):
            y = apply(Thrice(), rv.constant(BITS))
            found = rv.compile({}, {"y": rv.reshape(y, (10, 10))})()["y"]
            np.testing.assert_array_equal(found, BITS.reshape(10, 10) * factor)
        assert linkages(folder) == []
    finally:
        REGISTRY.pop("thrice", None)


def test_the_number_of_threads_is_told_apart(folder: Path) -> None:
    """Scratch memory is as large as that of all threads."""
    x, w = rv.input((2, 32, 32, 64), name="x"), rv.constant(np.ones((3, 3, 64, 64), np.float32))
    programs = [
        rv.compile({"x": x}, {"y": rv.convolution(x, w, padding=1)}, threads=threads)
        for threads in (1, 3)
    ]
    assert all(isinstance(program, NativeProgram) for program in programs)
    assert programs[0].arena.size < programs[1].arena.size  # type: ignore[attr-defined]
    assert len(linkages(folder)) == 2


def test_what_no_text_says_all_of_is_refused() -> None:
    assert len({exact(v) for v in (0.0, -0.0, 0, False, None, "0", (0,), (0.0,))}) == 8
    for value in (object(), [1], np.zeros(3), {"a": 1}, (1, object())):
        with pytest.raises(CompileError, match="no text says all of"):
            exact(value)
