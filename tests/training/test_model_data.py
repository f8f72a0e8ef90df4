"""The forms of data that a model learns from: arrays, data sets, streams of batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from problems import classifier, dropped, spirals

import ranvier as rv
from ranvier import nn
from ranvier.data.batching import batches, permutation
from ranvier.data.errors import DataError

X, Y = spirals()


def weights_of(model: rv.Model) -> bytes:
    return b"".join(array.tobytes() for array in model.weights.values())


def test_batches_of_an_iterable_train_like_arrays() -> None:
    """The iterable yields what the permutation would have gathered."""

    class Batches:
        def __init__(self) -> None:
            self.visits = 0  # the first one is fit's look at the first batch

        def __iter__(self) -> Any:
            epoch = max(self.visits - 1, 0)
            self.visits += 1
            indices, filled = batches(len(X), 32, permutation(len(X), epoch, 0))
            for rows, weights in zip(indices, filled, strict=True):
                yield X[rows[weights > 0]], Y[rows[weights > 0]]

    streamed, resident = dropped(), dropped()
    found = streamed.fit(Batches(), epochs=2, batch_size=32)
    wanted = resident.fit(X, Y, epochs=2, batch_size=32)
    assert weights_of(streamed) == weights_of(resident)
    assert found["loss"] == wanted["loss"]


def test_a_generator_serves_one_epoch() -> None:
    def once() -> Any:
        for start in range(0, 90, 30):
            yield X[start : start + 30], Y[start : start + 30]

    assert len(classifier().fit(once(), epochs=1)) == 1
    with pytest.raises(DataError, match="used up after one epoch"):
        classifier().fit(once(), epochs=2)


class _Stored:
    """An iterable that gives out one iterator, again and again."""

    def __init__(self) -> None:
        self.batches = iter([(X[i : i + 30], Y[i : i + 30]) for i in range(0, 90, 30)])

    def __iter__(self) -> Any:
        return self.batches


def test_one_iterator_again_and_again_serves_one_epoch() -> None:
    model, plain = classifier(), classifier()
    assert model.fit(_Stored(), epochs=1)[-1]["step"] == 3
    plain.fit([(X[i : i + 30], Y[i : i + 30]) for i in range(0, 90, 30)])
    assert weights_of(model) == weights_of(plain)
    assert model.evaluate(_Stored())["loss"] == pytest.approx(plain.evaluate(X, Y)["loss"])
    with pytest.raises(DataError, match="used up after one epoch"):
        classifier().fit(_Stored(), epochs=2)


def test_an_epoch_without_batches() -> None:
    class Once:
        def __init__(self) -> None:
            self.visits = 0

        def __iter__(self) -> Any:
            self.visits += 1
            return iter([(X, Y)] if self.visits < 3 else [])

    with pytest.raises(DataError, match="the batches of epoch 2 end after 0"):
        classifier().fit(Once(), epochs=2)


def test_streams_of_splits_are_like_arrays() -> None:
    """Of any numeric dtype, and with the preprocessing and classes that they bring."""
    given = rv.data.Split(
        (X * 50).astype(np.float64),
        Y.astype(np.int16),
        classes=("a", "b", "c"),
        preprocess={"scale": 0.02},
    )
    streamed, plain = classifier(), classifier()
    streamed.fit([given])
    plain.fit([(X * np.float32(50) * np.float32(0.02), Y)])
    assert streamed.classes == ("a", "b", "c")
    for path, array in streamed.weights.items():
        np.testing.assert_allclose(array, plain.weights[path], rtol=1e-4, atol=1e-6)


def test_an_error_of_the_iterable_reaches_the_user() -> None:
    class Broken:
        def __iter__(self) -> Any:
            yield X[:30], Y[:30]
            raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError, match="the disk is gone"):
        classifier().fit(Broken())


@pytest.mark.parametrize(
    ("data", "targets"),
    [
        ((X, Y), None),
        (X.tolist(), Y.tolist()),
        (X.astype(np.float64), Y.astype(np.int16)),
        (rv.data.Split(X, Y), None),
        (rv.data.Dataset("spirals", *[rv.data.Split(X, Y)] * 3), None),
    ],
)
def test_forms_of_arrays(data: Any, targets: Any) -> None:
    model, plain = classifier(), classifier()
    model.fit(data, targets, epochs=1)
    plain.fit(X, Y, epochs=1)
    assert weights_of(model) == weights_of(plain)


@pytest.mark.parametrize("dtype", [np.int64, np.int16, np.uint8, np.bool_])
def test_features_may_be_whole_numbers(dtype: Any) -> None:
    corners, xor = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), [0, 1, 1, 0]
    model, plain = classifier(), classifier()
    assert model.fit(corners.astype(dtype), xor, epochs=200)[-1]["accuracy"] == 1
    plain.fit(corners.astype(np.float32), xor, epochs=200)
    assert weights_of(model) == weights_of(plain)
    assert model.predict(corners.astype(bool)).argmax(1).tolist() == xor


def test_pictures_may_be_bytes() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (8, 5, 5, 1)).astype(np.uint8)
    models = [rv.Model(nn.Sequential(nn.Conv(2, 3), nn.Flatten(), nn.Linear(1))) for _ in "ab"]
    models[0].fit(pictures, np.arange(8))
    models[1].fit(pictures.astype(np.float32), np.arange(8))
    assert weights_of(models[0]) == weights_of(models[1])


def test_a_dataset_brings_classes_preprocessing_and_validation() -> None:
    raw = np.rint((X + 1.5) * 80).astype(np.uint8)
    split = rv.data.Split(raw, Y)
    data = rv.data.Dataset(
        "spirals", split, split, split, ("a", "b", "c"), {"scale": 1 / 80, "mean": [1.5], "std": 1}
    )
    model = classifier()
    history = model.fit(data, epochs=2)
    assert model.classes == ("a", "b", "c")
    assert "validation_accuracy" in history[0]
    plain = classifier()
    plain.fit(raw.astype(np.float32) / 80 - 1.5, Y, epochs=2)
    np.testing.assert_allclose(
        model.weights["linear1.weight"], plain.weights["linear1.weight"], rtol=1e-4, atol=1e-5
    )
    assert model.evaluate(data)["accuracy"] == model.evaluate(raw, Y)["accuracy"]


def test_predicting_first_decides_nothing_of_preprocessing() -> None:
    split = rv.data.Split(X * 100 + 500, Y)
    data = rv.data.Dataset("d", split, split, split, (), {"mean": [500.0] * 2, "std": [50.0] * 2})
    first, plain = classifier(), classifier()
    first.predict(X)
    first.evaluate(X, Y)
    for model in (first, plain):
        model.fit(data)
        assert model.preprocess == data.preprocess
    assert weights_of(first) == weights_of(plain)


def test_of_a_dataset_the_test_part_is_predicted() -> None:
    parts = [rv.data.Split(X[rows], Y[rows]) for rows in (slice(50), slice(50, 60), slice(60, 90))]
    data = rv.data.Dataset("spirals", *parts)
    model = classifier()
    model.fit(data)
    assert np.array_equal(model.predict(data), model.predict(X[60:]))
    assert np.array_equal(model.predict(data.test), model.predict(X[60:]))


def test_a_share_is_set_apart_for_validation() -> None:
    model = classifier()
    history = model.fit(X, Y, epochs=1, validation=0.2)
    assert history["step"] == [3]  # 72 rows in batches of 32
    assert "validation_loss" in history[0]


def test_several_inputs_and_outputs_by_name() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            self.left, self.right = nn.Linear(8), nn.Linear(8)
            self.arm, self.radius = nn.Linear(3), nn.Linear(1)

        def __call__(self, x: rv.Tensor, y: rv.Tensor) -> dict[str, rv.Tensor]:
            hidden = rv.tanh(self.left(x) + self.right(y))
            return {"arm": self.arm(hidden), "radius": self.radius(hidden)}

    radius = np.hypot(X[:, 0], X[:, 1])
    model = rv.Model(
        Two(),
        {"arm": "cross_entropy", "radius": "mean_squared_error"},
        rv.optim.Adam(0.01),
        {"arm": ["accuracy", "f1"], "radius": ["r2"]},
        loss_weights={"radius": 0.5},
    )
    inputs, targets = {"x": X[:, :1], "y": X[:, 1:]}, {"arm": Y, "radius": radius}
    history = model.fit(inputs, targets, epochs=40, validation=(inputs, targets))
    last = history[-1]
    assert last["loss"] == pytest.approx(last["arm_loss"] + 0.5 * last["radius_loss"])
    assert {"arm_accuracy", "validation_arm_f1", "validation_radius_r2"} <= set(last)
    assert last["loss"] < history[0]["loss"]
    found = model.predict(inputs)
    assert found["arm"].shape == (90, 3)
    assert found["radius"].shape == (90, 1)


def test_without_targets_the_network_learns_its_inputs() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(6), nn.Tanh(), nn.Linear(4))
    model = rv.Model(net, "mean_squared_error", rv.optim.Adam(0.02))
    pictures = np.random.default_rng(0).normal(size=(64, 2, 2, 1)).astype(np.float32)
    history = model.fit(pictures, epochs=60)
    assert history["loss"][-1] < 0.2 * history["loss"][0]
    assert model.evaluate(pictures)["loss"] == pytest.approx(
        ((model.predict(pictures).reshape(pictures.shape) - pictures) ** 2).mean(), rel=1e-4
    )


def test_metrics_of_all_samples_without_targets() -> None:
    """Their targets are the inputs, preprocessed, as those of the loss are."""
    net = nn.Sequential(nn.Linear(2))
    model = rv.Model(net, "mean_squared_error", metrics=["r2"], preprocess={"scale": 0.5})
    model.fit(X, epochs=3, validation=0.5)
    wanted = rv.metrics.r2(model.predict(X), X / 2)
    assert model.evaluate(X)["r2"] == pytest.approx(wanted, rel=1e-4)
