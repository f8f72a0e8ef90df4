"""Every pointwise op, compiled, against its meaning in NumPy on a table of special values."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import ml_dtypes
import numpy as np
import pytest

import ranvier as rv
from ranvier import dtypes
from ranvier.dtypes import DType
from ranvier.engines.native.emit.ir.pointwise import TABLE
from ranvier.errors import DTypeError
from ranvier.graph.ops.pointwise import Cast, Pointwise
from ranvier.graph.tensor import REGISTRY, Op, apply

LENGTHS = (0, 1, 3, 16, 17, 100)
"""The sizes of the tensors, below, at and above a vector; 0 stands for a scalar."""

POINTWISE = {name: op for name, op in REGISTRY.items() if issubclass(op, Pointwise)}
ROUGH = (
    *("exp", "expm1", "log", "log1p", "tanh", "sigmoid", "erf", "rsqrt", "sin", "cos", "power"),
)
"""Results may be a few ULP off NumPy's, which is not exact for these either."""


def test_every_pointwise_op_has_a_row() -> None:
    assert {*TABLE, "cast"} == set(POINTWISE)


# ------------------------------------------------------------ the table


def specials(dtype: DType) -> np.ndarray:
    """Values at which ops change their rule, and ordinary ones."""
    if dtype == dtypes.bool_:
        return np.array([False, True])
    if dtype in dtypes.INTEGER:
        info = np.iinfo(dtype)
        near = [info.min, info.min + 1, info.max - 1, info.max, info.max // 2, info.max // 2 + 1]
        small = [0, 1, 2, 3, 7, 100] + ([] if dtype == dtypes.uint8 else [-1, -2, -3, -100])
        return np.array(near + small, dtype)
    info = ml_dtypes.finfo(dtype)
    sizes = [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 41.25, 100.0, 1e6, 1e30, np.inf]
    # Near 1 lie bfloat16's neighbours and, for wider dtypes, halves that it rounds down and up.
    sizes += [1 - 2**-8, 1 + 2**-7, float(info.max)]
    # Twice the smallest, since a product that NumPy rounds up to the smallest may be flushed.
    sizes.append(2 * float(info.tiny))
    if dtype != dtypes.bfloat16:
        sizes += [1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, 1 - 2**-24, 3.39e38, 2.0**31 - 128]
    return np.array([*sizes, *(-s for s in sizes), np.nan]).astype(dtype)


def table(signature: Sequence[DType]) -> list[np.ndarray]:
    """All combinations of special values, as one long column for each input."""
    grids = np.meshgrid(*(specials(dtype) for dtype in signature), indexing="ij")
    return [grid.ravel() for grid in grids]


def run(op: Op, columns: Sequence[np.ndarray]) -> dict[int, np.ndarray]:
    """The native results over all rows of the table, by lengths of the tensors."""
    inputs, outputs = {}, {}
    for length in LENGTHS:
        shape = (length,) if length else ()
        given = [rv.input(shape, column.dtype) for column in columns]
        inputs.update({f"x{length}_{i}": x for i, x in enumerate(given)})
        outputs[str(length)] = apply(op, *given)
    program = rv.compile(inputs, outputs, passes=(), threads=1)
    steps = columns[0].size  # as many as the scalar needs; longer tensors see rows again
    arrays = {}
    for length, (i, column) in itertools.product(LENGTHS, enumerate(columns)):
        shape = (steps, length) if length else (steps,)
        arrays[f"x{length}_{i}"] = np.resize(column, shape)
    results = program(steps=steps, **arrays)
    return {int(name): found.reshape(-1)[:steps] for name, found in results.items()}


def widened(values: np.ndarray) -> np.ndarray:
    """bfloat16 as float32, which NumPy's comparisons know; subnormal numbers as zeros."""
    if values.dtype == dtypes.bfloat16:
        values = values.astype(np.float32)
    if dtypes.is_floating(values.dtype):
        small = np.abs(values) < np.finfo(values.dtype).tiny
        values = np.where(small, np.copysign(np.zeros_like(values), values), values)
    return values


def compare(op: Op, columns: Sequence[np.ndarray], expected: np.ndarray) -> None:
    """Equal values and signs of zero; the sign of an extremum of two zeros is left open."""
    for length, found in run(op, columns).items():
        assert found.dtype == expected.dtype
        left, right = widened(found), widened(expected)
        message = f"{op.name}, length {length}"
        if op.name in ROUGH:
            rtol = 1e-6 if expected.dtype == dtypes.float32 else 1e-14
            tiny = np.finfo(expected.dtype).tiny
            np.testing.assert_allclose(left, right, rtol, tiny, err_msg=message)
        else:
            np.testing.assert_array_equal(left, right, message)
        if dtypes.is_floating(left.dtype) and op.name not in ("maximum", "minimum"):
            signs = [np.signbit(values[~np.isnan(right)]) for values in (left, right)]
            np.testing.assert_array_equal(*signs, message)


def signatures() -> list[tuple[str, tuple[DType, ...]]]:
    """Each op but cast with each of its dtypes."""
    result: list[tuple[str, tuple[DType, ...]]] = []
    for name, op in POINTWISE.items():
        for dtype in op.accepts if name != "cast" else ():
            inputs = (dtypes.bool_, dtype, dtype) if name == "where" else (dtype,)
            result.append((name, inputs * 2 if op.arity == 2 else inputs))
    return result


@pytest.mark.parametrize(
    ("name", "signature"), signatures(), ids=lambda x: x if isinstance(x, str) else x[-1].name
)
def test_special_values(name: str, signature: tuple[DType, ...]) -> None:
    op = REGISTRY[name]()
    columns = table(signature)
    with np.errstate(all="ignore"):
        expected = np.asarray(op.meaning(np, *columns))
    compare(op, columns, expected)


@pytest.mark.parametrize("dtype", dtypes.INTEGER, ids=str)
def test_integers_are_not_divided(dtype: DType) -> None:
    x = rv.input((3,), dtype)
    with pytest.raises(DTypeError, match="divide takes float32, float64"):
        apply(REGISTRY["divide"](), x, x)


# ------------------------------------------------------------ casts


def converted(values: np.ndarray, target: DType) -> np.ndarray:
    """`values` as NumPy converts them; floats to integers saturated, with Python's numbers."""
    if values.dtype in (*dtypes.INTEGER, dtypes.bool_) or target not in dtypes.INTEGER:
        with np.errstate(all="ignore"):
            return values.astype(target)
    info, result = np.iinfo(target), []
    for value in values.astype(np.float64).tolist():
        if math.isfinite(value):
            result.append(min(max(math.trunc(value), info.min), info.max))
        else:
            result.append(0 if math.isnan(value) else info.max if value > 0 else info.min)
    return np.array(result, target)


@pytest.mark.parametrize("target", dtypes.ALL, ids=str)
@pytest.mark.parametrize("source", dtypes.ALL, ids=str)
def test_cast(source: DType, target: DType) -> None:
    values = specials(source)
    compare(Cast(target), [values], converted(values, target))


@pytest.mark.parametrize("target", dtypes.INTEGER, ids=str)
@pytest.mark.parametrize("source", [*dtypes.FLOATING, dtypes.bfloat16], ids=str)
def test_casts_out_of_range_saturate_in_both_engines(source: DType, target: DType) -> None:
    info, wide = np.iinfo(target), np.float64
    near = [wide(end) + d for end in (info.min, info.max) for d in (-1.5, -1, -0.5, 0, 0.5, 1)]
    given = [*near, np.nan, -np.nan, np.inf, -np.inf, 1e30, -1e30, 0.0, -0.0, -0.9, 300, -1]
    values = np.array(given).astype(source)
    expected = converted(values, target)
    with np.errstate(all="ignore"):
        meaning = Cast(target).meaning(np, values)
    assert meaning.dtype == target
    np.testing.assert_array_equal(meaning, expected)
    compare(Cast(target), [values], expected)


def test_cast_of_every_bfloat16() -> None:
    values = np.arange(1 << 16, dtype=np.uint16).view(dtypes.bfloat16)
    wide, back = cast(values, dtypes.float32), cast(values, dtypes.float32, dtypes.bfloat16)
    known = ~np.isnan(values.astype(np.float32))
    assert wide[known].tobytes() == values.astype(np.float32)[known].tobytes()
    assert np.isnan(wide[~known]).all()
    assert back[known].tobytes() == values[known].tobytes()
    assert np.isnan(back[~known].astype(np.float32)).all()


def test_cast_to_bfloat16_rounds_to_nearest_even() -> None:
    upper = np.arange(1 << 16, dtype=np.uint32)[:, None] << 16
    lower = np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF], np.uint32)
    values = (upper | lower).view(np.float32).ravel()
    found = cast(values, dtypes.bfloat16)
    with np.errstate(invalid="ignore"):
        expected = values.astype(dtypes.bfloat16)
    known = ~np.isnan(values)
    assert found[known].tobytes() == expected[known].tobytes()
    assert np.isnan(found[~known].astype(np.float32)).all()


def cast(values: np.ndarray, *targets: DType) -> np.ndarray:
    """`values` converted to one dtype after another."""
    x = rv.input(values.shape, values.dtype)
    y = x
    for target in targets:
        y = apply(Cast(target), y)
    return rv.compile({"x": x}, {"y": y}, passes=(), threads=1)(x=values)["y"]
