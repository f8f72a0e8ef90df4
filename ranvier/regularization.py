"""Regularization by the weights: L1 and L2 penalties, and dilution.

Penalties are added to the loss that is differentiated and are reported apart from it. All
leave out parameters of one axis (biases, gains and shifts) unless told otherwise. Dropout,
which leaves out neurons, is a layer: `nn.Dropout`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from ranvier import checks, dtypes
from ranvier.errors import InputError
from ranvier.graph import functions as f
from ranvier.graph.leaves import Parameter, State
from ranvier.graph.tensor import Tensor
from ranvier.guidance.calls import explain
from ranvier.guidance.names import missing_names
from ranvier.named import Named
from ranvier.nn.trace import stream
from ranvier.records import dataclass


@dataclass(frozen=True)
class Penalty(Named):
    """Base: `strength` times a function of the weights, summed over all of them.

    strength: 0 or more. vectors: whether parameters of one axis count too, False by default.
    Raises InputError for arguments that are none.
    """

    family: ClassVar[dict[str, type[Any]]] = {}

    strength: float
    vectors: bool = False

    def __post_init__(self) -> None:
        self._numbers("strength", low=0)
        self._flags("vectors")

    def __call__(self, parameters: Iterable[Parameter]) -> Tensor:
        """Return the penalty of the parameters, a float32 scalar."""
        total = f.as_tensor(0.0)
        for parameter in parameters:
            if parameter.ndim > 1 or self.vectors:
                total = total + f.cast(f.sum(self.of(parameter)), dtypes.float32)
        return total * self.strength

    @abstractmethod
    def of(self, weights: Tensor) -> Tensor:
        """Return what each weight costs."""


@dataclass(frozen=True)
class L1(Penalty):
    """strength * Σ|w|, which drives weights to zero.

    Tibshirani, "Regression shrinkage and selection via the lasso", 1996.
    """

    name = "l1"

    def of(self, weights: Tensor) -> Tensor:
        return f.abs(weights)


@dataclass(frozen=True)
class L2(Penalty):
    """strength * Σw², also called ridge or weight decay.

    Hoerl & Kennard, "Ridge regression: biased estimation for nonorthogonal problems", 1970.
    """

    name = "l2"

    def of(self, weights: Tensor) -> Tensor:
        return weights * weights


def penalty(penalties: Sequence[Penalty], parameters: Mapping[str, Parameter]) -> Tensor:
    """Return the sum of all penalties, a float32 scalar, to add to the loss and to report."""
    total = f.as_tensor(0.0)
    for each in penalties:
        total = total + each(parameters.values())
    return total


@dataclass(frozen=True)
class Dilution(Named):
    """A random subset of the weights keeps its value, chosen anew each batch or each epoch.

    rate: the share of weights that are not updated, 0 to 0.998, rounded to a multiple of 1/256.
    every: "batch", the default, or "epoch" (then `masked` needs the steps of an epoch).
    vectors: whether parameters of one axis are diluted too, False by default.
    Raises InputError for arguments that are none.

    Only the parameter waits; the optimizer's moments go on with the gradient. Hertz, Krogh &
    Palmer, "Introduction to the theory of neural computation", 1991, on diluted networks.
    """

    name = "dilution"
    family: ClassVar[dict[str, type[Any]]] = Penalty.family

    rate: float
    every: str = "batch"
    vectors: bool = False

    def __post_init__(self) -> None:
        self._numbers("rate", low=0, high=0.998)
        self._flags("vectors")
        if self.every not in ("batch", "epoch"):
            raise InputError(
                f'dilution: every is {checks.shown(self.every)}; use "batch" or "epoch"'
            )

    @property
    def updated(self) -> int:
        """How many of 256 weights are updated, on average."""
        return 256 - round(256 * self.rate)

    def masked(
        self,
        updates: Mapping[State, Tensor],
        parameters: Mapping[str, Parameter],
        seed: int | Tensor,
        step: Tensor,
        steps_per_epoch: int | None = None,
    ) -> dict[State, Tensor]:
        """Return `updates` with the weights of `parameters` masked.

        parameters: by path. seed, step: int64 scalars; the choice depends on them and on each
        parameter's path. steps_per_epoch: needed where `every` is "epoch", else InputError.
        """
        counter = self._counter(step, steps_per_epoch)
        key = f.as_tensor(seed, dtypes.int64)
        result = dict(updates)
        for path, parameter in parameters.items():
            if parameter not in result or self.updated == 256:
                continue
            if parameter.ndim > 1 or self.vectors:
                draw = stream(f"dilution:{path}")
                bits = f.random_bits(parameter.shape, key, counter, draw, dtypes.uint8)
                result[parameter] = f.where(bits < self.updated, result[parameter], parameter)
        return result

    def _counter(self, step: Tensor, steps_per_epoch: int | None) -> Tensor:
        if self.every == "batch":
            return step
        if steps_per_epoch is None or steps_per_epoch < 1:
            raise InputError("dilution every epoch: give steps_per_epoch, 1 or more")
        # Half a step keeps whole epochs off the edge, however the division is rounded.
        epochs = f.floor((f.cast(step, dtypes.float64) + 0.5) / float(steps_per_epoch))
        return f.cast(epochs, dtypes.int64)


explain(globals())

if not TYPE_CHECKING:  # checkers would let any name pass
    __getattr__ = missing_names(__name__)
