"""The networks of the canon by name, in the order of history, each with its recipe."""

from __future__ import annotations

from ranvier.errors import InputError
from ranvier.guidance.values import instead
from ranvier.models import autoencoder, conv_autoencoder, lenet5, mlp, small, variational
from ranvier.models.recipe import Bench, Recipe, outputs_for

RECIPES: dict[str, Recipe] = {
    module.RECIPE.name: module.RECIPE
    for module in (mlp, small, lenet5, autoencoder, conv_autoencoder, variational)
}
"""Every recipe by name."""


def get(name: str) -> Recipe:
    """Return the recipe of a name; InputError for one that is not known."""
    if name not in RECIPES:
        raise InputError(f"there is no model {name!r}; {instead(name, RECIPES)}")
    return RECIPES[name]


__all__ = ["RECIPES", "Bench", "Recipe", "get", "outputs_for"]
