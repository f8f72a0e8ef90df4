"""Ids outside of a table are refused when data is bound, wherever they come from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ranvier as rv
from ranvier import nn
from ranvier.data.errors import DataError

rng = np.random.default_rng(0)
IDS = rng.integers(0, 5, (2500, 4))
IDS[2100, 2] = 7
Y = rng.normal(size=(2500, 2)).astype(np.float32)
TABLE = "and the table embedding1.weight has 5 rows; use 0 to 4, or make more"


def model(net: nn.Module | None = None, loss: Any = "mean_squared_error", **rest: Any) -> rv.Model:
    made = net or nn.Sequential(nn.Embedding(5, 2), nn.Flatten(), nn.Linear(2))
    return rv.Model(made, loss, engine="reference", **rest)


def batches(ids: np.ndarray, size: int = 100) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(ids[i : i + size], Y[i : i + size]) for i in range(0, len(ids), size)]


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
@pytest.mark.parametrize(
    "bind",
    [
        lambda ids: model().fit(ids, Y, progress=False),
        lambda ids: model().evaluate(ids, Y),
        lambda ids: model().predict(ids),
        lambda ids: model().fit(ids[:2100], Y[:2100], validation=(ids, Y), progress=False),
        lambda ids: rv.training.find_learning_rate(model(), ids, Y, steps=10),
    ],
    ids=["fit", "evaluate", "predict", "validation", "finder"],
)
def test_an_id_outside_the_table_is_named_with_its_row(
    bind: Callable[[np.ndarray], Any], dtype: Any
) -> None:
    with pytest.raises(DataError) as caught:
        bind(IDS.astype(dtype))
    assert str(caught.value) == f"the inputs: row 2100 holds the id 7, {TABLE}"


def test_streamed_batches_and_negative_ids() -> None:
    for made in (model(), model()):
        with pytest.raises(DataError) as caught:
            made.fit(batches(IDS), progress=False)
        assert str(caught.value) == f"batch 21: the inputs: row 0 holds the id 7, {TABLE}"
    with pytest.raises(DataError) as caught:
        model().fit(np.where(IDS == 7, -1, IDS), Y, progress=False)
    assert str(caught.value) == f"the inputs: row 2100 holds the id -1, {TABLE}"


def test_a_refused_id_leaves_the_network_as_it_was() -> None:
    made = model()
    made.fit(IDS[:2100], Y[:2100], progress=False)
    before = made.weights["embedding1.weight"].copy()
    with pytest.raises(DataError, match="holds the id 7"):
        made.fit(IDS, Y, progress=False)
    assert np.array_equal(made.weights["embedding1.weight"], before)


class Mixed(nn.Module):
    """A table of numbers whose first columns are a category from 1, one from 0, and a flag."""

    def __init__(self) -> None:
        self.table = nn.Embedding(5, 2)
        self.out = nn.Linear(1)

    def __call__(self, rows: rv.Tensor, beside: rv.Tensor) -> rv.Tensor:
        first = self.table(rows[:, 0].astype("int64") - 1)
        second = rv.one_hot(rows[:, ::-1][:, -2].astype("int32"), 3)
        counts = rv.scatter_add(rv.ones_like(beside), beside.reshape((-1,)).astype("int64"), 4)
        return self.out(rv.concatenate([first, second, rows[:, 2:]], 1)) + rv.sum(counts) * 0


def mixed(row: int | None = None, column: int = 0, value: float = 0) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(1)
    rows = draw.normal(size=(50, 4)).astype(np.float32)
    rows[:, 0], rows[:, 1] = draw.integers(1, 6, 50), draw.integers(0, 3, 50)
    beside = draw.integers(0, 4, 50).astype(np.float32)
    if row is not None:
        (rows[:, column] if column >= 0 else beside)[row] = value
    return {"rows": rows, "beside": beside}


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ((9, 0, 0), "input 'rows': row 9 holds the id -1, and the table table.weight has 5 rows"),
        ((9, 0, 6), "input 'rows': row 9 holds the id 5, and the table table.weight has 5 rows"),
        ((0, 1, 3), "input 'rows': row 0 holds the id 3, and one_hot has 3 classes"),
        ((49, -1, 4), "input 'beside': row 49 holds the id 4, and scatter_add has 4 rows"),
    ],
)
def test_the_bound_is_found_in_the_graph(wrong: tuple[int, int, float], text: str) -> None:
    model(Mixed()).fit(mixed(), Y[:50, :1], progress=False)
    model(Mixed()).fit(mixed(3, 2, 1e6), Y[:50, :1], progress=False)  # a number, and no id
    with pytest.raises(DataError) as caught:
        model(Mixed()).fit(mixed(*wrong), Y[:50, :1], progress=False)
    assert str(caught.value).startswith(text)


def test_a_table_that_the_batch_makes_has_no_bound_of_its_own() -> None:
    class Rows(nn.Module):
        def __call__(self, x: rv.Tensor) -> rv.Tensor:
            return rv.take(x.astype("float32"), x[:, 0], 0)

    found = model(Rows()).predict(np.array([[1, 5], [0, 6], [2, 7]]), batch_size=3)
    assert found[:, 1].tolist() == [6, 5, 7]


def picked(predictions: rv.Tensor, targets: rv.Tensor) -> rv.Tensor:
    """A loss of one's own that takes the class numbers for granted."""
    return -rv.sum(predictions * rv.one_hot(targets, 3), -1)


def first(predictions: rv.Tensor, targets: rv.Tensor) -> rv.Tensor:
    """A loss that does not look at its targets."""
    return predictions[:, 0] + targets.astype("float32") * 0


@pytest.mark.parametrize(("loss", "weights"), [(picked, None), (first, [1, 2, 3])])
def test_targets_that_index_are_checked_too(loss: Any, weights: Any) -> None:
    x, labels = Y[:50], np.arange(50) % 3
    model(nn.Linear(3), loss, class_weights=weights).fit(x, labels, progress=False)
    labels[7] = 3
    with pytest.raises(DataError) as caught:
        model(nn.Linear(3), loss, class_weights=weights).fit(x, labels, progress=False)
    text = "the targets: row 7 holds the id 3, and one_hot has 3 classes; use 0 to 2, or make more"
    assert str(caught.value) == text
    labels[7] = -1
    ignoring = {"name": "cross_entropy", "ignore": -1}
    model(nn.Linear(3), ignoring, class_weights=[1, 2, 3]).fit(x, labels, progress=False)


def test_a_loaded_model_knows_its_tables(tmp_path: Any) -> None:
    made = model()
    made.fit(IDS[:50], Y[:50], progress=False)
    made.save(tmp_path / "run")
    with pytest.raises(DataError, match="row 2100 holds the id 7"):
        rv.load(tmp_path / "run", engine="reference").fit(IDS, Y, progress=False)
