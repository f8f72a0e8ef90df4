"""The text of a step, by which the cache knows it, says all of every op."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from op_cases import OPS

import ranvier as rv
from ranvier.engines.native.run.linkage import numbered, step_text
from ranvier.engines.native.schedule.keys import exact
from ranvier.engines.program import Options, Signature
from ranvier.graph.tensor import REGISTRY, Op, apply


@pytest.mark.parametrize("name", OPS)
def test_ops_that_differ_have_different_texts(name: str) -> None:
    known: dict[str, Op] = {}
    for i in range(8):
        op, arrays = OPS[name](np.random.default_rng(i), i)
        signature = Signature({}, {"y": apply(op, *map(rv.constant, arrays))}, {})
        text = step_text(numbered(signature), signature, Options())
        assert text is not None
        assert f"{name} {exact(op)}" in text
        assert known.setdefault(exact(op), op) == op


def test_every_attribute_shows_in_the_text() -> None:
    """But for the value of a constant, whose bytes do."""
    hidden = {
        (name, field.name)
        for name, op in REGISTRY.items()
        if op.__module__.startswith("ranvier.")
        for field in fields(op)  # type: ignore[arg-type]  # every op is a dataclass
        if not (field.repr and field.compare)
    }
    assert hidden == {("constant", "value")}
