"""Optimizers: rules that make new parameters of gradients, as part of the step's graph.

`optimizer.updates(loss, parameters)` returns the new value of each parameter and of the
optimizer's own state, for `rv.compile`. All share two buffers: `step`, int64, the number of
finished updates, and `learning_rate_scale`, float64, which callbacks may set between calls.
The learning rate is a number or a schedule, times that scale, rounded to the parameter's dtype.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from ranvier import dtypes
from ranvier import validation as checks
from ranvier.errors import InputError
from ranvier.graph import functions as f
from ranvier.graph.backprop import gradients
from ranvier.graph.leaves import Buffer, Parameter, State
from ranvier.graph.tensor import Tensor
from ranvier.guidance.calls import explain
from ranvier.guidance.names import Guided, missing_names
from ranvier.named import Named
from ranvier.schedules import Rate, as_rate, as_schedule

Parameters = Mapping[str, Parameter] | Collection[Parameter]


@dataclass(eq=False)
class Optimizer(Guided, Named):
    """Base. A class names its `slots`, zeros like each parameter at first, and gives `rule`.

    In the formulas p is a parameter, g its gradient, rate the learning rate of the step, and the
    slots, named v, s or m, are zero before the first update.

    learning_rate: a number, 0 or more, or a schedule; 0.01 by default, 1e-3 where the rule
        divides by the gradient's size.
    clip_norm: gradients are scaled so that the norm of all together is at most this (Pascanu,
        Mikolov & Bengio, "On the difficulty of training recurrent neural networks", 2013).
    clip_value: each element of the gradients is moved into [-clip_value, clip_value], before
        the norm is taken. Both are None by default, which clips nothing.

    Raises InputError for arguments out of range.
    """

    family: ClassVar[dict[str, type[Any]]] = {}
    slots: ClassVar[tuple[str, ...]] = ()

    learning_rate: Rate = 0.01
    clip_norm: float | None = field(default=None, kw_only=True)
    clip_value: float | None = field(default=None, kw_only=True)
    step: Buffer = field(init=False, repr=False)
    learning_rate_scale: Buffer = field(init=False, repr=False)
    _slots: dict[Parameter, dict[str, Buffer]] = field(init=False, repr=False)
    _labels: dict[Parameter, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.learning_rate = as_rate(self._title("learning_rate"), self.learning_rate)
        for label in ("clip_norm", "clip_value"):
            if getattr(self, label) is not None:
                self._numbers(label, above=0, hint=" or None")
        self.step = Buffer(np.int64(0), name="step")
        self.learning_rate_scale = Buffer(np.float64(1), name="learning_rate_scale")
        self._slots = {}
        self._labels = {}

    @abstractmethod
    def rule(
        self, parameter: Tensor, gradient: Tensor, rate: Tensor, slots: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the new parameter and the new value of each slot."""

    def updates(
        self, loss: Tensor | Sequence[Tensor], parameters: Parameters
    ) -> dict[State, Tensor]:
        """Return the new value of each parameter, slot and counter.

        loss: a scalar to differentiate, or the gradient of each parameter, in order.
        parameters: by path, as `net.parameters()` gives them, or in a sequence. Their slots are
            made at the first call and shared by later ones.
        """
        named = _named(parameters)
        slopes = gradients(loss, list(named.values())) if isinstance(loss, Tensor) else list(loss)
        if len(slopes) != len(named):
            raise InputError(f"{len(slopes)} gradients for {len(named)} parameters; give one each")
        slopes = clipped(slopes, self.clip_norm, self.clip_value)
        rate = as_schedule(self.learning_rate)(self.step) * self.learning_rate_scale
        new: dict[State, Tensor] = {self.step: self.step + 1}
        for (path, parameter), slope in zip(named.items(), slopes, strict=True):
            slots = self._slots_of(path, parameter)
            local = f.cast(rate, parameter.dtype)
            new[parameter], moved = self.rule(parameter, slope, local, slots)
            new.update({slots[name]: value for name, value in moved.items()})
        return new

    def state(self) -> dict[str, Buffer]:
        """Return all state by path: `step`, `learning_rate_scale`, `conv1.weight.velocity`, …"""
        slots = {
            f"{self._labels[parameter]}.{name}": buffer
            for parameter, own in self._slots.items()
            for name, buffer in own.items()
        }
        return {"step": self.step, "learning_rate_scale": self.learning_rate_scale, **slots}

    def load(self, arrays: Mapping[str, np.ndarray], parameters: Mapping[str, Parameter]) -> None:
        """Write what `state` gave, by path, for these parameters; InputError if it does not fit.

        Slots that the arrays lack begin at zero.
        """
        for path, parameter in parameters.items():
            if any(f"{path}.{name}" in arrays for name in self.slots):
                self._slots_of(path, parameter)
        known = self.state()
        if unknown := [path for path in arrays if path not in known]:
            raise InputError(f"{self.name} has no state {unknown[0]!r}; it has {', '.join(known)}")
        for path, array in arrays.items():
            known[path].value = array

    @property
    def served(self) -> list[Parameter]:
        """The parameters that it has made updates of."""
        return list(self._slots)

    def forget(self, states: Iterable[State]) -> None:
        """Drop what is kept for these parameters; other state is left out."""
        gone = set(states)
        self._slots = {p: slots for p, slots in self._slots.items() if p not in gone}

    def fresh(self) -> Self:
        """Return an optimizer of the same class and settings, without slots, at step 0."""
        return replace(self)

    def _slots_of(self, path: str, parameter: Parameter) -> dict[str, Buffer]:
        if parameter not in self._slots:
            zeros = np.zeros(parameter.shape, parameter.dtype)
            self._labels[parameter] = path
            self._slots[parameter] = {
                name: Buffer(zeros, name=f"{path}.{name}") for name in self.slots
            }
        return self._slots[parameter]

    def _corrected(self, beta: float, like: Tensor) -> Tensor:
        """1 - beta ** t, t being the number of this update, from 1; worked out in float64."""
        count = f.cast(self.step + 1, dtypes.float64)
        return f.cast(1.0 - f.power(beta, count), like.dtype)


