"""Recipes on few samples: trained by steps, ended by the validation loss, as good as others."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn import datasets

from ranvier import models
from ranvier.data import Dataset, Split, three_parts
from ranvier.data.labels import normalization
from ranvier.models.few import TABLES, FewSamples
from ranvier.models.prepare import Choices, Prepared, prepare
from ranvier.training import BestWeights, EarlyStopping

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))


def rows(count: int, features: int = 4) -> Dataset:
    """A table of two classes with so many training rows."""
    x = np.random.default_rng(0).normal(size=(count, features)).astype(np.float32)
    part = Split(x, (x[:, 0] > 0).astype(np.int32))
    return Dataset("rows", part, part.take(slice(0, 2)), part.take(slice(0, 2)), ("no", "yes"))


def steps(ready: Prepared) -> int:
    return -(-len(ready.data.train) // ready.batch_size) * ready.epochs


@pytest.mark.parametrize("name", ["mlp", "small"])
@pytest.mark.parametrize("count", [3, 50, 120, 500, 1500])
def test_few_samples_make_a_thousand_steps(name: str, count: int) -> None:
    ready = prepare(models.get(name), rows(count), Choices())
    assert 1000 <= steps(ready) < 1000 + -(-count // ready.batch_size)
    assert ready.batch_size in (16, 32, 64, 128)
    assert ready.patience == -(-ready.epochs // 10)
    assert ready.model.optimizer.name == "adam"
    assert ready.model.objective.penalties[0].strength == pytest.approx(1 / count, rel=1e-2)


@pytest.mark.parametrize("name", models.RECIPES)
def test_many_samples_are_trained_as_the_recipe_says(name: str) -> None:
    recipe = models.get(name)
    data = rows(60_000)
    if name == "conv-autoencoder":  # which learns from nothing but pictures
        picture = Split(np.zeros((60_000, 2, 2, 1), np.uint8), None)
        data = Dataset("pictures", picture, picture, picture)
    ready = prepare(recipe, data, Choices(settings={}))
    assert (ready.epochs, ready.batch_size) == (recipe.epochs, recipe.batch_size)
    assert ready.patience is None
    assert ready.model.optimizer.name == recipe.optimizer(1).name
    assert len(ready.model.objective.penalties) == len(recipe.penalties)


def test_pictures_make_a_thousand_steps_too_and_keep_their_optimizer() -> None:
    pictures = Split(np.zeros((60, 28, 28, 1), np.uint8), np.arange(60, dtype=np.int32) % 3)
    data = Dataset("few", pictures, pictures, pictures, ("a", "b", "c"))
    ready = prepare(models.get("lenet5"), data, Choices())
    assert steps(ready) >= 1000
    config = ready.model.optimizer.config()
    assert (config["name"], config["learning_rate"]["steps"]) == ("momentum", steps(ready))
    assert ready.patience is None


def test_what_is_asked_for_counts() -> None:
    recipe = models.get("mlp")
    asked = prepare(recipe, rows(100), Choices(epochs=7, batch_size=10))
    assert (asked.epochs, asked.batch_size, asked.patience) == (7, 10, None)
    assert asked.model.optimizer.config()["learning_rate"]["steps"] == 70
    smaller = prepare(recipe, rows(100), Choices(batch_size=10))
    assert steps(smaller) == 1000
    other = prepare(recipe, rows(100), Choices(optimizer="momentum", settings={"l2": 0.5}))
    assert other.model.optimizer.name == "momentum"
    assert [p.strength for p in other.model.objective.penalties] == [0.01, 0.5]


def test_batches_are_powers_of_two() -> None:
    sizes = [TABLES.batch_size(count, 128) for count in (1, 127, 128, 255, 256, 1023, 1024, 9000)]
    assert sizes == [16, 16, 16, 16, 32, 64, 128, 128]
    assert TABLES.batch_size(9000, 20) == 20
    assert FewSamples().patience_in(100) is None


def fitted(name: str, recipe: str) -> float:
    """Accuracy or R² on rows held out, with what the recipe says."""
    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    held, learnt = order[: len(x) // 4], order[len(x) // 4 :]
    numbers = name == "diabetes"
    targets = y.astype(np.float32)[:, None] if numbers else y.astype(np.int32)
    parts = three_parts(Split(x[learnt].astype(np.float32), targets[learnt]))
    classes = () if numbers else tuple(map(str, np.unique(y)))
    data = Dataset(name, *parts, classes, normalization(np.asarray(parts[0].inputs)))
    ready = prepare(models.get(recipe), data, Choices())
    assert ready.patience is not None
    ready.model.fit(
        data.train, validation=data.validation, epochs=ready.epochs, batch_size=ready.batch_size,
        callbacks=[EarlyStopping(patience=ready.patience), BestWeights()],
    )  # fmt: skip
    found = ready.model.evaluate(x[held].astype(np.float32), targets[held])
    return float(found["r2" if numbers else "accuracy"])


@pytest.mark.parametrize("recipe", ["mlp", "small"])
@pytest.mark.parametrize(("name", "least"), [("iris", 0.9), ("wine", 0.95), ("diabetes", 0.35)])
def test_small_tables_are_learnt(name: str, least: float, recipe: str) -> None:
    assert fitted(name, recipe) > least


@pytest.mark.slow
def test_tables_beside_scikit_learn() -> None:
    """Within one point of its MLP, and within 0.05 of the R² of ridge regression."""
    import tables

    found = tables.main(list(tables.TABLES))
    for name, scores in found.items():
        ours, network, linear = (
            np.mean([getattr(each, kind) for each in scores])
            for kind in ("ours", "network", "linear")
        )
        bar = linear - 0.05 if name in tables.REGRESSION else network - 0.01
        assert ours >= bar, name
