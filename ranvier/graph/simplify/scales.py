"""Scales: a factor for each channel out goes into the weights of a convolution.

So batch normalization of an inference graph, whose statistics are state, vanishes: its scale
is multiplied into the weights and its shift becomes a bias.

This is exact up to rounding while k is finite and w k stays in the range of its dtype. Beyond,
w k may overflow or vanish where conv(x, w) k does not; and an infinite or NaN k times a border's
zeros is NaN inside the sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ranvier.graph import functions as f
from ranvier.graph.leaves import Constant, State
from ranvier.graph.ops.convolution import Convolution
from ranvier.graph.ops.movement import BroadcastTo
from ranvier.graph.ops.pointwise import Add, Multiply, Subtract
from ranvier.graph.simplify.rules import padded_source
from ranvier.graph.tensor import Tensor, apply
from ranvier.graph.walk import rebuild, topological, users


def scales(roots: Sequence[Tensor], settled: set[Tensor]) -> list[Tensor]:
    """(conv(x, w) + c) k = conv(x, w k) + c k for channel vectors c and k made of state alone.

    Only where nothing else reads the convolution. `settled` is not used: the readers may change.
    """
    order = topological(roots)
    if not any(isinstance(tensor.op, Convolution) for tensor in order):
        return list(roots)
    readers = users(order)
    inner = {t for t in order if len(readers[t]) == 1} - set(roots)
    folding = _Folding(inner, _steady(order), {})
    for old in order:
        scaled = folding.scaled(old)
        if scaled is None:
            scaled = rebuild(old, tuple([folding.new[source] for source in old.inputs]))
        folding.new[old] = scaled
    return [folding.new[root] for root in roots]


def _steady(order: Sequence[Tensor]) -> set[Tensor]:
    """The tensors that depend on no input, only on state and constants."""
    steady: set[Tensor] = set()
    for tensor in order:
        made = bool(tensor.inputs) and all(source in steady for source in tensor.inputs)
        if made or isinstance(tensor, State) or isinstance(tensor.op, Constant):
            steady.add(tensor)
    return steady


@dataclass
class _Folding:
    """What the pass knows: tensors with one reader, those made of state, and the new ones."""

    inner: set[Tensor]
    steady: set[Tensor]
    new: dict[Tensor, Tensor]

    def scaled(self, tensor: Tensor) -> Tensor | None:
        """`tensor`, a product with a channel vector, without that product; else None."""
        if not isinstance(tensor.op, Multiply):
            return None
        for source, factor in (tensor.inputs, tensor.inputs[::-1]):
            scale = self.channel(factor)
            if scale is not None and source in self.inner:
                found = self._times(source, scale)
                if found is not None:
                    return found
        return None

    def _times(self, source: Tensor, scale: Tensor) -> Tensor | None:
        """`source` times a channel vector, if it is a convolution, or one plus such a vector."""
        if isinstance(source.op, Convolution):
            return self._convolved(source, scale)
        if not isinstance(source.op, Add | Subtract):
            return None
        left, right = source.inputs
        shift = self.channel(right)
        if shift is None or left not in self.inner or not isinstance(left.op, Convolution):
            return None
        moved = f.broadcast_to(shift * scale, source.shape)
        return apply(source.op, self._convolved(left, scale), moved)

    def _convolved(self, convolution: Tensor, scale: Tensor) -> Tensor:
        x, w = (self.new[source] for source in convolution.inputs)
        return apply(convolution.op, x, w * scale)

    def channel(self, tensor: Tensor) -> Tensor | None:
        """The vector [f] of which `tensor` [..., f] is a broadcast, if it is made of state."""
        if not isinstance(tensor.op, BroadcastTo) or tensor not in self.steady:
            return None
        length = tensor.shape[-1]
        if padded_source(tensor) != (1,) * (tensor.ndim - 1) + (length,):
            return None
        return f.reshape(self.new[tensor.inputs[0]], (length,))
