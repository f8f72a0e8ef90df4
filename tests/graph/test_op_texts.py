"""The text of a step, by which the cache knows it, says all of every op."""

from __future__ import annotations

import numpy as np
import pytest
from op_cases import OPS

import ranvier as rv
from ranvier.engines.native.binding import numbered, step_text
from ranvier.engines.native.exact import exact
from ranvier.engines.program import Options, Signature
from ranvier.graph.tensor import apply


@pytest.mark.parametrize("name", OPS)
def test_ops_that_differ_have_different_texts(name: str) -> None:
    reprs: dict[str, set[str]] = {}
    for i in range(8):
        op, arrays = OPS[name](np.random.default_rng(i), i)
        signature = Signature({}, {"y": apply(op, *map(rv.constant, arrays))}, {})
        text = step_text(numbered(signature), signature, Options())
        assert text is not None
        assert f"{name} {exact(op)}" in text
        reprs.setdefault(exact(op), set()).add(repr(op))
    assert all(len(same) == 1 for same in reprs.values())
