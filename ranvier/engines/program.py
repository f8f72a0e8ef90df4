"""`Program`: what the compiled steps of all engines have in common.

A program takes arrays by name, runs one step or many, returns outputs by name and updates
its state in place. Where an input is given with one more leading axis of length `steps`,
each step reads its own slice; otherwise every step reads the same array.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from threading import RLock
from typing import Any

import numpy as np

from ranvier.dtypes import convert
from ranvier.errors import DTypeError, InputError, ShapeError
from ranvier.graph.leaves import State, aligned_empty, as_numpy
from ranvier.graph.ops.indexing import ScatterAdd, Take
from ranvier.graph.printing import type_text
from ranvier.graph.simplify import PASSES, simplify
from ranvier.graph.tensor import Tensor
from ranvier.graph.walk import topological
from ranvier.records import dataclass


@dataclass(frozen=True)
class Options:
    """How to compile; meaning never depends on these.

    passes: the simplification passes to run, by name.
    threads: the number of threads, or None for at most one per available core.
    fuse: whether pointwise work joins the kernels around it.
    in_place: whether state is written where it lies and temporaries share memory.
    check_finite: whether each step is checked for the first NaN or infinity (slow).
    verify: whether every kernel of the first step is compared with the reference engine before
        that step runs (slow, once).
    """

    passes: tuple[str, ...] = tuple(PASSES)
    threads: int | None = None
    fuse: bool = True
    in_place: bool = True
    check_finite: bool = False
    verify: bool = False


@dataclass(frozen=True)
class Signature:
    """A checked graph: named inputs and outputs, and the new value of each state."""

    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    updates: Mapping[State, Tensor]

    @property
    def roots(self) -> list[Tensor]:
        """Everything that a step computes: the outputs, then the new values of the state."""
        return [*self.outputs.values(), *self.updates.values()]

    def with_roots(self, roots: Sequence[Tensor]) -> Signature:
        """Return the same signature over equivalent roots, in the order of `roots`."""
        count = len(self.outputs)
        outputs = dict(zip(self.outputs, roots[:count], strict=True))
        return Signature(self.inputs, outputs, dict(zip(self.updates, roots[count:], strict=True)))


@dataclass(frozen=True)
class Argument:
    """The array behind one input of a call; `streamed` where each step has its own slice."""

    array: np.ndarray
    streamed: bool


class Program(ABC):
    """A compiled step. Call it with one array for each input, by name.

    `signature` is the step as it was given, `simplified` what its graph becomes.
    """

    _rows: Mapping[str, int]
    """How many rows an input indexes, by name; engines set it."""

    def __init__(self, signature: Signature, options: Options) -> None:
        self.signature = signature
        self.options = options
        self._lock = RLock()
        self._simplified: Signature | None = None

    @property
    def simplified(self) -> Signature:
        """The signature over the simplified graph, by the passes that the options name."""
        with self._lock:
            if self._simplified is None:
                roots = simplify(self.signature.roots, self.options.passes)
                self._simplified = self.signature.with_roots(roots)
            return self._simplified

    def __call__(
        self, /, *unnamed: Any, steps: int | None = None, **arrays: Any
    ) -> dict[str, np.ndarray]:
        """Run one step, or `steps` of them, and return the outputs by name.

        With `steps`, each output has a leading axis of that length, and inputs may have one
        too. Raises InputError, ShapeError or DTypeError for arguments that do not fit.
        """
        if unnamed:
            name = next(iter(self.signature.inputs), None)
            mend = f"such as {name}=…" if name else "but this program has none"
            raise InputError(f"an array stands without a name; pass inputs by name, {mend}")
        if steps is not None and not is_count(steps, 0):
            raise InputError(f"steps is {steps!r}; use a whole number, 0 or more")
        count = 1 if steps is None else int(steps)
        arguments = self._bind(arrays, None if steps is None else count)
        outputs = {
            name: aligned_empty((count, *tensor.shape), tensor.dtype)
            for name, tensor in self.signature.outputs.items()
        }
        if count:
            self._run(arguments, outputs, count)
        if steps is None:
            return {name: array[0] for name, array in outputs.items()}
        return outputs

    @abstractmethod
    def _run(
        self, arguments: Mapping[str, Argument], outputs: Mapping[str, np.ndarray], steps: int
    ) -> None:
        """Run `steps` steps and fill the outputs, each [steps, …]."""

    @abstractmethod
    def describe(self) -> str:
        """Return what the program does, in order, as text."""

    def _bind(self, arrays: Mapping[str, Any], steps: int | None) -> dict[str, Argument]:
        expected = self.signature.inputs
        for name in arrays:
            if name not in expected:
                known = ", ".join(expected) or "none"
                raise InputError(f"the program has no input {name!r}; its inputs are: {known}")
        for name, tensor in expected.items():
            if name not in arrays:
                raise InputError(f"input {name!r} ({type_text(tensor)}) is missing; pass {name}=…")
        return {
            name: self._argument(name, tensor, arrays[name], steps)
            for name, tensor in expected.items()
        }

    def _argument(self, name: str, tensor: Tensor, value: Any, steps: int | None) -> Argument:
        array = as_numpy(value, f"input {name!r}: ")
        if not isinstance(value, np.ndarray | np.generic):
            array = convert(array, tensor.dtype, f"input {name!r}: ")
        if array.dtype != tensor.dtype:
            raise DTypeError(
                f"input {name!r} is {tensor.dtype}, the array {array.dtype}; "
                f"convert it with .astype('{tensor.dtype}')"
            )
        streamed = steps is not None and array.shape == (steps, *tensor.shape)
        if not streamed and array.shape != tensor.shape:
            more = "" if steps is None else f" or {(steps, *tensor.shape)}, one slice a step"
            raise ShapeError(
                f"input {name!r} has shape {tensor.shape}{more}; the array has {array.shape}"
            )
        if name in self._rows and array.size:
            rows, low, high = self._rows[name], array.min(), array.max()
            if low < 0 or high >= rows:
                raise InputError(
                    f"input {name!r} indexes {rows} rows and holds {low if low < 0 else high}; "
                    f"use 0 to {rows - 1}"
                )
        return Argument(np.ascontiguousarray(array).reshape(array.shape), streamed)


def is_count(value: Any, least: int) -> bool:
    """Whether `value` is a whole number, of Python or NumPy, that is `least` or more."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return whole and bool(value >= least)


def index_ranges(signature: Signature) -> dict[str, int]:
    """Return the number of rows for each input that serves directly as row indices."""
    names = {tensor: name for name, tensor in signature.inputs.items()}
    ranges: dict[str, int] = {}
    for tensor in topological(signature.roots):
        if isinstance(tensor.op, Take | ScatterAdd) and tensor.inputs[1] in names:
            taken = isinstance(tensor.op, Take)
            rows = tensor.inputs[0].shape[0] if taken else tensor.shape[0]
            name = names[tensor.inputs[1]]
            ranges[name] = min(rows, ranges.get(name, rows))
    return ranges
