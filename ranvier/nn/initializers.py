"""Initial values of parameters: callables of a random generator and a shape.

Fans are counted in the layouts of Ranvier, [in, out] and [*kernel, in, out]: fan-in is the
number of inputs of one neuron, fan-out the number of neurons that one input reaches.

All give float32 of the shape asked for. `gain` is 1 by default. Arguments that are no finite
numbers raise InputError; those that count fans raise ShapeError for fewer than two axes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import fields
from math import prod, sqrt
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ranvier import validation as checks
from ranvier.errors import InputError, ShapeError
from ranvier.graph.tensor import Shape
from ranvier.guidance.calls import explain
from ranvier.guidance.names import missing_names
from ranvier.records import dataclass

Initializer: TypeAlias = Callable[[np.random.Generator, Shape], np.ndarray]
"""What `Module.param` takes: (generator, shape) to an array of that shape."""


def generator(seed: int, path: str) -> np.random.Generator:
    """Return the generator of the parameter at `path`: the same for the same seed and path.

    The key of Philox4x64-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011)
    is made of the SHA-256 of both.
    """
    digest = hashlib.sha256(f"{seed}:{path}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))


def chosen(name: str, init: Initializer | None, default: Initializer) -> Initializer:
    """Return `init`, or the default for None; InputError, with the name, for what is none."""
    if init is None:
        return default
    if not callable(init) or isinstance(init, type):
        mend = f"use an initializer, such as {default!r}"
        if isinstance(init, str):  # as other libraries have it: "he_normal"
            known = {n.casefold(): n for n, v in globals().items() if isinstance(v, type)}
            found = known.get(init.replace("_", "").casefold())
            mend = f"use nn.initializers.{found}()" if found else mend
        raise InputError(f"{name} is {checks.shown(init)}; {mend}")
    return init


def fans(shape: Shape) -> tuple[int, int]:
    """Return (fan-in, fan-out) of weights [*kernel, in, out], 1 at least."""
    if len(shape) < 2:
        raise ShapeError(f"weights of shape {shape} have no fans; use Normal, Uniform or Constant")
    return max(prod(shape[:-1]), 1), max(prod(shape[:-2]) * shape[-1], 1)


def _normal(rng: np.random.Generator, shape: Shape, deviation: float) -> np.ndarray:
    return rng.standard_normal(shape, dtype=np.float32) * np.float32(deviation)


def _uniform(rng: np.random.Generator, shape: Shape, limit: float) -> np.ndarray:
    return (rng.random(shape, dtype=np.float32) * 2 - 1) * np.float32(limit)


class _Numbers:
    """Base of the initializers: their arguments are finite numbers, or refused."""

    def __post_init__(self) -> None:
        given: Any = self
        for field in fields(given):
            name = f"{type(self).__name__}: {field.name}"
            object.__setattr__(self, field.name, checks.number(name, getattr(self, field.name)))


@dataclass(frozen=True)
class Constant(_Numbers):
    """The same value everywhere."""

    value: float

    def __call__(self, rng: np.random.Generator, shape: Shape) -> np.ndarray:
        return np.full(shape, self.value, np.float32)


zeros = Constant(0.0)
ones = Constant(1.0)


@dataclass(frozen=True)
class Normal(_Numbers):
    """Normal with mean 0 and the standard deviation given, 0.01 by default."""

    deviation: float = 0.01

    def __call__(self, rng: np.random.Generator, shape: Shape) -> np.ndarray:
        return _normal(rng, shape, self.deviation)


@dataclass(frozen=True)
class Uniform(_Numbers):
    """Uniform in [-limit, limit), 0.05 by default."""

    limit: float = 0.05

    def __call__(self, rng: np.random.Generator, shape: Shape) -> np.ndarray:
        return _uniform(rng, shape, self.limit)


@dataclass(frozen=True)
class GlorotNormal(_Numbers):
    """Variance 2 gain² / (fan-in + fan-out), for tanh and other odd activations.

    Glorot & Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", 2010.
    """

    gain: float = 1.0

    def __call__(self, rng: np.random.Generator, shape: Shape) -> np.ndarray:
        return _normal(rng, shape, self.gain * sqrt(2 / sum(fans(shape))))


@dataclass(frozen=True)
class GlorotUniform(_Numbers):
    """Uniform with the variance of `GlorotNormal`: limit gain sqrt(6 / (fan-in + fan-out))."""

    gain: float = 1.0

    def __call__(self, rng: np.random.Generator, shape: Shape) -> np.ndarray:
        return _uniform(rng, shape, self.gain * sqrt(6 / sum(fans(shape))))


@dataclass(frozen=True)
class HeNormal(_Numbers):
    """Variance 2 gain² / fan-in, which keeps the signal's size through ReLU.

    He et al., "Delving deep into rectifiers: surpassing human-level performance on ImageNet
    classification", 2015.
    """

    gain: float = 1.0

    def __call__(self, rng: np.random.Generator, shape: Shape) -> np.ndarray:
        return _normal(rng, shape, self.gain * sqrt(2 / fans(shape)[0]))


@dataclass(frozen=True)
class HeUniform(_Numbers):
    """Uniform with the variance of `HeNormal`: limit gain sqrt(6 / fan-in)."""

    gain: float = 1.0

    def __call__(self, rng: np.random.Generator, shape: Shape) -> np.ndarray:
        return _uniform(rng, shape, self.gain * sqrt(6 / fans(shape)[0]))


@dataclass(frozen=True)
class LeCunNormal(_Numbers):
    """Variance gain² / fan-in, which keeps the signal's size through a linear layer.

    LeCun, Bottou, Orr & Müller, "Efficient BackProp", 1998.
    """

    gain: float = 1.0

    def __call__(self, rng: np.random.Generator, shape: Shape) -> np.ndarray:
        return _normal(rng, shape, self.gain * sqrt(1 / fans(shape)[0]))


@dataclass(frozen=True)
class LeCunUniform(_Numbers):
    """Uniform with the variance of `LeCunNormal`: limit gain sqrt(3 / fan-in)."""

    gain: float = 1.0

    def __call__(self, rng: np.random.Generator, shape: Shape) -> np.ndarray:
        return _uniform(rng, shape, self.gain * sqrt(3 / fans(shape)[0]))


@dataclass(frozen=True)
class Orthogonal(_Numbers):
    """`gain` times a random matrix [fan-in, out] with orthonormal columns (rows where wider).

    Saxe, McClelland & Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep
    linear neural networks", 2014.
    """

    gain: float = 1.0

    def __call__(self, rng: np.random.Generator, shape: Shape) -> np.ndarray:
        rows, columns = fans(shape)[0], shape[-1]
        q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
        q = q * np.where(np.diagonal(r) < 0, -1, 1)  # else the distribution is not uniform
        return (self.gain * (q if rows >= columns else q.T)).reshape(shape).astype(np.float32)


explain(globals())

if not TYPE_CHECKING:  # checkers would let any name pass
    __getattr__ = missing_names(__name__)
