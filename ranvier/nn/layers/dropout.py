"""`Dropout`, neurons left out at random while training."""

from __future__ import annotations

from ranvier import validation as checks
from ranvier.graph import functions as f
from ranvier.graph.tensor import Tensor
from ranvier.nn.module import Module
from ranvier.nn.trace import current

LEVELS = 256
"""How many rates there are: eight random bits decide on one element."""


class Dropout(Module):
    """While training, set each element to 0 with probability `rate`, and scale up the others.

    Inputs of any shape; outside of training, the input itself. rate: 0.5 by default, 0 to 0.998;
    InputError for another.

    One random word serves four elements at eight bits each, so the rate is rounded to the
    nearest multiple of 1/256: 0.1 becomes 26/256 = 0.1016, 0.5 is exact. Those that stay are
    divided by the rounded share that stays, so that the expected value is exactly x. Which
    ones drop out depends on the trace's seed and step and on the layer's path alone.

    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting",
    2014.
    """

    def __init__(self, rate: float = 0.5) -> None:
        hint = ", the share left out"
        self.rate = checks.number("Dropout: rate", rate, low=0, high=0.998, hint=hint)
        self.kept = LEVELS - round(LEVELS * self.rate)

    def __call__(self, x: Tensor) -> Tensor:
        trace = current()
        if not trace.training or self.kept == LEVELS:
            return x
        stays = trace.random_bytes(self.path, x.shape) < self.kept
        return f.where(stays, x * (LEVELS / self.kept), 0.0)
