"""`Model` against what a plain loop computes, and against what people pass it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from problems import classifier, dropped, spirals

import ranvier as rv
from ranvier import nn
from ranvier.data.batching import permutation
from ranvier.data.errors import DataError
from ranvier.errors import InputError, NonFiniteError

X, Y = spirals()


def weights_of(model: rv.Model) -> bytes:
    return b"".join(array.tobytes() for array in model.weights.values())


# ---------------------------------------------------------------- what fit computes


def test_fit_is_stochastic_gradient_descent() -> None:
    """Two epochs are the plain loop over batches, the last of which is smaller."""
    net = nn.Sequential(nn.Linear(3))
    model = rv.Model(net, "mean_squared_error", rv.optim.SGD(0.1))
    targets = np.eye(3, dtype=np.float32)[Y]
    history = model.fit(X, targets, epochs=2, batch_size=32, seed=7)

    plain = nn.Sequential(nn.Linear(3))
    plain.build((1, 2), seed=7)
    weight, bias = (
        plain.weights[f"linear1.{name}"].astype(np.float64) for name in ("weight", "bias")
    )
    losses = []
    for epoch in range(2):
        order = permutation(len(X), epoch, 7)
        total = 0.0
        for rows in np.split(order, [32, 64]):
            error = X[rows] @ weight + bias - targets[rows]
            total += (error**2).mean(1).sum()
            slope = 2 * error / error.size
            weight, bias = weight - 0.1 * X[rows].T @ slope, bias - 0.1 * slope.sum(0)
        losses.append(total / len(X))
    np.testing.assert_allclose(model.weights["linear1.weight"], weight, rtol=1e-5)
    np.testing.assert_allclose(model.weights["linear1.bias"], bias, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(history["loss"], losses, rtol=1e-5)
    assert history["step"] == [3, 6]


def test_evaluate_counts_the_last_batch_as_what_it_is() -> None:
    model = classifier()
    model.fit(X, Y, epochs=3)
    probabilities = model.predict(X, batch_size=7)
    found = model.evaluate(X, Y, batch_size=32)
    assert found["accuracy"] == pytest.approx((probabilities.argmax(1) == Y).mean())
    assert found["loss"] == pytest.approx(-np.log(probabilities[np.arange(90), Y]).mean(), 1e-5)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-6)
    logits = model.predict(X, logits=True)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(shares, probabilities, rtol=1e-5)


def test_what_fills_the_last_batch_up_is_no_nan() -> None:
    """Rows of zeros would be: log(0), and the share of a target of 0."""

    class Log(nn.Module):
        def __init__(self) -> None:
            self.linear = nn.Linear(1)

        def __call__(self, x: rv.Tensor) -> rv.Tensor:
            return self.linear(rv.log(x))

    def share(predictions: rv.Tensor, targets: rv.Tensor) -> rv.Tensor:
        return rv.abs(predictions[:, 0] / targets - 1)

    inputs, targets = np.abs(X) + 0.5, np.abs(X[:, 0]) + 0.5
    model = rv.Model(Log(), "mean_squared_error", metrics=[share])
    parts = [(inputs[rows], targets[rows]) for rows in (slice(64), slice(64, 90))]
    record = model.fit(inputs, targets, batch_size=64, validation=(inputs, targets))[-1]
    streamed = model.fit(parts)[-1]
    found = model.predict(inputs)[:, 0]
    for batch_size in (64, 128):
        measured = model.evaluate(inputs, targets, batch_size=batch_size)
        assert measured["share"] == pytest.approx(np.abs(found / targets - 1).mean(), 1e-5)
    numbers = [value for each in (record, streamed) for value in each.values()]
    assert np.isfinite(np.array(numbers, float)).all()


def test_it_learns() -> None:
    model = classifier()
    history = model.fit(X, Y, epochs=150, validation=spirals(60, 1))
    assert history["loss"][-1] < 0.3 * history["loss"][0]
    assert history["validation_accuracy"][-1] > 0.9
    assert model.epochs_done == 150


@pytest.mark.parametrize("make", [classifier, dropped])
def test_equal_seeds_give_equal_bits(make: Any) -> None:
    first, second, other = make(), make(threads=1), make()
    histories = [m.fit(X, Y, epochs=3, seed=s) for m, s in ((first, 5), (second, 5), (other, 6))]
    assert weights_of(first) == weights_of(second) != weights_of(other)
    assert histories[0].to_lines() == histories[1].to_lines()


def test_fit_twice_is_fit_once() -> None:
    once, twice = dropped(), dropped()
    once.fit(X, Y, epochs=4)
    twice.fit(X, Y, epochs=1)
    twice.fit(X, Y, epochs=3)
    assert weights_of(once) == weights_of(twice)


def test_an_optimizer_serves_one_network() -> None:
    rule = rv.optim.Momentum(rv.schedules.OneCycle(0.1, 30))
    first, early = classifier(optimizer=rule), classifier(optimizer=rule)
    first.fit(X, Y, epochs=2)
    for call in (lambda: early.fit(X, Y), lambda: classifier(optimizer=rule)):
        with pytest.raises(InputError, match=r"another network, .*; pass optimizer.fresh\(\)"):
            call()
    again = classifier(optimizer=rule.fresh())
    again.fit(X, Y, epochs=2)
    assert weights_of(again) == weights_of(first)
    wider = rv.Model(nn.Sequential(first.net, nn.Linear(3)), "cross_entropy", rule)
    wider.fit(X, Y)  # it goes on with the same parameters, and more


def test_the_reference_engine_trains_alike() -> None:
    rule = rv.optim.Momentum(0.05)  # Adam would blow up the bias before the norm, all rounding
    native, reference = dropped(optimizer=rule), dropped(optimizer=rule.fresh(), engine="reference")
    for model in (native, reference):
        model.fit(X, Y, epochs=2)
    for path, array in native.weights.items():
        np.testing.assert_allclose(array, reference.weights[path], rtol=1e-4, atol=1e-5)


# ---------------------------------------------------------------- weights, penalties, freezing


def test_a_sample_of_weight_two_is_a_sample_twice() -> None:
    weights = np.where(np.arange(90) < 30, 2.0, 1.0)
    weighted, doubled = classifier(), classifier()
    weighted.fit(X, Y, weights=weights, batch_size=90)
    doubled.fit(np.concatenate([X, X[:30]]), np.concatenate([Y, Y[:30]]), batch_size=120)
    for path, array in weighted.weights.items():
        np.testing.assert_allclose(array, doubled.weights[path], rtol=1e-4, atol=1e-6)


def test_a_batch_without_weight_changes_nothing_and_breaks_nothing() -> None:
    model = rv.Model(nn.Sequential(nn.Linear(3)), "cross_entropy", rv.optim.SGD(0.1))
    history = model.fit(X, Y, weights=np.zeros(90), batch_size=45)
    assert history["loss"] == [0.0]


def test_class_weights_count_in_the_loss_alone() -> None:
    plain, weighted = classifier(), classifier(class_weights=[1.0, 0.0, 0.0])
    for model in (plain, weighted):
        model.fit(X, Y, epochs=1)
        model.load_weights({path: array * 0 for path, array in model.weights.items()})
    assert plain.evaluate(X, Y)["accuracy"] == weighted.evaluate(X, Y)["accuracy"]
    assert weighted.evaluate(X, Y)["loss"] == pytest.approx(np.log(3))


def test_penalties_are_reported_apart() -> None:
    model = classifier(penalties=[rv.regularization.L2(0.01)])
    record = model.fit(X, Y)[-1]
    assert record["penalty"] > 0
    evaluated = model.evaluate(X, Y)
    assert "penalty" not in evaluated


def test_frozen_parameters_stay() -> None:
    model = classifier()
    model.fit(X, Y)
    before = model.weights["linear1.weight"]
    assert model.freeze("linear1.*") == ["linear1.weight", "linear1.bias"]
    model.fit(X, Y)
    assert np.array_equal(model.weights["linear1.weight"], before)
    model.unfreeze()
    model.fit(X, Y)
    assert not np.array_equal(model.weights["linear1.weight"], before)


def test_dilution_leaves_some_weights_as_they_are() -> None:
    model = classifier(dilution=rv.regularization.Dilution(0.5), optimizer=rv.optim.SGD(0.1))
    model.fit(X, Y, batch_size=90)
    before = model.weights["linear1.weight"]
    model.fit(X, Y, batch_size=90)
    kept = (model.weights["linear1.weight"] == before).mean()
    assert 0.2 < kept < 0.8


def test_functions_of_tensors_as_loss_and_metric() -> None:
    def squared(predictions: rv.Tensor, targets: rv.Tensor) -> rv.Tensor:
        return rv.sum((predictions - rv.one_hot(targets, 3)) ** 2, 1)

    def surest(predictions: rv.Tensor, targets: rv.Tensor) -> rv.Tensor:
        return rv.max(predictions, 1)

    model = classifier(loss=squared, metrics=[surest])
    history = model.fit(X, Y, epochs=2)
    assert history[-1]["surest"] == pytest.approx(model.predict(X).max(1).mean(), abs=0.3)


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.fit(X, Y, epochs=0), "epochs is 0; use a whole number, 1 or more"),
        (lambda m: m.fit(X, Y, batch_size=0), "batch_size is 0; use a whole number, 1 or more"),
        (lambda m: m.fit(X, Y, seed=-1), "seed is -1; use a whole number, 0 or more"),
        (lambda m: m.fit(X, Y[:5]), "inputs has 90 rows, targets has 5"),
        (lambda m: m.fit(X, Y + 1), "the target of row 2 is 3, the network has 3 outputs"),
        (lambda m: m.fit(X, ["a"] * 90), "targets holds <U1, not numbers"),
        (lambda m: m.fit("spirals"), "data is a str; pass arrays"),
        (lambda m: m.fit([]), "the iterable of batches is empty"),
        (lambda m: m.fit(iter([X])), "a batch is a ndarray"),
        (lambda m: m.fit(X, Y, weights=-np.ones(90)), "the weight of row 0 is -1.0"),
        (lambda m: m.predict(X[:0]), "predict: there are no rows"),
        (lambda m: m.fit(X[:0], Y[:0]), "data: there are no rows"),
        (lambda m: m.evaluate(X[:0], Y[:0]), "data: there are no rows"),
        (lambda m: m.fit(X, Y, validation=(X[:0], Y[:0])), "validation: there are no rows"),
        (lambda m: m.fit([(X[:0], Y[:0])]), "batch 0: there are no rows; leave empty"),
        (lambda m: m.fit([(X, Y), (X[:0], Y[:0])]), "batch 1: there are no rows; leave empty"),
        (lambda m: m.fit((X, Y), weights=np.ones(90)), "a tuple carries its own weights"),
        (lambda m: m.evaluate((X, Y), weights=np.ones(90)), "a tuple carries its own weights"),
        (lambda m: m.fit([(X, Y + 1)]), "the target of row 2 is 3, the network has 3 outputs"),
        (lambda m: m.fit([(X, Y), (X, Y + 1)]), "batch 1: the target of row 2 is 3, the network"),
        (
            lambda m: m.evaluate([(X, Y - 1)]),
            "the target of row 0 is -1, the network has 3 outputs",
        ),
    ],
)
def test_errors(call: Any, message: str) -> None:
    with pytest.raises((DataError, InputError)) as error:
        call(classifier())
    assert message in str(error.value)


@pytest.mark.parametrize(
    "name", ["loss", "weight", "loss_weight", "learning_rate", "penalty", "step", "validation_loss"]
)
def test_names_of_metrics_that_are_taken(name: str) -> None:
    def first(predictions: rv.Tensor, targets: rv.Tensor) -> rv.Tensor:
        return predictions[:, 0]

    with pytest.raises(InputError, match=f"a metric cannot be called '{name}', which"):
        classifier(metrics=["accuracy", rv.metrics.Metric(name, first)])
    for twice in (["accuracy", "accuracy"], ["f1", "f1"], [first, first]):
        with pytest.raises(InputError, match="which something else is called; rename it"):
            classifier(metrics=twice)


def test_later_inputs_must_be_like_the_first() -> None:
    model = classifier()
    model.fit(X, Y)
    with pytest.raises(DataError, match=r"each sample is float32 \[3\], the network has learnt"):
        model.predict(np.zeros((4, 3)))
    assert model.predict(np.zeros((4, 2), np.int64)).shape == (4, 3)


def test_nan_ends_training_with_a_sentence() -> None:
    diverging = rv.Model(nn.Linear(1), optimizer=rv.optim.SGD(1e30))
    with pytest.raises(NonFiniteError, match="loss became NaN or infinite in epoch 1, step"):
        diverging.fit(X, X[:, :1])


@pytest.mark.parametrize("number", [2, 4])
def test_class_weights_are_one_for_each_class(number: int) -> None:
    with pytest.raises(InputError, match=f"{number} class weights for 3 classes; pass one for"):
        classifier(class_weights=[1.0] * number).fit(X, Y)
    with pytest.raises(InputError, match="3 class weights for 2 classes; pass one for each"):
        rv.Model(nn.Linear(1), "binary_cross_entropy", class_weights=[1.0] * 3).fit(X, Y > 0)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda m: m.fit(X[:, :1], Y[:5], seed=8),
        lambda m: m.fit(X[:, None, :], Y, seed=8),  # the network breaks
        lambda m: m.fit(X[:, :1], Y + 1, seed=8),
        lambda m: m.fit([(X[:, :1], Y + 1)], seed=8),
        lambda m: m.fit(X[:, :1], np.zeros((90, 2)), seed=8),  # the loss breaks
        lambda m: m.fit(X[:, :1], Y, validation=(X, Y), seed=8),
        lambda m: m.evaluate(X[:, :1], Y + 1),
        lambda m: m.predict(X[:, :0]),
    ],
)
def test_a_call_that_fails_leaves_the_model_as_it_was(wrong: Any) -> None:
    def make() -> rv.Model:
        class Two(nn.Module):
            def __init__(self) -> None:
                self.first, self.second = nn.Linear(4), nn.Linear(3)

            def __call__(self, x: rv.Tensor) -> rv.Tensor:
                hidden = self.first(x)
                if x.ndim > 2 or not x.shape[1]:
                    raise InputError("a network for rows")
                return self.second(hidden)

        return rv.Model(Two(), "cross_entropy", "adam", ["accuracy"])

    model, plain = make(), make()
    said = []
    for _ in range(2):
        with pytest.raises(rv.errors.RanvierError) as error:
            wrong(model)
        said.append(str(error.value))
    assert said[0] == said[1]
    assert not model.weights
    assert model.preprocess is None
    model.fit(X, Y, epochs=2)
    plain.fit(X, Y, epochs=2)
    assert weights_of(model) == weights_of(plain)


def test_a_network_without_parameters() -> None:
    with pytest.raises(InputError, match="no parameters to train"):
        rv.Model(nn.Sequential(nn.Tanh()), "mean_squared_error").fit(X, X)
