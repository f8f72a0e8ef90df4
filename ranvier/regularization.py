"""Regularization by the weights: penalties, decay, max-norm, dilution and DropConnect.

Penalties are added to the loss that is differentiated and are reported apart from it. All
leave out parameters of one axis (biases, gains and shifts) unless told otherwise, and are for
the parameters whose path matches the pattern `only`, such as "linear1.*". Dropout, which leaves
out neurons, is a layer: `nn.Dropout`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, ClassVar

from ranvier import dtypes
from ranvier import validation as checks
from ranvier.errors import InputError
from ranvier.graph import functions as f
from ranvier.graph.leaves import Parameter, State
from ranvier.graph.tensor import Tensor
from ranvier.graph.walk import rebuild, rewrite
from ranvier.guidance.calls import explain
from ranvier.guidance.names import missing_names
from ranvier.named import Named
from ranvier.nn.trace import stream
from ranvier.records import dataclass


class Selective(Named):
    """Base of what is for some parameters: those of several axes whose path matches `only`."""

    vectors: bool = False
    only: str = "*"

    def selected(self, parameters: Mapping[str, Parameter]) -> dict[str, Parameter]:
        """Return the parameters, by path, that this is for."""
        return {
            path: parameter
            for path, parameter in parameters.items()
            if fnmatchcase(path, self.only) and (parameter.ndim > 1 or self.vectors)
        }

    def check(self, parameters: Mapping[str, Parameter]) -> None:
        """Refuse a pattern that matches none of these with InputError."""
        if not any(fnmatchcase(path, self.only) for path in parameters):
            raise InputError(
                f"{self.name}: no parameter matches {self.only!r}; they are {', '.join(parameters)}"
            )

    def _check_selection(self) -> None:
        self._flags("vectors")
        if not isinstance(self.only, str):
            raise InputError(
                f"{self.name}: only is {checks.shown(self.only)}; use a pattern of paths, such as "
                '"linear1.*"'
            )


@dataclass(frozen=True)
class Penalty(Selective):
    """Base: `strength` times a function of the weights, summed over all of them.

    strength: 0 or more. vectors: whether parameters of one axis count too, False by default.
    only: the pattern of the paths that count, all by default.
    Raises InputError for arguments that are none.
    """

    family: ClassVar[dict[str, type[Any]]] = {}

    strength: float
    vectors: bool = False
    only: str = "*"

    def __post_init__(self) -> None:
        self._numbers("strength", low=0)
        self._check_selection()

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
        total = total + each(each.selected(parameters).values())
    return total


@dataclass(frozen=True)
class Dilution(Selective):
    """A random subset of the weights keeps its value, chosen anew each batch or each epoch.

    rate: the share of weights that are not updated, 0 to 0.998, rounded to a multiple of 1/256.
    every: "batch", the default, or "epoch" (then `masked` needs the steps of an epoch).
    vectors: whether parameters of one axis are diluted too, False by default. only: the pattern
    of the paths that are, all by default. Raises InputError for arguments that are none.

    Only the parameter waits; the optimizer's moments go on with the gradient. Hertz, Krogh &
    Palmer, "Introduction to the theory of neural computation", 1991, on diluted networks.
    """

    name = "dilution"
    family: ClassVar[dict[str, type[Any]]] = Penalty.family

    rate: float
    every: str = "batch"
    vectors: bool = False
    only: str = "*"

    def __post_init__(self) -> None:
        self._numbers("rate", low=0, high=0.998)
        self._check_selection()
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
        for path, parameter in self.selected(parameters).items():
            if parameter not in result or self.updated == 256:
                continue
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


@dataclass(frozen=True)
class WeightDecay(Selective):
    """p <- p - rate strength p beside the optimizer's step, apart from the gradient.

    strength: 0 or more; rate is the learning rate of the step. vectors: whether parameters of one
    axis decay too, False by default. only: the pattern of the paths that do, all by default.

    Hanson & Pratt, "Comparing biases for minimal network construction with back-propagation",
    1989; Loshchilov & Hutter, "Decoupled weight decay regularization", 2019.
    """

    name = "weight_decay"
    family: ClassVar[dict[str, type[Any]]] = Penalty.family

    strength: float
    vectors: bool = False
    only: str = "*"

    def __post_init__(self) -> None:
        self._numbers("strength", low=0)
        self._check_selection()

    def decayed(
        self, updates: Mapping[State, Tensor], parameters: Mapping[str, Parameter], rate: Tensor
    ) -> dict[State, Tensor]:
        """Return `updates` with the decay of the selected parameters; rate: a scalar."""
        result = dict(updates)
        for parameter in self.selected(parameters).values():
            if parameter in result:
                shrunk = parameter * f.cast(rate * self.strength, parameter.dtype)
                result[parameter] = result[parameter] - shrunk
        return result


@dataclass(frozen=True)
class MaxNorm(Selective):
    """The weights that come into one unit have a norm of at most `norm` after each step.

    Those of longer norm are scaled down to it. A unit is an index of the last axis: a column of a
    Linear's weights, a feature map of a Conv's. norm: positive, 3 or 4 in the paper. only: the
    pattern of the paths that are bounded, all by default; parameters of one axis never are.

    Srebro & Shraibman, "Rank, trace-norm and max-norm", 2005; Srivastava et al., "Dropout: a
    simple way to prevent neural networks from overfitting", 2014, section 5.1.
    """

    name = "max_norm"
    family: ClassVar[dict[str, type[Any]]] = Penalty.family

    norm: float
    only: str = "*"

    def __post_init__(self) -> None:
        self._numbers("norm", above=0)
        self._check_selection()

    def bounded(
        self, updates: Mapping[State, Tensor], parameters: Mapping[str, Parameter]
    ) -> dict[State, Tensor]:
        """Return `updates` with the new values of the selected parameters within the bound."""
        result = dict(updates)
        for parameter in self.selected(parameters).values():
            if parameter in result:
                new = result[parameter]
                inward = tuple(range(new.ndim - 1))
                square = f.sum(new * new, axis=inward, keepdims=True)
                excess = f.maximum(f.sqrt(square) / self.norm, 1.0)
                result[parameter] = new / excess
        return result


@dataclass(frozen=True)
class DropConnect(Selective):
    """While training, each weight is 0 with probability `rate`, chosen anew each step.

    The weights that stay are divided by their share, so that evaluation, with all of them, is
    the mean. One choice serves all samples of a batch, where the paper draws one for each.
    rate: 0 to 0.998, rounded to a multiple of 1/256. vectors: whether parameters of one axis are
    left out too, False by default. only: the pattern of the paths, all by default.

    Wan, Zeiler, Zhang, LeCun & Fergus, "Regularization of neural networks using DropConnect",
    2013.
    """

    name = "dropconnect"
    family: ClassVar[dict[str, type[Any]]] = Penalty.family

    rate: float
    vectors: bool = False
    only: str = "*"

    def __post_init__(self) -> None:
        self._numbers("rate", low=0, high=0.998)
        self._check_selection()

    def dropped(
        self,
        tensors: Sequence[Tensor],
        parameters: Mapping[str, Parameter],
        seed: int | Tensor,
        step: Tensor,
    ) -> list[Tensor]:
        """Return what `tensors` become where the selected parameters lose weights.

        seed, step: int64 scalars; the choice depends on them and on each parameter's path.
        """
        kept = 256 - round(256 * self.rate)
        if kept == 256:
            return list(tensors)
        key = f.as_tensor(seed, dtypes.int64)
        thinned: dict[Tensor, Tensor] = {}
        for path, parameter in self.selected(parameters).items():
            draw = stream(f"dropconnect:{path}")
            stays = f.random_bits(parameter.shape, key, step, draw, dtypes.uint8) < kept
            thinned[parameter] = f.where(stays, parameter * (256 / kept), 0.0)

        def rule(old: Tensor, inputs: tuple[Tensor, ...]) -> Tensor:
            return thinned[old] if old in thinned else rebuild(old, inputs)

        new = rewrite(tensors, rule)
        return [new[tensor] for tensor in tensors]


explain(globals())

if not TYPE_CHECKING:  # checkers would let any name pass
    __getattr__ = missing_names(__name__)
