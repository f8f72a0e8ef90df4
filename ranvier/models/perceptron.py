"""The perceptron: a weighted sum, a bias, a step, and Rosenblatt's rule to learn them.

McCulloch & Pitts, "A logical calculus of the ideas immanent in nervous activity", 1943 (the
unit); Rosenblatt, "The perceptron: a probabilistic model for information storage and
organization in the brain", 1958 (the rule); Novikoff, "On convergence proofs for perceptrons",
1962 (the bound); Gallant, "Perceptron-based learning algorithms", 1990 (the pocket).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ranvier import dtypes
from ranvier import validation as checks
from ranvier.data.batching import permutation
from ranvier.engines.compile import compile as compile_program
from ranvier.engines.program import Program
from ranvier.errors import InputError, ShapeError
from ranvier.graph import functions as f
from ranvier.graph.leaves import Buffer, Parameter, State
from ranvier.graph.leaves import input as make_input
from ranvier.graph.tensor import Tensor
from ranvier.models.separability import separability
from ranvier.records import dataclass

_DECIDABLE = 50_000
"""pairs * (features + 2)² up to which `fit` decides separability, which takes up to a second."""


@dataclass(frozen=True)
class Learning:
    """What a call of `fit` has done; arrays have one entry for each output.

    epochs: how many were begun. updates: how many times the rule changed the weights, int64.
    mistakes: the pairs that were wrong when they were shown, int64 [epochs, outputs].
    converged: whether the weights are right on all pairs, so that none will ever change them
        again. separable: True where it has converged or weights are known to exist, False
        where it is proved that none do, None where the data are too many to decide that.
    """

    epochs: int
    updates: np.ndarray
    mistakes: np.ndarray
    converged: np.ndarray
    separable: tuple[bool | None, ...]

    def __str__(self) -> str:
        return "\n".join(self._line(output) for output in range(len(self.updates)))

    def _line(self, output: int) -> str:
        done = f"output {output}: {self.updates[output]} updates in {self.epochs} epochs, "
        if self.converged[output]:
            return done + "converged"
        return done + _UNFINISHED[self.separable[output]]


_UNFINISHED = {
    True: "not converged; the data are linearly separable, so more epochs will do",
    False: "not converged; the data are not linearly separable, so it never will",
    None: "not converged; whether the data are linearly separable was not decided",
}


class Perceptron:
    """Units that give 1 where w · x + b >= 0, else 0, each learning by itself.

    outputs: how many units, 1 by default. rate: how much a mistake changes the weights, 1 by
    default; from zero weights it scales them and changes no decision. pocket: whether `fit` ends
    with the weights that were right for the longest run of pairs, for data that are not
    linearly separable. ratchet: whether weights enter the pocket only if they are right on more
    of all pairs, which every step then looks at; True by default.
    engine, options: see `rv.compile`.

    The weights are zero at first. All numbers are float64, so that whole numbers are learnt
    exactly. Raises InputError for arguments out of range.
    """

    def __init__(
        self,
        outputs: int = 1,
        *,
        rate: float = 1.0,
        pocket: bool = False,
        ratchet: bool = True,
        engine: str = "native",
        **options: Any,
    ) -> None:
        self.outputs = checks.whole_number("Perceptron: outputs", outputs)
        self.rate = checks.number("Perceptron: rate", rate, above=0)
        self.pocket = checks.flag("Perceptron: pocket", pocket)
        self.ratchet = checks.flag("Perceptron: ratchet", ratchet)
        self._engine = engine
        self._options = options
        self._state: _Units | None = None
        self._programs: dict[tuple[str, int], Program] = {}

    @property
    def weights(self) -> np.ndarray:
        """The weights, float64 [features, outputs]; InputError before the first `fit`."""
        return self._units().weight.value

    @property
    def bias(self) -> np.ndarray:
        """The biases, float64 [outputs]; InputError before the first `fit`."""
        return self._units().bias.value

    def fit(
        self, inputs: np.ndarray, targets: np.ndarray, epochs: int = 100, seed: int = 0
    ) -> Learning:
        """Show the pairs one at a time until an epoch is without mistake, and return what was done.

        inputs: [pairs, features]. targets: 0 or 1, [pairs], or [pairs, outputs]. epochs: the most
        times that all pairs are shown, 100 by default, each time in a new random order, which
        `seed` decides; with a pocket as many pairs are picked at random, as Gallant does. A
        second call goes on with the weights of the first. Raises InputError or ShapeError for
        what does not fit.
        """
        x, y = self._pairs(inputs, targets)
        most = checks.whole_number("Perceptron: epochs", epochs)
        seed = checks.whole_number("Perceptron: seed", seed, 0)
        units = self._units(x.shape[1])
        units.empty_pocket()
        program = self._program("learn", len(x))
        mistakes: list[np.ndarray] = []
        converged = np.zeros(self.outputs, bool)
        while len(mistakes) < most and not converged.all():
            order = (_picks if self.pocket else permutation)(len(x), len(mistakes), seed)
            found = program(steps=len(x), inputs=x, targets=y, index=order[:, None])
            mistakes.append(found["wrong"].sum(axis=0))
            converged = mistakes[-1] == 0
            if self.pocket and converged.any():  # picks may have left out a pair
                converged &= (self.predict(x) == y).all(axis=0)
        if self.pocket:
            units.take_pocket(unless=converged)
        counts = np.array(mistakes)
        separable = tuple(
            True if done else _decided(x, y[:, output]) for output, done in enumerate(converged)
        )
        return Learning(len(mistakes), counts.sum(axis=0), counts, converged, separable)

    def sums(self, inputs: np.ndarray) -> np.ndarray:
        """Return w · x + b, float64 [pairs, outputs]."""
        x = _numbers(inputs)
        self._units(x.shape[1])
        return self._program("sums", len(x))(inputs=x)["sums"]

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Return 1 where the sum is 0 or more, else 0: int64 [pairs, outputs]."""
        return (self.sums(inputs) >= 0).astype(np.int64)

    # ------------------------------------------------------------ within

    def _units(self, features: int | None = None) -> _Units:
        """The state; made at first where `features` says how many weights a unit has."""
        if self._state is None:
            if features is None:
                raise InputError("the perceptron has learnt nothing yet; call fit first")
            self._state = _Units(features, self.outputs)
        known = self._state.weight.shape[0]
        if features not in (None, known):
            raise ShapeError(f"the perceptron has {known} weights a unit, the inputs {features}")
        return self._state

    def _program(self, kind: str, pairs: int) -> Program:
        if (kind, pairs) not in self._programs:
            units = self._units()
            x = make_input((pairs, units.weight.shape[0]), dtypes.float64, "inputs")
            if kind == "sums":
                made = self._compile({"inputs": x}, {"sums": units.sums(x)})
            else:
                made = self._learning(units, x)
            self._programs[kind, pairs] = made
        return self._programs[kind, pairs]

    def _learning(self, units: _Units, x: Tensor) -> Program:
        """Return the step that shows one pair: on a mistake, w <- w + rate (t - o) x."""
        y = make_input((x.shape[0], self.outputs), dtypes.float64, "targets")
        index = make_input((1,), dtypes.int64, "index")
        shown, wanted = f.take(x, index), f.take(y, index)
        error = wanted - f.step(units.sums(shown))
        updates: dict[State, Tensor] = {
            units.weight: units.weight + self.rate * f.transpose(shown) * error,
            units.bias: units.bias + self.rate * f.reshape(error, units.bias.shape),
        }
        wrong = f.reshape(f.not_equal(error, 0.0), units.bias.shape)
        if self.pocket:
            right = f.sum(f.equal(f.step(units.sums(x)), y), axis=0) if self.ratchet else None
            updates |= units.pocketed(wrong, right)
        return self._compile({"inputs": x, "targets": y, "index": index}, {"wrong": wrong}, updates)

    def _compile(
        self,
        inputs: Mapping[str, Tensor],
        outputs: Mapping[str, Tensor],
        updates: Mapping[State, Tensor] | None = None,
    ) -> Program:
        return compile_program(inputs, outputs, updates, self._engine, **self._options)

    def _pairs(self, inputs: Any, targets: Any) -> tuple[np.ndarray, np.ndarray]:
        """Inputs [n, features] and targets [n, outputs], checked, as float64."""
        x, y = _numbers(inputs), np.asarray(targets)
        if y.ndim == 1:
            y = y[:, None]
        if y.shape != (len(x), self.outputs):
            raise ShapeError(
                f"{len(x)} inputs and {self.outputs} outputs need targets of shape "
                f"{[len(x), self.outputs]}, not {list(np.shape(targets))}"
            )
        foreign = ~np.isin(y, (0, 1))
        if foreign.any():
            raise InputError(
                f"a target is {checks.shown(y[foreign][0])}; a unit learns 0 and 1, so use these"
            )
        return x, y.astype(np.float64)


