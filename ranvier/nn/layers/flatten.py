"""`Flatten`, all axes but the batch made one."""

from __future__ import annotations

from math import prod

from ranvier.errors import ShapeError
from ranvier.graph.tensor import Tensor
from ranvier.nn.module import Module


class Flatten(Module):
    """[batch, ...] to [batch, features], in row-major order; ShapeError for a scalar."""

    def __call__(self, x: Tensor) -> Tensor:
        if x.ndim == 0:
            raise ShapeError("expected an input [batch, ...], got a scalar; reshape it")
        return x.reshape(x.shape[0], prod(x.shape[1:]))
