"""The perceptron learns by Rosenblatt's rule, says what it cannot learn, and keeps the best."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ranvier.data.batching import permutation
from ranvier.errors import InputError, ShapeError
from ranvier.models.perceptron import Perceptron, novikoff_bound
from ranvier.models.separability import separability
from ranvier.models.threshold import rows_of

CORNERS = rows_of(2)
TABLES = {"and": [0, 0, 0, 1], "or": [0, 1, 1, 1], "nand": [1, 1, 1, 0], "xor": [0, 1, 1, 0]}


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_updates_are_those_computed_by_hand(engine: str) -> None:
    # From zero weights, shown in the order 3, 0, …; each mistake adds ±(x, 1).
    seed = next(s for s in range(200) if permutation(4, 0, s).tolist() == [3, 0, 1, 2])
    perceptron = Perceptron(engine=engine)
    found = perceptron.fit(CORNERS, np.array(TABLES["nand"]), epochs=1, seed=seed)
    # (1,1) gives 1, wanted 0: w = (-1, -1), b = -1. (0,0) gives 0, wanted 1: b = 0.
    # (0,1) gives 0, wanted 1: w = (-1, 0), b = 1. (1,0) gives 1 as wanted, since -1 + 1 >= 0.
    assert perceptron.weights.tolist() == [[-1], [0]]
    assert perceptron.bias.tolist() == [1]
    assert found.updates.tolist() == [3]
    assert found.mistakes.tolist() == [[3]]


def by_hand(x: np.ndarray, y: np.ndarray, epochs: int, seed: int) -> tuple[np.ndarray, float, int]:
    """Rosenblatt's rule, one pair at a time, in plain Python."""
    w, b, updates = np.zeros(x.shape[1]), 0.0, 0
    for epoch in range(epochs):
        for i in permutation(len(x), epoch, seed):
            error = y[i] - (x[i] @ w + b >= 0)
            w, b, updates = w + error * x[i], b + error, updates + int(error != 0)
    return w, b, updates


def test_the_rule_is_rosenblatt_s_on_whole_numbers() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(-9, 10, (40, 6)), rng.integers(0, 2, (40, 3))
    perceptron = Perceptron(3)
    found = perceptron.fit(x, y, epochs=7, seed=5)
    for output in range(3):
        w, b, updates = by_hand(x, y[:, output], 7, 5)
        assert perceptron.weights[:, output].tolist() == w.tolist()
        assert perceptron.bias[output] == b
        assert found.updates[output] == updates
    assert found.updates.tolist() == found.mistakes.sum(axis=0).tolist()


@pytest.mark.parametrize("name", ["and", "or", "nand"])
@pytest.mark.parametrize("seed", range(5))
def test_separable_tables_are_learnt_within_novikoff_s_bound(name: str, seed: int) -> None:
    y = np.array(TABLES[name])
    perceptron = Perceptron()
    found = perceptron.fit(CORNERS, y, seed=seed)
    assert found.converged.all()
    assert found.separable == (True,)
    assert perceptron.predict(CORNERS)[:, 0].tolist() == y.tolist()
    assert found.mistakes[-1] == 0
    sign = -1 if name == "nand" else 1
    level = {"and": 1.5, "or": 0.5, "nand": 1.5}[name]
    # With w = ±(1, 1) and b: R² = 3, and γ = ½ / |(1, 1, b)|.
    bound = novikoff_bound(CORNERS, y, [sign, sign], -sign * level)
    assert bound == pytest.approx(3 * (2 + level**2) / 0.25)
    assert found.updates[0] <= bound


def test_xor_is_not_separable_and_it_says_so() -> None:
    both = np.stack([TABLES["xor"], TABLES["or"]], axis=1)
    found = Perceptron(2).fit(CORNERS, both, epochs=30)
    assert found.converged.tolist() == [False, True]
    assert found.separable == (False, True)
    assert "output 0: " in str(found)
    assert "the data are not linearly separable, so it never will" in str(found)
    assert found.epochs == 30


def test_what_was_not_decided_is_not_claimed() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(300, 30)), rng.integers(0, 2, 300)
    found = Perceptron().fit(x, y, epochs=2)
    assert found.separable == (None,)
    assert "was not decided" in str(found)


