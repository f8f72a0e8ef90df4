"""Links that stand in a network already: a sigmoid or softmax at the end of its graph.

A loss on logits applies its link itself. Two in a row squeeze all probabilities together, and next
to nothing is learnt, so such a network is refused; told that it gives probabilities, a loss goes
back to the logits behind them, which keep digits where probabilities are nearly 0 or 1.
"""

from __future__ import annotations

from typing import NamedTuple

from ranvier.errors import InputError
from ranvier.graph.ops import movement
from ranvier.graph.ops.movement import BroadcastTo, Reshape
from ranvier.graph.ops.pointwise import Divide, Exp, Sigmoid, StopGradient, Subtract
from ranvier.graph.ops.reduction import Max, Sum
from ranvier.graph.tensor import Tensor, apply


class Linked(NamedTuple):
    """A tensor made by a link, "sigmoid" or "softmax", and views.

    logits: what the tensor would be without the link, None where the views tear the softmax's
    classes apart, or they do not lie along the last axis.
    """

    link: str
    logits: Tensor | None


def linked(tensor: Tensor) -> Linked | None:
    """Return the link that a tensor has gone through, None where there is none."""
    views: list[Tensor] = []
    source = tensor
    while _is_view(source):
        views.append(source)
        source = source.inputs[0]
    if isinstance(source.op, Sigmoid):
        return Linked("sigmoid", _seen_through(views, source.inputs[0]))
    logits = _logits_of_softmax(source)
    if logits is None:
        return None
    kept = all(isinstance(each.op, Reshape) for each in views) and _along_last(source)
    kept &= tensor.shape[-1:] == source.shape[-1:]
    return Linked("softmax", _seen_through(views, logits) if kept else None)


def refuse_linked(loss: str, output: Tensor) -> None:
    """Raise InputError for an output that is no logits."""
    found = linked(output)
    if found is not None:
        raise InputError(
            f"the network ends with a {found.link}, and {loss} takes logits, to which it applies "
            f"its own link; drop the last layer, or use rv.losses.get({loss!r}, from_logits=False)"
        )


def _is_view(tensor: Tensor) -> bool:
    return len(tensor.inputs) == 1 and type(tensor.op).__module__ == movement.__name__


def _seen_through(views: list[Tensor], source: Tensor) -> Tensor:
    for view in reversed(views):
        source = apply(view.op, source)
    return source


def _logits_of_softmax(tensor: Tensor) -> Tensor | None:
    """x, where a tensor is exp(x) / Σ exp(x) over one axis."""
    if not isinstance(tensor.op, Divide):
        return None
    powers, total = tensor.inputs[0], _unspread(tensor.inputs[1])
    if not isinstance(powers.op, Exp) or not isinstance(total.op, Sum):
        return None
    if total.inputs[0] is not powers or len(total.op.axes) != 1:
        return None
    shifted = powers.inputs[0]
    if isinstance(shifted.op, Subtract) and isinstance(_unspread(shifted.inputs[1]).op, Max):
        return shifted.inputs[0]
    return shifted


def _along_last(softmax: Tensor) -> bool:
    total = _unspread(softmax.inputs[1])
    assert isinstance(total.op, Sum)
    return total.op.axes == (softmax.ndim - 1,)


def _unspread(tensor: Tensor) -> Tensor:
    """What a tensor is before it is repeated along axes."""
    while isinstance(tensor.op, BroadcastTo | Reshape | StopGradient):
        tensor = tensor.inputs[0]
    return tensor
