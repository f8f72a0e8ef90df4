"""Values that come from outside keep what they are, or are refused; none is changed silently."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import ranvier as rv
from ranvier.errors import DTypeError

WHOLE = f"use whole numbers from {-(2**63)} to {2**63 - 1}, or another dtype"
BYTES = "use whole numbers from 0 to 255, or another dtype"


def says(kind: type[Exception], text: str) -> Any:
    """Expect an error of this kind whose whole text is `text`."""
    return pytest.raises(kind, match=f"^{re.escape(text)}$")


NARROW: list[tuple[str, Any, str]] = [
    ("uint8", [300, -1], f"300 does not fit uint8; {BYTES}"),
    ("uint8", [1.5, 2.0], f"1.5 does not fit uint8; {BYTES}"),
    ("int64", [1, np.nan], f"nan does not fit int64; {WHOLE}"),
    ("int64", [1, np.inf], f"inf does not fit int64; {WHOLE}"),
    ("int64", [2**63, 2**63], f"9223372036854775808 does not fit int64; {WHOLE}"),
    ("int64", [1, 2**70], "a number is too large for int64; use smaller numbers or another dtype"),
    ("float32", [1, 10**400],
     "a number is too large for float32; use smaller numbers or another dtype"),
    ("bool", [0, 5], "5 does not fit bool; use True and False, or another dtype"),
]  # fmt: skip


@pytest.mark.parametrize(("dtype", "values", "text"), NARROW)
def test_no_value_is_changed_silently(dtype: str, values: Any, text: str) -> None:
    """By an input, a constant, a new state or a new value of a state."""
    x = rv.input((2,), dtype)
    program = rv.compile({"x": x}, {"x": x}, engine="reference")
    state = rv.Buffer(np.zeros(2, dtype), name="count")
    with says(DTypeError, f"input 'x': {text}"):
        program(x=values)
    with says(DTypeError, text):
        rv.constant(values, dtype)
    with says(DTypeError, f"count: {text}"):
        rv.Buffer(values, dtype, name="count")
    with says(DTypeError, f"count: {text}"):
        state.value = values
    assert not state.value.any()


@pytest.mark.parametrize(
    ("dtype", "values"),
    [("uint8", [1.0, 2.0]), ("int64", [True, False]), ("bool", [1, 0]), ("float32", [1, 2**63])],
)
def test_numbers_that_keep_their_values_are_converted(dtype: str, values: Any) -> None:
    x = rv.input((2,), dtype)
    program = rv.compile({"x": x}, {"x": x}, engine="reference")
    state = rv.Buffer(np.zeros(2, dtype))
    state.value = values
    for found in (program(x=values)["x"], rv.constant(values, dtype).numpy(), state.value):
        assert found.dtype == dtype
        assert found.tolist() == np.asarray(values).tolist()


def test_an_empty_list_fits_every_dtype() -> None:
    x = rv.input((0,), rv.int64)
    program = rv.compile({"x": x}, {"x": x}, engine="reference")
    assert program(x=[])["x"].dtype == rv.int64
    assert rv.constant([], rv.uint8).dtype == rv.uint8
