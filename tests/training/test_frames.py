"""Data frames: columns are known by their names, whatever their order, in every method."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

import ranvier as rv
from ranvier import nn
from ranvier.data import DataError, Split, from_path

RNG = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "size": RNG.normal(100, 30, 120),
        "rooms": RNG.integers(1, 7, 120),
        "garden": RNG.random(120) > 0.5,
        "age": RNG.uniform(0, 80, 120).astype(np.float32),
    }
)
KINDS = (FRAME["size"] > 100).astype(int)
SHUFFLED = FRAME[["age", "garden", "size", "rooms"]]


def classifier() -> rv.Model:
    net = nn.Sequential(nn.BatchNorm(), nn.Linear(8), nn.ReLU(), nn.Linear(2))
    return rv.Model(net, "cross_entropy", rv.optim.Adam(0.01), ["accuracy"])


@pytest.fixture(scope="module")
def trained() -> rv.Model:
    model = classifier()
    model.fit(FRAME, KINDS, epochs=3, validation=(SHUFFLED, KINDS))
    return model


def test_the_order_of_columns_does_not_matter(trained: rv.Model) -> None:
    found = trained.predict(FRAME)
    assert np.array_equal(trained.predict(SHUFFLED), found)
    assert np.array_equal(trained.predict(SHUFFLED.assign(owner="nobody")), found)
    assert trained.evaluate(SHUFFLED, KINDS) == trained.evaluate(FRAME, KINDS)
    values = FRAME.to_numpy(np.float32)
    assert np.array_equal(trained.predict(values), found)  # without names, the order counts
    history = trained.history[-1]
    assert history["validation_loss"] == pytest.approx(trained.evaluate(values, KINDS)["loss"])


def test_missing_columns_are_refused_by_name(trained: rv.Model) -> None:
    with pytest.raises(DataError, match="no column 'rooms'; the network has learnt from 'size'"):
        trained.predict(FRAME.drop(columns="rooms"))
    with pytest.raises(DataError, match="no column 'size', 'age'; the network has learnt"):
        trained.evaluate(FRAME.rename(columns={"size": "area", "age": "years"}), KINDS)
    with pytest.raises(DataError, match="inputs: there is no column 'size'"):
        trained.fit(pd.DataFrame(FRAME.to_numpy(np.float32)), KINDS)


def test_names_are_kept_in_the_run(trained: rv.Model, tmp_path: Path) -> None:
    trained.save(tmp_path / "run")
    loaded = rv.load(tmp_path / "run")
    assert np.array_equal(loaded.predict(SHUFFLED), trained.predict(FRAME))
    with pytest.raises(DataError, match="no column 'age'"):
        loaded.predict(FRAME.drop(columns="age"))


def test_a_resumed_run_finds_its_columns(tmp_path: Path) -> None:
    def fit(name: str, frame: pd.DataFrame, epochs: int, resume: bool = False) -> bytes:
        classifier().fit(frame, KINDS, epochs=epochs, out=tmp_path / name, resume=resume)
        return (tmp_path / name / "weights.safetensors").read_bytes()

    fit("cut", FRAME, 2)
    assert fit("cut", SHUFFLED, 4, resume=True) == fit("whole", FRAME, 4)
    with pytest.raises(DataError, match="no column 'size'"):
        fit("cut", FRAME.drop(columns="size"), 5, resume=True)


def test_batches_and_several_inputs_are_matched_too(trained: rv.Model) -> None:
    class Stream:
        def __init__(self, *frames: pd.DataFrame) -> None:
            self.frames = frames

        def __iter__(self) -> Iterator[Any]:
            for frame in self.frames:
                yield frame[:60], KINDS[:60]
                yield frame[60:], KINDS[60:]

    ends = []
    for frames in ((FRAME, FRAME), (FRAME, SHUFFLED)):
        model = classifier()
        model.fit(Stream(*frames), epochs=1)
        ends.append(model.predict(FRAME))
    assert np.array_equal(*ends)

    class Two(nn.Module):
        def __init__(self) -> None:
            self.left, self.right = nn.Linear(2), nn.Linear(2)

        def __call__(self, a: Any, b: Any) -> Any:
            return self.left(a) + self.right(b)

    both = {"a": FRAME[["size", "age"]], "b": FRAME[["rooms", "garden"]]}
    other = {"a": FRAME[["age", "size"]], "b": FRAME[["garden", "rooms"]]}
    model = rv.Model(Two(), "cross_entropy")
    model.fit(both, KINDS)
    assert np.array_equal(model.predict(both), model.predict(other))
    with pytest.raises(DataError, match=r"inputs\['b'\]: there is no column 'rooms'"):
        model.predict({**other, "b": FRAME[["garden"]]})


def test_tables_and_splits_have_names(tmp_path: Path) -> None:
    FRAME.astype(float).assign(kind=KINDS).to_csv(tmp_path / "t.csv", index=False)
    SHUFFLED.astype(float).assign(kind=KINDS).to_csv(tmp_path / "s.csv", index=False)
    table, other = from_path(tmp_path / "t.csv"), from_path(tmp_path / "s.csv")
    assert table.train.columns == ("size", "rooms", "garden", "age")
    model = classifier()
    model.fit(table, epochs=2)
    assert np.array_equal(model.predict(table), model.predict(other))
    assert model.evaluate(table) == model.evaluate(other)
    frame = FRAME.astype(float)[["rooms", "size", "age", "garden"]]
    assert np.array_equal(model.predict(frame), model.predict(FRAME.to_numpy(np.float32)))
    nameless = Split(np.asarray(other.test.inputs), other.test.targets)
    assert not np.array_equal(model.predict(nameless), model.predict(other))


def test_a_model_of_arrays_takes_frames_in_their_order() -> None:
    model = classifier()
    model.fit(FRAME.to_numpy(np.float32), KINDS)
    found = model.predict(FRAME.to_numpy(np.float32))
    assert np.array_equal(model.predict(FRAME), found)
    assert np.array_equal(model.predict(FRAME.rename(columns={"age": "years"})), found)


BAD: dict[str, tuple[Any, str]] = {
    "words": (
        FRAME.assign(colour="red"),
        "inputs: the column 'colour': there are words, such as 'red'; turn words into numbers",
    ),
    "dates": (
        FRAME.assign(day=pd.Timestamp("2020-05-03")),
        "inputs: the column 'day': there are dates or times; turn them into numbers first, such as",
    ),
    "missing values": (
        FRAME.assign(rooms=pd.array([1, None] * 60, dtype="Int64")),
        "inputs: the column 'rooms': row 1 is nan, counted from 0; fill such gaps",
    ),
    "mixed values": (
        FRAME.assign(rooms=[1, None, (1, 2)] * 40),
        "inputs: the column 'rooms': there are missing values, or what is no number",
    ),
    "one name twice": (
        FRAME.rename(columns={"age": "size"}),
        "inputs: two columns are named 'size'; rename one",
    ),
    "no columns": (FRAME[[]], "inputs: there are no columns; pass at least one"),
    "a sparse matrix": (
        scipy.sparse.csr_matrix(FRAME.to_numpy(float)),
        "inputs: a sparse matrix; pass .toarray() of it",
    ),
    "an array of dates": (
        np.array(["2020-05-03"] * 120, "datetime64[D]"),
        "inputs: there are dates or times; turn them into numbers first",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_number_is_named(kind: str) -> None:
    given, message = BAD[kind]
    with pytest.raises(DataError) as error:
        classifier().fit(given, KINDS)
    assert message in str(error.value)


@pytest.mark.parametrize(
    "targets",
    [
        KINDS,
        KINDS.astype("Int64"),
        KINDS.astype("category"),
        KINDS.astype(object),
    ],
    ids=["int64", "Int64", "category", "object"],
)
def test_series_of_whole_numbers_are_classes(targets: Any) -> None:
    ends = []
    for each in (KINDS.to_numpy(), targets):
        model = classifier()
        model.fit(FRAME, each)
        ends.append(model.predict(FRAME))
    assert np.array_equal(*ends)


def test_series_of_numbers_are_regression() -> None:
    net = nn.Sequential(nn.BatchNorm(), nn.Linear(1))
    model = rv.Model(net, "mean_squared_error", rv.optim.Adam(0.05), standardize_targets=True)
    model.fit(FRAME, FRAME["size"] * 1000, epochs=40)
    assert rv.metrics.r2(model.predict(FRAME), FRAME["size"] * 1000) > 0.9


def test_words_as_targets_say_what_to_do() -> None:
    with pytest.raises(DataError, match="targets: there are words, such as '"):
        classifier().fit(FRAME, KINDS.map({0: "no", 1: "yes"}))


def test_pandas_is_never_imported() -> None:
    code = "import sys, ranvier.cli.train; assert 'pandas' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
