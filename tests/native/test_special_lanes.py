"""The special functions in machine code against float64, in units in the last place.

The reference is float64, which errs by less than 1e-8 of a float32's unit in the last place.
"""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from llvmlite import ir

from ranvier.engines.native.emit.ir import builder as e
from ranvier.engines.native.emit.ir import special
from ranvier.engines.native.emit.runtime import _enter_flush_mode, _restore_mode
from ranvier.engines.native.host import Host, example_host, host
from ranvier.engines.native.run.jit import assembly, compile_object, load

Array = np.ndarray[Any, Any]
FLOAT, DOUBLE = ir.FloatType(), ir.DoubleType()
LIMITS = {
    "exp": 1.0,
    "expm1": 1.5,
    "log": 0.92,
    "log1p": 1.5,
    "tanh": 1.53,
    "sigmoid": 1.67,
    "erf": 1.17,
}
"""The worst errors in ULP, as the functions' docstrings have them."""

NAMES = tuple(LIMITS)
ODD = ("tanh", "erf")
TINY = float(np.finfo(np.float32).tiny)
BLOCK = 64
"""The arrays' lengths are multiples of this, so that the loops need no remainder."""


# ---------------------------------------------------------------- machine code and references


def module_text(name: str, scalar: Any, lanes: int, machine: Host, flush: bool = False) -> str:
    """IR of `void f(ptr x, ptr y, i64 n)`: y = name(x) for n elements, `lanes` at a time.

    With `flush`, subnormal numbers count as zero, as they do in programs.
    """
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(e.VOID, [e.PTR, e.PTR, e.I64]), "f")
    b = ir.IRBuilder(function.append_basic_block())
    mode = _enter_flush_mode(b, machine) if flush else None
    x, y, count = function.args
    typ = ir.VectorType(scalar, lanes) if lanes else scalar
    with e.loop(b, 0, count, max(lanes, 1)) as i:
        argument = e.load(b, e.element(b, x, i, scalar), typ, 4)
        b.store(getattr(special, name)(b, argument), e.element(b, y, i, scalar), align=4)
    if flush:
        _restore_mode(b, machine, mode)
    b.ret_void()
    return str(module)


@functools.cache
def native(
    name: str, scalar: Any = FLOAT, lanes: int = BLOCK, flush: bool = False
) -> Callable[[Array], Array]:
    """The function over arrays whose length is a multiple of BLOCK; lanes 0 are scalars."""
    text = module_text(name, scalar, lanes, host(), flush)
    program = load(compile_object(text, host()), ["f"])
    arguments = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
    entry = ctypes.CFUNCTYPE(None, *arguments)(program.address("f"))

    def run(x: Array, keep: object = program) -> Array:
        assert x.size % BLOCK == 0
        result = np.empty_like(x)
        entry(x.ctypes.data, result.ctypes.data, x.size)
        return result

    return run


def _erf(x: Array) -> Array:
    """math.erf where it is neither linear nor 1 to float64's precision."""
    result = np.where(np.abs(x) < 1e-9, x * (2 / math.sqrt(math.pi)), np.sign(x))
    inner = (np.abs(x) >= 1e-9) & (np.abs(x) < 6)
    result[inner] = np.fromiter(map(math.erf, x[inner].tolist()), np.float64)
    return result


def _sigmoid(x: Array) -> Array:
    z = np.exp(-np.abs(x))
    return np.where(x < 0, z, 1.0) / (1.0 + z)


REFERENCE: dict[str, Callable[[Array], Array]] = {
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "erf": _erf,
}


# ---------------------------------------------------------------- arguments and errors


def spread(step: int) -> Array:
    """Every `step`-th float32 bit pattern, infinities and NaNs among them."""
    bits = np.arange(0, 1 << 32, step, dtype=np.uint64).astype(np.uint32)
    return padded(bits.view(np.float32))


def padded(x: Array) -> Array:
    return np.concatenate([x, np.ones(-x.size % BLOCK, x.dtype)])


def boundaries() -> Array:
    """The 2000 neighbours on each side of each place where an implementation may break."""
    logs = [n * math.log(2.0) for n in (-126.5, -126, -0.5, 0.5, 1, 23.5, 24, 127.5, 128)]
    roots = [math.sqrt(0.5), 1.0, math.sqrt(2.0), TINY, 2 * TINY]
    roots += [1 - math.sqrt(0.5), math.sqrt(2.0) - 1, 2.0**-24, 2.0**24, 1.7e38]
    limits = [0.55, 0.93, 4.0, 9.01, 10.0, 16.6, 88.0, 104.0, 3.4028234e38]
    places = np.array([*logs, *roots, *limits], np.float32)
    offsets = np.arange(-2000, 2001)
    bits = places.view(np.int32)[:, None] + offsets
    values = bits.astype(np.int32).view(np.float32).ravel()
    return padded(np.concatenate([values, -values]))


def worst_error(name: str, x: Array, flush: bool) -> float:
    """The largest error in ULP over `x`; all that has no ULP is compared, value by value.

    Subnormal arguments are left out, and any result below the smallest normal number will do
    where the exact one is there too.
    """
    x = padded(x[(np.abs(x) >= TINY) | (x == 0) | np.isnan(x)])
    with np.errstate(all="ignore"):
        got, want = native(name, flush=flush)(x), REFERENCE[name](x.astype(np.float64))
        rounded = want.astype(np.float32)
    measured = np.isfinite(rounded) & (np.abs(want) >= TINY)
    _, exponent = np.frexp(want[measured])
    error = np.abs(got[measured] - want[measured]) / np.ldexp(1.0, exponent - 24)
    left, right = got[~measured], rounded[~measured]
    small = (np.abs(left) <= TINY) & (np.abs(right) <= TINY)
    right_or_nan = (left == right) | (np.isnan(left) & np.isnan(right))
    wrong = ~(small | right_or_nan)
    assert not wrong.any(), f"{name}({x[~measured][wrong][:5]}) gives {left[wrong][:5]}"
    return float(error.max(initial=0.0))


