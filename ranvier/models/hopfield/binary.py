"""The Hopfield network: units of two states, symmetric weights, and an energy that falls.

Hopfield, "Neural networks and physical systems with emergent collective computational
abilities", 1982. A unit becomes 1 where its field Σ w_ij x_j + b_i is positive, -1 where it is
negative, and stays what it is where the field is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ranvier import dtypes
from ranvier import validation as checks
from ranvier.data.batching import permutation
from ranvier.engines.compile import compile as compile_program
from ranvier.engines.program import Program
from ranvier.errors import InputError, ShapeError
from ranvier.graph import functions as f
from ranvier.graph.leaves import Buffer, State
from ranvier.graph.leaves import input as make_input
from ranvier.graph.tensor import Tensor
from ranvier.models.hopfield.patterns import as_patterns
from ranvier.models.hopfield.storage import RULES, Stored
from ranvier.records import dataclass

_BLOCK = 8
"""How many units an asynchronous step updates, one after another."""

_SWEEPS = 8
"""How many sweeps a call runs before it looks whether anything still changes."""


@dataclass(frozen=True, eq=False)
class Recall:
    """Where states have gone.

    states: int8 [states, units]. sweeps: how many were run. settled: for each state, whether it is
    a fixed point. trajectory: int8 [sweeps + 1, states, units], the states before and after each
    sweep, and energies: float64 [sweeps + 1, states], theirs; None unless asked for.
    """

    states: np.ndarray
    sweeps: int
    settled: np.ndarray
    trajectory: np.ndarray | None = None
    energies: np.ndarray | None = None


class Hopfield:
    """A network with these weights; `Hopfield.store(patterns)` makes one that knows patterns.

    weights: [units, units], symmetric, with a diagonal of zeros: then the energy never rises
    when one unit after another is updated. bias: [units], 0 by default; a unit's threshold is
    its negative. engine, options: see `rv.compile`. Raises InputError or ShapeError for others.
    """

    def __init__(
        self, weights: Any, bias: Any = None, *, engine: str = "native", **options: Any
    ) -> None:
        stored = weights if isinstance(weights, Stored) else Stored(_symmetric(weights))
        self.units = len(stored.weights)
        level = np.zeros(self.units) if bias is None else np.asarray(bias)
        if level.shape != (self.units,):
            raise ShapeError(f"bias has shape {list(level.shape)}; use one number a unit")
        self._engine, self._options = engine, options
        self._weights = Buffer(stored.weights, dtypes.float32, name="weights")
        self._bias = Buffer(level.astype(np.float32), name="bias")
        self._factors: tuple[Buffer, Buffer, Buffer] | None = None
        if stored.factors is not None and 2 * len(stored.factors[0]) < self.units:
            left, right = stored.factors
            self._factors = Buffer(left), Buffer(right), Buffer((left * right).sum(axis=0))
        self._programs: dict[tuple[str, int], tuple[Program, Buffer]] = {}

    @classmethod
    def store(cls, patterns: Any, rule: str = "hebbian", **arguments: Any) -> Hopfield:
        """Return a network that knows patterns of -1 and 1, [patterns, units].

        rule: "hebbian", "pseudo_inverse" or "storkey". arguments: bias, engine and others of
        the class. Raises InputError for a rule that there is not, and for other patterns.
        """
        if rule not in RULES:
            raise InputError(f"there is no rule {checks.shown(rule)}; there are {', '.join(RULES)}")
        return cls(RULES[rule](patterns), **arguments)

    @property
    def weights(self) -> np.ndarray:
        """The weights, float32 [units, units]."""
        return self._weights.value

    @property
    def bias(self) -> np.ndarray:
        """The biases, float32 [units]."""
        return self._bias.value

    def energy(self, states: Any) -> np.ndarray:
        """Return -½ Σ w_ij x_i x_j - Σ b_i x_i for each state, float64 [states]."""
        array = as_patterns(states, self.units, "state")
        program, held = self._program("energy", len(array))
        held.value = array
        return program()["energy"]

    def recall(
        self,
        states: Any,
        sweeps: int = 100,
        *,
        synchronous: bool = False,
        seed: int = 0,
        until_settled: bool = True,
        trajectory: bool = False,
    ) -> Recall:
        """Update all units, sweep after sweep, until nothing changes, and return where that led.

        states: [states, units] of -1 and 1, all recalled at once. sweeps: the most, 100 by
        default. synchronous: whether all units change at once, which may end in a cycle of two
        states (Goles, Fogelman & Pellegrin, 1985); by default one after another, in a new random
        order each sweep, which `seed` decides. until_settled: False runs all sweeps, which leads
        to the same states. trajectory: whether all states on the way are kept.
        """
        array = as_patterns(states, self.units, "state")
        most = checks.whole_number("recall: sweeps", sweeps)
        seed = checks.whole_number("recall: seed", seed, 0)
        kind = "synchronous" if synchronous else "asynchronous"
        program, held = self._program(kind, len(array))
        held.value = array if synchronous else array.T
        path, done = [array.astype(np.int8)], 0
        settled = np.zeros(len(array), bool)
        together = 1 if trajectory or not synchronous else _SWEEPS if until_settled else most
        while done < most and not (until_settled and settled.all()):
            count = min(together, most - done)
            if synchronous:
                changed = program(steps=count)["changed"][-1]
            else:
                order = self._order(done, seed)
                changed = program(steps=len(order), index=order)["changed"].sum(axis=0)
            settled = changed == 0
            done += count
            if trajectory:
                path.append(_rows(held, synchronous))
        found = _rows(held, synchronous)
        if not trajectory:
            return Recall(found, done, settled)
        energies = np.stack([self.energy(each) for each in path])
        return Recall(found, done, settled, np.stack(path), energies)

    # ------------------------------------------------------------ programs

    def _order(self, sweep: int, seed: int) -> np.ndarray:
        """The units in blocks, int64 [steps, block]; the last is filled up by the first units."""
        order = permutation(self.units, sweep, seed)
        size = min(_BLOCK, self.units)
        missing = -self.units % size
        return np.concatenate([order, order[:missing]]).reshape(-1, size)

    def _program(self, kind: str, count: int) -> tuple[Program, Buffer]:
        """Return a program over so many states, and the buffer that holds them."""
        if (kind, count) not in self._programs:
            makers: Mapping[str, Callable[[int], tuple[Program, Buffer]]] = {
                "energy": self._energies,
                "synchronous": self._synchronous,
                "asynchronous": self._asynchronous,
            }
            self._programs[kind, count] = makers[kind](count)
        return self._programs[kind, count]

    def _field(self, x: Tensor) -> Tensor:
        """The sums of all units, [states, units]; through the factors where that is less work."""
        if self._factors is None:
            return f.matmul(x, self._weights) + self._bias
        left, right, diagonal = self._factors
        overlaps = f.matmul(x, f.transpose(left))
        return f.matmul(overlaps, right) - x * diagonal + self._bias

    def _energies(self, count: int) -> tuple[Program, Buffer]:
        held = Buffer(np.zeros((count, self.units), np.float32), name="states")
        # Weights may not be whole; the bias counts once, not half.
        inner = f.matmul(held, self._weights) * 0.5 + self._bias
        total = -f.sum(f.cast(inner, dtypes.float64) * f.cast(held, dtypes.float64), axis=1)
        return self._compile({}, {"energy": total}), held

    def _synchronous(self, count: int) -> tuple[Program, Buffer]:
        held = Buffer(np.zeros((count, self.units), np.float32), name="states")
        new = _decided(self._field(held), held)
        changed = f.sum(f.not_equal(new, held), axis=1)
        return self._compile({}, {"changed": changed}, {held: new}), held

    def _asynchronous(self, count: int) -> tuple[Program, Buffer]:
        """A step updates a block of units in order; the buffer holds states [units, states].

        One product gives the fields of the block; each unit that changes then mends those of the
        units after it, by the weights within the block.
        """
        size = min(_BLOCK, self.units)
        held = Buffer(np.zeros((self.units, count), np.float32), name="states")
        index = make_input((size,), dtypes.int64, "index")
        rows, old = f.take(self._weights, index), f.take(held, index)
        within = f.take(f.transpose(rows), index)
        fields = f.matmul(rows, held) + f.reshape(f.take(self._bias, index), (size, 1))
        moves: list[Tensor] = []
        for unit in range(size):
            field = fields[unit]
            for earlier, move in enumerate(moves):
                field = field + within[unit, earlier] * move
            moves.append(_decided(field, old[unit]) - old[unit])
        moved = f.stack(moves)
        new = held + f.scatter_add(moved, index, self.units)
        changed = f.sum(f.not_equal(moved, 0.0), axis=0)
        return self._compile({"index": index}, {"changed": changed}, {held: new}), held

    def _compile(
        self,
        inputs: Mapping[str, Tensor],
        outputs: Mapping[str, Tensor],
        updates: Mapping[State, Tensor] | None = None,
    ) -> Program:
        return compile_program(inputs, outputs, updates, self._engine, **self._options)


def _rows(held: Buffer, synchronous: bool) -> np.ndarray:
    """The states in a program's buffer, int8 [states, units]."""
    return (held.value if synchronous else held.value.T).astype(np.int8)


def _decided(field: Tensor, old: Tensor) -> Tensor:
    """The sign of a field; the old state where it is 0."""
    return f.where(f.equal(field, 0.0), old, f.sign(field))


def _symmetric(weights: Any) -> np.ndarray:
    """Weights as float32; InputError or ShapeError unless symmetric with a diagonal of zeros."""
    array = np.asarray(weights, np.float32)
    if array.ndim != 2 or array.shape[0] != array.shape[1] or not array.size:
        raise ShapeError(f"weights have shape {list(array.shape)}; use [units, units]")
    if not np.isfinite(array).all() or not np.array_equal(array, array.T) or np.diag(array).any():
        raise InputError(
            "weights are not symmetric numbers with a diagonal of zeros; without that the energy "
            "may rise, so use (w + w.T) / 2 and numpy.fill_diagonal(w, 0)"
        )
    return array
