"""Fused groups: kernels that are still growing, and the fusion of a graph into them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from ranvier.engines.native.fuse.producers import Read
from ranvier.engines.native.indexmap import IndexMap, Pieces
from ranvier.graph.leaves import Constant, Input, State
from ranvier.graph.ops.contraction import MatMul
from ranvier.graph.ops.convolution import Convolution, ConvolutionWeightGradient
from ranvier.graph.ops.indexing import ScatterAdd, Take
from ranvier.graph.ops.movement import Reshape
from ranvier.graph.ops.random import Random
from ranvier.graph.tensor import Shape, Tensor
from ranvier.records import dataclass

CONTRACTIONS = (MatMul, Convolution, ConvolutionWeightGradient)
"""Ops whose kernels are loops round the micro-kernel."""

INDEXED = (Take, ScatterAdd, Random)
"""Ops with a kernel of their own, which reads and writes whole contiguous arrays."""


@dataclass
class FusedGroup:
    """A kernel that is still growing. Maps are over its domain, whose first dimensions are rows.

    anchors: the tensors computed here, each with its map.
    inner: for each reduction among them, the map of its input.
    depth: for each anchor, the reductions of this kernel on the way to it, itself included.
    orders: the orders of all dimensions in which an element-level tensor may lie in memory.
    work: how many pointwise ops it computes, counted once for each buffer at which it does.
    reads: what is read, in a fixed order, so that equal graphs have equal programs.
    """

    kind: str
    domain: Shape
    rows: int
    anchors: dict[Tensor, IndexMap] = field(default_factory=dict)
    inner: dict[Tensor, IndexMap] = field(default_factory=dict)
    depth: dict[Tensor, int] = field(default_factory=dict)
    work: int = 0
    orders: list[tuple[int, ...]] = field(default_factory=list)
    reads: dict[Tensor, None] = field(default_factory=dict)
    inlined: set[tuple[Tensor, bool]] = field(default_factory=set)

    @property
    def product(self) -> Tensor:
        """The contraction of a kernel of that kind, its first anchor."""
        return next(iter(self.anchors))

    def refine(self, pieces: Pieces) -> None:
        """Split dimension i into pieces[i], in all maps."""
        if all(len(piece) == 1 for piece in pieces):
            return
        starts = [sum(len(p) for p in pieces[:i]) for i in range(len(pieces))]
        self.rows = sum(len(p) for p in pieces[: self.rows])
        self.domain = tuple(n for piece in pieces for n in piece)
        for maps in (self.anchors, self.inner):
            for node, where in maps.items():
                maps[node] = where.refined(pieces)
        self.orders = [
            tuple(starts[d] + i for d in order for i in range(len(pieces[d])))
            for order in self.orders
        ]


@dataclass(frozen=True)
class Fusion:
    """The result: kernels in dependency order, and the index of each anchor's kernel.

    `halos` maps each tensor that is stored inside a padded one to that, and `joins` each part of
    a concatenation that is stored part by part to the whole. `operands` says of which
    tensor in memory each operand of a contraction is a view: one of those that lay there when
    the contraction was grouped.
    """

    groups: list[FusedGroup]
    group_of: dict[Tensor, int]
    halos: Mapping[Tensor, Tensor]
    joins: Mapping[Tensor, Tensor]
    operands: dict[Tensor, Read]

    def available(self, node: Tensor) -> bool:
        """Whether a kernel stores `node`, or the caller holds it."""
        return node in self.group_of or is_leaf(node)

    def contiguous(self, node: Tensor) -> bool:
        """Whether `node` lies in memory without gaps."""
        return node not in self.halos and node not in self.joins


def is_leaf(node: Tensor) -> bool:
    """Whether `node` lies in memory before the step begins."""
    return isinstance(node, State) or isinstance(node.op, Input | Constant)


def contiguous(node: Tensor) -> Tensor:
    """The tensor that `node` shows in another shape."""
    while isinstance(node.op, Reshape):
        node = node.inputs[0]
    return node
