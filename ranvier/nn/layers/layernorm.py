"""`LayerNorm`, each sample normalized over its features."""

from __future__ import annotations

from ranvier import validation as checks
from ranvier.errors import ShapeError
from ranvier.graph import functions as f
from ranvier.graph.compositions import mean
from ranvier.graph.leaves import Parameter
from ranvier.graph.tensor import Tensor
from ranvier.nn import initializers
from ranvier.nn.module import Module, by, check_floating


class LayerNorm(Module):
    """(x - mean) / sqrt(variance + epsilon) * gain + shift over the last axis, [..., features].

    The variance is the mean of the squared deviations; training and evaluation do the same.
    epsilon: 1e-5 by default, positive. gain: ones, shift: zeros at first, both [features].

    Raises InputError for an epsilon that is none, ShapeError for a scalar and for inputs of
    another size than those of the first call.

    Ba, Kiros & Hinton, "Layer normalization", 2016.
    """

    gain: Parameter
    shift: Parameter

    def __init__(self, *, epsilon: float = 1e-5) -> None:
        self.epsilon = checks.number("LayerNorm: epsilon", epsilon, above=0)

    def __call__(self, x: Tensor) -> Tensor:
        if x.ndim == 0:
            raise ShapeError("expected an input [..., features], got a scalar; reshape it")
        check_floating(x)
        known = getattr(self, "gain", None)
        if known is not None and known.size != x.shape[-1]:
            raise ShapeError(
                f"expected {known.size} input features, got {x.shape[-1]} (input {by(x.shape)}); "
                "give it the features that it was built for, or make a new LayerNorm"
            )
        features = (x.shape[-1],)
        gain = self.param("gain", features, initializers.ones, x.dtype)
        shift = self.param("shift", features, initializers.zeros, x.dtype)
        centred = x - mean(x, -1, keepdims=True)
        scale = f.rsqrt(mean(centred * centred, -1, keepdims=True) + self.epsilon)
        return centred * scale * gain + shift
