"""The lowered graph: sound, made of ops that have kernels, each root stored by one of them."""

from __future__ import annotations

from collections.abc import Sequence

from ranvier.engines.native.fuse.groups import CONTRACTIONS, INDEXED, is_leaf
from ranvier.engines.native.indexmap import VIEWS
from ranvier.engines.native.verify.fault import StageError
from ranvier.errors import GraphError
from ranvier.graph.ops.contraction import MatMul
from ranvier.graph.ops.convolution import Convolution, ConvolutionWeightGradient
from ranvier.graph.ops.movement import Concatenate
from ranvier.graph.ops.pointwise import Pointwise
from ranvier.graph.ops.reduction import Reduction
from ranvier.graph.printing import type_text
from ranvier.graph.tensor import Tensor
from ranvier.graph.verify import verify
from ranvier.graph.walk import topological

_STAGE = "lowering"
_LOWERED = (Pointwise, *VIEWS, Concatenate, Reduction, *CONTRACTIONS, *INDEXED)


def verify_lowered(roots: Sequence[Tensor]) -> None:
    """Raise StageError for a graph that fusion cannot take."""
    try:
        verify(roots)
    except GraphError as error:
        raise StageError(_STAGE, "the graph", str(error)) from None
    if len(set(roots)) != len(roots):
        raise StageError(_STAGE, "the roots", "one tensor stands for two results")
    for root in roots:
        if is_leaf(root) or isinstance(root.op, INDEXED):
            raise StageError(_STAGE, _named(root), "a root that no kernel of its own can store")
    for node in topological(roots):
        fault = None if is_leaf(node) else _fault(node)
        if fault is not None:
            raise StageError(_STAGE, _named(node), fault)


def _fault(node: Tensor) -> str | None:
    if not isinstance(node.op, _LOWERED):
        return "no kernel computes this op"
    if isinstance(node.op, Convolution | ConvolutionWeightGradient):
        geometry = node.op.geometry
        if geometry.rank != 2:
            return "a convolution that is not two-dimensional"
        if any((*geometry.before, *geometry.after)):
            return "a convolution that pads its image itself"
    if isinstance(node.op, MatMul) and 0 in node.inputs[0].shape[-1:]:
        return "a product of no depth"
    return None


def _named(node: Tensor) -> str:
    return f"{node.op.name} {type_text(node)}"
