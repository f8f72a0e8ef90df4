"""`Recipe`: a named network with the data and settings that it is trained with by default."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any

from ranvier import validation as checks
from ranvier.data.source import Dataset
from ranvier.errors import InputError
from ranvier.models.few import FewSamples
from ranvier.nn.module import Module
from ranvier.optim import Optimizer
from ranvier.records import dataclass

_MOST = 1 << 31
"""Layers are smaller than this."""

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
    few: what differs where the data have few samples. preprocess: in place of the dataset's, if
    not None. self_taught: whether the inputs are the targets, as autoencoders have it.
    reads_text: whether inputs are the ids of a text's symbols, and not numbers or pictures.
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
    reads_text: bool = False
    penalties: tuple[Any, ...] = field(default=())
    few: FewSamples = FewSamples()

    @property
    def options(self) -> dict[str, Any]:
        """The network's options with their defaults: what `build` takes by keyword."""
        parameters = inspect.signature(self.build).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}

    def network(self, shape: tuple[int, ...], outputs: int, **options: Any) -> Module:
        """Return the network for samples of a shape.

        Raises InputError for options that it lacks or whose values are of another kind than
        their defaults, and for sizes beyond 2**31.
        """
        for name, value in options.items():
            if name not in self.options:
                known = ", ".join(self.options) or "none"
                raise InputError(f"{self.name} has no setting {name!r}; there are: {known}")
            _check_option(f"{self.name}: {name}", value, self.options[name])
        for what, size in (("numbers a sample", math.prod(shape)), ("outputs", outputs)):
            if size >= _MOST:
                raise InputError(f"{self.name}: {checks.shown(size)} {what}; use fewer than 2**31")
        try:
            return self.build(shape, outputs, **options)
        except InputError as error:
            if not options:
                raise
            given = ", ".join(f"{name}={checks.shown(value)}" for name, value in options.items())
            raise InputError(f"{self.name} with {given}: {error}") from None


def _check_option(name: str, value: Any, default: Any) -> None:
    """Refuse a value that is not of its default's kind: name, truth value, size(s) or number."""
    if isinstance(default, str):
        good, wanted = isinstance(value, str), f"a name, as {default}"
    elif isinstance(default, bool):
        good, wanted = isinstance(value, bool), "true or false"
    elif isinstance(default, Sequence):
        good = isinstance(value, Sequence) and all(_is_size(each) for each in value)
        wanted = f"a list of whole numbers from 1 on, as {list(default)}"
    elif isinstance(default, int):
        good, wanted = _is_size(value), f"a whole number from 1 on, as {default}"
    else:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        good, wanted = number and abs(value) < _MOST, f"a number, as {default}"
    if not good:
        raise InputError(f"{name} is {checks.shown(value)}; use {wanted}")


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < _MOST


def outputs_for(dataset: Dataset) -> int:
    """Return how many outputs a network needs for a dataset.

    That is one for each class or number to predict, or, without targets, for each input.
    """
    if dataset.classes and dataset.train.targets is not None:
        return len(dataset.classes)
    targets = dataset.train.inputs if dataset.train.targets is None else dataset.train.targets
    if isinstance(targets, Mapping):
        raise InputError(f"{dataset.name}: the targets are not one array; use the Python face")
    return math.prod(targets.shape[1:])