def _named(parameters: Parameters) -> dict[str, Parameter]:
    listed = isinstance(parameters, Collection)
    given = parameters.values() if isinstance(parameters, Mapping) else parameters
    if not listed or not all(isinstance(p, Parameter) for p in given):
        raise InputError(
            f"{checks.shown(parameters)} are no parameters; pass net.parameters(), or a list of "
            "them"
        )
    if isinstance(parameters, Mapping):
        return dict(parameters)
    named = {p.label or f"parameter{i}": p for i, p in enumerate(parameters)}
    if len(named) != len(parameters):
        raise InputError("two parameters share a name; pass a mapping from paths to parameters")
    return named


def clipped(
    slopes: Sequence[Tensor], norm: float | None = None, value: float | None = None
) -> list[Tensor]:
    """Return gradients with each element within ±value, then all scaled by min(1, norm / |g|).

    |g| is the `global_norm` after the first; None leaves either out.
    """
    found = list(slopes)
    if value is not None:
        found = [f.maximum(f.minimum(g, value), -value) for g in found]
    if norm is not None and found:
        scale = f.minimum(norm / global_norm(found), 1.0)
        found = [g * f.cast(scale, g.dtype) for g in found]
    return found


def global_norm(slopes: Sequence[Tensor]) -> Tensor:
    """The Euclidean norm of all gradients together, a scalar of the widest dtype among them."""
    widest = max((g.dtype for g in slopes), key=lambda dtype: dtype.itemsize)
    squares = [f.cast(f.sum(g * g), widest) for g in slopes]
    total = squares[0]
    for square in squares[1:]:
        total = total + square
    return f.sqrt(total)


# ---------------------------------------------------------------- the optimizers