class _Units:
    """The state of a perceptron: each unit's weights and bias, and the best in its pocket.

    run, best_run: how many pairs in a row the present weights, and those in the pocket, have
    been right on. best_right: on how many of all pairs the pocket's are right, -1 unless known.
    """

    def __init__(self, features: int, outputs: int) -> None:
        weights, biases = np.zeros((features, outputs)), np.zeros(outputs)
        self.weight = Parameter(weights, name="weight")
        self.bias = Parameter(biases, name="bias")
        self.pocket_weight = Buffer(weights, name="pocket_weight")
        self.pocket_bias = Buffer(biases, name="pocket_bias")
        self.run, self.best_run, self.best_right = (
            Buffer(np.zeros(outputs, np.int64), name=name)
            for name in ("run", "best_run", "best_right")
        )

    def sums(self, x: Tensor) -> Tensor:
        """Return w · x + b, [pairs, outputs]."""
        return f.matmul(x, self.weight) + self.bias

    def pocketed(self, wrong: Tensor, right: Tensor | None) -> dict[State, Tensor]:
        """Return the pocket after a pair: the present weights where their run is the longest.

        wrong: whether the pair was wrong, [outputs]. right: on how many of all pairs the present
        weights are right, which must then be more than before; None to ask for the run alone.
        """
        run = f.where(wrong, 0, self.run + 1)
        better = f.greater(run, self.best_run)
        updates: dict[State, Tensor] = {self.run: run}
        if right is not None:
            better = f.logical_and(better, f.greater(right, self.best_right))
            updates[self.best_right] = f.where(better, right, self.best_right)
        updates[self.best_run] = f.where(better, run, self.best_run)
        updates[self.pocket_weight] = f.where(better, self.weight, self.pocket_weight)
        updates[self.pocket_bias] = f.where(better, self.bias, self.pocket_bias)
        return updates

    def empty_pocket(self) -> None:
        """Put the present weights into the pocket, with no run of theirs."""
        zeros = np.zeros_like(self.run.value)
        self.run.value = self.best_run.value = zeros
        self.best_right.value = zeros - 1
        self.pocket_weight.value, self.pocket_bias.value = self.weight.value, self.bias.value

    def take_pocket(self, unless: np.ndarray) -> None:
        """Let the pocket's weights be the present ones, but for outputs [outputs] that keep theirs.

        Those are without mistake, and any run of the pocket's may have been luck.
        """
        self.weight.value = np.where(unless, self.weight.value, self.pocket_weight.value)
        self.bias.value = np.where(unless, self.bias.value, self.pocket_bias.value)


