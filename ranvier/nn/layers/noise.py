"""Noise on inputs while training, for denoising autoencoders and against overfitting."""

from __future__ import annotations

from ranvier import validation as checks
from ranvier.graph import functions as f
from ranvier.graph.tensor import Tensor
from ranvier.nn.layers.dropout import LEVELS
from ranvier.nn.module import Module, check_floating
from ranvier.nn.trace import current


class GaussianNoise(Module):
    """While training, add normal noise of mean 0; outside of training, the input itself.

    Inputs of any shape, floats. deviation: the noise's standard deviation, 0.1 by default, 0 or
    more; InputError for another. Draws depend on the trace's seed and step and on the layer's
    path alone (Bishop, "Training with noise is equivalent to Tikhonov regularization", 1995).
    """

    def __init__(self, deviation: float = 0.1) -> None:
        self.deviation = checks.number("GaussianNoise: deviation", deviation, low=0)

    def __call__(self, x: Tensor) -> Tensor:
        check_floating(x)
        trace = current()
        if not trace.training or not self.deviation:
            return x
        noise = f.cast(trace.random_normal(self.path, x.shape), x.dtype)
        return x + noise * self.deviation


class MaskingNoise(Module):
    """While training, set each element to 0 with probability `share`, and leave the others.

    Inputs of any shape; outside of training, the input itself. share: 0.25 by default, 0 to 0.998,
    rounded to a multiple of 1/256; InputError for another. Unlike `Dropout` it scales nothing up:
    what comes in is damaged, and a denoising autoencoder learns to mend it (Vincent, Larochelle,
    Bengio & Manzagol, "Extracting and composing robust features with denoising autoencoders",
    2008).
    """

    def __init__(self, share: float = 0.25) -> None:
        self.share = checks.number("MaskingNoise: share", share, low=0, high=0.998)

    def __call__(self, x: Tensor) -> Tensor:
        trace = current()
        kept = LEVELS - round(LEVELS * self.share)
        if not trace.training or kept == LEVELS:
            return x
        return f.where(trace.random_bytes(self.path, x.shape) < kept, x, f.zeros_like(x))
