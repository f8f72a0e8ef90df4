"""Random graphs on a machine with tiny caches, where even small tensors are long.

Small graphs would else never meet what is done for large ones: sums in parts, products in
segments of their depth, units of several blocks, work that is handed out. (Winograd's filtering
wants more channels than random graphs have; test_winograd.py has its cases.)
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_engines_agree import DTYPES, check_random

from ranvier.engines.native import (
    contraction_plan,
    convolution_plan,
    group,
    loops,
    lower,
)
from ranvier.engines.native import program as native
from ranvier.engines.native.emit import cascade
from ranvier.engines.native.host import host

LIMITS = {
    lower: {"LONG_REDUCTION": 16, "LONG_DEPTH": 16, "FEW_TILES": 1 << 20, "LONG_STATISTICS": 64},
    group: {"FULL_ROWS": 2},
    cascade: {"FAN": 2},
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
    small = replace(host(), l1_bytes=512, l2_bytes=2048)
    monkeypatch.setattr(native, "host", lambda: small)
    monkeypatch.setenv("RANVIER_CACHE", "")


@pytest.mark.parametrize("dtype", DTYPES)
def test_random_graphs(dtype: str) -> None:
    check_random("native", dtype, examples=40)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
def test_many_random_graphs(dtype: str) -> None:
    check_random("native", dtype, examples=1000)
