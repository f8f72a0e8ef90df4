"""`LayerNorm`, each sample normalized over its features."""

from __future__ import annotations

from ranvier.errors import InputError, ShapeError
from ranvier.graph import functions as f
from ranvier.graph.compositions import mean
from ranvier.graph.leaves import Parameter
from ranvier.graph.tensor import Tensor
from ranvier.nn import initializers
from ranvier.nn.module import Module, by


class LayerNorm(Module):
    """Mean 0 and variance 1 over the last axis of [..., features], then gain and shift.

    gain: ones, shift: zeros, both [features]. epsilon: 1e-5, added to the variance.

    Ba, Kiros & Hinton, "Layer normalization", 2016.
    """

    gain: Parameter
    shift: Parameter

    def __init__(self, epsilon: float = 1e-5) -> None:
        if epsilon <= 0:
            raise InputError(f"LayerNorm: epsilon is {epsilon}; use a positive number")
        self.epsilon = epsilon

    def __call__(self, x: Tensor) -> Tensor:
        if x.ndim == 0:
            raise ShapeError("expected an input [..., features], got a scalar; reshape it")
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
