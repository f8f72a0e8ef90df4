"""Packing, micro-kernels and matmul against NumPy, over shapes, strides and thread counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from llvmlite import ir
from networks import run_steps

from ranvier.engines.native.emit.ir import builder as e
from ranvier.engines.native.emit.runtime import Call, emit_main
from ranvier.engines.native.emit.tiles.matmul import EPILOGUE_TYPE, Epilogue, emit_matmul
from ranvier.engines.native.emit.tiles.microkernel import microkernel
from ranvier.engines.native.emit.tiles.pack import Operand, Packed, emit_pack, side_a, side_b
from ranvier.engines.native.host import Host, example_host, host
from ranvier.engines.native.plans.matmul import Cut, MatmulPlan, plan_matmul
from ranvier.engines.native.run.context import ENTRY
from ranvier.engines.native.run.jit import assembly, compile_object, load
from ranvier.errors import DTypeError, ShapeError
from ranvier.graph.leaves import aligned_empty

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
A, B, PACKED_A, PACKED_B, PARTIAL, C = BUFFERS = tuple(range(6))


def store_epilogue(module: ir.Module, plan: MatmulPlan) -> ir.Function:
    """An epilogue that stores tiles to a row-major C[batch, m, n], lane by lane under masks."""
    epilogue = ir.Function(module, EPILOGUE_TYPE, "store")
    epilogue.linkage = "internal"
    table, tile, stride, batch, row0, rows, col0, cols = epilogue.args
    b = ir.IRBuilder(epilogue.append_basic_block("entry"))
    scalar = e.element_type(plan.dtype)
    vector = ir.VectorType(scalar, plan.lanes)
    base = e.add(b, e.mul(b, batch, plan.m * plan.n), e.add(b, e.mul(b, row0, plan.n), col0))
    target = e.element(b, e.buffer(b, table, C), base, scalar)
    with e.loop(b, 0, rows) as row, e.loop(b, 0, cols, plan.lanes) as column:
        source = e.element(b, tile, e.add(b, e.mul(b, row, stride), column), scalar)
        values = e.load(b, source, vector, plan.lanes * plan.dtype.itemsize)
        address = e.element(b, target, e.add(b, e.mul(b, row, plan.n), column), scalar)
        mask = e.lane_mask(b, b.sub(cols, column), plan.lanes)
        e.masked_store(b, values, address, mask, plan.dtype.itemsize)
    b.ret_void()
    return epilogue


def operand(array: np.ndarray, slot: int) -> Operand:
    """`array` as A (slot A) or B (slot B) of a product; a view is taken as it lies."""
    *batch, row, column = (stride // array.itemsize for stride in array.strides)
    outer, depth = (row, column) if slot == A else (column, row)
    return Operand(slot, 0, tuple(batch), outer, depth)


def emit(plan: MatmulPlan, machine: Host, a: Operand, b: Operand, packed: str) -> ir.Module:
    """A program of a product that takes its `packed` operands so, and of what packs them."""
    module = ir.Module()
    calls = []
    operands: list[Packed | Operand] = []
    for name, side, operand, slot in (
        ("a", side_a(plan), a, PACKED_A),
        ("b", side_b(plan), b, PACKED_B),
    ):
        if name not in packed:
            operands.append(operand)
        elif plan.packs_segments:
            operands.append(Packed(slot, source=operand))
        else:
            operands.append(Packed(slot))
            pack = emit_pack(module, side, operand, slot, f"pack_{name}")
            calls.append(Call(pack, BUFFERS, barrier=True))
    epilogue = Epilogue(None, store_epilogue(module, plan))
    partial = PARTIAL if plan.partial_size else None
    matmul = emit_matmul(module, machine, plan, *operands, partial, epilogue, "matmul")
    calls.append(Call(matmul, BUFFERS, barrier=True, counters=plan.steals))
    emit_main(module, machine, calls)
    return module


def aligned(size: int, dtype: np.dtype) -> np.ndarray:
    """A vector filled with NaN at a multiple of 64 bytes."""
    array = aligned_empty((size,), dtype)
    array.fill(np.nan)
    return array


def multiply(
    a: np.ndarray, b: np.ndarray, plan: MatmulPlan, packed: str, teams: tuple[int, ...] = (1,)
) -> Iterator[np.ndarray]:
    """a @ b by compiled kernels, once for each number of threads."""
    module = emit(plan, host(), operand(a, A), operand(b, B), packed)
    with load(compile_object(str(module), host()), [ENTRY]) as program:
        for threads in teams:
            packed_sizes = (plan.packed_size(side, plan.packs_segments) for side in (False, True))
            sizes = (*packed_sizes, max(1, plan.partial_size))
            c = aligned(plan.batches * plan.m * plan.n, plan.dtype)
            buffers = [a, b, *(aligned(size, plan.dtype) for size in sizes), c]
            run_steps(program, buffers, threads)
            yield c.reshape(*plan.batch, plan.m, plan.n)


def check(a: np.ndarray, b: np.ndarray, plan: MatmulPlan | None = None) -> None:
    """Operands packed beforehand, or on the way, against NumPy in float64."""
    m, k = a.shape[-2:]
    plan = plan or plan_matmul(a.shape[:-2], m, b.shape[-1], k, a.dtype, host())
    expected = a.astype(np.float64) @ b.astype(np.float64)
    bound = np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64)
    for packed in ("ab", "a", ""):
        (c,) = multiply(a, b, plan, packed)
        assert np.all(np.abs(c - expected) <= 4 * k**0.5 * np.finfo(a.dtype).eps * bound)


def random(shape: tuple[int, ...], dtype: np.dtype = FLOAT32) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)


EXTENTS = (1, 2, 7, 13, 14, 15, 16, 17, 31, 32, 33, 100)
# Every extent occurs in every role, next to changing others.
SHAPES = [(EXTENTS[i], EXTENTS[(5 * i + 3) % 12], EXTENTS[(7 * i + 1) % 12]) for i in range(12)]


@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)
@pytest.mark.parametrize(("m", "n", "k"), SHAPES)
def test_awkward_shapes(m: int, n: int, k: int, dtype: np.dtype) -> None:
    check(random((m, k), dtype), random((k, n), dtype))


@pytest.mark.parametrize("right", ["plain", "transposed", "strided"])
@pytest.mark.parametrize("left", ["plain", "transposed", "strided"])
def test_strides(left: str, right: str) -> None:
    def view(rows: int, columns: int, how: str) -> np.ndarray:
        if how == "transposed":
            return random((columns, rows)).T
        if how == "strided":
            return random((rows * 2, columns * 3))[::2, ::3]
        return random((rows, columns))

    check(view(45, 37, left), view(37, 50, right))


def test_a_left_operand_whose_rows_repeat_or_run_backwards_is_read_where_it_lies() -> None:
    check(np.broadcast_to(random((1, 37)), (45, 37)), random((37, 50)))
    check(random((45, 37))[::-1], random((37, 50)))
    check(random((37, 45)).T[:, ::-1], random((37, 50)))


@pytest.mark.parametrize(
    ("m", "k", "strides", "packed"),
    [
        (512, 784, (784, 1), False),  # row-major
        (512, 1024, (1024, 1), True),  # its rows meet in one set of the L1 cache
        (512, 128, (1, 784), False),  # transposed
        (512, 128, (1, 512), True),  # its columns meet in two
        (250, 2000, (1, 250), False),  # several K blocks, four columns to a page
        (512, 2000, (1, 784), True),  # a page for each column
        (512, 784, (2 * 784, 2), True),
    ],
)
def test_which_left_operands_are_packed(
    m: int, k: int, strides: tuple[int, int], packed: bool
) -> None:
    plan = plan_matmul((), m, 512, k, FLOAT32, example_host("avx512"))
    assert plan.packs_a(*strides) == packed
    assert not plan_matmul((), m, 1, k, FLOAT32, example_host("avx512")).packs_a(*strides)


def test_transposed_operands_shorter_than_a_vector() -> None:
    check(random((20, 3)), random((21, 3)).T)


def test_batches_and_broadcasting() -> None:
    b = np.broadcast_to(random((2, 30, 40)), (3, 2, 30, 40))
    check(random((3, 2, 20, 30)), b)
    check(
        np.broadcast_to(random((20, 1)), (2, 20, 30)),
        np.broadcast_to(random((30, 17)), (2, 30, 17)),
    )


@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)
@pytest.mark.parametrize("segment", [1, 2, 5])
def test_several_k_blocks(segment: int, dtype: np.dtype) -> None:
    """Packed by the product itself where they are several segments."""
    plan = plan_matmul((2,), 60, 70, 93, dtype, host())
    plan = replace(plan, depth=Cut(93, 5), segment=segment, row_block=2)
    assert (plan.partial_size > 0) == plan.packs_segments == (segment < 5)
    assert plan.packed_depth(plan.packs_segments) == min(93, 19 * segment)
    check(random((2, 60, 93), dtype), random((2, 93, 70), dtype), plan)


@pytest.mark.parametrize(("left", "right"), [(False, False), (True, True)])
def test_threads_pack_each_segment_together(left: bool, right: bool) -> None:
    a, b = (
        random((2, 93, 60) if left else (2, 60, 93)),
        random((2, 70, 93) if right else (2, 93, 70)),
    )
    a, b = a.swapaxes(1, 2) if left else a, b.swapaxes(1, 2) if right else b
    plan = plan_matmul((2,), 60, 70, 93, FLOAT32, host())
    plan = replace(plan, depth=Cut(93, 5), segment=2, row_block=2)
    assert plan.packs_segments
    whole, *others = (c.copy() for c in multiply(a, b, plan, "ab", (1, 2, 3, 4, 50)))
    assert np.isfinite(whole).all()
    for other in others:
        np.testing.assert_array_equal(other, whole)


def test_long_depth_needs_partial_sums() -> None:
    plan = plan_matmul((), 160, 20, 5000, FLOAT32, host())
    assert plan.partial_size > 0
    check(random((160, 5000)), random((5000, 20)), plan)


@pytest.mark.parametrize("shape", [(61, 100, 40), (5, 3, 2), (120, 600, 2500)])
def test_same_bits_at_any_thread_count(shape: tuple[int, int, int]) -> None:
    m, n, k = shape
    a, b = random((m, k)), random((k, n))
    plan = plan_matmul((), m, n, k, FLOAT32, host())
    first, *others = [
        c.copy() for packed in ("ab", "a", "") for c in multiply(a, b, plan, packed, (1, 2, 3, 4))
    ]
    assert np.isfinite(first).all()
    for other in others:
        np.testing.assert_array_equal(other, first)


def test_nothing_outside_the_operands_is_used() -> None:
    # NaN all round: one value read from outside would show, as 0 * NaN is NaN.
    a, b = np.full((40, 60), np.nan, np.float32), np.full((60, 60), np.nan, np.float32)
    a[3:22, 5:26], b[7:28, 9:30] = random((19, 21)), random((21, 21))
    check(a[3:22, 5:26], b[7:28, 9:30])
    check(a[3:22, 5:26], b[7:28, 9:30].T)


@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)
@pytest.mark.parametrize("name", ["avx512", "avx2", "neon"])
def test_other_machines_get_valid_code(name: str, dtype: np.dtype) -> None:
    machine = example_host(name)
    plan = plan_matmul((), 33, 70, 400, dtype, machine)
    a, b = Operand(A, 0, (), 400, 1), Operand(B, 0, (), 1, 70)
    assert compile_object(str(emit(plan, machine, a, b, packed="a")), machine)


@pytest.mark.parametrize(("name", "register"), [("avx512", "zmm"), ("avx2", "ymm")])
def test_microkernel_stays_in_registers(name: str, register: str) -> None:
    machine = example_host(name)
    rows, vectors = max(plan_matmul((), 512, 512, 512, FLOAT32, machine).microkernels)
    module = ir.Module()
    microkernel(module, machine, FLOAT32, rows, vectors, None).linkage = "external"
    text = assembly(str(module), machine)
    fma = [line for line in text.splitlines() if "vfmadd" in line]
    assert fma
    assert all(register in line for line in fma)
    assert not [line for line in text.splitlines() if register in line and "rsp" in line]


def test_equal_microkernels_are_emitted_once() -> None:
    module = ir.Module()
    first = microkernel(module, host(), FLOAT32, 4, 2, None)
    assert microkernel(module, host(), FLOAT32, 4, 2, None) is first
    assert microkernel(module, host(), FLOAT64, 4, 2, None) is not first


@pytest.mark.parametrize(("total", "pieces"), [(1, 1), (7, 3), (12, 4), (13, 12)])
def test_cut_covers_everything(total: int, pieces: int) -> None:
    cut = Cut(total, pieces)
    assert sum(size * count for size, count in cut.sizes.items()) == total
    starts = [cut.start(piece) for piece in range(pieces)]
    assert starts == [sum(cut.length(p) for p in range(piece)) for piece in range(pieces)]


@pytest.mark.parametrize("name", ["avx512", "avx2", "neon"])
@pytest.mark.parametrize(
    "shape", [(1024, 1024, 1024), (1, 1, 1), (1000, 37, 513), (64, 576, 10**5)]
)
def test_plans_fit_the_machine(name: str, shape: tuple[int, int, int]) -> None:
    machine = example_host(name)
    m, n, k = shape
    plan = plan_matmul((), m, n, k, FLOAT32, machine)
    for rows, vectors in plan.microkernels:
        assert rows * vectors + vectors + 1 <= machine.vector_registers
    assert plan.depth.size * plan.panels.size * plan.lanes * 4 <= machine.l1_bytes
    assert plan.row_block * plan.rows.size * plan.depth.size * 4 <= machine.l2_bytes


def test_refusals() -> None:
    with pytest.raises(ShapeError, match="empty product"):
        plan_matmul((), 3, 4, 0, FLOAT32, host())
    with pytest.raises(DTypeError, match="int32"):
        plan_matmul((), 3, 4, 5, np.dtype(np.int32), host())
