"""Hopfield networks: storage by each rule, falling energy, recall, and the form of attention."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ranvier.errors import InputError, ShapeError
from ranvier.models import hopfield
from ranvier.models.hopfield import ContinuousHopfield, DenseHopfield, Hopfield, corrupted

RNG = np.random.default_rng(0)
ENGINES = ["native", "reference"]


def patterns(count: int, units: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2, (count, units)) * 2 - 1


def random_network(units: int, seed: int = 0, engine: str = "native") -> Hopfield:
    """Symmetric normal weights and biases, of no stored pattern."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(units, units)).astype(np.float32)
    weights = weights + weights.T
    np.fill_diagonal(weights, 0)
    return Hopfield(weights, rng.normal(size=units), engine=engine)


# ---------------------------------------------------------------- storage


def test_hebbian_weights_are_whole_sums() -> None:
    known = patterns(5, 12)
    weights = Hopfield.store(known).weights
    for i in range(12):
        for j in range(12):
            wanted = 0 if i == j else sum(int(p[i]) * int(p[j]) for p in known)
            assert weights[i, j] == wanted


def test_storkey_weights_follow_the_formula() -> None:
    known, n = patterns(4, 9), 9
    w = np.zeros((n, n))
    for p in known:
        new = w.copy()
        for i in range(n):
            for j in range(n):
                if i == j:
                    continue
                h_ij = sum(w[i, k] * p[k] for k in range(n) if k not in (i, j))
                h_ji = sum(w[j, k] * p[k] for k in range(n) if k not in (i, j))
                new[i, j] += (p[i] * p[j] - p[i] * h_ji - h_ij * p[j]) / n
        w = new
    np.testing.assert_allclose(Hopfield.store(known, "storkey").weights, w, atol=1e-7)


@pytest.mark.parametrize("synchronous", [False, True])
def test_the_pseudo_inverse_stores_what_the_hebbian_rule_cannot(synchronous: bool) -> None:
    known = patterns(40, 80)  # half a pattern a unit
    found = Hopfield.store(known, "pseudo_inverse").recall(known, synchronous=synchronous)
    assert (found.states == known).all()
    assert found.settled.all()
    hebbian = Hopfield.store(known).recall(known, synchronous=synchronous)
    assert (hebbian.states != known).any()


def test_the_pseudo_inverse_takes_dependent_patterns() -> None:
    known = patterns(6, 40)
    known[5] = -known[0]
    network = Hopfield.store(known, "pseudo_inverse")
    assert (network.recall(known).states == known).all()


# ---------------------------------------------------------------- dynamics


def by_hand(weights: np.ndarray, bias: np.ndarray, state: np.ndarray) -> np.ndarray:
    """One synchronous sweep, in plain NumPy."""
    field = state @ weights.astype(np.float64) + bias
    return np.where(field == 0, state, np.sign(field))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("count", [3, 30])
def test_synchronous_sweeps_are_the_formula(engine: str, count: int) -> None:
    """With 3 patterns by the factors of the weights, with 30 by the weights."""
    network = Hopfield.store(patterns(count, 50), engine=engine)
    state = patterns(8, 50, seed=1)
    found = network.recall(state, 4, synchronous=True, until_settled=False, trajectory=True)
    assert found.trajectory is not None
    for before, after in zip(found.trajectory, found.trajectory[1:], strict=False):
        assert (after == by_hand(network.weights, network.bias, before)).all()
    assert found.sweeps == 4
    assert (network.recall(state, 4, synchronous=True).states == found.states).all()


def energy(network: Hopfield, state: np.ndarray) -> float:
    x, w = state.astype(np.float64), network.weights.astype(np.float64)
    return float(-x @ w @ x / 2 - network.bias.astype(np.float64) @ x)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("units", [1, 5, 21, 64])
def test_one_after_another_the_energy_never_rises(engine: str, units: int) -> None:
    network = random_network(units, engine=engine)
    found = network.recall(patterns(20, units, seed=1), trajectory=True)
    assert found.energies is not None
    assert found.trajectory is not None
    assert found.settled.all()
    assert (np.diff(found.energies, axis=0) <= 1e-5).all()
    assert found.energies[-1].sum() < found.energies[0].sum() or units == 1
    for states, energies in zip(found.trajectory, found.energies, strict=True):
        wanted = [energy(network, state) for state in states]
        np.testing.assert_allclose(energies, wanted, rtol=1e-5, atol=1e-4)
    # A fixed point is one of the synchronous sweep, too.
    assert (by_hand(network.weights, network.bias, found.states) == found.states).all()


def test_one_after_another_in_the_order_of_the_seed() -> None:
    network, state = random_network(20), patterns(5, 20, seed=1)
    for seed in (0, 1):
        wanted = state.copy()
        for i in network._order(0, seed).reshape(-1):
            field = wanted @ network.weights[:, i] + network.bias[i]
            wanted[:, i] = np.where(field > 0, 1, -1)
        assert (network.recall(state, 1, seed=seed).states == wanted).all()
    orders = [network._order(0, seed).tolist() for seed in (0, 1)]
    assert orders[0] != orders[1]


def test_a_unit_without_a_field_stays_what_it_is() -> None:
    network, state = Hopfield(np.zeros((3, 3))), np.array([[1, -1, 1]])
    for synchronous in (False, True):
        assert (network.recall(state, synchronous=synchronous).states == state).all()


