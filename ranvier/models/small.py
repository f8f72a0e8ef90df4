"""A small network, which learns a function of ten numbers from its values."""

from __future__ import annotations

from collections.abc import Sequence

from ranvier import nn, optim
from ranvier.models.few import TABLES
from ranvier.models.recipe import Bench, Recipe
from ranvier.nn.module import Module


def small(shape: tuple[int, ...], outputs: int, *, hidden: Sequence[int] = (45, 45)) -> Module:
    """Return a network of dense layers for samples of any shape; hidden: their sizes."""
    layers = [layer for size in hidden for layer in (nn.Linear(size), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(outputs))


RECIPE = Recipe(
    name="small",
    title="A small regression network",
    source="Cybenko, 1989",
    build=small,
    dataset="teacher",
    loss="mean_squared_error",
    metrics=("mean_absolute_error", "r2"),
    optimizer=lambda steps: optim.Adam(2e-3),
    epochs=20,
    batch_size=128,
    bench=Bench(128, (10,), 10, lambda: optim.Adam(1e-3)),
    few=TABLES,
)
