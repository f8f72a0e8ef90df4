"""Batch-innermost: a layout for convolutions with few channels, in which vectors hold images.

Where channels fill a fraction of a vector, images [b, h, w, c] are computed as [h, w, c, b]: a
vector holds one element of as many images as it has lanes, so that no lane is idle, in pointwise
work and pooling neither. Tensors are brought to that form where a convolution asks for it, and
what is computed of them stays in it, until something else reads it through a transposed view.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ranvier.dtypes import DType
from ranvier.engines.native.lower.pooling import POOLING, pooled
from ranvier.graph import functions as f
from ranvier.graph.ops.contraction import MatMul
from ranvier.graph.ops.convolution import Convolution, ConvolutionWeightGradient
from ranvier.graph.ops.movement import Concatenate, Pad, Reshape, Slice, Transpose
from ranvier.graph.ops.pointwise import Pointwise, StopGradient
from ranvier.graph.ops.reduction import Max, Min, Sum
from ranvier.graph.tensor import Array, Shape, Tensor, apply
from ranvier.records import dataclass

_LAST, _FIRST = (1, 2, 3, 0), (3, 0, 1, 2)
"""The axes' order that brings the batch innermost, and the one that brings them first again."""


@dataclass(frozen=True)
class BatchInnermostConvolution(Convolution, lowered=True):
    """x [h, w, c, b], w [kh, kw, c, f] give [h', w', f, b]; inside the native engine only."""

    name = "batch_innermost_convolution"

    def infer(self, *inputs: Tensor) -> tuple[Shape, DType]:
        x, w = inputs
        (images, *rest), dtype = super().infer(f.transpose(x, _FIRST), w)
        return (*rest, images), dtype

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        x, w = arrays
        return xp.transpose(super().meaning(xp, xp.transpose(x, _FIRST), w), _LAST)


@dataclass(frozen=True)
class BatchInnermostWeightGradient(ConvolutionWeightGradient, lowered=True):
    """x [h, w, c, b], g [h', w', f, b] give [chunks, kh, kw, c, f]; inside the native engine only.

    Each of `chunks` is the weight gradient of an equal part of the rows of g.
    """

    name = "batch_innermost_weight_gradient"
    chunks: int = 1

    def infer(self, *inputs: Tensor) -> tuple[Shape, DType]:
        shape, dtype = super().infer(*(f.transpose(source, _FIRST) for source in inputs))
        return (self.chunks, *shape), dtype

    def meaning(self, xp: Any, *arrays: Array) -> Array:
        x, g = (xp.transpose(array, _FIRST) for array in arrays)
        step, rows = self.geometry.stride[0], g.shape[1] // self.chunks
        reach = (rows - 1) * step + (self.kernel[0] - 1) * self.geometry.dilation[0] + 1
        parts = []
        for first in range(0, g.shape[1], rows):
            seen = x[:, first * step : first * step + reach]
            parts.append(super().meaning(xp, seen, g[:, first : first + rows]))
        return xp.stack(parts)