def test_a_synchronous_cycle_is_not_settled() -> None:
    network = Hopfield(np.array([[0, -1], [-1, 0]]))
    found = network.recall(np.array([[1, 1]]), 20, synchronous=True)
    assert found.sweeps == 20
    assert not found.settled.any()
    assert network.recall(np.array([[1, 1]])).settled.all()


@pytest.mark.parametrize("rule", hopfield.RULES)
def test_corrupted_patterns_are_recalled_at_once(rule: str) -> None:
    known = patterns(10, 200)
    shown = corrupted(known[np.arange(300) % 10], 0.2, seed=3)
    assert ((shown != known[np.arange(300) % 10]).sum(axis=1) == 40).all()
    found = Hopfield.store(known, rule).recall(shown)
    assert (found.states == known[np.arange(300) % 10]).mean() > 0.99
    assert found.settled.all()


def test_recall_does_not_depend_on_threads() -> None:
    known = patterns(60, 100)
    shown = corrupted(known, 0.3)
    one, two = (Hopfield.store(known, "storkey", threads=n).recall(shown, 5) for n in (1, 2))
    assert (one.states == two.states).all()


# ---------------------------------------------------------------- other forms


def test_graded_units_recall_and_lose_energy() -> None:
    known = patterns(5, 100)
    network = Hopfield.store(known, "pseudo_inverse")
    graded = ContinuousHopfield(network, gain=4.0)
    outputs, energies = graded.run(corrupted(known, 0.2) * 0.3, steps=100)
    assert (np.sign(outputs) == known).all()
    assert (np.diff(energies, axis=0) <= 1e-9).all()
    assert (energies[-1] < energies[0]).all()
    v = np.tanh(np.arctanh(outputs))
    x, w = np.arctanh(v), network.weights.astype(np.float64)
    stretch = (v * x + np.log1p(-(v**2)) / 2).sum(axis=1) / 4
    wanted = stretch - np.einsum("si,ij,sj->s", v, w, v) / 2
    np.testing.assert_allclose(energies[-1], wanted, rtol=1e-9)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_dense_update_is_attention(engine: str) -> None:
    keys, queries, beta = RNG.normal(size=(30, 8)), RNG.normal(size=(5, 8)), 8**-0.5
    scores = np.exp(queries @ keys.T * beta)
    wanted = scores / scores.sum(axis=1, keepdims=True) @ keys
    network = DenseHopfield(keys, beta, engine=engine)
    np.testing.assert_allclose(network.recall(queries), wanted, rtol=1e-5, atol=1e-6)
    energies = network.energies(queries, 10)
    assert (np.diff(energies, axis=0) <= 1e-6).all()
    first = -np.log(scores.sum(axis=1)) / beta + (queries**2).sum(axis=1) / 2
    np.testing.assert_allclose(energies[0], first, rtol=1e-5)


def test_the_dense_form_stores_more_patterns_than_units() -> None:
    known = patterns(500, 40)
    shown = corrupted(known, 0.1)
    assert (np.sign(DenseHopfield(known, 1.0).recall(shown, 2)) == known).mean() > 0.99
    assert (Hopfield.store(known).recall(known).states == known).mean() < 0.9


# ---------------------------------------------------------------- what does not fit


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ([[0, 1]], InputError, "a pattern holds 0; units are -1 or 1, so map 0 and 1 by 2"),
        ([[1, 0.5]], InputError, "a pattern holds 0.5; units are -1 or 1"),
        ([[1, np.nan]], InputError, "a pattern holds what is no finite number"),
        ([["1", "-1"]], InputError, "a pattern holds what is no finite number"),
        ([1, -1], ShapeError, r"patterns are an array \[patterns, units\], not of shape \[2\]"),
        (np.zeros((0, 4)), ShapeError, r"not of shape \[0, 4\]"),
    ],
)
def test_patterns_that_are_none(given: Any, error: type[Exception], message: str) -> None:
    for rule in hopfield.RULES:
        with pytest.raises(error, match=message):
            Hopfield.store(given, rule)


def test_sizes_that_differ() -> None:
    network = Hopfield.store(patterns(2, 10))
    with pytest.raises(ShapeError, match="the network has 10 units, a state 9; make the sizes"):
        network.recall(patterns(2, 9))
    with pytest.raises(ShapeError, match="the network has 4 units, a state 3"):
        DenseHopfield(np.ones((2, 4))).recall(np.ones((1, 3)))
    with pytest.raises(ShapeError, match=r"bias has shape \[3\]; use one number a unit"):
        Hopfield.store(patterns(2, 10), bias=np.zeros(3))


def test_weights_and_rules_that_are_none() -> None:
    with pytest.raises(InputError, match="weights are not symmetric numbers with a diagonal of"):
        Hopfield([[0, 1], [2, 0]])
    with pytest.raises(InputError, match="diagonal of zeros"):
        Hopfield([[1, 1], [1, 1]])
    with pytest.raises(ShapeError, match=r"weights have shape \[2\]; use \[units, units\]"):
        Hopfield([1, 2])
    with pytest.raises(InputError, match="there is no rule 'hebb'; there are hebbian"):
        Hopfield.store(patterns(2, 4), "hebb")
    with pytest.raises(InputError, match=r"corrupted: share is 1\.5"):
        corrupted(patterns(2, 4), 1.5)