def novikoff_bound(
    inputs: np.ndarray, targets: np.ndarray, weights: np.ndarray, bias: float = 0.0
) -> float:
    """Return (R / γ)², the most updates that Rosenblatt's rule needs from zero weights.

    inputs: [pairs, features]. targets: 0 or 1, [pairs]. weights, bias: any that separate them:
    w · x + b is positive for 1 and negative for 0. The bias counts as the weight of one more
    input that is always 1: R is the length of the longest (x, 1), γ the least of |w · x + b|
    divided by the length of (w, b). InputError for weights that do not separate the pairs.

    Novikoff, "On convergence proofs for perceptrons", 1962.
    """
    x, y = _numbers(inputs), np.asarray(targets)
    w = np.append(np.asarray(weights, np.float64).reshape(-1), bias)
    if y.shape != (len(x),) or len(w) != x.shape[1] + 1:
        raise ShapeError(
            f"novikoff_bound takes targets {[len(x)]} and weights {[x.shape[1]]} for inputs "
            f"{list(x.shape)}, not {list(y.shape)} and {[len(w) - 1]}"
        )
    extended = np.column_stack([x, np.ones(len(x))])
    margins = extended @ w * np.where(y == 1, 1.0, -1.0)
    if not margins.min() > 0:
        raise InputError(
            f"the weights do not separate the pairs: number {int(margins.argmin())} is not on "
            "its side; pass weights that do"
        )
    longest = (extended**2).sum(axis=1).max()
    return float(longest * (w @ w) / margins.min() ** 2)


def _picks(pairs: int, epoch: int, seed: int) -> np.ndarray:
    """As many numbers of pairs as there are, each drawn from all of them, by seed and epoch."""
    key = np.array((seed, epoch), np.uint64)
    return (np.random.Philox(key=key).random_raw(pairs) % pairs).astype(np.int64)


def _decided(x: np.ndarray, y: np.ndarray) -> bool | None:
    """Whether the pairs are linearly separable, or None where there are too many to say."""
    if len(x) * (x.shape[1] + 2) ** 2 > _DECIDABLE:
        return None
    return separability(x, y).separable


def _numbers(inputs: Any) -> np.ndarray:
    """Inputs [n, features] as float64; InputError or ShapeError for what are none."""
    x = np.asarray(inputs)
    if x.ndim != 2 or not x.size:
        raise ShapeError(f"a perceptron takes inputs [pairs, features], not {list(x.shape)}")
    if x.dtype.kind not in "fiub":
        raise InputError(f"a perceptron takes numbers, not {x.dtype}; convert them")
    x = x.astype(np.float64)
    if not np.isfinite(x).all():
        raise InputError("an input is NaN or infinite; leave such pairs out")
    return x
