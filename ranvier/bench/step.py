"""The training step of a recipe in its bench form, ready to be timed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

import numpy as np

from ranvier.data.batching import batches, permutation
from ranvier.engines.program import Program
from ranvier.models.recipe import Recipe
from ranvier.training.feed.arrays import as_split
from ranvier.training.feed.binding import prepare
from ranvier.training.feed.feeds import Resident
from ranvier.training.loop.speed import needed_flops
from ranvier.training.model import Model

_BATCHES = 16
_SEED = 0


class BenchStep:
    """A recipe's training step over random rows; each step gathers a fresh batch of them."""

    def __init__(
        self, recipe: Recipe, batch_size: int, threads: int | None, engine: str = "native"
    ) -> None:
        bench = recipe.bench
        self.batch_size = batch_size
        self.inputs, self.targets = rows(recipe, batch_size)
        options: dict[str, Any] = {} if threads is None else {"threads": threads}
        net = recipe.network(bench.shape, bench.outputs)
        self.model = Model(net, recipe.loss, bench.optimizer(), engine=engine, **options)
        self._feed = Resident(as_split(self.inputs, self.targets), batch_size, _SEED)
        prepare(self.model, self._feed, _SEED)
        self.initial = dict(self.model.weights)
        self.index = order(len(self.inputs), batch_size)
        started = perf_counter()
        self.program: Program = self.model.training_program(self._feed)
        self.run(1)
        self.first_step_seconds = perf_counter() - started
        self.flops = needed_flops(self.program.simplified.roots)

    def run(self, steps: int) -> np.ndarray:
        """Run many steps in one call and return their losses."""
        index = self.index[np.arange(steps) % len(self.index)]
        return self._losses(self.program(steps=steps, index=index, **self._fixed()))

    def run_singly(self, steps: int) -> None:
        """Run the steps one in a call."""
        fixed = self._fixed()
        for step in range(steps):
            self.program(index=self.index[step % len(self.index)], **fixed)

    def first_losses(self, steps: int, seconds: float) -> np.ndarray:
        """Return the losses of the first steps of a fresh network, as many as time allows."""
        self.model.load_weights(self.initial)
        for buffer in self.model.optimizer.state().values():
            buffer.value = 1.0 if buffer.label == "learning_rate_scale" else buffer.value * 0
        found: list[float] = []
        started = perf_counter()
        while len(found) < steps and (perf_counter() - started < seconds or not found):
            row = self.index[len(found) % len(self.index)]
            found.append(float(self._losses(self.program(index=row, **self._fixed()))))
        return np.array(found)

    def _fixed(self) -> dict[str, Any]:
        weight = np.ones(self.batch_size, np.float32)
        return {"inputs": self.inputs, "targets": self.targets, "weight": weight, "seed": _SEED}

    def _losses(self, outputs: Mapping[str, np.ndarray]) -> np.ndarray:
        return np.asarray(outputs["loss"] / outputs["loss_weight"])


def rows(recipe: Recipe, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return random inputs and targets for a recipe's bench form, enough for some batches."""
    bench = recipe.bench
    rng = np.random.default_rng(_SEED)
    count = _BATCHES * batch_size
    inputs = rng.random((count, *bench.shape), np.float32)
    if recipe.self_taught:
        given = recipe.network(bench.shape, bench.outputs).build((1, *bench.shape))
        return inputs, inputs.reshape(count, *given.shape[1:])
    if recipe.loss == "cross_entropy":
        return inputs, rng.integers(0, bench.outputs, count)
    return inputs, rng.random((count, bench.outputs), np.float32)


def order(count: int, batch_size: int) -> np.ndarray:
    """Return the rows of each batch, int64 [batches, batch_size]."""
    return batches(count, batch_size, permutation(count, 0, _SEED))[0]


def milliseconds(run: Callable[[int], object], steps: int) -> float:
    """Return the milliseconds of a step over one run of so many."""
    started = perf_counter()
    run(steps)
    return (perf_counter() - started) / steps * 1e3
