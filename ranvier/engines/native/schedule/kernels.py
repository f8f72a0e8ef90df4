"""What the scheduler decides, as data: buffers in memory, kernels, and their instructions.

Nothing here mentions threads, vectors or tiles; the emitters choose those from the host's
record. Everything prints as text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from math import prod
from typing import TypeAlias

from ranvier.dtypes import DType
from ranvier.engines.native.indexmap import Affine, Guard
from ranvier.engines.native.plans.convolution import ConvolutionPlan
from ranvier.engines.native.plans.matmul import MatmulPlan
from ranvier.engines.native.plans.winograd import WinogradPlan
from ranvier.engines.native.plans.winograd_gradient import WinogradGradientPlan
from ranvier.graph.tensor import Op, Shape, Tensor
from ranvier.records import dataclass


@dataclass(frozen=True, eq=False)
class Buffer:
    """One contiguous array in memory: an input, constant, state, output or temporary."""

    kind: str
    name: str
    shape: Shape
    dtype: DType

    @property
    def size(self) -> int:
        """The number of elements."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The number of bytes."""
        return self.size * self.dtype.itemsize

    def __str__(self) -> str:
        return f"{self.kind[0]}:{self.name}"


@dataclass(frozen=True)
class Load:
    """Read `buffer` at position `at`; where a guard fails the value is unspecified."""

    buffer: Buffer
    at: Affine
    guards: tuple[Guard, ...]
    dtype: DType


@dataclass(frozen=True)
class Literal:
    """A number known while compiling."""

    value: bool | int | float
    dtype: DType


@dataclass(frozen=True)
class Compute:
    """A pointwise op of earlier instructions."""

    op: Op
    args: tuple[int, ...]
    dtype: DType


@dataclass(frozen=True)
class Choose:
    """An earlier instruction's value where all guards hold, else that of another, or zero."""

    arg: int
    otherwise: int | None
    guards: tuple[Guard, ...]
    dtype: DType


@dataclass(frozen=True)
class Reduce:
    """A reduction of an element-level value over the columns; its result is row-level.

    One that gives indices has `index`: the index of an element along the axis that is reduced.
    It stands on its own because the columns may be split, merged and run in any order.
    """

    op: Op
    arg: int
    dtype: DType
    index: Affine | None = None


@dataclass(frozen=True)
class Product:
    """The element of the contraction at this point of the domain, in its epilogue."""

    dtype: DType


@dataclass(frozen=True)
class Store:
    """Write an earlier instruction's value to `buffer` at position `at`."""

    buffer: Buffer
    at: Affine
    arg: int
    dtype: DType


Instruction: TypeAlias = Load | Literal | Compute | Choose | Reduce | Product | Store


@dataclass(frozen=True)
class Body:
    """The loops of a kernel and what they compute.

    The first `rows` dimensions of the domain are the rows, the others the columns. A
    row-level instruction does not depend on the columns. Reductions run over all columns.

    `needed` tells, for reports, how many elements are needed of each tensor that the body computes
    by arithmetic, or taken in by a reduction.
    """

    domain: Shape
    rows: int
    instructions: tuple[Instruction, ...]
    needed: Mapping[Tensor, int] | None = field(default=None, repr=False, compare=False)

    @property
    def columns(self) -> Shape:
        """The lengths of the column loops."""
        return self.domain[self.rows :]

    def __str__(self) -> str:
        lines = [f"  rows {self.domain[: self.rows]} columns {self.columns}"]
        lines += [f"    %{i} = {_text(x)}" for i, x in enumerate(self.instructions)]
        return "\n".join(lines)


@dataclass(frozen=True)
class Operand:
    """How a contraction reads a matrix: positions over (batch…, rows, columns of the matrix)."""

    buffer: Buffer
    at: Affine


@dataclass(frozen=True)
class Kernel:
    """One unit of work that all threads share. `nodes` are the tensors that it computes."""

    name: str
    nodes: tuple[Tensor, ...] = field(repr=False)

    def reads(self) -> Iterator[Buffer]:
        """Every buffer that the kernel reads."""
        raise NotImplementedError

    def writes(self) -> Iterator[Buffer]:
        """Every buffer that the kernel writes."""
        raise NotImplementedError

    @property
    def counters(self) -> bool:
        """Whether threads take its work from each other, for which each has counters."""
        return False


