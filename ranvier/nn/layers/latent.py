"""`GaussianLatent`, the code of a variational autoencoder."""

from __future__ import annotations

from ranvier import validation as checks
from ranvier.errors import ShapeError
from ranvier.graph import functions as f
from ranvier.graph.tensor import Tensor
from ranvier.nn.module import Module, by, check_floating
from ranvier.nn.trace import current


class GaussianLatent(Module):
    """From means and logarithms of variances, [..., 2 code], to a code, [..., code].

    While training the code is drawn: mean + exp(½ log variance) · ε, with standard normal ε, so
    that the gradient flows to both (the reparametrization trick). Outside of training it is the
    mean. The divergence of that normal distribution from the standard one,
    ½ Σ (mean² + variance - log variance - 1) for each sample, times `weight`, is added to what
    training minimizes and is reported as part of `penalty`.

    weight: 1 by default, 0 or more. The loss is a mean over outputs, so 1 / outputs gives the
    bound of the paper, divided by `outputs`; other weights are those of a β-VAE (Higgins et al.,
    2017). Raises ShapeError for an odd number of features.

    Kingma & Welling, "Auto-encoding variational Bayes", 2014.
    """

    def __init__(self, weight: float = 1.0) -> None:
        self.weight = checks.number("GaussianLatent: weight", weight, low=0)

    def __call__(self, x: Tensor) -> Tensor:
        check_floating(x)
        if x.ndim < 2 or x.shape[-1] % 2:
            raise ShapeError(
                f"expected [batch, …, 2 code], means and then logarithms of variances, got "
                f"{by(x.shape)}; let the layer before give twice the size of the code"
            )
        size = x.shape[-1] // 2
        mean, log_variance = x[..., :size], x[..., size:]
        trace = current()
        if not trace.training:
            return mean
        apart = mean * mean + f.exp(log_variance) - log_variance - 1.0
        trace.penalize(f.sum(apart, axis=tuple(range(1, x.ndim))) * (0.5 * self.weight))
        noise = f.cast(trace.random_normal(self.path, mean.shape), x.dtype)
        return mean + f.exp(log_variance * 0.5) * noise