@dataclass(eq=False)
class SGD(Optimizer):
    """p <- p - rate g (Robbins & Monro, "A stochastic approximation method", 1951)."""

    name = "sgd"

    def rule(
        self, parameter: Tensor, gradient: Tensor, rate: Tensor, slots: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        return parameter - rate * gradient, {}


@dataclass(eq=False)
class Momentum(Optimizer):
    """The last step, rescaled, added to the new one: v <- momentum v - rate g;  p <- p + v.

    momentum: 0.9 by default, in [0, 1). Polyak, "Some methods of speeding up the convergence of
    iteration methods", 1964; Rumelhart, Hinton & Williams, "Learning representations by
    back-propagating errors", 1986.
    """

    name = "momentum"
    slots = ("velocity",)
    momentum: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        self._numbers("momentum", low=0, below=1)

    def rule(
        self, parameter: Tensor, gradient: Tensor, rate: Tensor, slots: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        velocity = slots["velocity"] * self.momentum - rate * gradient
        return parameter + velocity, {"velocity": velocity}


@dataclass(eq=False)
class Nesterov(Momentum):
    """v <- momentum v - rate g;  p <- p + momentum v - rate g.

    momentum: 0.9 by default, in [0, 1). Nesterov, "A method of solving a convex programming
    problem with convergence rate O(1/k²)", 1983, as Sutskever et al. write it, "On the importance
    of initialization and momentum in deep learning", 2013, with p at the point that the momentum
    leads to.
    """

    name = "nesterov"

    def rule(
        self, parameter: Tensor, gradient: Tensor, rate: Tensor, slots: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        velocity = slots["velocity"] * self.momentum - rate * gradient
        ahead = velocity * self.momentum - rate * gradient
        return parameter + ahead, {"velocity": velocity}


@dataclass(eq=False)
class RMSprop(Optimizer):
    """s <- decay s + (1 - decay) g²;  p <- p - rate g / (sqrt(s) + epsilon).

    decay: 0.9 by default, in [0, 1). epsilon: 1e-8 by default, positive. Tieleman &
    Hinton, lecture 6.5 of "Neural networks for machine learning", 2012.
    """

    name = "rmsprop"
    slots = ("square",)
    learning_rate: Rate = 1e-3
    decay: float = 0.9
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        self._numbers("decay", low=0, below=1)
        self._numbers("epsilon", above=0)

    def rule(
        self, parameter: Tensor, gradient: Tensor, rate: Tensor, slots: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        square = slots["square"] * self.decay + gradient * gradient * (1 - self.decay)
        return parameter - rate * gradient / (f.sqrt(square) + self.epsilon), {"square": square}


@dataclass(eq=False)
class Adam(Optimizer):
    """m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g²;
    p <- p - rate m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + epsilon),  t = 1, 2, …

    beta1, beta2: 0.9 and 0.999 by default, in [0, 1). epsilon: 1e-8 by default, positive.
    Kingma & Ba, "Adam: a method for stochastic optimization", 2015.
    """

    name = "adam"
    slots = ("first_moment", "second_moment")
    learning_rate: Rate = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        self._numbers("beta1", "beta2", low=0, below=1)
        self._numbers("epsilon", above=0)

    def rule(
        self, parameter: Tensor, gradient: Tensor, rate: Tensor, slots: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        first = slots["first_moment"] * self.beta1 + gradient * (1 - self.beta1)
        second = slots["second_moment"] * self.beta2 + gradient * gradient * (1 - self.beta2)
        # Scalars first: two roots and quotients for the whole parameter, not for each element.
        scaled = rate / self._corrected(self.beta1, parameter)
        spread = f.rsqrt(self._corrected(self.beta2, parameter))
        move = scaled * first / (f.sqrt(second) * spread + self.epsilon)
        return parameter - move, {"first_moment": first, "second_moment": second}


@dataclass(eq=False)
class AdamW(Adam):
    """Adam, after p <- p - rate weight_decay p, apart from the gradient.

    weight_decay: 0.01 by default, 0 or more. Parameters of one axis, which are biases and the
    gains and shifts of norms, do not decay unless `decay_vectors` is set.

    Loshchilov & Hutter, "Decoupled weight decay regularization", 2019.
    """

    name = "adamw"
    weight_decay: float = 0.01
    decay_vectors: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._numbers("weight_decay", low=0)
        self._flags("decay_vectors")

    def rule(
        self, parameter: Tensor, gradient: Tensor, rate: Tensor, slots: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        decays = self.weight_decay > 0 and (parameter.ndim > 1 or self.decay_vectors)
        left = parameter * (1.0 - rate * self.weight_decay) if decays else parameter
        return super().rule(left, gradient, rate, slots)


def get(optimizer: str | Optimizer | Mapping[str, Any]) -> Optimizer:
    """Return an optimizer for itself, its name (with default arguments) or a configuration.

    Raises InputError for a name that there is not, and for arguments that are none.
    """
    if isinstance(optimizer, Optimizer):
        return optimizer
    return Optimizer.from_config({"name": optimizer} if isinstance(optimizer, str) else optimizer)


explain(globals())

if not TYPE_CHECKING:  # checkers would let any name pass
    __getattr__ = missing_names(__name__)