@dataclass(frozen=True)
class BodyKernel(Kernel):
    """A kernel whose stores are those of a body."""

    body: Body

    def operands(self) -> tuple[Buffer, ...]:
        """The places that are read beside the body's loads."""
        return ()

    def reads(self) -> Iterator[Buffer]:
        yield from self.operands()
        yield from (x.buffer for x in self.body.instructions if isinstance(x, Load))

    def writes(self) -> Iterator[Buffer]:
        return (x.buffer for x in self.body.instructions if isinstance(x, Store))


@dataclass(frozen=True)
class RowKernel(BodyKernel):
    """Pointwise work and reductions over one domain, row by row."""

    def __str__(self) -> str:
        return f"{self.name}: rows\n{self.body}"


@dataclass(frozen=True)
class TiledKernel(BodyKernel):
    """A contraction, whose body works on its results tile by tile."""

    plan: MatmulPlan | ConvolutionPlan | WinogradPlan | WinogradGradientPlan

    @property
    def counters(self) -> bool:
        return self.plan.steals


@dataclass(frozen=True)
class Packing:
    """Where an operand lies packed: all of it, or the segment that the product itself packs."""

    buffer: Buffer
    by_segment: bool


@dataclass(frozen=True)
class MatmulKernel(TiledKernel):
    """A batched matrix product with pointwise work before its store.

    Operands lie as they are and are packed piece by piece when needed; where many panels reuse
    the left one, or many blocks of rows the right one, another kernel has packed it beforehand,
    or this one packs it segment by segment.
    """

    plan: MatmulPlan
    left: Operand
    right: Operand
    packed_left: Packing | None
    packed_right: Packing | None
    partial: Buffer | None

    def operands(self) -> tuple[Buffer, ...]:
        sides = (self.left, self.packed_left), (self.right, self.packed_right)
        return tuple(
            operand.buffer if packed is None or packed.by_segment else packed.buffer
            for operand, packed in sides
        )

    def writes(self) -> Iterator[Buffer]:
        if self.partial is not None:
            yield self.partial
        for packed in (self.packed_left, self.packed_right):
            if packed is not None and packed.by_segment:
                yield packed.buffer
        yield from super().writes()

    def __str__(self) -> str:
        shape = (*self.plan.batch, self.plan.m, self.plan.n)
        what = f"{'x'.join(map(str, shape))}, depth {self.plan.k}"
        return f"{self.name}: matmul {what} of {self.left.buffer}, {self.right.buffer}\n{self.body}"


@dataclass(frozen=True)
class ConvolutionKernel(TiledKernel):
    """A convolution, or a weight gradient, with pointwise work before its store.

    `left` is the image, `right` the weights, packed by another kernel, or the gradient; with
    batch-innermost `left` are the weights, as they lie, and `right` is the image.
    """

    plan: ConvolutionPlan
    left: Buffer
    right: Buffer
    partial: Buffer | None

    def operands(self) -> tuple[Buffer, ...]:
        return self.left, self.right

    def writes(self) -> Iterator[Buffer]:
        if self.partial is not None:
            yield self.partial
        yield from super().writes()

    def __str__(self) -> str:
        loops = self.plan.loops
        rows = "x".join(map(str, (loops.chunks, *loops.batch, loops.rows)))
        depth = "x".join(map(str, loops.depth))
        what = f"{rows} rows, {loops.groups}x{loops.columns} columns, depth {depth}"
        return f"{self.name}: convolution {what} of {self.left}, {self.right}\n{self.body}"


@dataclass(frozen=True)
class PackWeightsKernel(Kernel):
    """The weights of a convolution copied into the order in which the micro-kernel reads them."""

    plan: ConvolutionPlan
    source: Buffer
    packed: Buffer

    def reads(self) -> Iterator[Buffer]:
        yield self.source

    def writes(self) -> Iterator[Buffer]:
        yield self.packed

    def __str__(self) -> str:
        return f"{self.name}: pack {self.source} into {self.packed}"