class BatchInnermost:
    """The tensors of a graph that lie batch-innermost, and the rules by which others follow.

    `readers` tells who reads each tensor of the graph.
    """

    def __init__(self, readers: Mapping[Tensor, Sequence[Tensor]]) -> None:
        self.readers = readers
        self.forms: dict[Tensor, Tensor] = {}
        """Each tensor in this layout, a transposed view [b, h, w, c], with what it shows."""
        self.shapes: set[Shape] = set()

    def rule(self, old: Tensor, node: Tensor) -> Tensor | None:
        """`node`, made of `old`, computed in this layout if its inputs lie in it, else None."""
        op = node.op
        if isinstance(op, Reshape):
            return self._flattened(node) if node.ndim == 2 else self._unflattened(old, node)
        if not any(self.holds(source) for source in node.inputs):
            return None
        if isinstance(op, Transpose) and op.axes == _LAST:
            return self.form(node.inputs[0])
        if isinstance(op, Sum | Max | Min) and op.axes == (0, 1, 2):
            pixels = apply(type(op)((3,)), self.form(node.inputs[0]))
            return apply(type(op)((0, 1)), pixels)
        if isinstance(op, Pointwise):
            return self._keep(apply(op, *map(self.form, node.inputs)))
        if isinstance(op, POOLING) and node.size:
            return self._keep(pooled(op, [self.form(source) for source in node.inputs], 0))
        return None

    def convolution(self, node: Tensor, lanes: int) -> Tensor | None:
        """A convolution without padding in this layout, or None where it does not pay."""
        op, (x, w) = node.op, node.inputs
        assert isinstance(op, Convolution)
        channels, outputs = w.shape[-2:]
        few = outputs < lanes or (self.holds(x) and channels <= lanes)
        if not few or op.geometry.groups > 1 or node.shape[0] % (2 * lanes):
            return None
        return self._keep(apply(BatchInnermostConvolution(op.geometry), _stored(self.form(x)), w))

    def weight_gradient(self, node: Tensor, lanes: int, chunks: int) -> Tensor | None:
        """A weight gradient without padding, in chunks, if its second factor lies so."""
        op, (x, g) = node.op, node.inputs
        assert isinstance(op, ConvolutionWeightGradient)
        if not self.holds(g) or op.geometry.groups > 1 or g.shape[0] % lanes:
            return None
        op = BatchInnermostWeightGradient(op.geometry, op.kernel, chunks)
        parts = apply(op, _stored(self.form(x)), _stored(self.form(g)))
        return f.sum(parts, 0) if chunks > 1 else f.reshape(parts, node.shape)

    def holds(self, x: Tensor) -> bool:
        """Whether `x` lies in this layout, or is a bordered part of what does."""
        return _inside(x)[0] in self.forms

    def form(self, x: Tensor) -> Tensor:
        """`x` [b, h, w, c] as [h, w, c, b]."""
        base, views = _inside(x)
        y = self.forms[base] if base in self.forms else f.transpose(base, _LAST)
        for op in reversed(views):
            numbers = ((*of_axes[1:], of_axes[0]) for of_axes in vars(op).values())
            y = apply(type(op)(*numbers), y)
        return y

    def _keep(self, form: Tensor) -> Tensor:
        """The tensor [b, h, w, c] with this form."""
        view = f.transpose(form, _FIRST)
        self.forms[view] = form
        self.shapes.add(view.shape)
        return view

    def _flattened(self, node: Tensor) -> Tensor | None:
        """Images made vectors [b, n]: those of the form [n, b], transposed."""
        (x,) = node.inputs
        if x not in self.forms or node.shape[0] != x.shape[0]:
            return None
        return f.transpose(f.reshape(self.forms[x], node.shape[::-1]))

    def _unflattened(self, old: Tensor, node: Tensor) -> Tensor | None:
        """Vectors [b, n] made images, of a shape that others have that lie in this layout.

        Those are gradients of what was flattened before. They are computed transposed, if nothing
        else reads them.
        """
        (x,) = node.inputs
        if x.ndim != 2 or node.shape not in self.shapes or node.shape[0] != x.shape[0]:
            return None
        whole = _computation(old.inputs[0])
        if any(
            reader not in whole
            for part in whole
            for reader in self.readers[part]
            if reader is not old
        ):
            return None
        return self._keep(f.reshape(_transposed(x), (*node.shape[1:], node.shape[0])))


def _inside(x: Tensor) -> tuple[Tensor, list[Pad | Slice]]:
    """What `x` shows a part of or a border round, and the views in between, the last one first."""
    views: list[Pad | Slice] = []
    while isinstance(x.op, Pad | Slice):
        views.append(x.op)
        x = x.inputs[0]
    return x, views


def _stored(form: Tensor) -> Tensor:
    """`form`, or a copy of what would not lie in memory in its order."""
    base, views = _inside(form)
    source = base
    while isinstance(source.op, Reshape):
        source = source.inputs[0]
    if isinstance(source.op, Pointwise | Concatenate | Convolution | MatMul):
        return form
    copied = apply(StopGradient(), base)
    for op in reversed(views):
        copied = apply(op, copied)
    return copied


def _computation(matrix: Tensor) -> set[Tensor]:
    """The pointwise work and the products by which a tensor is computed."""
    found: set[Tensor] = set()
    stack = [matrix]
    while stack:
        node = stack.pop()
        if isinstance(node.op, Pointwise | MatMul):
            found.add(node)
            stack += node.inputs if isinstance(node.op, Pointwise) else ()
    return found


def _transposed(matrix: Tensor) -> Tensor:
    """The transpose of a [b, n] tensor; pointwise work and products are done on transposes."""
    found: dict[Tensor, Tensor] = {}
    stack = [matrix]
    while stack:
        node = stack[-1]
        missing = [s for s in node.inputs if s not in found]
        if isinstance(node.op, Pointwise) and missing:
            stack += missing
            continue
        stack.pop()
        if isinstance(node.op, Pointwise):
            found[node] = apply(node.op, *(found[s] for s in node.inputs))
        elif isinstance(node.op, MatMul):
            found[node] = apply(MatMul(), *(f.transpose(s) for s in reversed(node.inputs)))
        else:
            found[node] = f.transpose(node)
    return found[matrix]
