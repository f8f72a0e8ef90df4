"""Reading and writing memory at affine positions, by scalars or by vectors of neighbours."""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from ranvier import dtypes
from ranvier.dtypes import DType
from ranvier.engines.native.emit.ir import builder as e
from ranvier.engines.native.emit.ir.builder import I1, I8, I32, I64, PTR, VOID, Value
from ranvier.engines.native.emit.ir.pointwise import literal
from ranvier.engines.native.indexmap import Affine, Guard
from ranvier.records import dataclass


@dataclass(frozen=True)
class Point:
    """Where in the domain the emitted code stands.

    indices: one i64 for each dimension. Along dimension `vector` (None: scalar code) the code
    works on `lanes` neighbours from that index on, of which `mask` marks the valid ones (None:
    all); `count` is then the number of valid lanes.
    """

    indices: tuple[Value, ...]
    vector: int | None = None
    lanes: int = 0
    mask: Value | None = None
    count: Value | None = None


def position(b: Value, at: Affine, point: Point) -> Value:
    """The position of the first lane, in elements."""
    total = e.i64(at.offset)
    for term, index in zip(at.terms, point.indices, strict=True):
        total = e.add(b, total, e.mul(b, index, term))
    return total


def stride(at: Affine, point: Point) -> int:
    """How far neighbouring lanes lie apart; 0 where the value is the same for all."""
    return at.terms[point.vector] if point.vector is not None else 0


def guard_mask(b: Value, guards: Sequence[Guard], point: Point) -> Value:
    """Whether all guards hold: i1, or a vector of them where one depends on the lane."""
    holds: Value = ir.Constant(I1, 1)
    for guard in guards:
        index = position(b, guard.at, point)
        step = stride(guard.at, point)
        if step:
            index = b.add(e.splat(b, index, point.lanes), lane_steps(step, point.lanes))
        limit = literal(index.type, guard.size)
        inside = b.icmp_unsigned("<", index, limit)  # a negative index is huge unsigned
        holds = _and(b, holds, inside)
    return holds


def read(
    b: Value, base: Value, at: Affine, dtype: DType, point: Point, guard: Value | None, size: int
) -> Value:
    """The value at `at`: a scalar where it is the same for all lanes, else a vector.

    Where `guard` fails the value is unspecified, but nothing outside the array of `size`
    elements is read.
    """
    typ, step, first = e.element_type(dtype), stride(at, point), position(b, at, point)
    if step == 0:
        if guard is not None:
            first = _clamped(b, first, size)
        value = b.load(e.element(b, base, first, typ), typ=typ, align=dtype.itemsize)
    elif step == 1:
        mask = point.mask if guard is None else _lanes(b, guard, point)
        mask = mask if guard is None or point.mask is None else b.and_(mask, point.mask)
        value = _read_neighbours(b, e.element(b, base, first, typ), typ, dtype, point, mask)
    else:
        value = _gather(b, base, first, step, dtype, point, guard, size)
    return to_register(b, value, dtype)


def write(b: Value, base: Value, at: Affine, dtype: DType, value: Value, point: Point) -> None:
    """Store `value` at `at`; positions of different lanes are different."""
    typ, step, first = e.element_type(dtype), stride(at, point), position(b, at, point)
    value = to_memory(b, value, dtype)
    if step == 0:
        b.store(value, e.element(b, base, first, typ), align=dtype.itemsize)
        return
    if not isinstance(value.type, ir.VectorType):
        value = e.splat(b, value, point.lanes)
    if step == 1:
        address = e.element(b, base, first, typ)
        if point.mask is None:
            b.store(value, address, align=dtype.itemsize)
        else:
            e.masked_store(b, value, address, point.mask, dtype.itemsize)
        return
    addresses = _addresses(b, base, _positions(b, first, step, point.lanes), dtype)
    name = f"llvm.masked.scatter.{e.vector_name(value.type)}.v{point.lanes}p0"
    mask = _every_lane(point.lanes) if point.mask is None else point.mask
    kinds = [value.type, addresses.type, I32, mask.type]
    callee = e.function(b.module, name, ir.FunctionType(VOID, kinds))
    b.call(callee, [value, addresses, ir.Constant(I32, dtype.itemsize), mask])


