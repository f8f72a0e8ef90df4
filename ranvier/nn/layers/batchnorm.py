"""`BatchNorm`, each channel normalized over the batch."""

from __future__ import annotations

from math import prod

from ranvier.errors import InputError, ShapeError
from ranvier.graph import functions as f
from ranvier.graph.leaves import Buffer, Parameter
from ranvier.graph.statistics import moments
from ranvier.graph.tensor import Tensor
from ranvier.nn import initializers
from ranvier.nn.module import Module, by
from ranvier.nn.trace import Trace, current


class BatchNorm(Module):
    """Mean 0 and variance 1 for each channel of [batch, ..., channel], then gain and shift.

    While training, mean and variance are those of the batch, each sample counting by the
    trace's weight, and the trace records the running ones:
    running = momentum * running + (1 - momentum) * batch, with the unbiased variance of n
    elements, n / (n - 1) times the batch's. (With unequal weights n is Kish's effective
    number.) Otherwise the running mean and variance are used.

    gain: ones, shift: zeros, mean: zeros, variance: ones, all [channel].
    momentum: 0.9. epsilon: 1e-5, added to the variance.

    Ioffe & Szegedy, "Batch normalization", 2015.
    """

    gain: Parameter
    shift: Parameter
    mean: Buffer
    variance: Buffer

    def __init__(self, *, momentum: float = 0.9, epsilon: float = 1e-5) -> None:
        if not 0 <= momentum < 1 or epsilon <= 0:
            raise InputError(
                f"BatchNorm: momentum {momentum} must be in [0, 1), epsilon {epsilon} positive"
            )
        self.momentum = momentum
        self.epsilon = epsilon

    def __call__(self, x: Tensor) -> Tensor:
        trace = current()
        if x.ndim < 2:
            raise ShapeError(f"expected [batch, ..., channel], got {by(x.shape)}; reshape it")
        known = getattr(self, "gain", None)
        if known is not None and known.size != x.shape[-1]:
            raise ShapeError(
                f"expected {known.size} input channels, got {x.shape[-1]} (input {by(x.shape)}); "
                "give it the channels that it was built for, or make a new BatchNorm"
            )
        channels = (x.shape[-1],)
        gain = self.param("gain", channels, initializers.ones, x.dtype)
        shift = self.param("shift", channels, initializers.zeros, x.dtype)
        running_mean = self.buffer("mean", channels, initializers.zeros, x.dtype)
        running_variance = self.buffer("variance", channels, initializers.ones, x.dtype)
        if not trace.training:
            scale = gain * f.rsqrt(running_variance + self.epsilon)
            return (x - running_mean) * scale + shift
        weights, counts = _weights(x, trace)
        batch_mean, variance, correction = _statistics(x, weights)
        self._record(trace, running_mean, batch_mean, counts)
        self._record(trace, running_variance, variance * correction, counts)
        return (x - batch_mean) * (gain * f.rsqrt(variance + self.epsilon)) + shift

    def _record(self, trace: Trace, running: Buffer, batch: Tensor, counts: Tensor | None) -> None:
        """Record the new running value; the old one where no sample of the batch counts."""
        old = trace.latest(running)
        new = old * self.momentum + f.stop_gradient(batch) * (1 - self.momentum)
        trace.record(running, new if counts is None else f.where(counts, new, old))


def _weights(x: Tensor, trace: Trace) -> tuple[Tensor | None, Tensor | None]:
    """The weights of the samples, if any, and whether one of them counts; if none does, all do."""
    if trace.weights is None:
        return None, None
    if trace.weights.shape != x.shape[:1]:
        raise ShapeError(
            f"the trace has {trace.weights.shape[0]} sample weights, the input {by(x.shape)} "
            f"{x.shape[0]} samples; keep the batch axis first"
        )
    weights = f.cast(trace.weights, x.dtype)
    counts = f.greater(f.sum(weights), 0.0)
    return f.where(counts, weights, 1.0), counts


def _statistics(x: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor, Tensor | float]:
    """The mean and variance of each channel, and what makes the variance unbiased."""
    axes = tuple(range(x.ndim - 1))
    if weights is None:
        elements = prod(x.shape[:-1])
        return *moments(x, axes), elements / max(elements - 1, 1)
    each = f.reshape(weights, (-1, *(1,) * (x.ndim - 1)))
    count = f.sum(weights) ** 2 / f.sum(weights * weights) * float(prod(x.shape[1:-1]))
    return *moments(x, axes, each), count / f.maximum(count - 1, 1.0)
