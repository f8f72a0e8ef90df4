"""Random graphs on a machine with tiny caches, where even small tensors are long.

Small graphs would else never meet what is done for large ones: sums in parts, products in
segments of their depth, units of several blocks, work that is handed out. (Winograd's filtering
wants more channels than random graphs have; test_winograd.py has its cases.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from test_engines_agree import DTYPES, check_random

import ranvier as rv
from ranvier.engines.native import program as native
from ranvier.engines.native.emit.loops import pairwise as pairwise
from ranvier.engines.native.emit.loops import shape as loops
from ranvier.engines.native.fuse import fusion as group
from ranvier.engines.native.fuse import joins
from ranvier.engines.native.fuse import producers as pull
from ranvier.engines.native.host import host
from ranvier.engines.native.lower import lower
from ranvier.engines.native.plans import convolution as convolution_plan
from ranvier.engines.native.plans import matmul as contraction_plan
from ranvier.engines.native.schedule.kernels import MatmulKernel

LIMITS = {
    lower: {"LONG_REDUCTION": 16, "LONG_DEPTH": 16, "FEW_TILES": 1 << 20, "LONG_STATISTICS": 64},
    group: {"FULL_ROWS": 2, "MOST_ANCHORS": 3, "MOST_WORK": 8, "MOST_PASSES": 2},
    pull: {"MOST_INLINED": 5},
    joins: {"LEAST_REPEATED": 0, "REPEATED_LIMIT": 0},
    pairwise: {"FAN": 2},
    loops: {"BLOCK_BYTES": 256},
    contraction_plan: {
        "_FEW_BLOCKS": 1,
        "_SMALL": 0,
        "_LONG_TILE": 2,
        "_MANY_PANELS": 3,
        "STACK_BYTES": 4096,
        "MANY_PARTS": 2,
        "MANY_TILES": 2,
    },
    convolution_plan: {"_MANY_PANELS": 1, "STACK_BYTES": 1024},
}


@pytest.fixture(autouse=True)
def low_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """All limits low, and no cache, whose keys know nothing of them."""
    for module, values in LIMITS.items():
        for name, value in values.items():
            monkeypatch.setattr(module, name, value)
    small = replace(host(), l1_bytes=512, l2_bytes=512)
    monkeypatch.setattr(native, "host", lambda: small)
    monkeypatch.setenv("RANVIER_CACHE", "")


@pytest.mark.parametrize("dtype", DTYPES)
def test_random_graphs(dtype: str) -> None:
    check_random("native", dtype, examples=40)


Matrix: TypeAlias = tuple[np.ndarray, bool]
"""Small whole numbers, whose sums of products are exact; and whether memory has them transposed."""


@st.composite
def matrices(draw: Callable[[Any], Any], *shape: int) -> Matrix:
    """Draw a matrix, or a batch of them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    return rng.integers(-3, 4, shape), draw(st.booleans())


@st.composite
def products(draw: Callable[[Any], Any]) -> tuple[list[Matrix], list[Matrix]]:
    """One or two left operands, and one or two right ones; each left one meets each right one."""
    batch = draw(st.sampled_from([(), (), (2,)]))
    m, k, n = (draw(st.sampled_from((5, 16, 23, 33, 48))) for _ in range(3))
    lefts = [draw(matrices(*batch, m, k)) for _ in range(draw(st.integers(1, 2)))]
    return lefts, [draw(matrices(*batch, k, n)) for _ in range(draw(st.integers(1, 2)))]


@pytest.mark.parametrize("dtype", DTYPES)
def test_random_products(dtype: str) -> None:
    """All products of some matrices, and a product of those; many share an operand's panels."""
    packed: Counter[bool] = Counter()

    @seed(0)  # the same ones every time, so that they are known to be of all kinds
    @settings(max_examples=60, deadline=None, database=None)
    @given(products(), st.integers(1, 4))
    def check(operands: tuple[list[Matrix], list[Matrix]], threads: int) -> None:
        inputs: dict[str, rv.Tensor] = {}
        arrays: dict[str, np.ndarray] = {}

        def matrix(numbers: np.ndarray, turned: bool) -> rv.Tensor:
            """A view of an input of its own, as which the numbers lie in memory."""
            name = f"x{len(inputs)}"
            lying = numbers.swapaxes(-1, -2) if turned else numbers
            arrays[name] = np.ascontiguousarray(lying, dtype=dtype)
            inputs[name] = rv.input(lying.shape, dtype=dtype)
            return rv.swapaxes(inputs[name], -1, -2) if turned else inputs[name]

        lefts, rights = ([matrix(*drawn) for drawn in side] for side in operands)
        found = [a @ b for a in lefts for b in rights]
        expected = [a @ b for a, _ in operands[0] for b, _ in operands[1]]
        found.append(rv.swapaxes(found[0], -1, -2) @ found[-1])
        expected.append(expected[0].swapaxes(-1, -2) @ expected[-1])
        outputs = {f"y{i}": y for i, y in enumerate(found)}
        program = rv.compile(inputs, outputs, engine="native", threads=threads)
        for result, want in zip(program(steps=2, **arrays).values(), expected, strict=True):
            np.testing.assert_array_equal(result, np.stack([want, want]))
        for kernel in program.schedule.sequenced.kernels:
            if isinstance(kernel, MatmulKernel):
                sides = kernel.packed_left, kernel.packed_right
                packed.update(side.by_segment for side in sides if side is not None)

    check()
    assert packed[True]
    assert packed[False]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
def test_many_random_graphs(dtype: str) -> None:
    check_random("native", dtype, examples=1000)