@pytest.mark.parametrize("ratchet", [True, False])
def test_the_pocket_keeps_the_best_weights(ratchet: bool) -> None:
    rng = np.random.default_rng(1)
    x = rng.integers(-20, 21, (120, 2))
    y = (x.sum(axis=1) > 0).astype(int)
    y[rng.permutation(120)[:12]] ^= 1  # ten per cent are on the wrong side
    plain, pocket = Perceptron(), Perceptron(pocket=True, ratchet=ratchet)
    assert plain.fit(x, y, epochs=40).separable == (False,)
    pocket.fit(x, y, epochs=40)
    right = [(p.predict(x)[:, 0] == y).mean() for p in (plain, pocket)]
    assert right[1] >= right[0]
    assert right[1] > 0.85


def test_a_pocket_with_a_ratchet_never_gets_worse() -> None:
    y = np.array(TABLES["xor"])
    best = []
    for epochs in (1, 5, 25, 200):
        perceptron = Perceptron(pocket=True)
        perceptron.fit(CORNERS, y, epochs=epochs)
        best.append((perceptron.predict(CORNERS)[:, 0] == y).sum())
    assert best == sorted(best)
    assert best[-1] == 3  # three of four is what a line can do


def test_a_pocket_ends_when_all_pairs_are_right() -> None:
    perceptron = Perceptron(3, pocket=True)
    tables = np.stack([TABLES[name] for name in ("and", "or", "nand")], axis=1)
    found = perceptron.fit(CORNERS, tables)
    assert found.converged.all()
    assert perceptron.predict(CORNERS).tolist() == tables.tolist()


def test_separability_shows_its_proof() -> None:
    rng = np.random.default_rng(2)
    for trial in range(30):
        x = rng.integers(-3, 4, (8, 3)) / 4
        y = rng.integers(0, 2, 8)
        found = separability(x, y)
        signs, extended = np.where(y == 1, 1, -1), np.column_stack([x, np.ones(8)])
        if found.separable:
            assert (extended @ found.weights * signs > 0).all(), trial
        else:
            assert (found.multipliers >= 0).all()
            assert found.multipliers.sum() == pytest.approx(1)
            np.testing.assert_allclose((found.multipliers * signs) @ extended, 0, atol=1e-15)


def test_separability_is_exact_where_floats_are_not() -> None:
    points = np.array([[0.0], [1.0], [1.0 + 2.0**-52]])
    assert separability(points, np.array([0, 0, 1])).separable
    assert not separability(points, np.array([0, 1, 0])).separable
    assert not separability(points[[0, 0]], np.array([0, 1])).separable
    wide = np.array([[1e300], [1e-300], [-1e-300]])
    assert separability(wide, np.array([1, 1, 0])).separable


@pytest.mark.parametrize(
    ("x", "y", "error", "message"),
    [
        (CORNERS, [0, 1, 2, 1], InputError, "a target is 2; a unit learns 0 and 1"),
        (CORNERS, [0, 1, 1], ShapeError, r"need targets of shape \[4, 1\], not \[3\]"),
        (CORNERS[0], [0, 1], ShapeError, r"takes inputs \[pairs, features\], not \[2\]"),
        (CORNERS * np.nan, [0, 0, 0, 1], InputError, "an input is NaN or infinite"),
        (CORNERS.astype(str), [0, 0, 0, 1], InputError, "takes numbers, not <U"),
    ],
)
def test_bad_pairs(x: Any, y: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Perceptron().fit(x, np.array(y))


def test_bad_use() -> None:
    perceptron = Perceptron()
    with pytest.raises(InputError, match="learnt nothing yet; call fit first"):
        _ = perceptron.weights
    perceptron.fit(CORNERS, np.array([0, 0, 0, 1]))
    with pytest.raises(ShapeError, match="has 2 weights a unit, the inputs 3"):
        perceptron.predict(np.zeros((1, 3)))
    with pytest.raises(InputError, match="do not separate the pairs: number 1 is not on its side"):
        novikoff_bound(CORNERS, np.array([0, 0, 0, 1]), [1, 1], 0.5)
    with pytest.raises(InputError, match="Perceptron: rate is 0; use a positive number"):
        Perceptron(rate=0)