@dataclass(frozen=True)
class WinogradKernel(TiledKernel):
    """A 3x3 convolution, or its weights' gradient, by Winograd's filtering.

    `left` is the image, `right` the transformed weights, or the result's gradient.
    """

    plan: WinogradPlan | WinogradGradientPlan
    left: Buffer
    right: Buffer
    scratch: Buffer = field(repr=False)
    """Grows with the threads, of which the code knows nothing: so it is no part of its key."""

    def operands(self) -> tuple[Buffer, ...]:
        return self.left, self.right

    def writes(self) -> Iterator[Buffer]:
        yield self.scratch
        yield from super().writes()

    def __str__(self) -> str:
        return f"{self.name}: {self.plan} of {self.left}, {self.right}\n{self.body}"


@dataclass(frozen=True)
class WinogradWeightsKernel(Kernel):
    """Packed 3x3 weights transformed for Winograd's filtering."""

    plan: WinogradPlan
    source: Buffer
    transformed: Buffer

    def reads(self) -> Iterator[Buffer]:
        yield self.source

    def writes(self) -> Iterator[Buffer]:
        yield self.transformed

    def __str__(self) -> str:
        return f"{self.name}: transform {self.source} into {self.transformed}"


@dataclass(frozen=True)
class HaloKernel(Kernel):
    """Zeros round images, `before` and `after` two axes of a buffer: `first` and the next one."""

    buffer: Buffer
    first: int
    before: tuple[int, ...]
    after: tuple[int, ...]

    def reads(self) -> Iterator[Buffer]:
        return iter(())

    def writes(self) -> Iterator[Buffer]:
        yield self.buffer

    def __str__(self) -> str:
        return f"{self.name}: halo {self.before}, {self.after} of {self.buffer}"


@dataclass(frozen=True)
class PackKernel(Kernel):
    """An operand, the left or the right one, in the order in which the micro-kernel reads it."""

    plan: MatmulPlan
    right: bool
    operand: Operand
    packed: Buffer

    def reads(self) -> Iterator[Buffer]:
        yield self.operand.buffer

    def writes(self) -> Iterator[Buffer]:
        yield self.packed

    def __str__(self) -> str:
        return f"{self.name}: pack {self.operand.buffer} into {self.packed}"


@dataclass(frozen=True)
class IndexKernel(Kernel):
    """Rows taken or added up by index, or random numbers: one op between whole buffers.

    `shapes` are those of the op's inputs, which a source may hold in another shape.
    """

    op: Op
    sources: tuple[Buffer, ...]
    shapes: tuple[Shape, ...]
    result: Buffer

    def reads(self) -> Iterator[Buffer]:
        yield from self.sources

    def writes(self) -> Iterator[Buffer]:
        yield self.result

    def __str__(self) -> str:
        sources = ", ".join(map(str, self.sources))
        return f"{self.name}: {self.op.name} of {sources} into {self.result}"


def _text(x: Instruction) -> str:
    match x:
        case Load():
            return f"load {x.buffer}[{_affine(x.at)}]{_guards(x.guards)}"
        case Literal():
            return f"{x.dtype.name} {x.value}"
        case Compute():
            return f"{x.op.name} {' '.join(f'%{a}' for a in x.args)}"
        case Choose():
            other = 0 if x.otherwise is None else f"%{x.otherwise}"
            return f"%{x.arg}{_guards(x.guards)} else {other}"
        case Reduce():
            numbered = "" if x.index is None else f" numbered {_affine(x.index)}"
            return f"reduce {x.op.name} %{x.arg}{numbered}"
        case Product():
            return "product"
        case Store():
            return f"store %{x.arg} to {x.buffer}[{_affine(x.at)}]"


def _affine(at: Affine) -> str:
    terms = [f"{t}*i{d}" if t != 1 else f"i{d}" for d, t in enumerate(at.terms) if t]
    if at.offset or not terms:
        terms.append(str(at.offset))
    return " + ".join(terms)


def _guards(guards: tuple[Guard, ...]) -> str:
    return "".join(f" if 0 <= {_affine(g.at)} < {g.size}" for g in guards)
