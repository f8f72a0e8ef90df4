"""Back-propagation: one reverse walk that builds the gradient out of the same primitives.

Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors", 1986.
"""

from __future__ import annotations

from collections.abc import Sequence

from ranvier import dtypes
from ranvier.errors import DTypeError, ShapeError
from ranvier.graph import functions as f
from ranvier.graph.printing import type_text
from ranvier.graph.tensor import Tensor
from ranvier.graph.walk import topological


def gradients(
    loss: Tensor, parameters: Sequence[Tensor], seed: Tensor | None = None
) -> list[Tensor]:
    """Return the gradient of `loss` towards each of `parameters`, as tensors.

    `loss` is a floating scalar, or `seed` gives the gradient towards a loss of any shape.
    A parameter on which the loss does not depend gets zeros. The results are ordinary
    tensors, so they can be differentiated again.
    """
    _check(loss, parameters, seed)
    order = topological([loss])
    active = _depending_on(order, parameters)
    towards: dict[Tensor, Tensor] = {loss: f.ones_like(loss) if seed is None else seed}
    for tensor in reversed(order):
        grad = towards.get(tensor)
        if grad is None or not tensor.op.differentiable:
            continue
        if not any(source in active for source in tensor.inputs):
            continue
        for source, part in zip(tensor.inputs, tensor.op.gradient(tensor, grad), strict=True):
            if part is not None and source in active:
                towards[source] = towards[source] + part if source in towards else part
    return [towards[p] if p in towards else f.zeros_like(p) for p in parameters]


def _depending_on(order: Sequence[Tensor], sources: Sequence[Tensor]) -> set[Tensor]:
    active = set(sources)
    for tensor in order:
        if any(source in active for source in tensor.inputs):
            active.add(tensor)
    return active


def _check(loss: Tensor, parameters: Sequence[Tensor], seed: Tensor | None) -> None:
    if seed is None and loss.shape != ():
        raise ShapeError(
            f"gradients: the loss has shape {loss.shape}; reduce it to a scalar with .sum() "
            "or .mean()"
        )
    if seed is not None and (seed.shape, seed.dtype) != (loss.shape, loss.dtype):
        raise ShapeError(f"gradients: seed {seed.shape} does not match the loss {loss.shape}")
    for tensor in (loss, *parameters):
        if not dtypes.is_floating(tensor.dtype):
            raise DTypeError(
                f"gradients: a tensor {type_text(tensor)} has none, only floats do; "
                "leave it out or convert it with .astype(...)"
            )
