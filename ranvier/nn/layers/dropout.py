"""`Dropout`, neurons left out at random while training."""

from __future__ import annotations

from ranvier.errors import InputError
from ranvier.graph import functions as f
from ranvier.graph.tensor import Tensor
from ranvier.nn.module import Module
from ranvier.nn.trace import current

LEVELS = 256
"""How many rates there are: eight random bits decide on one element."""


class Dropout(Module):
    """While training, set each element to 0 with probability `rate`, and scale up the others.

    One random word serves four elements at eight bits each, so the rate is rounded to the
    nearest multiple of 1/256: 0.1 becomes 26/256 = 0.1016, 0.5 is exact. Those that stay are
    divided by the rounded share that stays, so that the expected value is exactly x. Which
    ones drop out depends on the trace's seed and step and on the layer's path alone.

    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting",
    2014.
    """

    def __init__(self, rate: float = 0.5) -> None:
        self.kept = LEVELS - round(LEVELS * rate)
        if not 0 <= rate < 1 or self.kept == 0:
            raise InputError(f"Dropout: rate is {rate}; use 0 to 0.998, the share left out")
        self.rate = rate

    def __call__(self, x: Tensor) -> Tensor:
        trace = current()
        if not trace.training or self.kept == LEVELS:
            return x
        stays = trace.random_bytes(self.path, x.shape) < self.kept
        return f.where(stays, x * (LEVELS / self.kept), 0.0)
