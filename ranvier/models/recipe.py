"""`Recipe`: a named network with the data and settings that it is trained with by default."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

from ranvier.data.source import Dataset
from ranvier.errors import InputError, RanvierError
from ranvier.nn.module import Module
from ranvier.optim import Optimizer

Build = Callable[..., Module]
"""(shape of a sample, number of outputs, **options) to a network."""


@dataclass(frozen=True)
class Bench:
    """The form in which the network's training step is measured.

    shape: that of a sample. outputs: how many the network has; targets are classes for
    cross-entropy, else numbers.
    """

    batch_size: int
    shape: tuple[int, ...]
    outputs: int
    optimizer: Callable[[], Optimizer]


@dataclass(frozen=True)
class Recipe:
    """A network of the canon and how to train it.

    optimizer: makes the optimizer, given the number of steps of the whole training.
    preprocess: in place of the dataset's, if not None. self_taught: whether the inputs are the
    targets, as autoencoders have it.
    """

    name: str
    title: str
    source: str
    build: Build
    dataset: str
    loss: str
    metrics: tuple[str, ...]
    optimizer: Callable[[int], Optimizer]
    epochs: int
    batch_size: int
    bench: Bench
    preprocess: Mapping[str, Any] | None = None
    self_taught: bool = False
    penalties: tuple[Any, ...] = field(default=())

    @property
    def options(self) -> dict[str, Any]:
        """The network's options with their defaults: what `build` takes by keyword."""
        parameters = inspect.signature(self.build).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}

    def network(self, shape: tuple[int, ...], outputs: int, **options: Any) -> Module:
        """Return the network for samples of a shape; InputError for options that it lacks."""
        for name in options:
            if name not in self.options:
                known = ", ".join(self.options) or "none"
                raise InputError(f"{self.name} has no option {name!r}; its options are: {known}")
        try:
            return self.build(shape, outputs, **options)
        except RanvierError:
            raise
        except (TypeError, ValueError) as error:
            given = ", ".join(f"{name}={value!r}" for name, value in options.items())
            raise InputError(f"{self.name} takes no {given}: {error}") from None


def outputs_for(dataset: Dataset) -> int:
    """Return how many outputs a network needs for a dataset: classes, or numbers to predict."""
    if dataset.classes:
        return len(dataset.classes)
    targets = dataset.train.targets
    if targets is None or isinstance(targets, Mapping):
        raise InputError(f"{dataset.name}: the targets are not one array; use the Python face")
    return prod(targets.shape[1:])
