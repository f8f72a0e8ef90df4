"""`TiedLinear`, a linear layer by the transposed weights of another."""

from __future__ import annotations

from ranvier.errors import InputError, ShapeError
from ranvier.graph import functions as f
from ranvier.graph.leaves import Parameter
from ranvier.graph.tensor import Tensor
from ranvier.nn import initializers
from ranvier.nn.layers.linear import Linear, floating
from ranvier.nn.module import Module, by


class TiedLinear(Module):
    """x @ source.weightᵀ + bias: from the outputs of `source`, a `Linear`, back to its inputs.

    [..., source.features] to [..., the source's inputs]. Both layers learn the same weights, so
    that an autoencoder has half as many (Hinton & Salakhutdinov, 2006, begin with such ones).
    bias: its own, zeros at first.

    Raises InputError for a source that is no Linear, or that has not been called yet, and
    ShapeError for inputs of another size.
    """

    bias: Parameter

    def __init__(self, source: Linear) -> None:
        if not isinstance(source, Linear):
            raise InputError(f"TiedLinear: source is a {type(source).__name__}; use a Linear")
        self.source = source

    def __call__(self, x: Tensor) -> Tensor:
        weight = getattr(self.source, "weight", None)
        if weight is None:
            raise InputError(
                "the layer whose weights it shares has not been called yet; call that first, or "
                "build the whole network"
            )
        if x.ndim == 0 or x.shape[-1] != self.source.features:
            raise ShapeError(
                f"expected {self.source.features} input features, got {by(x.shape)}; give it what "
                "the layer whose weights it shares gives"
            )
        y = f.matmul(floating(x), f.transpose(weight))
        return y + self.param("bias", (weight.shape[0],), initializers.zeros, y.dtype)
