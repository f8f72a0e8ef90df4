"""The kernel that writes zeros round the images of a padded buffer."""

from __future__ import annotations

from math import prod

from llvmlite import ir

from ranvier.engines.native.emit.ir import builder as e
from ranvier.engines.native.emit.ir.builder import Value
from ranvier.engines.native.schedule.kernels import HaloKernel


def emit_halo(module: Value, kernel: HaloKernel, slot: int, name: str) -> Value:
    """Emit `kernel`; threads share the images' rows.

    What lies right of a row and left of the next one is one run of memory; so is the top with
    the first row's left, and the last row's right with the bottom.
    """
    function, b = e.kernel(module, name)
    table, thread, threads = function.args
    shape, first = kernel.buffer.shape, kernel.first
    images, channels = prod(shape[:first]), prod(shape[first + 2 :])
    height, width = shape[first : first + 2]
    size = kernel.buffer.dtype.itemsize
    pixel, row = channels * size, width * channels * size
    (top, left), (bottom, right) = kernel.before, kernel.after
    inner = height - top - bottom
    base = e.buffer(b, table, slot)
    start, stop = e.share(b, images * inner, thread, threads)
    with e.loop(b, start, stop) as unit:
        line = e.rem(b, unit, inner)
        image = e.mul(b, e.div(b, unit, inner), height * row)
        with b.if_then(b.icmp_signed("==", line, e.i64(0))):
            _zero(b, base, image, top * row + left * pixel)
        after = e.add(b, image, e.mul(b, line, row))
        after = e.add(b, after, (top + 1) * row - right * pixel)
        with b.if_else(b.icmp_signed("==", line, e.i64(inner - 1))) as (last, others):
            with last:
                _zero(b, base, after, right * pixel + bottom * row)
            with others:
                _zero(b, base, after, (left + right) * pixel)
    b.ret_void()
    return function


def _zero(b: Value, base: Value, first: Value, length: int) -> None:
    """Write `length` bytes of zeros from byte `first` on."""
    if length == 0:
        return
    kinds = ir.FunctionType(e.VOID, [e.PTR, e.I8, e.I64, e.I1])
    memset = e.function(b.module, "llvm.memset.p0.i64", kinds)
    address = e.element(b, base, first, e.I8)
    b.call(memset, [address, ir.Constant(e.I8, 0), e.i64(length), ir.Constant(e.I1, 0)])
