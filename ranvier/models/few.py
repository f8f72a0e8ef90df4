"""Training on few samples: counted by steps, and ended by the validation loss.

The epochs of a recipe suit its own data set, of tens of thousands of samples. A table of a
hundred rows would be over after fifteen steps. What stands here depends on the number of samples
and on nothing else of the data.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ranvier import optim, schedules
from ranvier.optim import Optimizer
from ranvier.records import dataclass
from ranvier.regularization import L2

_BATCHES = 8
"""An epoch has about so many batches or more, as long as they have samples enough."""
_SMALLEST = 16
"""Samples in the batches of the smallest data."""


@dataclass(frozen=True)
class FewSamples:
    """How a recipe trains where its epochs are fewer steps than `steps`.

    steps: how many there are at least, and at most where training ends early. optimizer: in
    place of the recipe's, given the number of all steps. patience: the share of the epochs
    after which training ends if the validation loss has not improved; the weights of the best
    epoch are kept then. prior: the penalty (prior / samples) Σw²; with 0.5, every weight is
    normal with deviation 1 before the data are seen.
    """

    steps: int = 1000
    optimizer: Callable[[int], Optimizer] | None = None
    patience: float | None = None
    prior: float = 0.0

    def batch_size(self, samples: int, largest: int) -> int:
        """Return a power of two that gives a table several steps an epoch, or `largest`."""
        fitting = 1 << max(samples // _BATCHES, 1).bit_length() - 1
        return min(max(fitting, _SMALLEST), largest)

    def epochs(self, samples: int, batch_size: int) -> int:
        """Return how many epochs make the steps."""
        return math.ceil(self.steps / math.ceil(samples / batch_size))

    def penalties(self, samples: int) -> tuple[L2, ...]:
        """Return the prior of the weights for so many samples."""
        return (L2(float(f"{self.prior / samples:.3g}")),) if self.prior else ()

    def patience_in(self, epochs: int) -> int | None:
        """Return how many epochs without improvement end training, if any do."""
        return None if self.patience is None else math.ceil(self.patience * epochs)


TABLES = FewSamples(
    optimizer=lambda steps: optim.Adam(schedules.Cosine(5e-4, steps)), patience=0.1, prior=1.0
)
"""For dense networks, whose data are tables as a rule."""
