"""exp, log, tanh, sigmoid and erf of float32 vectors, each within 2 units in the last place.

Branch-free polynomials after argument reduction (Muller, "Elementary Functions", 2016), any
number of lanes, special values as NumPy has them; subnormal results may be zero. The
coefficients are minimax fits of the relative error. float64, and sin, cos and power, go to
LLVM's intrinsics and so to the C library, lane by lane: exact enough, and slow.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from llvmlite import ir

from ranvier.engines.native.emit import builder as e
from ranvier.engines.native.emit.builder import I32, Value

_LOG2_E = 1.4426950408889634
_LN2_HIGH, _LN2_LOW = 0.693359375, -2.12194440e-4
"""ln 2 in two parts; the product of the first with a small integer is exact (Cody and Waite)."""

_ROUNDING = 1.5 * 2.0**23
"""Adding this to a float32 leaves its nearest integer in the low bits."""

_EXP_LOWEST, _EXP_HIGHEST = -104.0, 89.0
"""Beyond these exp is 0 or infinity in float32."""

# exp(r) = 1 + r + r^2 P(r) for |r| <= ln(2)/2
_EXP = (0.5, 0.166665181517601, 0.04166620597243309, 0.008368954062461853, 0.0013950599823147058)
# log(1 + f) = f - f^2/2 + f^3 P(f) for sqrt(1/2) <= 1 + f <= sqrt(2)
_LOG = (
    *(0.3333331346511841, -0.25000008940696716, 0.2000211924314499, -0.1666799634695053),
    *(0.14219550788402557, -0.12405591458082199, 0.11888174712657928, -0.11675640940666199),
    0.06746601313352585,
)
# tanh(x) = x + x^3 P(x^2) for |x| <= 0.65
_TANH_LIMIT = 0.65
_TANH = (
    *(-0.333333283662796, 0.13333158195018768, -0.05394056439399719),
    *(0.02166634425520897, -0.00809196475893259, 0.002064662054181099),
)
# erf(x) = x + x P(x^2) for |x| <= 0.93
_ERF_LIMIT = 0.93
_ERF = (
    *(0.1283791959285736, -0.3761284351348877, 0.11286509782075882, -0.0269976407289505),
    *(0.005508304573595524, -0.0011292507406324148, 0.00020483115804381669),
)
# erf(x) = 1 - exp(-P(x)) for 0.92 <= x <= 4; beyond it rounds to 1
_ERF_TAIL = (
    *(-0.00017468445003032684, 1.1295149326324463, 0.6333469152450562, 0.10828009247779846),
    *(-0.02511942759156227, 0.00417106319218874, -0.0004344626213423908, 2.1095051124575548e-05),
)


def exp(b: Value, x: Value) -> Value:
    """e to the power x. Worst error 1.02 ULP."""
    if _is_double(x):
        return _intrinsic(b, "exp", x)
    excess, exponent = _reduced_exp(b, x)
    return _scaled(b, b.fadd(excess, _number(x, 1.0)), exponent)


def _reduced_exp(b: Value, x: Value) -> tuple[Value, Value]:
    """(s, n) with exp(x) = (1 + s) 2^n, n an integer, |s| < 0.42."""
    x = b.select(b.fcmp_ordered("<", x, _number(x, _EXP_LOWEST)), _number(x, _EXP_LOWEST), x)
    x = b.select(b.fcmp_ordered(">", x, _number(x, _EXP_HIGHEST)), _number(x, _EXP_HIGHEST), x)
    shifted = _fma(b, x, _number(x, _LOG2_E), _number(x, _ROUNDING))
    n = b.fsub(shifted, _number(x, _ROUNDING))
    r = _fma(b, n, _number(x, -_LN2_HIGH), x)
    r = _fma(b, n, _number(x, -_LN2_LOW), r)
    excess = _fma(b, b.fmul(r, r), _polynomial(b, r, _EXP), r)
    return excess, b.sub(_bits(b, shifted), _integer(x, _bits_of(_ROUNDING)))


def _scaled(b: Value, x: Value, exponent: Value) -> Value:
    """x 2^n, by two factors of about half the exponent, since 2^n itself may overflow."""
    half = b.ashr(exponent, _integer(x, 1))
    x = b.fmul(x, _power_of_two(b, half, x.type))
    return b.fmul(x, _power_of_two(b, b.sub(exponent, half), x.type))


def log(b: Value, x: Value) -> Value:
    """The natural logarithm: -inf at 0, NaN below. Worst error 0.9 ULP."""
    if _is_double(x):
        return _intrinsic(b, "log", x)
    # Subtracting the bits of sqrt(1/2) puts the mantissa into [sqrt(1/2), sqrt(2)).
    offset = b.sub(_bits(b, x), _integer(x, 0x3F3504F3))
    exponent = b.ashr(offset, _integer(x, 23))
    mantissa = b.bitcast(b.sub(_bits(b, x), b.shl(exponent, _integer(x, 23))), x.type)
    f = b.fsub(mantissa, _number(x, 1.0))
    n = b.sitofp(exponent, x.type)
    square = b.fmul(f, f)
    y = b.fmul(b.fmul(square, f), _polynomial(b, f, _LOG))
    y = _fma(b, n, _number(x, _LN2_LOW), y)
    y = _fma(b, square, _number(x, -0.5), y)
    y = b.fadd(f, y)
    y = _fma(b, n, _number(x, _LN2_HIGH), y)
    infinity = _number(x, float("inf"))
    y = b.select(b.fcmp_ordered("==", x, infinity), infinity, y)
    y = b.select(b.fcmp_ordered("==", x, _number(x, 0.0)), _number(x, float("-inf")), y)
    # Less than zero or unordered: NaN.
    valid = b.fcmp_ordered(">=", x, _number(x, 0.0))
    return b.select(valid, y, _number(x, float("nan")))


def tanh(b: Value, x: Value) -> Value:
    """The hyperbolic tangent; the sign of zero is kept. Worst error 1.4 ULP."""
    if _is_double(x):
        return _intrinsic(b, "tanh", x)
    size = _intrinsic(b, "fabs", x)
    square = b.fmul(x, x)
    small = _fma(b, b.fmul(size, square), _polynomial(b, square, _TANH), size)
    rest = b.fdiv(_number(x, 2.0), b.fadd(exp(b, b.fadd(size, size)), _number(x, 1.0)))
    large = b.fsub(_number(x, 1.0), rest)
    result = b.select(b.fcmp_ordered("<", size, _number(x, _TANH_LIMIT)), small, large)
    return _intrinsic(b, "copysign", result, x)


def sigmoid(b: Value, x: Value) -> Value:
    """1 / (1 + exp(-x)) without overflow. Worst error 1.1 ULP.

    With z = exp(-|x|) it is 1 / (1 + z) or, for negative x, z / (1 + z). The roundings of z and
    of 1 + z are kept as small terms, and one Newton step puts them into the quotient.
    """
    one, zero = _number(x, 1.0), _number(x, 0.0)
    size = _intrinsic(b, "fabs", x)
    if _is_double(x):
        z = exp(b, b.fneg(size))
        return b.fdiv(b.select(b.fcmp_ordered("<", x, zero), z, one), b.fadd(one, z))
    excess, exponent = _reduced_exp(b, b.fneg(size))
    rounded = b.fadd(excess, one)
    z = _scaled(b, rounded, exponent)
    z_rest = _scaled(b, b.fsub(excess, b.fsub(rounded, one)), exponent)
    below = b.fadd(one, z)
    below_rest = b.fadd(b.fsub(z, b.fsub(below, one)), z_rest)
    negative = b.fcmp_ordered("<", x, zero)
    above, above_rest = b.select(negative, z, one), b.select(negative, z_rest, zero)
    inverse = b.fdiv(one, below)
    quotient = b.fmul(above, inverse)
    remainder = _fma(b, b.fneg(quotient), below, above)
    remainder = b.fadd(_fma(b, b.fneg(quotient), below_rest, remainder), above_rest)
    return _fma(b, remainder, inverse, quotient)


def erf(b: Value, x: Value) -> Value:
    """The error function; the sign of zero is kept. Worst error 1.2 ULP."""
    if _is_double(x):
        return _each_lane(b, "erf", x)
    size = _intrinsic(b, "fabs", x)
    square = b.fmul(x, x)
    small = _fma(b, size, _polynomial(b, square, _ERF), size)
    limit = _number(x, 4.0)
    within = b.select(b.fcmp_ordered(">", size, limit), limit, size)
    large = b.fsub(_number(x, 1.0), exp(b, b.fneg(_polynomial(b, within, _ERF_TAIL))))
    result = b.select(b.fcmp_ordered("<", size, _number(x, _ERF_LIMIT)), small, large)
    return _intrinsic(b, "copysign", result, x)


def sin(b: Value, x: Value) -> Value:
    """The sine, by the C library."""
    return _intrinsic(b, "sin", x)


def cos(b: Value, x: Value) -> Value:
    """The cosine, by the C library."""
    return _intrinsic(b, "cos", x)


def power(b: Value, x: Value, y: Value) -> Value:
    """x to the power y, by the C library."""
    return _intrinsic(b, "pow", x, y)


# ---------------------------------------------------------------- pieces


def _is_double(x: Value) -> bool:
    return isinstance(_scalar(x.type), ir.DoubleType)


def _scalar(typ: Value) -> Value:
    return typ.element if isinstance(typ, ir.VectorType) else typ


def _like(x: Value, scalar: Value) -> Value:
    """`scalar` with as many lanes as x."""
    return ir.VectorType(scalar, x.type.count) if isinstance(x.type, ir.VectorType) else scalar


def _constant(typ: Value, number: float) -> Value:
    if isinstance(typ, ir.VectorType):
        return ir.Constant(typ, [ir.Constant(typ.element, number)] * typ.count)
    return ir.Constant(typ, number)


def _number(x: Value, number: float) -> Value:
    return _constant(x.type, number)


def _integer(x: Value, number: int) -> Value:
    return _constant(_like(x, I32), number)


def _bits(b: Value, x: Value) -> Value:
    return b.bitcast(x, _like(x, I32))


def _bits_of(number: float) -> int:
    return int(struct.unpack("<i", struct.pack("<f", number))[0])


def _power_of_two(b: Value, n: Value, typ: Value) -> Value:
    """2^n for -126 <= n <= 127, made of its exponent bits."""
    biased = b.add(n, _constant(n.type, 127))
    return b.bitcast(b.shl(biased, _constant(n.type, 23)), typ)


def _fma(b: Value, x: Value, y: Value, z: Value) -> Value:
    return e.fused_multiply_add(b, x, y, z)


def _polynomial(b: Value, x: Value, coefficients: Sequence[float]) -> Value:
    """Horner's scheme; the constant term comes first."""
    *lower, total = (_number(x, c) for c in coefficients)
    for c in reversed(lower):
        total = _fma(b, total, x, c)
    return total


def _intrinsic(b: Value, name: str, *args: Value) -> Value:
    typ = args[0].type
    signature = ir.FunctionType(typ, [typ] * len(args))
    return b.call(e.function(b.module, f"llvm.{name}.{e.type_name(typ)}", signature), args)


def _each_lane(b: Value, name: str, x: Value) -> Value:
    """A function of the C library that LLVM has no intrinsic for."""
    scalar = _scalar(x.type)
    callee = e.function(b.module, name, ir.FunctionType(scalar, [scalar]))
    if not isinstance(x.type, ir.VectorType):
        return b.call(callee, [x])
    result = ir.Constant(x.type, ir.Undefined)
    for lane in range(x.type.count):
        at = ir.Constant(I32, lane)
        value = b.call(callee, [b.extract_element(x, at)])
        result = b.insert_element(result, value, at)
    return result
