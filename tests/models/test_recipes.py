"""The contract of every network that has a name, and what choices make of a recipe."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import ranvier as rv
from ranvier import models
from ranvier.data.errors import DataError
from ranvier.errors import InputError
from ranvier.models.prepare import Choices, digest, prepare
from ranvier.models.recipe import outputs_for
from ranvier.nn.config import from_config, to_config
from ranvier.nn.summary import summarize

RNG = np.random.default_rng(0)
PARAMETERS = {
    "mlp": 269_322,
    "small": 3_025,
    "lenet5": 61_706,
    "autoencoder": 2_837_314,
    "conv-autoencoder": 105_247,
    "variational-autoencoder": 815_824,
}


def tiny(recipe: models.Recipe, rows: int = 40) -> rv.data.Dataset:
    """A dataset of the form that the recipe's own has, with few rows."""
    data = rv.datasets.load(recipe.dataset)
    parts = {p: getattr(data, p).take(slice(0, rows)) for p in ("train", "validation", "test")}
    return replace(data, **parts)


@pytest.fixture(params=models.RECIPES, ids=str)
def recipe(request: pytest.FixtureRequest) -> models.Recipe:
    return models.RECIPES[request.param]


def test_a_recipe_trains_and_predicts(recipe: models.Recipe) -> None:
    ready = prepare(recipe, tiny(recipe), Choices(epochs=2, batch_size=16))
    history = ready.model.fit(
        ready.data.train, validation=ready.data.validation, epochs=2, batch_size=16
    )
    assert history[0]["step"] == 3
    assert np.isfinite(history["loss"]).all()
    assert {"loss", *recipe.metrics} <= set(ready.model.evaluate(ready.data.test))
    assert len(ready.model.predict(ready.data.test.inputs)) == 40


def test_its_network_is_a_configuration(recipe: models.Recipe) -> None:
    net = recipe.network(recipe.bench.shape, recipe.bench.outputs)
    config = to_config(net)
    again = from_config(config)
    assert to_config(again) == config
    shape = (1, *recipe.bench.shape)
    assert summarize(net, shape) == summarize(again, shape)
    assert summarize(net, shape).parameters == PARAMETERS[recipe.name]


def test_it_says_who_and_what(recipe: models.Recipe) -> None:
    assert recipe.title
    assert recipe.source[-4:].isdigit()
    assert recipe.epochs > 0
    assert recipe.dataset in rv.datasets.names()


def test_the_autoencoder_learns_its_inputs() -> None:
    recipe = models.get("autoencoder")
    ready = prepare(recipe, tiny(recipe), Choices(settings={"hidden": [32], "code": 4}))
    assert ready.data.train.targets is None
    assert ready.model.preprocess == {"scale": 1 / 255}
    ready.model.fit(ready.data.train)
    found = ready.model.predict(ready.data.test.inputs)
    assert found.shape == (40, 784)
    assert 0 <= found.min() <= found.max() <= 1


def test_choices_replace_the_recipe_s_own() -> None:
    recipe = models.get("lenet5")
    chosen = Choices(
        epochs=3,
        batch_size=20,
        learning_rate=0.05,
        settings={"dropout": 0.5, "l1": 1e-5, "dilution": 0.25, "optimizer.momentum": 0.5},
        threads=1,
    )
    ready = prepare(recipe, tiny(recipe), chosen)
    config = ready.model.optimizer.config()
    assert config["momentum"] == 0.5
    assert config["learning_rate"]["peak"] == 0.05
    assert config["learning_rate"]["steps"] == 6  # 40 rows in batches of 20, 3 times
    assert [p.name for p in ready.model.objective.penalties] == ["l2", "l1"]
    assert ready.model.rules.dilution is not None
    assert ready.model.options == {"threads": 1}
    assert "Dropout" in str(to_config(ready.model.net))
    bounded = {"max_norm": 3, "weight_decay": 0.01, "dropconnect": 0.5}
    rules = prepare(recipe, tiny(recipe), Choices(settings=bounded)).model.rules
    found = {name: rule and list(rule.values())[1] for name, rule in rules.config().items()}
    assert found == {**bounded, "dilution": None}
    adamw = Choices(optimizer="adamw", settings={"weight_decay": 0.125})
    ready = prepare(recipe, tiny(recipe), adamw)
    assert ready.model.optimizer.config()["weight_decay"] == 0.125
    assert ready.model.rules.weight_decay is None
    other = prepare(recipe, tiny(recipe), Choices(optimizer="adam", learning_rate=0.25))
    assert other.model.optimizer.config()["learning_rate"] == 0.25
    assert other.model.optimizer.name == "adam"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth": 3}, "lenet5 has no setting 'depth'; there are dropout, l1, l2"),
        ({"l2": "much"}, "l2: strength is 'much'; use a finite number, 0 or more"),
        ({"l2": -1.0}, "l2: strength is -1.0"),
        ({"l2": 10**400}, "l2: strength is 1000"),
        ({"dilution": float("inf")}, "dilution: rate is inf; use a number in [0, 0.998]"),
        ({"optimizer.momentum": 1e39}, "momentum: momentum is 1e+39; use a number in [0, 1)"),
        ({"optimizer.beta": 1}, "momentum has no argument 'beta'"),
    ],
)
def test_settings_that_there_are_not(settings: dict[str, Any], message: str) -> None:
    recipe = models.get("lenet5")
    with pytest.raises(InputError) as error:
        prepare(recipe, tiny(recipe), Choices(settings=settings))
    assert message in str(error.value)