# ---------------------------------------------------------------- tests


@pytest.mark.parametrize("flush", [False, True], ids=["gradual", "flush"])
@pytest.mark.parametrize("name", NAMES)
def test_accuracy(name: str, flush: bool) -> None:
    assert worst_error(name, spread(1049), flush) <= LIMITS[name]  # 4 million arguments
    assert worst_error(name, boundaries(), flush) <= LIMITS[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_accuracy_everywhere(name: str) -> None:
    worst = max(worst_error(name, x, flush=True) for x in all_arguments(name))
    assert 0.5 <= worst <= LIMITS[name]
    print(f"{name}: worst error {worst:.3f} ULP")


def all_arguments(name: str) -> Iterator[Array]:
    """All bit patterns in chunks; of odd functions those of non-negative numbers."""
    for start in range(0, 1 << (31 if name in ODD else 32), 1 << 21):
        yield np.arange(start, start + (1 << 21), dtype=np.uint64).astype(np.uint32).view("f4")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scalar", [FLOAT, DOUBLE], ids=["float32", "float64"])
def test_special_values(name: str, scalar: Any) -> None:
    kind = np.float32 if scalar is FLOAT else np.float64
    big = 1e30 if scalar is FLOAT else 1e300
    x = padded(np.array([math.nan, math.inf, -math.inf, big, -big, 0.0, -0.0, -1e-3, 1], kind))
    got = native(name, scalar)(x)
    with np.errstate(all="ignore"):
        want = REFERENCE[name](x.astype(np.float64)).astype(kind)
    exact = ~np.isin(x, [kind(-1e-3), 1])
    np.testing.assert_array_equal(got[exact], want[exact])
    numbers = exact & ~np.isnan(want)
    np.testing.assert_array_equal(np.signbit(got[numbers]), np.signbit(want[numbers]))
    np.testing.assert_allclose(got, want, rtol=4 * np.finfo(kind).eps)


@pytest.mark.parametrize("name", ODD)
def test_odd_functions_are_odd(name: str) -> None:
    x = spread(65537)
    positive, negative = native(name)(np.abs(x)), native(name)(-np.abs(x))
    numbers = ~np.isnan(x)
    np.testing.assert_array_equal(bits(-positive[numbers]), bits(negative[numbers]))


def bits(x: Array) -> Array:
    return x.view(f"i{x.itemsize}")


@pytest.mark.parametrize("name", NAMES)
def test_same_bits_with_any_number_of_lanes(name: str) -> None:
    x = np.concatenate([spread(65537), boundaries()])
    want = native(name)(x)
    numbers = ~np.isnan(want)
    for lanes in (0, 1, 4, 8, 16):
        got = native(name, FLOAT, lanes)(x)
        np.testing.assert_array_equal(bits(got[numbers]), bits(want[numbers]))
        assert np.isnan(got[~numbers]).all()


@pytest.mark.parametrize("machine", ["avx512", "avx2", "neon"])
@pytest.mark.parametrize("name", NAMES)
def test_other_machines_compile_it_without_calls(name: str, machine: str) -> None:
    for lanes in (0, 4, 16, 64):
        text = module_text(name, FLOAT, lanes, example_host(machine))
        assert compile_object(text, example_host(machine))
        words = assembly(text, example_host(machine)).split()
        assert not {"call", "callq", "bl", "blr"} & set(words)


@pytest.mark.parametrize("lanes", [0, 1, 4])
@pytest.mark.parametrize("name", NAMES)
def test_float64_is_the_c_librarys(name: str, lanes: int) -> None:
    x = padded(np.concatenate([np.linspace(1e-3, 30, 500), np.geomspace(1e-300, 1e300, 500)]))
    x = x if name in ("log", "log1p") else np.concatenate([x, -x])
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(
            native(name, DOUBLE, lanes)(x), REFERENCE[name](x), rtol=1e-15, atol=1e-320
        )


@pytest.mark.parametrize("scalar", [FLOAT, DOUBLE], ids=["float32", "float64"])
@pytest.mark.parametrize("name", ["sin", "cos"])
def test_sine_and_cosine(name: str, scalar: Any) -> None:
    kind = np.float32 if scalar is FLOAT else np.float64
    x = np.linspace(-100, 100, 1024).astype(kind)
    want = getattr(np, name)(x.astype(np.float64))
    for lanes in (0, 8):
        np.testing.assert_allclose(
            native(name, scalar, lanes)(x), want, rtol=0, atol=np.finfo(kind).eps
        )


@pytest.mark.parametrize("scalar", [FLOAT, DOUBLE], ids=["float32", "float64"])
def test_power(scalar: Any) -> None:
    kind = np.float32 if scalar is FLOAT else np.float64
    x = np.linspace(0, 8, 64).astype(kind)
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(e.VOID, [e.PTR, e.PTR]), "f")
    b = ir.IRBuilder(function.append_basic_block())
    values = e.load(b, function.args[0], ir.VectorType(scalar, 64), 4)
    b.store(special.power(b, values, values), function.args[1], align=4)
    b.ret_void()
    with load(compile_object(str(module), host()), ["f"]) as program:
        result = np.empty_like(x)
        entry = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(program.address("f"))
        entry(x.ctypes.data, result.ctypes.data)
    want = x.astype(np.float64) ** x.astype(np.float64)
    np.testing.assert_allclose(result, want, rtol=4 * np.finfo(kind).eps)
