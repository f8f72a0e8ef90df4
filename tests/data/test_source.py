"""Splits and datasets: paired rows, and divisions that are the same everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from data_files import says

from ranvier.data import Dataset, Split, split_off, three_parts

TEN = Split(np.arange(10.0), np.arange(10), np.linspace(0, 1, 10))


def rows(split: Split) -> list[int]:
    assert isinstance(split.targets, np.ndarray)
    return split.targets.tolist()


def test_take_keeps_rows_together() -> None:
    split = Split({"a": np.arange(6).reshape(3, 2), "b": np.arange(3)}, {"y": np.arange(3.0)})
    taken = split.take(np.array([2, 0]))
    assert len(split) == 3
    assert len(taken) == 2
    assert isinstance(taken.inputs, dict)
    assert isinstance(taken.targets, dict)
    assert taken.inputs["a"].tolist() == [[4, 5], [0, 1]]
    assert taken.inputs["b"].tolist() == [2, 0]
    assert taken.targets["y"].tolist() == [2.0, 0.0]
    assert taken.weights is None


def test_take_carries_weights_and_slices_are_views() -> None:
    taken = TEN.take(slice(2, 4))
    assert taken.weights is not None
    assert taken.weights.tolist() == TEN.weights[2:4].tolist()  # type: ignore[index]
    assert isinstance(taken.inputs, np.ndarray)
    assert np.shares_memory(taken.inputs, TEN.inputs)  # type: ignore[arg-type]


LENGTHS = "the arrays of a split differ in length: {}; pair them row by row"
BAD: dict[str, tuple[tuple[Any, ...], str]] = {
    "lengths": (
        (np.zeros(3), np.zeros(2)),
        LENGTHS.format("inputs has 3 rows, targets has 2 rows"),
    ),
    "lengths by name": (
        ({"a": np.zeros(3), "b": np.zeros(4)}, np.zeros(3)),
        LENGTHS.format("inputs['a'] has 3 rows, inputs['b'] has 4 rows, targets has 3 rows"),
    ),
    "weights' length": (
        (np.zeros(2), np.zeros(2), np.zeros(1)),
        LENGTHS.format("inputs has 2 rows, targets has 2 rows, weights has 1 rows"),
    ),
    "a list": (
        ([1, 2], np.zeros(2)),
        "inputs is list; use a NumPy array with a row for each",
    ),
    "a number": (
        (np.zeros(2), np.array(3)),
        "targets is an array without axes; use a NumPy array with a row for each",
    ),
    "nothing": (({}, {}), "a split without arrays; pass at least one array of inputs"),
    "weights' type": (
        (np.zeros(2), np.zeros(2), np.ones(2, np.int64)),
        "weights are int64 of shape (2,); use one float for each row",
    ),
    "weights' shape": (
        (np.zeros(2), np.zeros(2), np.ones((2, 1))),
        "weights are float64 of shape (2, 1); use one float for each row",
    ),
    "negative weight": (
        (np.zeros(2), np.zeros(2), np.array([1.0, -1.0])),
        "the weight of row 1 is -1.0; use finite weights, 0 or more",
    ),
    "nan weight": (
        (np.zeros(2), np.zeros(2), np.array([np.nan, 1.0])),
        "the weight of row 0 is nan; use finite weights, 0 or more",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_split_is_refused(kind: str) -> None:
    arguments, text = BAD[kind]
    with says(text):
        Split(*arguments)


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ([10], "row 10 of a split of 10; use 0 to 9"),
        ([-1], "row -1 of a split of 10; use 0 to 9"),
        ([0.0], "rows are float64 of shape (1,); use a list of row numbers"),
        ([True], "rows are bool of shape (1,); use a list of row numbers"),
        ([[1]], "rows are int64 of shape (1, 1); use a list of row numbers"),
    ],
)
def test_bad_rows_are_refused(wanted: list[Any], text: str) -> None:
    with says(text):
        TEN.take(np.array(wanted))


def test_split_off_divides_without_loss_or_reordering() -> None:
    rest, part = split_off(TEN, 3, seed=5)
    assert len(part) == 3
    assert sorted(rows(rest) + rows(part)) == list(range(10))
    assert rows(rest) == sorted(rows(rest))
    assert rows(part) == sorted(rows(part))


def test_split_off_is_fixed_by_the_seed() -> None:
    """Golden values: the validation part of a dataset never changes."""
    assert rows(split_off(TEN, 3, seed=0)[1]) == GOLDEN
    assert rows(split_off(TEN, 3, seed=0)[1]) != rows(split_off(TEN, 3, seed=1)[1])


GOLDEN = [4, 7, 8]


def test_a_fraction_is_rounded_to_rows() -> None:
    assert len(split_off(TEN, 0.26)[1]) == 3
    assert len(split_off(TEN, 0.1)[1]) == 1


@pytest.mark.parametrize("part", [0, 10, -1, 0.0, 1.0, 0.01])
def test_both_halves_need_a_row(part: float) -> None:
    with says(f"cannot split {part} off 10 rows; leave at least one on either side"):
        split_off(TEN, part)


def test_groups_stay_together() -> None:
    groups = np.array(["a", "b", "c", "a", "b", "d", "d", "a", "e", "e"])
    rest, part = split_off(TEN, 2, 0, groups)
    assert set(groups[rows(rest)]).isdisjoint(groups[rows(part)])
    assert len(set(groups[rows(part)])) == 2
    assert sorted(rows(rest) + rows(part)) == list(range(10))
    with says("cannot split 5 off 5 groups; leave at least one on either side"):
        split_off(TEN, 5, 0, groups)


@pytest.mark.parametrize("grouped", [False, True])
def test_three_parts(grouped: bool) -> None:
    whole = Split(np.arange(100), np.arange(100))
    groups = np.arange(100) // 2 if grouped else None
    parts = three_parts(whole, 0, groups)
    assert [len(part) for part in parts] == [80, 10, 10]
    assert sorted(row for part in parts for row in rows(part)) == list(range(100))
    assert rows(parts[0]) == sorted(rows(parts[0]))
    if grouped:
        numbers = [{row // 2 for row in rows(part)} for part in parts]
        assert sum(map(len, numbers)) == len(set.union(*numbers))
    assert [rows(part) for part in three_parts(whole, 0, groups)] == [rows(p) for p in parts]


def test_three_parts_of_three_rows_and_of_two() -> None:
    three = TEN.take(slice(0, 3))
    assert [len(part) for part in three_parts(three)] == [1, 1, 1]
    text = (
        "2 observations cannot be divided into training, validation and test; at least 3 are needed"
    )
    with says(text):
        three_parts(TEN.take(slice(0, 2)))


def test_preprocess_is_json() -> None:
    assert repr(Dataset("d", TEN, TEN, TEN, ("a", "b"))) == "Dataset('d', 10 + 10 + 10, 2 classes)"
    text = (
        "d: preprocess is not JSON (Object of type ndarray is not JSON serializable); "
        "use numbers, strings and lists"
    )
    with says(text):
        Dataset("d", TEN, TEN, TEN, (), {"mean": np.zeros(1)})
    with pytest.raises(ValueError, match=r"^d: preprocess is not JSON \(Out of range"):
        Dataset("d", TEN, TEN, TEN, (), {"scale": float("nan")})
