"""The pointwise ops in LLVM: one row of the table for each.

Arguments are scalars or vectors of one type; bool is i1 and bfloat16, which is storage only,
its 16 bits. Floating comparisons are ordered, as NumPy's: false where an operand is NaN,
except `not_equal`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from llvmlite import ir

from ranvier import dtypes
from ranvier.dtypes import DType
from ranvier.engines.native.emit.ir import special
from ranvier.engines.native.emit.ir.builder import I1, I32, Value, element_type, function, type_name

Emit = Callable[[Value, DType, Sequence[Value]], Value]
"""(builder, dtype of the arguments, arguments) to the result."""


def value_type(dtype: DType, lanes: int = 0) -> Value:
    """The LLVM type of a value of `dtype` in a register; a vector where `lanes` > 0."""
    scalar = I1 if dtype == dtypes.bool_ else element_type(dtype)
    return ir.VectorType(scalar, lanes) if lanes else scalar


def literal(typ: Value, number: Any) -> Value:
    """A constant of `typ`, the same in every lane."""
    if isinstance(typ, ir.VectorType):
        return ir.Constant(typ, [ir.Constant(typ.element, number)] * typ.count)
    return ir.Constant(typ, number)


def retyped(typ: Value, scalar: Value) -> Value:
    """`scalar`, or a vector of it with as many lanes as `typ`."""
    return ir.VectorType(scalar, typ.count) if isinstance(typ, ir.VectorType) else scalar


def compute(b: Value, name: str, dtype: DType, args: Sequence[Value], result: DType) -> Value:
    """The result of pointwise op `name` on arguments of `dtype`."""
    if name == "cast":
        return cast(b, args[0], dtype, result)
    return TABLE[name](b, dtype, args)


def _intrinsic(name: str) -> Emit:
    def emit(b: Value, dtype: DType, args: Sequence[Value]) -> Value:
        typ = args[0].type
        signature = ir.FunctionType(typ, [typ] * len(args))
        return b.call(function(b.module, f"llvm.{name}.{type_name(typ)}", signature), args)

    return emit


def _arithmetic(floating: str, integer: str | None = None) -> Emit:
    def emit(b: Value, dtype: DType, args: Sequence[Value]) -> Value:
        if dtypes.is_floating(dtype):
            return getattr(b, floating)(*args)
        return getattr(b, integer or floating)(*args)

    return emit


def _compare(sign: str) -> Emit:
    def emit(b: Value, dtype: DType, args: Sequence[Value]) -> Value:
        if dtypes.is_floating(dtype):
            ordered = b.fcmp_unordered if sign == "!=" else b.fcmp_ordered
            return ordered(sign, *args)
        signed = dtype in (dtypes.int32, dtypes.int64)
        return (b.icmp_signed if signed else b.icmp_unsigned)(sign, *args)

    return emit


def _extremum(floating: str, sign: str) -> Emit:
    emit_floating, emit_compare = _intrinsic(floating), _compare(sign)

    def emit(b: Value, dtype: DType, args: Sequence[Value]) -> Value:
        if dtypes.is_floating(dtype):
            return emit_floating(b, dtype, args)
        return b.select(emit_compare(b, dtype, args), *args)

    return emit


def _special(name: str) -> Emit:
    def emit(b: Value, dtype: DType, args: Sequence[Value]) -> Value:
        return getattr(special, name)(b, *args)

    return emit


def _negative(b: Value, dtype: DType, args: Sequence[Value]) -> Value:
    return b.fneg(args[0]) if dtypes.is_floating(dtype) else b.neg(args[0])


def _abs(b: Value, dtype: DType, args: Sequence[Value]) -> Value:
    if dtypes.is_floating(dtype):
        return _intrinsic("fabs")(b, dtype, args)
    negative = b.icmp_signed("<", args[0], literal(args[0].type, 0))
    return b.select(negative, b.neg(args[0]), args[0])


def _sign(b: Value, dtype: DType, args: Sequence[Value]) -> Value:
    (x,) = args
    zero, one = literal(x.type, 0), literal(x.type, 1)
    if dtypes.is_floating(dtype):
        negative = b.fcmp_ordered("<", x, zero)
        rest = b.fadd(x, zero)  # NaN stays, -0 becomes 0
        smaller = b.select(negative, literal(x.type, -1), rest)
        return b.select(b.fcmp_ordered(">", x, zero), one, smaller)
    smaller = b.select(b.icmp_signed("<", x, zero), literal(x.type, -1), zero)
    return b.select(b.icmp_signed(">", x, zero), one, smaller)


def _step(b: Value, dtype: DType, args: Sequence[Value]) -> Value:
    (x,) = args
    zero = literal(x.type, 0)
    return b.select(b.fcmp_ordered(">=", x, zero), literal(x.type, 1), zero)


def _sqrt(b: Value, dtype: DType, args: Sequence[Value]) -> Value:
    return _intrinsic("sqrt")(b, dtype, args)


def _rsqrt(b: Value, dtype: DType, args: Sequence[Value]) -> Value:
    root = _sqrt(b, dtype, args)
    return b.fdiv(literal(root.type, 1), root)


def _same(b: Value, dtype: DType, args: Sequence[Value]) -> Value:
    return args[0]


def _not(b: Value, dtype: DType, args: Sequence[Value]) -> Value:
    return b.not_(args[0])


def _where(b: Value, dtype: DType, args: Sequence[Value]) -> Value:
    return b.select(*args)


TABLE: dict[str, Emit] = {
    "negative": _negative,
    "exp": _special("exp"),
    "expm1": _special("expm1"),
    "log": _special("log"),
    "log1p": _special("log1p"),
    "tanh": _special("tanh"),
    "sigmoid": _special("sigmoid"),
    "erf": _special("erf"),
    "sqrt": _sqrt,
    "rsqrt": _rsqrt,
    "sin": _special("sin"),
    "cos": _special("cos"),
    "abs": _abs,
    "sign": _sign,
    "floor": _intrinsic("floor"),
    "step": _step,
    "stop_gradient": _same,
    "add": _arithmetic("fadd", "add"),
    "subtract": _arithmetic("fsub", "sub"),
    "multiply": _arithmetic("fmul", "mul"),
    "divide": _arithmetic("fdiv"),
    "power": _special("power"),
    "maximum": _extremum("maximum", ">"),
    "minimum": _extremum("minimum", "<"),
    "less": _compare("<"),
    "less_equal": _compare("<="),
    "equal": _compare("=="),
    "not_equal": _compare("!="),
    "logical_and": lambda b, dtype, args: b.and_(*args),
    "logical_or": lambda b, dtype, args: b.or_(*args),
    "logical_not": _not,
    "where": _where,
}


def cast(b: Value, x: Value, source: DType, target: DType) -> Value:
    """`x` of dtype `source` converted to `target`, as the op `cast` says."""
    if source == target:
        return x
    if source == dtypes.bfloat16:
        return cast(b, _from_bfloat16(b, x), dtypes.float32, target)
    if target == dtypes.bfloat16:
        return _to_bfloat16(b, cast(b, x, source, dtypes.float32))
    typ = retyped(x.type, value_type(target))
    if target == dtypes.bool_:
        zero = literal(x.type, 0)
        return _compare("!=")(b, source, [x, zero])
    if dtypes.is_floating(source):
        if dtypes.is_floating(target):
            return b.fpext(x, typ) if target == dtypes.float64 else b.fptrunc(x, typ)
        return _float_to_integer(b, x, typ, source, target)
    unsigned = source in (dtypes.bool_, dtypes.uint8)
    if dtypes.is_floating(target):
        return b.uitofp(x, typ) if unsigned else b.sitofp(x, typ)
    if target.itemsize > source.itemsize or source == dtypes.bool_:
        return b.zext(x, typ) if unsigned else b.sext(x, typ)
    return b.trunc(x, typ)


def _float_to_integer(b: Value, x: Value, typ: Value, source: DType, target: DType) -> Value:
    """Towards zero; out of range the nearest integer, NaN 0.

    LLVM leaves fptosi open there, and splits the saturating intrinsic into scalars on x86, so
    the numbers are brought into range first.
    """
    limits = np.iinfo(target)
    least, most = literal(x.type, float(limits.min)), literal(x.type, _below(limits.max, source))
    low, high = b.fcmp_ordered("<", x, least), b.fcmp_ordered(">", x, most)
    number = b.select(b.fcmp_unordered("uno", x, x), literal(x.type, 0), x)
    inside = b.select(high, most, b.select(low, least, number))
    if target == dtypes.uint8:
        return b.trunc(b.fptosi(inside, retyped(typ, I32)), typ)
    return b.select(high, literal(typ, limits.max), b.fptosi(inside, typ))


def _below(most: int, dtype: DType) -> float:
    """The largest number of the floating `dtype` that is not above `most`."""
    near = np.asarray(most, dtype)
    return float(near if int(near) <= most else np.nextafter(near, np.zeros_like(near)))


def _from_bfloat16(b: Value, x: Value) -> Value:
    wide = b.zext(x, retyped(x.type, I32))
    return b.bitcast(
        b.shl(wide, literal(wide.type, 16)), retyped(x.type, element_type(dtypes.float32))
    )


def _to_bfloat16(b: Value, x: Value) -> Value:
    """The upper half of a float32, rounded to nearest even; NaN becomes a quiet NaN."""
    bits = b.bitcast(x, retyped(x.type, I32))
    odd = b.and_(b.lshr(bits, literal(bits.type, 16)), literal(bits.type, 1))
    rounded = b.add(b.add(bits, literal(bits.type, 0x7FFF)), odd)
    quiet = b.or_(bits, literal(bits.type, 0x400000))
    chosen = b.select(b.fcmp_unordered("uno", x, x), quiet, rounded)
    half = b.lshr(chosen, literal(bits.type, 16))
    return b.trunc(half, retyped(x.type, element_type(dtypes.bfloat16)))
