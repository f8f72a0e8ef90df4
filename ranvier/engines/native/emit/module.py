"""The whole program as one LLVM module: every kernel once, and the entry that calls them."""

from __future__ import annotations

from collections.abc import Mapping

from llvmlite import ir

from ranvier.engines.native.emit.ir.builder import Value
from ranvier.engines.native.emit.loops.halo import emit_halo
from ranvier.engines.native.emit.loops.indexing import emit_indexing
from ranvier.engines.native.emit.loops.rows import emit_rows
from ranvier.engines.native.emit.runtime import Call, emit_main
from ranvier.engines.native.emit.tiles.convolution import emit_convolution
from ranvier.engines.native.emit.tiles.convolution_pack import emit_pack_weights
from ranvier.engines.native.emit.tiles.epilogue import emit_epilogue
from ranvier.engines.native.emit.tiles.matmul import emit_matmul
from ranvier.engines.native.emit.tiles.pack import Operand, Packed, emit_pack, side_a, side_b
from ranvier.engines.native.emit.tiles.winograd import emit_winograd, emit_winograd_weights
from ranvier.engines.native.emit.tiles.winograd_gradient import emit_winograd_gradient
from ranvier.engines.native.host import Host
from ranvier.engines.native.plans.winograd import WinogradPlan
from ranvier.engines.native.schedule import kernels
from ranvier.engines.native.schedule.deduplicate import KernelCalls, buffers_of
from ranvier.engines.native.schedule.kernels import (
    Buffer,
    ConvolutionKernel,
    HaloKernel,
    IndexKernel,
    Kernel,
    MatmulKernel,
    PackKernel,
    PackWeightsKernel,
    RowKernel,
    WinogradKernel,
    WinogradWeightsKernel,
)
from ranvier.errors import CompileError


def emit_program(kernel_calls: KernelCalls, host: Host) -> str:
    """Return the IR of a program: each pattern's kernel once, and the entry that calls them."""
    module = ir.Module("program")
    module.triple = host.triple
    patterns = list(kernel_calls.patterns.values())
    functions = [
        _emit_kernel(module, host, kernel, buffers_of(kernel), f"kernel{i}")
        for i, kernel in enumerate(patterns)
    ]
    calls, before = [], 0
    for number, buffers, epoch in kernel_calls.calls:
        slots, starts = ([buffer[i] for buffer in buffers] for i in (0, 1))
        counters = patterns[number].counters
        calls.append(Call(functions[number], slots, starts, epoch != before, counters))
        before = epoch
    emit_main(module, host, calls)
    return str(module)


def _emit_kernel(
    module: Value, host: Host, kernel: Kernel, slots: Mapping[Buffer, int], name: str
) -> Value:
    match kernel:
        case RowKernel():
            return emit_rows(module, host, kernel, slots, name)
        case IndexKernel():
            return emit_indexing(module, host, kernel, slots, name)
        case PackKernel():
            side = side_b(kernel.plan) if kernel.right else side_a(kernel.plan)
            operand = _strided(kernel.operand, slots, kernel.right)
            return emit_pack(module, side, operand, slots[kernel.packed], name)
        case HaloKernel():
            return emit_halo(module, kernel, slots[kernel.buffer], name)
        case WinogradWeightsKernel():
            sides = slots[kernel.source], slots[kernel.transformed]
            return emit_winograd_weights(module, kernel.plan, *sides, name)
        case WinogradKernel():
            epilogue = emit_epilogue(module, kernel, slots, f"{name}_epilogue")
            operands = slots[kernel.left], slots[kernel.right], slots[kernel.scratch]
            if isinstance(kernel.plan, WinogradPlan):
                return emit_winograd(module, host, kernel.plan, *operands, epilogue, name)
            return emit_winograd_gradient(module, host, kernel.plan, *operands, epilogue, name)
        case PackWeightsKernel():
            packed = slots[kernel.packed]
            return emit_pack_weights(module, kernel.plan, slots[kernel.source], packed, name)
        case ConvolutionKernel():
            epilogue = emit_epilogue(module, kernel, slots, f"{name}_epilogue")
            partial = None if kernel.partial is None else slots[kernel.partial]
            sides = slots[kernel.left], slots[kernel.right]
            return emit_convolution(module, host, kernel.plan, *sides, partial, epilogue, name)
        case MatmulKernel():
            epilogue = emit_epilogue(module, kernel, slots, f"{name}_epilogue")
            partial = None if kernel.partial is None else slots[kernel.partial]
            left, right = (_matrix(kernel, slots, side) for side in (False, True))
            return emit_matmul(module, host, kernel.plan, left, right, partial, epilogue, name)
    raise CompileError(f"there is no emitter for {type(kernel).__name__}")


def _matrix(kernel: MatmulKernel, slots: Mapping[Buffer, int], right: bool) -> Packed | Operand:
    """Where an operand lies: the buffer of its packed form, or as it is."""
    packed = kernel.packed_right if right else kernel.packed_left
    operand = kernel.right if right else kernel.left
    if packed is None:
        return _strided(operand, slots, right)
    source = _strided(operand, slots, right) if packed.by_segment else None
    return Packed(slots[packed.buffer], source)


def _strided(operand: kernels.Operand, slots: Mapping[Buffer, int], right: bool) -> Operand:
    """Where a matrix lies; the outer axis is the left one's rows, or the right one's columns."""
    *batch, row, column = operand.at.terms
    outer, depth = (column, row) if right else (row, column)
    return Operand(slots[operand.buffer], operand.at.offset, tuple(batch), outer, depth)
