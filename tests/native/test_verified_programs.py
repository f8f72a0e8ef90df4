"""`verify=True`: every kernel of the first step is compared with the reference engine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ranvier as rv
from ranvier.engines.native.emit.ir import pointwise
from ranvier.errors import CompileError

X = np.linspace(-1, 1, 48, dtype=np.float32).reshape(6, 8)


def a_program(**options: Any) -> tuple[rv.Program, rv.Parameter]:
    x = rv.input((6, 8), name="x")
    w = rv.Parameter(np.ones((8, 8), np.float32), name="w")
    hidden = rv.tanh(x @ w)
    (slope,) = rv.gradients(hidden.sum(), [w])
    return rv.compile({"x": x}, {"y": hidden}, {w: w - 0.1 * slope}, **options), w


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiler that takes tanh for sigmoid, and no cache that would remember it."""
    monkeypatch.setenv("RANVIER_CACHE", "")
    wrong = {**pointwise.TABLE, "tanh": pointwise.TABLE["sigmoid"]}
    monkeypatch.setattr(pointwise, "TABLE", wrong)


def test_a_sound_program_runs_as_ever() -> None:
    (plain, w), (checked, v) = a_program(), a_program(verify=True)
    for _ in range(2):
        np.testing.assert_array_equal(plain(x=X)["y"], checked(x=X)["y"])
    np.testing.assert_array_equal(w.value, v.value)
    assert checked(x=np.stack([X, X]), steps=2)["y"].shape == (2, 6, 8)


@pytest.mark.usefixtures("broken")
def test_a_wrong_kernel_is_named_before_it_runs() -> None:
    checked, w = a_program(verify=True)
    with pytest.raises(CompileError, match=r"^kernel matmul\d gave .* of tanh float32\[6,8\]"):
        checked(x=X)
    np.testing.assert_array_equal(w.value, 1)
    with pytest.raises(CompileError, match="please report it"):
        checked(x=np.stack([X, X]), steps=2)


@pytest.mark.usefixtures("broken")
def test_the_environment_asks_for_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    quiet, _ = a_program()
    quiet(x=X)
    monkeypatch.setenv("RANVIER_VERIFY", "1")
    checked, _ = a_program()
    with pytest.raises(CompileError, match="please report it"):
        checked(x=X)
    told, _ = a_program(verify=False)
    told(x=X)
