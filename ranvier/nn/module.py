"""`Module`, a layer or network: state that its first call creates, found again by path.

A path is made of attribute names: `conv1.weight`, `blocks.0.norm.gain`. Sub-modules and state
are found in attributes, and in lists, tuples and dicts that are attributes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any, Self
from weakref import ReferenceType, ref

import numpy as np

from ranvier import dtypes
from ranvier.errors import DTypeError, InputError, RanvierError, ShapeError
from ranvier.graph.leaves import Buffer, Parameter, State
from ranvier.graph.leaves import input as make_input
from ranvier.graph.tensor import Shape, Tensor
from ranvier.nn.initializers import Initializer, generator
from ranvier.nn.trace import current, trace
from ranvier.nn.weights import Weights

TIMES = "\N{MULTIPLICATION SIGN}"


def by(shape: Shape) -> str:
    """Return a shape as errors print it, such as 128×14×14×16."""
    return TIMES.join(map(str, shape)) if shape else "a scalar"


class Module:
    """Base of layers and networks. A subclass defines `__call__`; `__init__` is its own.

    Inside `__call__`, `self.param(name, shape, init)` and `self.buffer(name, shape, init)`
    create state at the first call and return the same state at later ones. An error that
    names no layer yet gets the path of the innermost module that it passes.
    """

    _parent: tuple[ReferenceType[Module], str] | None
    _frozen: set[str]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Prepare what every module has, so that a subclass need not call `super().__init__`."""
        module = super().__new__(cls)
        object.__setattr__(module, "_parent", None)
        object.__setattr__(module, "_frozen", set())
        return module

    def __init_subclass__(cls) -> None:
        if "__call__" in cls.__dict__:
            # A type's own attribute, which mypy lets nobody assign.
            setattr(cls, "__call__", _located(cls.__dict__["__call__"]))  # noqa: B010

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise InputError(f"{type(self).__name__} defines no __call__; add one that returns tensors")

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _RESERVED:
            raise InputError(
                f"{type(self).__name__}.{name}: every module has {name!r} already; "
                "choose another name for the attribute"
            )
        object.__setattr__(self, name, value)
        for label, leaf in _leaves(name, value):
            if isinstance(leaf, Module):
                leaf._join(self, label)

    # ------------------------------------------------------------ state

    def param(
        self, name: str, shape: Sequence[int], init: Initializer, dtype: Any = dtypes.float32
    ) -> Parameter:
        """Return the parameter `name`; the first call draws it by `init` from seed and path."""
        return self._state(Parameter, name, tuple(shape), init, dtypes.as_dtype(dtype))

    def buffer(
        self, name: str, shape: Sequence[int], init: Initializer, dtype: Any = dtypes.float32
    ) -> Buffer:
        """Return the buffer `name`, state that is not trained, as `param` does."""
        return self._state(Buffer, name, tuple(shape), init, dtypes.as_dtype(dtype))

    def _state[S: State](self) -> None: ...