def test_unknown_models_and_options() -> None:
    with pytest.raises(InputError, match="there is no model 'lenet'; use 'lenet5'"):
        models.get("lenet")
    with pytest.raises(InputError, match="mlp has no setting 'width'; there are: hidden"):
        models.get("mlp").network((4,), 2, width=3)


def test_tables_of_numbers_are_regression() -> None:
    rows = rv.data.Split(RNG.normal(size=(30, 4)).astype(np.float32), np.ones((30, 2), np.float32))
    data = rv.data.Dataset("table", rows, rows, rows)
    ready = prepare(models.get("mlp"), data, Choices(settings={"hidden": [8]}))
    assert ready.model.objective.heads[""].loss.name == "mean_squared_error"
    assert outputs_for(data) == 2
    small = prepare(models.get("small"), tiny(models.get("lenet5")), Choices())
    assert small.model.objective.heads[""].loss.name == "cross_entropy"


def test_an_autoencoder_of_numbers_gives_0_to_1() -> None:
    chosen = Choices(settings={"hidden": [16], "code": 5})
    ready = prepare(models.get("autoencoder"), rv.datasets.load("teacher"), chosen)
    inputs, scale = ready.data.train.inputs, ready.model.preprocess
    shown = (inputs - scale["mean"]) / np.array(scale["std"])
    assert (shown.min(), shown.max()) == pytest.approx((0, 1), abs=1e-6)
    history = ready.model.fit(ready.data.train.take(slice(0, 1000)), epochs=4)
    assert history[-1]["loss"] < history[0]["loss"]
    assert ready.model.predict(ready.data.test.inputs).shape == ready.data.test.inputs.shape


@pytest.mark.parametrize("part", ["validation", "test"])
def test_parts_of_other_forms_are_refused_before_training(part: str) -> None:
    def rows(width: int, targets: int) -> rv.data.Split:
        inputs = RNG.normal(size=(30, width)).astype(np.float32)
        return rv.data.Split(inputs, np.ones((30, targets), np.float32))

    good, wide, more = rows(4, 1), rows(5, 1), rows(4, 2)
    whole = rv.data.Split(np.ones((30, 4), np.uint8), good.targets)
    parts = {"train": good, "validation": good, "test": good}
    prepare(models.get("mlp"), rv.data.Dataset("t", **parts | {part: whole}), Choices())
    for other, what in ((wide, "inputs are float32 [5]"), (more, "targets are float32 [2]")):
        with pytest.raises(DataError) as error:
            prepare(models.get("mlp"), rv.data.Dataset("t", **parts | {part: other}), Choices())
        assert f"t: {what} in the {part} set" in str(error.value)


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("mlp", "hidden", [8.5]),
        ("mlp", "hidden", [True]),
        ("mlp", "hidden", [0]),
        ("mlp", "hidden", "x"),
        ("mlp", "hidden", 8),
        ("mlp", "hidden", [1 << 40]),
        ("mlp", "dropout", "0.5"),
        ("mlp", "dropout", True),
        ("mlp", "dropout", float("nan")),
        ("mlp", "dropout", 10**400),
        ("autoencoder", "code", 1.5),
        ("autoencoder", "code", [3]),
        ("autoencoder", "tied", 1),
        ("autoencoder", "noise", True),
        ("mlp", "activation", 3),
    ],
)
def test_options_of_another_kind_than_their_default(name: str, option: str, value: Any) -> None:
    recipe = models.get(name)
    with pytest.raises(
        InputError, match=rf"^{name}: {option} is .*; use (a .*, as |true)"
    ) as error:
        recipe.network((4,), 2, **{option: value})
    assert len(str(error.value)) < 150


def test_activations_by_name() -> None:
    net = models.get("mlp").network((4,), 2, hidden=[3, 5, 7], activation="tanh")
    kinds = [layer["class"] for layer in to_config(net)["arguments"]["modules"]]
    assert kinds == ["Flatten", *["Linear", "Tanh"] * 3, "Linear"]
    with pytest.raises(InputError, match="mlp with activation='tan': there is no activation 'tan'"):
        models.get("mlp").network((4,), 2, activation="tan")


def test_options_of_the_default_s_kind() -> None:
    models.get("mlp").network((4,), 2, hidden=[], dropout=0)
    models.get("mlp").network((4,), 2, hidden=(3, 4), dropout=0.5)


@pytest.mark.parametrize(
    ("shape", "outputs"), [((10**30, 3), 2), ((4,), 10**30), ((70_000, 70_000), 2)]
)
def test_sizes_that_no_layer_has(shape: tuple[int, ...], outputs: int) -> None:
    with pytest.raises(InputError, match=r"use fewer than 2\*\*31"):
        models.get("mlp").network(shape, outputs)


def test_data_of_another_kind_is_refused() -> None:
    with pytest.raises(InputError, match="mlp learns from numbers, and verses is text"):
        prepare(models.get("mlp"), rv.datasets.load("verses"), Choices())


def test_a_digest_knows_the_data() -> None:
    data = tiny(models.get("lenet5"))
    assert digest(data) == digest(tiny(models.get("lenet5")))
    assert digest(data) != digest(replace(data, validation=data.test, test=data.validation))
    for part in ("train", "validation", "test"):
        split = getattr(data, part)
        other = split.inputs.copy()
        other[3, 4, 5] ^= 1
        assert digest(data) != digest(replace(data, **{part: replace(split, inputs=other)}))
        assert digest(data) != digest(replace(data, **{part: replace(split, targets=None)}))
