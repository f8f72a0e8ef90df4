"""What a kernel costs: arithmetic and memory traffic, counted from its loops."""

from __future__ import annotations

from math import prod

from ranvier.engines.native.host import Host
from ranvier.engines.native.schedule.kernels import (
    BodyKernel,
    Compute,
    ConvolutionKernel,
    IndexKernel,
    Instruction,
    Kernel,
    MatmulKernel,
    Reduce,
    WinogradKernel,
)
from ranvier.graph.ops.indexing import Take
from ranvier.graph.tensor import Tensor
from ranvier.records import dataclass

FLOPS_PER_SECOND = 3e10
BYTES_PER_SECOND = 1e10
"""Cautious rates of one core, to tell short calls from long ones."""

FREE = frozenset(
    [
        "stop_gradient",
        "cast",
        "where",
        "less",
        "less_equal",
        "equal",
        "not_equal",
        "logical_and",
        "logical_or",
        "logical_not",
    ]
)
"""Pointwise ops that are not counted as arithmetic."""


@dataclass(frozen=True)
class Cost:
    """Floating-point operations (a multiply-add is two) and bytes read and written."""

    flops: int
    bytes: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.flops + other.flops, self.bytes + other.bytes)

    def seconds(self, host: Host) -> float:
        """A cautious guess of the time on one core."""
        return self.flops / FLOPS_PER_SECOND + self.bytes / BYTES_PER_SECOND


def cost_of(kernel: Kernel) -> Cost:
    """Return what a kernel computes and moves; each buffer counts once, taken rows alone."""
    moved = sum(buffer.nbytes for buffer in {*kernel.reads(), *kernel.writes()})
    if isinstance(kernel, IndexKernel) and isinstance(kernel.op, Take):
        moved = kernel.sources[1].nbytes + 2 * kernel.result.nbytes
    if isinstance(kernel, MatmulKernel):
        plan = kernel.plan
        product = 2 * plan.batches * plan.m * plan.n * plan.k
        return Cost(product + _pointwise_flops(kernel), moved)
    if isinstance(kernel, ConvolutionKernel | WinogradKernel):
        return Cost(2 * kernel.plan.loops.multiply_adds + _pointwise_flops(kernel), moved)
    if isinstance(kernel, BodyKernel):
        return Cost(_pointwise_flops(kernel), moved)
    return Cost(0, moved)


def _pointwise_flops(kernel: BodyKernel) -> int:
    return sum(map(counts, kernel.body.instructions)) * prod(kernel.body.domain)


def counts(x: Instruction) -> bool:
    """Whether an instruction is counted as arithmetic."""
    return isinstance(x, Reduce) or (isinstance(x, Compute) and x.op.name not in FREE)


def elements(node: Tensor) -> int:
    """The elements that are computed for `node`, or taken in by it if it reduces."""
    return max([node.size, *(source.size for source in node.inputs)])
