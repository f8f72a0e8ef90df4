"""Mistakes with data and networks that would train nonsense, or fail far from their cause."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ranvier as rv
from ranvier import models, nn
from ranvier.data.errors import DataError
from ranvier.errors import DTypeError, InputError, RanvierError, ShapeError
from ranvier.models.prepare import Choices, prepare
from ranvier.training import RunError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 6)).astype(np.float32)
CUBE = X.reshape(40, 3, 2)
Y = X[:, :2].sum(1, keepdims=True)
LABELS = RNG.integers(0, 3, 40)
PICTURES = RNG.integers(0, 256, (40, 12, 12), dtype=np.uint8)


def model(net: nn.Module | None = None, loss: Any = "mean_squared_error") -> rv.Model:
    return rv.Model(net or nn.Linear(1), loss, engine="reference")


def convolutional(*first: nn.Module) -> rv.Model:
    layers = first or (nn.Conv(4, 3, padding="same"),)
    return model(nn.Sequential(*layers, nn.ReLU(), nn.Flatten(), nn.Linear(3)), "cross_entropy")


# ------------------------------------------------------------ pictures and signals


@pytest.mark.parametrize(
    "pictures",
    [PICTURES, PICTURES / 255, (PICTURES / np.float32(255) - 0.1307) / 0.3081, PICTURES > 128],
    ids=["bytes", "scaled", "standardized", "black and white"],
)
@pytest.mark.parametrize(
    "first", [nn.Conv(4, 3), nn.MaxPool(2), nn.AvgPool(2)], ids=lambda layer: type(layer).__name__
)
def test_pictures_without_a_channel_axis_are_refused(pictures: Any, first: nn.Module) -> None:
    if not isinstance(first, nn.Conv):
        pictures = pictures.astype(np.float32)  # pooling alone makes no floats
    net = convolutional(type(first)(*first._made_with.args))
    with pytest.raises(DataError, match=r"\[12, 12\].* signal of 12 channels.*x\[\.\.\., None\]"):
        net.fit(pictures, LABELS)
    assert not net.net.states()  # nothing is left behind, so that the mend works at once
    net.fit(pictures[..., None], LABELS)


@pytest.mark.parametrize(
    "signals",
    [
        RNG.normal(size=(40, 12, 12)).astype(np.float32),  # as many channels as moments
        RNG.integers(0, 2, (40, 30, 4), dtype=np.uint8),  # one-hot bases
        RNG.integers(0, 2, (40, 4, 4), dtype=np.uint8),  # four of them
        PICTURES[:, :, :11],
    ],
    ids=["real", "one-hot", "four one-hot", "not square"],
)
def test_signals_pass(signals: Any) -> None:
    convolutional().fit(signals, LABELS)


def test_a_tuple_says_that_signals_are_meant() -> None:
    convolutional(nn.Conv(4, (3,))).fit(PICTURES, LABELS)


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_that_stand_first_are_refused(channels: int) -> None:
    pictures = RNG.normal(size=(40, channels, 12, 12)).astype(np.float32)
    with pytest.raises(DataError, match=r"channels seem to stand first; .* np.moveaxis\(x, 1, -1"):
        convolutional().fit(pictures, LABELS)
    with pytest.raises(ShapeError, match=r"channels seem to stand first: use rv\.transpose"):
        convolutional(nn.Conv(4, 5)).fit(pictures, LABELS)
    convolutional().fit(np.moveaxis(pictures, 1, -1), LABELS)


# ------------------------------------------------------------ texts


def test_a_text_is_refused_by_models_that_read_numbers() -> None:
    text = rv.datasets.load("tiny-shakespeare")
    for name in ("mlp", "small"):
        with pytest.raises(InputError, match=rf"^{name} learns from .* nn.Embedding\(65, 16\)"):
            prepare(models.get(name), text, Choices())
    with pytest.raises(InputError, match="cmudict is text; no model by name reads text yet"):
        prepare(models.get("mlp"), rv.datasets.load("cmudict"), Choices())


def test_models_that_read_text_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = replace(models.get("mlp"), name="reader", reads_text=True)
    monkeypatch.setitem(models.RECIPES, "reader", reader)
    text = rv.datasets.load("tiny-shakespeare")
    with pytest.raises(InputError, match=r"is text; models that read text are reader$"):
        prepare(models.get("mlp"), text, Choices())


def test_ids_of_a_text_are_no_magnitudes() -> None:
    text = rv.data.windows(rv.datasets.load("tiny-shakespeare").validation, 8).take(slice(0, 64))
    one = replace(text, targets=text.targets[:, -1])
    with pytest.raises(DataError, match=r"^linear1: the ids .* nn.Embedding\(65, 16\)"):
        model(nn.Sequential(nn.Flatten(), nn.Linear(65)), "cross_entropy").fit(one)
    embedded = nn.Sequential(nn.Embedding(65, 4), nn.Flatten(), nn.Linear(65))
    model(embedded, "cross_entropy").fit(one)


def test_texts_as_inputs() -> None:
    with pytest.raises(DataError, match=r"such as 'ACGT', into ids.*character_vocabulary"):
        model().fit(["ACGT", "TTGA"], [[1.0], [0.0]])
    with pytest.raises(DataError, match=r"^targets holds .*np.unique\(labels, return_inverse"):
        model().fit([[1.0], [2.0]], ["yes", "no"])


# ------------------------------------------------------------ arrays


def with_value(array: np.ndarray, at: Any, value: float) -> np.ndarray:
    changed = array.copy()
    changed[at] = value
    return changed


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda m: m.fit(with_value(X, (5, 2), np.nan), Y), "inputs: row 5, column 2 is nan, "),
        (lambda m: m.fit(with_value(X, (39, 0), np.inf), Y), "inputs: row 39, column 0 is inf, "),
        (lambda m: m.fit(X, with_value(Y, 7, -np.inf)), "targets: row 7, column 0 is -inf, "),
        (lambda m: m.fit(X, with_value(Y, 7, np.nan)[:, 0]), "targets: row 7 is nan, "),
        (lambda m: m.fit(X.astype(float) * 1e39, Y), "inputs: row 0, column 2 is inf"),
        (lambda m: m.fit({"x": with_value(X, (1, 1), np.nan)}, Y), "inputs['x']: row 1, column 1"),
        (lambda m: m.fit([(with_value(X, (1, 1), np.nan), Y)]), "batch 0: inputs: row 1, column 1"),
        (lambda m: m.fit(X, Y, validation=(X, with_value(Y, 3, np.nan))), "targets: row 3, colum"),
        (lambda m: m.evaluate(with_value(X, (5, 2), np.nan), Y), "inputs: row 5, column 2 is nan"),
        (lambda m: m.predict(with_value(X, (5, 2), np.nan)), "inputs: row 5, column 2 is nan"),
        (
            lambda m: m.fit(with_value(X.reshape(40, 3, 2), (4, 1, 1), np.nan), Y),
            "inputs: row 4 at",
        ),
    ],
)
def test_what_is_not_finite_is_named_by_row_and_column(
    call: Callable[[rv.Model], Any], text: str
) -> None:
    with pytest.raises(DataError) as caught:
        call(model())
    assert str(caught.value).startswith(text)


def test_large_numbers_whose_sum_overflows_are_finite() -> None:
    trained = model()
    trained.fit(X, Y)
    assert np.isfinite(trained.predict(np.full((40, 6), 3e37, np.float32))).all()


def test_validation_in_a_list_is_a_pair() -> None:
    one = model().fit(X, Y, validation=[X, Y], seed=3)
    other = model().fit(X, Y, validation=(X, Y), seed=3)
    assert one["validation_loss"] == other["validation_loss"]


def test_several_inputs_in_a_list() -> None:
    with pytest.raises(DataError, match=r"^data is a list of 2 arrays; .*\{'a': a, 'b': b\}"):
        model().fit([X, X], Y)
    rows = [*X]
    assert len(model().fit(rows, Y)) == 1


# ------------------------------------------------------------ networks


def test_a_forgotten_flatten_is_named() -> None:
    net = nn.Sequential(nn.Conv(4, 3), nn.ReLU(), nn.Linear(3))
    with pytest.raises(ShapeError, match=r"put nn\.Flatten\(\) before the first nn\.Linear$"):
        model(net, "cross_entropy").fit(PICTURES[..., None], LABELS)
    one = nn.Sequential(nn.Conv(4, 3), nn.ReLU(), nn.Linear(1))
    with pytest.raises(ShapeError, match=r"put nn\.Flatten\(\) before the first nn\.Linear$"):
        model(one).fit(PICTURES[..., None], Y)
    with pytest.raises(ShapeError, match=r"give both the same shape$"):
        model(nn.Linear(2)).fit(X, X[:, :3])


def test_layers_made_inside_a_call() -> None:
    class Careless(nn.Module):
        def __call__(self, x: rv.Tensor) -> rv.Tensor:
            return nn.Linear(1)(nn.ReLU()(nn.Linear(4)(x)))

    with pytest.raises(InputError, match=r"Linear .* made inside __call__; make it in __init__, s"):
        model(Careless()).fit(X, Y)

    class Careful(nn.Module):
        def __init__(self) -> None:
            self.blocks = {"one": [nn.Linear(4)], "two": nn.Linear(1)}

        def __call__(self, x: rv.Tensor) -> rv.Tensor:
            return self.blocks["two"](nn.ReLU()(self.blocks["one"][0](x)))

    model(Careful()).fit(X, Y)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (np.mean, "np.mean takes arrays, not tensors of a graph; use rv.mean"),
        (np.exp, "np.exp takes arrays, not tensors of a graph; use rv.exp"),
        (np.abs, "np.absolute takes arrays, not tensors of a graph; use rv.abs"),
        (np.square, "np.square takes arrays, not tensors of a graph; use x * x"),
        (np.linalg.norm, "np.linalg.norm takes arrays, not tensors of a graph; use rv.sqrt(rv.su"),
        (np.median, "np.median takes arrays, not tensors of a graph; use functions of rv"),
        (np.asarray, "a tensor is no array; take its value with .numpy()"),
        (lambda t: np.maximum(t, 0), "np.maximum takes arrays, not tensors of a graph; use rv.max"),
        (lambda t: np.add.reduce(t), "np.add takes arrays, not tensors of a graph; use rv.add"),
    ],
)
def test_functions_of_numpy(call: Callable[[Any], Any], text: str) -> None:
    with pytest.raises(DTypeError) as caught:
        call(rv.constant(np.ones((2, 3), np.float32)))
    assert str(caught.value).startswith(text)


def test_arrays_on_the_left_of_operators() -> None:
    t, a = rv.constant(np.float32([1, 2])), np.float32([3, 5])
    for found, wanted in (
        (a + t, [4, 7]), (a - t, [2, 3]), (a * t, [3, 10]), (a / t, [3, 2.5]), (a**t, [3, 25]),
        (a @ t, 13), (a > t, [True, True]), (a == t, [False, False]), (np.float32(2) * t, [2, 4]),
    ):  # fmt: skip
        assert isinstance(found, rv.Tensor)
        np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-6)
    assert np.shape(t) == (2,)


# ------------------------------------------------------------ files


def test_another_network_is_told_by_its_differences(tmp_path: Path) -> None:
    class Net(nn.Module):
        def __init__(self, size: int = 8, deep: bool = False) -> None:
            self.hidden = nn.Linear(size)
            self.deep = [nn.Linear(3)] if deep else []
            self.out = nn.Linear(1)

        def __call__(self, x: rv.Tensor) -> rv.Tensor:
            x = rv.relu(self.hidden(x))
            for layer in self.deep:
                x = layer(x)
            return self.out(x)

    saved = model(Net(deep=True))
    saved.fit(X, Y)
    saved.save(tmp_path / "run")
    with pytest.raises(RunError) as caught:
        rv.load(tmp_path / "run", net=Net(16))
    assert str(caught.value).endswith(
        "the network that was passed differs from the saved one: hidden.weight is [6, 16], not "
        "[6, 8]; hidden.bias is [16], not [8]; out.weight is [16, 1], not [3, 1]; it lacks "
        "deep.0.bias, deep.0.weight; pass one that is made as it was"
    )
    again = rv.load(tmp_path / "run", net=Net(deep=True), engine="reference")
    np.testing.assert_array_equal(again.predict(X), saved.predict(X))


@pytest.mark.parametrize("how", [pickle.dumps, copy.deepcopy, copy.copy])
def test_models_and_networks_are_saved_and_not_pickled(how: Callable[[Any], Any]) -> None:
    trained = model(nn.Sequential(nn.Linear(1)))
    trained.fit(X, Y)
    for each in (trained, trained.net):
        with pytest.raises(RanvierError, match=r"neither pickled nor copied; .*model\.save\(path"):
            how(each)
