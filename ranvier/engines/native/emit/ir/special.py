"""exp, expm1, log, log1p, tanh, sigmoid and erf of float32, each within 2 units in the last place.

Branch-free polynomials after argument reduction (Muller, "Elementary Functions", 2016), for
scalars and vectors of any length, with the special values of NumPy; subnormal arguments and
results may count as zero. The coefficients are minimax fits, of the relative error unless
stated. float64, and sin, cos and power, go to LLVM's intrinsics and so to the C library, lane
by lane: exact enough, and slow.

Worst errors are measured over all normal arguments with normal results, in units in the last
place (ULP) of the exact result, with subnormal numbers flushed to zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from llvmlite import ir

from ranvier.engines.native.emit.ir import builder as e
from ranvier.engines.native.emit.ir.builder import I32, Value

_LN2_HIGH = 0.693359375
_LN2_LOW = math.log(2.0) - _LN2_HIGH
"""ln 2 in two parts; the product of the first with a small integer is exact (Cody and Waite)."""

_ROUNDING = 1.5 * 2.0**23 + 127
"""Added to a small float32 n it leaves, in the lowest bits, the nearest integer of n + 127.

Shifted by 23 these bits are 2^n, and zero for n = -127. Subtracting it again leaves the nearest
integer of n.
"""

_EXP_LOWEST = -88.0
"""Below it exp is less than the smallest normal number."""

_SMALLEST_NORMAL = 2.0**-126

# exp(r) = 1 + r + r^2 P(r) for -ln(2)/2 <= r <= ln 2
_EXP = (
    *(0.4999999403953552, 0.16666696965694427, 0.041668180376291275),
    *(0.008326933719217777, 0.0013833793345838785, 0.00023276741558220237),
)
# 2^r = 1 + r P(r) for |r| <= 1/2
_EXP2 = (
    *(0.6931471824645996, 0.24022647738456726, 0.05550359934568405),
    *(0.009618505835533142, 0.0013390806270763278, 0.00015326471475418657),
)
# log(1 + f) = f + f^2 P(f) for sqrt(1/2) <= 1 + f <= sqrt(2)
_LOG = (
    *(-0.49999988079071045, 0.33333325386047363, -0.25001609325408936, 0.20002004504203796),
    *(-0.16608411073684692, 0.14180853962898254, -0.1324806958436966, 0.12912945449352264),
    -0.0761905387043953,
)
_SQRT_HALF_BITS = 0x3F3504F3
_TWO_BITS = 0x40000000
"""The bits of the float32 numbers sqrt(1/2) and 2."""
_EXPONENT_BITS = -1 << 23
"""The sign and exponent of a float32."""

# tanh(x) = x + x^3 P(x^2) for |x| <= 0.55
_TANH_LIMIT = 0.55
_TANH = (
    *(-0.33333316445350647, 0.13332544267177582, -0.0538475476205349),
    *(0.02105071395635605, -0.00624284939840436),
)
_TANH_ONE = 10.0
"""tanh rounds to 1 well before this."""

# erf(x) = x + x P(x^2) for |x| <= 0.93
_ERF_LIMIT = 0.93
_ERF = (
    *(0.12837915122509003, -0.37612488865852356, 0.11281730234622955),
    *(-0.026762915775179863, 0.004987252876162529, -0.0005958977271802723),
)
# erf(x) = 1 - 2^-P(x) for 0.92 <= x <= 4, fitted for the absolute error of erf
_ERF_TAIL = (
    *(0.00029868021374568343, 1.6268223524093628, 0.9193803071975708, 0.14983291923999786),
    *(-0.03201298788189888, 0.004376662895083427, -0.00028124492382630706),
)
_ERF_ONE = 4.0
"""erf rounds to 1 well before this."""


def exp(b: Value, x: Value) -> Value:
    """e to the power x. Worst error 1.0 ULP."""
    if _is_double(x):
        return _intrinsic(b, "exp", x)
    excess, scale = _reduced_exp(b, x)
    return _fma(b, excess, scale, scale)


def _reduced_exp(b: Value, x: Value, whole: Value | None = None) -> tuple[Value, Value]:
    """(s, p) with exp(x) = (1 + s) p; p is 2^n for an integer n, or 0.

    n is the integer nearest to x / ln 2, but at most 127, since 2^128 is infinity. So s lies
    between -0.3 and 0.42, but reaches 1 near the largest float32; beyond it the product overflows.
    whole: where n is to be 0, between 0 and ln 2.
    """
    x = _at_least(b, x, _EXP_LOWEST)
    shifted = _fma(b, x, _number(x, 1.0 / math.log(2.0)), _number(x, _ROUNDING))
    shifted = _at_most(b, shifted, _ROUNDING + 127)
    if whole is not None:
        shifted = b.select(whole, _number(x, _ROUNDING), shifted)
    n = b.fsub(shifted, _number(x, _ROUNDING))
    r = _fma(b, n, _number(x, -_LN2_HIGH), x)
    r = _fma(b, n, _number(x, -_LN2_LOW), r)
    excess = _fma(b, b.fmul(r, r), _polynomial(b, r, _EXP), r)
    return excess, _power_of_two(b, shifted)


def expm1(b: Value, x: Value) -> Value:
    """e to the power x, less 1; the sign of zero is kept. Worst error 1.5 ULP.

    As `exp`, (1 + s) p - 1 = s p + (p - 1). Up to ln 2, p is 1, so that nothing cancels.
    """
    if _is_double(x):
        return _each_lane(b, "expm1", x)
    positive = b.fcmp_ordered(">", x, _number(x, 0.0))
    below = b.fcmp_ordered("<", x, _number(x, math.log(2.0)))
    excess, scale = _reduced_exp(b, x, whole=b.and_(positive, below))
    result = _fma(b, excess, scale, b.fsub(scale, _number(x, 1.0)))
    return _intrinsic(b, "copysign", result, x)


def log(b: Value, x: Value) -> Value:
    """The natural logarithm: -inf at 0, NaN below. Worst error 0.92 ULP.

    x = m 2^n with sqrt(1/2) <= m < sqrt(2), and log(x) = log(m) + n ln 2.
    """
    if _is_double(x):
        return _intrinsic(b, "log", x)
    exponent, f = _reduced_log(b, x)
    return _special_logs(b, x, _log_of(b, exponent, f))


def log1p(b: Value, x: Value) -> Value:
    """The natural logarithm of 1 + x; the sign of zero is kept. Worst error 1.5 ULP.

    1 + x is rounded to u = m 2^n, and what is lost is put back into m - 1. For n = 0 that is
    x itself.
    """
    if _is_double(x):
        return _each_lane(b, "log1p", x)
    one = _number(x, 1.0)
    u = b.fadd(x, one)
    lost = b.fsub(x, b.fsub(u, one))
    exponent, f = _reduced_log(b, u)
    # Half of lost 2^(1 - n): 2^-n is not normal where n is 127 or 128, and nothing is lost there.
    scale = b.bitcast(b.sub(_integer(x, _TWO_BITS), exponent), x.type)
    f = _fma(b, b.fmul(lost, scale), _number(x, 0.5), f)
    return _intrinsic(b, "copysign", _special_logs(b, u, _log_of(b, exponent, f)), x)


def _reduced_log(b: Value, x: Value) -> tuple[Value, Value]:
    """(n << 23, m - 1) with x = m 2^n and sqrt(1/2) <= m < sqrt(2)."""
    bits = _bits(b, x)
    exponent = b.and_(b.sub(bits, _integer(x, _SQRT_HALF_BITS)), _integer(x, _EXPONENT_BITS))
    return exponent, b.fsub(b.bitcast(b.sub(bits, exponent), x.type), _number(x, 1.0))


def _log_of(b: Value, exponent: Value, f: Value) -> Value:
    """log((1 + f) 2^n), of n << 23."""
    y = _fma(b, b.fmul(f, f), _polynomial(b, f, _LOG), f)
    # One constant for ln 2 will do: its relative error is 3e-9.
    return _fma(b, b.sitofp(exponent, f.type), _number(f, math.log(2.0) / 2**23), y)


def _special_logs(b: Value, x: Value, y: Value) -> Value:
    """y, the logarithm of x; but inf and NaN stay, 0 gives -inf, and what is below it NaN."""
    y = b.select(b.fcmp_ordered("<", x, _number(x, math.inf)), y, x)
    negative = b.fcmp_ordered("<", x, _number(x, 0.0))
    special = b.select(negative, _number(x, math.nan), _number(x, -math.inf))
    return b.select(b.fcmp_ordered("<", x, _number(x, _SMALLEST_NORMAL)), special, y)


def tanh(b: Value, x: Value) -> Value:
    """The hyperbolic tangent; the sign of zero is kept. Worst error 1.53 ULP.

    A polynomial for small x, and 1 - 2 / (exp(2x) + 1) beyond.
    """
    if _is_double(x):
        return _intrinsic(b, "tanh", x)
    size = _intrinsic(b, "fabs", x)
    square = b.fmul(x, x)
    small = _fma(b, b.fmul(size, square), _polynomial(b, square, _TANH), size)
    within, double_log = _at_most(b, size, _TANH_ONE), _number(x, 2.0 / math.log(2.0))
    shifted = _fma(b, within, double_log, _number(x, _ROUNDING))
    n = b.fsub(shifted, _number(x, _ROUNDING))
    r = _fma(b, within, double_log, b.fneg(n))
    excess, scale = b.fmul(r, _polynomial(b, r, _EXP2)), _power_of_two(b, shifted)
    one = _number(x, 1.0)
    rest = b.fdiv(_number(x, 2.0), _fma(b, excess, scale, b.fadd(scale, one)))
    large = b.fsub(one, rest)
    result = b.select(b.fcmp_ordered(">", size, _number(x, _TANH_LIMIT)), large, small)
    return _intrinsic(b, "copysign", result, x)


def sigmoid(b: Value, x: Value) -> Value:
    """1 / (1 + exp(-x)). Worst error 1.67 ULP."""
    one = _number(x, 1.0)
    if _is_double(x):
        z = exp(b, b.fneg(_intrinsic(b, "fabs", x)))  # at most 1, so that nothing overflows
        negative = b.fcmp_ordered("<", x, _number(x, 0.0))
        return b.fdiv(b.select(negative, z, one), b.fadd(one, z))
    excess, scale = _reduced_exp(b, b.fneg(x))
    # 1 + (1 + s) p, in an order that loses neither 1 nor p.
    big = b.fcmp_ordered(">", scale, _number(x, 2.0**12))
    inner = b.select(big, one, b.fadd(scale, one))
    outer = b.select(big, scale, _number(x, 0.0))
    return b.fdiv(one, b.fadd(_fma(b, excess, scale, inner), outer))


def erf(b: Value, x: Value) -> Value:
    """The error function; the sign of zero is kept. Worst error 1.17 ULP.

    A polynomial for small x, and 1 - 2^-P(x) with another polynomial P beyond.
    """
    if _is_double(x):
        return _each_lane(b, "erf", x)
    size = _intrinsic(b, "fabs", x)
    square = b.fmul(x, x)
    small = _fma(b, size, _polynomial(b, square, _ERF), size)
    tail = _polynomial(b, _at_most(b, size, _ERF_ONE), [-c for c in _ERF_TAIL])
    shifted = b.fadd(tail, _number(x, _ROUNDING))
    r = b.fsub(tail, b.fsub(shifted, _number(x, _ROUNDING)))
    excess, scale = b.fmul(r, _polynomial(b, r, _EXP2)), _power_of_two(b, shifted)
    large = _fma(b, b.fneg(excess), scale, b.fsub(_number(x, 1.0), scale))
    result = b.select(b.fcmp_ordered(">", size, _number(x, _ERF_LIMIT)), large, small)
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


def _power_of_two(b: Value, shifted: Value) -> Value:
    """2^n, of n + _ROUNDING for -126 <= n <= 127; 0 for n = -127."""
    return b.bitcast(b.shl(_bits(b, shifted), _integer(shifted, 23)), shifted.type)


def _at_most(b: Value, x: Value, limit: float) -> Value:
    """The smaller of x and `limit`; NaN stays. One instruction on x86."""
    bound = _number(x, limit)
    return b.select(b.fcmp_ordered("<", bound, x), bound, x)


def _at_least(b: Value, x: Value, limit: float) -> Value:
    """The larger of x and `limit`; NaN stays. One instruction on x86."""
    bound = _number(x, limit)
    return b.select(b.fcmp_ordered(">", bound, x), bound, x)


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
