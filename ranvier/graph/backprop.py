"""Back-propagation: one reverse walk that builds the gradient out of the same primitives.

Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors", 1986.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ranvier import dtypes
from ranvier.errors import DTypeError, GraphError, ShapeError
from ranvier.graph import functions as f
from ranvier.graph.printing import type_text
from ranvier.graph.tensor import Tensor
from ranvier.graph.walk import topological
from ranvier.guidance.calls import explained


@explained
def gradients(loss: Tensor, parameters: Iterable[Tensor], seed: Any = None) -> list[Tensor]:
    """Return the gradient of `loss` towards each of `parameters`, as tensors.

    `loss` is a floating scalar, or `seed` gives the gradient towards a loss of any shape.
    A parameter on which the loss does not depend gets zeros. The results are ordinary
    tensors, so they can be differentiated again. Raises GraphError for what is no tensor,
    ShapeError or DTypeError for a loss, parameter or seed that does not fit.
    """
    parameters = _listed(parameters)
    _check(loss, parameters)
    towards: dict[Tensor, Tensor] = {loss: _seed(seed, loss)}
    order = topological([loss])
    active = _depending_on(order, parameters)
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


def _listed(parameters: Iterable[Tensor]) -> list[Tensor]:
    if isinstance(parameters, Tensor):
        raise GraphError("gradients: parameters is one tensor; pass a list, [w]")
    if not isinstance(parameters, Iterable):
        kind = type(parameters).__name__
        raise GraphError(f"gradients: parameters is of type {kind}; pass a list of tensors")
    return list(parameters)


def _check(loss: Tensor, parameters: Sequence[Tensor]) -> None:
    for name, tensor in (("the loss", loss), *(("a parameter", p) for p in parameters)):
        if not isinstance(tensor, Tensor):
            kind = type(tensor).__name__
            raise GraphError(f"gradients: {name} is of type {kind}; it must be a tensor")
        if not dtypes.is_floating(tensor.dtype):
            raise DTypeError(
                f"gradients: a tensor {type_text(tensor)} has none, only floats do; "
                "leave it out or convert it with .astype(...)"
            )


def _seed(given: Any, loss: Tensor) -> Tensor:
    if given is None and loss.shape != ():
        raise ShapeError(
            f"gradients: the loss has shape {loss.shape}; reduce it to a scalar with .sum() "
            "or .mean()"
        )
    if given is None:
        return f.ones_like(loss)
    own = isinstance(given, Tensor | np.ndarray | np.generic)
    seed = f.as_tensor(given, None if own else loss.dtype)
    if seed.shape != loss.shape:
        raise ShapeError(
            f"gradients: the seed has shape {seed.shape}, the loss {loss.shape}; they must agree"
        )
    if seed.dtype != loss.dtype:
        raise DTypeError(
            f"gradients: the seed is {seed.dtype}, the loss {loss.dtype}; "
            "convert one with .astype(...)"
        )
    return seed