def to_register(b: Value, value: Value, dtype: DType) -> Value:
    """The register form of a value from memory: bool becomes i1."""
    if dtype != dtypes.bool_:
        return value
    return b.icmp_unsigned("!=", value, literal(value.type, 0))


def to_memory(b: Value, value: Value, dtype: DType) -> Value:
    """The memory form of a value in a register: bool becomes a byte."""
    if dtype != dtypes.bool_:
        return value
    lanes = value.type.count if isinstance(value.type, ir.VectorType) else 0
    return b.zext(value, ir.VectorType(I8, lanes) if lanes else I8)


def _read_neighbours(
    b: Value, address: Value, typ: Value, dtype: DType, point: Point, mask: Value | None
) -> Value:
    vector = ir.VectorType(typ, point.lanes)
    if mask is None:
        return b.load(address, typ=vector, align=dtype.itemsize)
    return e.masked_load(b, address, mask, vector, dtype.itemsize)


def _gather(
    b: Value,
    base: Value,
    first: Value,
    step: int,
    dtype: DType,
    point: Point,
    guard: Value | None,
    size: int,
) -> Value:
    positions = _positions(b, first, step, point.lanes)
    if guard is not None:
        positions = _clamped(b, positions, size)
    addresses = _addresses(b, base, positions, dtype)
    vector = ir.VectorType(e.element_type(dtype), point.lanes)
    mask = _every_lane(point.lanes) if point.mask is None else point.mask
    name = f"llvm.masked.gather.{e.vector_name(vector)}.v{point.lanes}p0"
    signature = ir.FunctionType(vector, [addresses.type, I32, mask.type, vector])
    callee = e.function(b.module, name, signature)
    zeros = ir.Constant(vector, None)
    return b.call(callee, [addresses, ir.Constant(I32, dtype.itemsize), mask, zeros])


def _positions(b: Value, first: Value, step: int, lanes: int) -> Value:
    return b.add(e.splat(b, first, lanes), lane_steps(step, lanes))


def _addresses(b: Value, base: Value, positions: Value, dtype: DType) -> Value:
    """Positions in elements to a vector of pointers."""
    lanes = positions.type.count
    start = e.splat(b, b.ptrtoint(base, I64), lanes)
    bytes_ = b.mul(positions, literal(positions.type, dtype.itemsize))
    return b.inttoptr(b.add(start, bytes_), ir.VectorType(PTR, lanes))


def _clamped(b: Value, positions: Value, size: int) -> Value:
    zero, last = literal(positions.type, 0), literal(positions.type, max(size - 1, 0))
    low = b.select(b.icmp_signed("<", positions, zero), zero, positions)
    return b.select(b.icmp_signed(">", low, last), last, low)


def lane_steps(step: int, lanes: int) -> Value:
    """How far each lane lies from the first one."""
    return ir.Constant(ir.VectorType(I64, lanes), [e.i64(step * i) for i in range(lanes)])


def _every_lane(lanes: int) -> Value:
    return literal(ir.VectorType(I1, lanes), 1)


def _lanes(b: Value, condition: Value, point: Point) -> Value:
    """A condition as a vector of lanes."""
    if isinstance(condition.type, ir.VectorType):
        return condition
    return e.splat(b, condition, point.lanes)


def _and(b: Value, left: Value, right: Value) -> Value:
    for one, other in ((left, right), (right, left)):
        if isinstance(one.type, ir.VectorType) and not isinstance(other.type, ir.VectorType):
            return b.and_(one, e.splat(b, other, one.type.count))
    return b.and_(left, right)
