"""The special functions, sqrt and rsqrt of float32 within 2 ULP, and their special values.

Programs flush subnormal numbers to zero, so subnormal arguments and results are left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from llvmlite import ir

import ranvier as rv
from ranvier.engines.native.emit.ir import special
from ranvier.engines.native.host import example_host
from ranvier.engines.native.run.jit import compile_object

BLOCK = 1 << 16
TINY = 2.0**-126
BRANCHES = (
    *(0.55, 0.93, 4.0, 10.0, 88.0),  # the formulas change, or arguments are clipped
    *(0.5**0.5, 2**0.5, 1.0, 0.5 * math.log(2.0), 12.5 * math.log(2.0)),  # reduced arguments
    *(math.log(2.0), 1 - 0.5**0.5, 2**0.5 - 1, 2.0**-24, 2.0**24, 1.7e38),  # 1 + x is rounded
    *(9.01, 17.3, 87.33, 88.37, 88.72),  # the results saturate, overflow or underflow
)
"""Magnitudes round which an implementation may break."""

_erf = np.frompyfunc(math.erf, 1, 1)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    z = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + z), z / (1 + z))


EXACT: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "erf": lambda x: _erf(x).astype(np.float64),
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
}
LIMITS = dict.fromkeys(EXACT, 2.0) | {"sqrt": 0.5}


def compiled(name: str, dtype: object = np.float32, size: int = BLOCK) -> rv.Program:
    x = rv.input((size,), dtype)
    return rv.compile({"x": x}, {"y": getattr(rv, name)(x)})


def worst_ulp(name: str, program: rv.Program, block: np.ndarray) -> float:
    """The largest error in units of the last place of the rounded exact result."""
    found = program(x=block)["y"]
    with np.errstate(all="ignore"):
        exact = EXACT[name](block.astype(np.float64))
        rounded = exact.astype(np.float32)
        normal = (np.abs(exact) >= TINY) & ((np.abs(block) >= TINY) | (block == 0))
    judged = np.isfinite(rounded) & normal & np.isfinite(block)
    usable = (np.abs(block) >= TINY) | ~np.isfinite(block)
    assert np.array_equal(np.isnan(found[usable]), np.isnan(rounded[usable]))
    infinite = np.isinf(rounded) & usable
    assert np.array_equal(found[infinite], rounded[infinite])
    assert (np.abs(found[usable & (np.abs(exact) < TINY)]) <= TINY).all()
    found, exact, rounded = found[judged].astype(np.float64), exact[judged], rounded[judged]
    error = np.abs(found - exact) / np.spacing(np.abs(rounded)).astype(np.float64)
    return float(error.max(initial=0))


def sweep(count: int) -> np.ndarray:
    """Values over all exponents and signs, a dense middle and the surroundings of branches."""
    bits = np.linspace(0, 2**32 - 1, count).astype(np.uint64).astype(np.uint32)
    around = [np.linspace(b * 0.999, b * 1.001, 4096) for b in BRANCHES]
    middle = np.linspace(-20, 20, count // 2)
    rest = np.concatenate([middle, *around, *(-a for a in around)]).astype(np.float32)
    values = np.concatenate([bits.view(np.float32), rest])
    padded = np.zeros(-(-values.size // BLOCK) * BLOCK, np.float32)
    padded[: values.size] = values
    return padded.reshape(-1, BLOCK)


@pytest.mark.parametrize("name", EXACT)
def test_a_dense_sweep_is_within_two_ulp(name: str) -> None:
    program = compiled(name)
    count = 200_000 if name == "erf" else 2_500_000
    assert max(worst_ulp(name, program, block) for block in sweep(count)) <= LIMITS[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", EXACT)
def test_every_float32_is_within_two_ulp(name: str) -> None:
    """All 2^32 bit patterns; for erf, whose exact values are slow, every 97th."""
    program = compiled(name)
    step = 97 if name == "erf" else 1
    worst = 0.0
    for start in range(0, 2**32, BLOCK * step):
        bits = np.minimum(start + step * np.arange(BLOCK, dtype=np.int64), 2**32 - 1)
        block = bits.astype(np.uint32).view(np.float32)
        worst = max(worst, worst_ulp(name, program, block))
    print(name, worst)
    assert worst <= LIMITS[name]


INFINITY, NAN = math.inf, math.nan
POINTS = [0.0, -0.0, INFINITY, -INFINITY, NAN, -1.0, 200.0, -200.0]
WANTED = {
    "exp": [1, 1, INFINITY, 0, NAN, math.exp(-1), INFINITY, 0],
    "expm1": [0.0, -0.0, INFINITY, -1, NAN, math.expm1(-1), INFINITY, -1],
    "log": [-INFINITY, -INFINITY, INFINITY, NAN, NAN, NAN, math.log(200), NAN],
    "log1p": [0.0, -0.0, INFINITY, NAN, NAN, -INFINITY, math.log1p(200), NAN],
    "tanh": [0.0, -0.0, 1, -1, NAN, math.tanh(-1), 1, -1],
    "sigmoid": [0.5, 0.5, 1, 0, NAN, 1 / (1 + math.e), 1, 0],
    "erf": [0.0, -0.0, 1, -1, NAN, math.erf(-1), 1, -1],
    "sqrt": [0.0, -0.0, INFINITY, NAN, NAN, NAN, math.sqrt(200), NAN],
    "rsqrt": [INFINITY, -INFINITY, 0, NAN, NAN, NAN, 1 / math.sqrt(200), NAN],
}
"""Results at POINTS, in float32: float64 holds exp(-200) and exp(200)."""


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", WANTED)
@pytest.mark.parametrize("repeats", [1, 5])
def test_special_values(name: str, dtype: type, repeats: int) -> None:
    points = np.tile(np.array(POINTS, dtype), repeats)
    found = compiled(name, dtype, points.size)(x=points)["y"]
    wanted = np.tile(np.array(WANTED[name], dtype), repeats)
    if dtype is np.float64 and name in ("exp", "expm1", "sigmoid"):
        large = np.abs(points) == 200
        wanted[large] = EXACT[name](points[large])
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=0)
    assert np.array_equal(np.signbit(found[:2]), np.signbit(wanted[:2]))


@pytest.mark.parametrize("name", EXACT)
def test_the_result_does_not_depend_on_the_length_of_the_vector(name: str) -> None:
    values = np.abs(np.random.default_rng(3).normal(0, 3, 199)).astype(np.float32)
    whole = compiled(name, size=199)(x=values)["y"]
    for size in (1, 3, 7, 16, 33, 64, 100):
        part = compiled(name, size=size)(x=values[:size])["y"]
        assert np.array_equal(part, whole[:size])


@pytest.mark.parametrize("name", EXACT)
def test_float64(name: str) -> None:
    values = np.abs(np.random.default_rng(4).normal(0, 3, 1000)) + 0.01
    found = compiled(name, np.float64, 1000)(x=values)["y"]
    np.testing.assert_allclose(found, EXACT[name](values), rtol=1e-14)


@pytest.mark.skipif(np.finfo(np.longdouble).nmant <= 52, reason="nothing to compare with")
@pytest.mark.parametrize("name", ["expm1", "log1p"])
def test_float64_is_within_two_ulp_over_its_whole_range(name: str) -> None:
    sizes = np.concatenate([np.geomspace(1e-307, 700, 8192), np.linspace(0.1, 3, 8192)])
    values = np.concatenate([sizes, -sizes])
    values = values[values > -1] if name == "log1p" else values
    values = np.append(values, -np.exp(-np.linspace(0.01, 36, 100)))
    found = compiled(name, np.float64, values.size)(x=values)["y"]
    exact = getattr(np, name)(values.astype(np.longdouble))
    error = np.abs((found - exact) / np.spacing(np.abs(exact.astype(np.float64))))
    assert error.max() <= 2


@pytest.mark.parametrize("machine", ["avx512", "avx2", "neon"])
def test_no_call_of_the_maths_library(machine: str) -> None:
    """LLVM would make eight or sixteen scalar calls out of one vector operation."""
    host = example_host(machine)
    module = ir.Module()
    vector = ir.VectorType(ir.FloatType(), 16)
    kind = ir.FunctionType(ir.VoidType(), [ir.PointerType()])
    for name in ("exp", "expm1", "log", "log1p", "tanh", "sigmoid", "erf"):
        function = ir.Function(module, kind, f"use_{name}")
        b = ir.IRBuilder(function.append_basic_block())
        x = b.load(function.args[0], typ=vector, align=4)
        b.store(getattr(special, name)(b, x), function.args[0], align=4)
        b.ret_void()
    code = compile_object(str(module), host)
    for symbol in (b"expf", b"expm1f", b"logf", b"log1pf", b"tanhf", b"erff", b"fmaf"):
        assert symbol not in code
