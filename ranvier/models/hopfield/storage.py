"""How patterns become weights: the Hebbian, the pseudo-inverse and the Storkey rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ranvier import dtypes
from ranvier.engines.compile import compile as compile_program
from ranvier.graph import functions as f
from ranvier.graph.leaves import Buffer
from ranvier.graph.leaves import input as make_input
from ranvier.models.hopfield.patterns import as_patterns
from ranvier.records import dataclass


@dataclass(frozen=True, eq=False)
class Stored:
    """Weights, and what they are made of where that is less.

    weights: float32 [units, units], symmetric, with a diagonal of zeros. factors: None, or two
    arrays [patterns, units] whose product left.T @ right the weights are but for the diagonal.
    """

    weights: np.ndarray
    factors: tuple[np.ndarray, np.ndarray] | None = None


def hebbian(patterns: Any) -> Stored:
    """W = Σ ξ ξᵀ over the patterns ξ, [patterns, units] of -1 and 1.

    As Hopfield writes it, without the factor 1 / units of others, so that all sums are whole
    and exact. Some 0.138 patterns a unit can be recalled with few errors (Amit, Gutfreund &
    Sompolinsky, 1985). Hopfield, "Neural networks and physical systems with emergent collective
    computational abilities", 1982, equation 2; Hebb, "The organization of behavior", 1949.
    """
    array = as_patterns(patterns)
    return Stored(_hollow(array.T @ array), (array, array))


def pseudo_inverse(patterns: Any) -> Stored:
    """W = P⁺P, the projection onto the space that the patterns P [patterns, units] span.

    Every pattern is a fixed point, as long as they leave a unit some freedom: fewer than `units`
    independent ones. Personnaz, Guyon & Dreyfus, "Collective computational properties of neural
    networks: new learning mechanisms", 1986. The self-connections are taken out afterwards, which
    makes basins larger (Kanter & Sompolinsky, 1987).
    """
    array = as_patterns(patterns)
    inverse = np.linalg.pinv(array.astype(np.float64))
    weights = inverse @ array
    # Symmetric but for rounding, and energy needs it to be symmetric.
    weights = _hollow((weights + weights.T) / 2).astype(np.float32)
    return Stored(weights, (inverse.T.astype(np.float32), array))


def storkey(patterns: Any) -> Stored:
    """w_ij <- w_ij + (ξ_i ξ_j - ξ_i h_ji - h_ij ξ_j) / units, one pattern ξ after another.

    h_ij = Σ w_ik ξ_k over all k but i and j is the field of unit i without unit j. It needs no
    more than the two units' own numbers, and stores more than the Hebbian rule. Storkey,
    "Increasing the capacity of a Hopfield network without sacrificing functionality", 1997.
    """
    array = as_patterns(patterns)
    units = array.shape[1]
    weights = Buffer(np.zeros((units, units)), name="weights")
    row = make_input((1, units), dtypes.float64, "pattern")
    column = f.transpose(row)
    # The diagonal is zero, so the field of unit i has no part of its own.
    without = f.matmul(weights, column) - weights * row
    change = (column * row - column * f.transpose(without) - without * row) / float(units)
    hollow = 1.0 - np.eye(units)
    program = compile_program({"pattern": row}, {}, {weights: weights + change * hollow})
    program(steps=len(array), pattern=array.astype(np.float64)[:, None, :])
    return Stored(weights.value.astype(np.float32))


RULES: dict[str, Callable[[Any], Stored]] = {
    "hebbian": hebbian,
    "pseudo_inverse": pseudo_inverse,
    "storkey": storkey,
}
"""The rules by name."""


def _hollow(weights: np.ndarray) -> np.ndarray:
    """The weights with a diagonal of zeros."""
    np.fill_diagonal(weights, 0)
    return weights
