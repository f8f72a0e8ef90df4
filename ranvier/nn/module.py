"""`Module`, a layer or network: state that its first call creates, found again by path.

A path is made of attribute names: `conv1.weight`, `blocks.0.norm.gain`. Sub-modules and state
are found in attributes, and in lists, tuples and dicts that are attributes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from math import prod
from typing import Any, Self, TypeVar
from weakref import ReferenceType, ref

import numpy as np

from ranvier import dtypes
from ranvier.errors import DTypeError, InputError, RanvierError, ShapeError
from ranvier.graph.leaves import Buffer, Parameter, State
from ranvier.graph.leaves import input as make_input
from ranvier.graph.tensor import Shape, Tensor
from ranvier.guidance.calls import explain_class, explained
from ranvier.guidance.names import Guided
from ranvier.nn.initializers import Initializer, generator
from ranvier.nn.trace import CallRecord, current, trace
from ranvier.nn.weights import Weights
from ranvier.records import dataclass

TIMES = "\N{MULTIPLICATION SIGN}"


def by(shape: Shape) -> str:
    """Return a shape as errors print it, such as 128×14×14×16."""
    return TIMES.join(map(str, shape)) if shape else "a scalar"


def check_floating(x: Tensor) -> None:
    """Refuse an input that is made of integers or bools."""
    if not dtypes.is_floating(x.dtype):
        raise DTypeError(f"expected floats, got {x.dtype}; convert with .astype('float32')")


S = TypeVar("S", bound=State)


@dataclass(frozen=True)
class Arguments:
    """What a module was made with, for its configuration."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Module(Guided):
    """Base of layers and networks. A subclass defines `__call__`; `__init__` is its own.

    Inside `__call__`, `self.param(name, shape, init)` and `self.buffer(name, shape, init)`
    create state at the first call and return the same state at later ones. An error that
    names no layer yet gets the path of the innermost module that it passes.
    """

    _parent: tuple[ReferenceType[Module], str] | None
    _frozen: set[str]
    _made_with: Arguments

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Prepare what every module has, so that a subclass need not call `super().__init__`."""
        module = super().__new__(cls)
        object.__setattr__(module, "_parent", None)
        object.__setattr__(module, "_frozen", set())
        object.__setattr__(module, "_made_with", Arguments(args, kwargs))
        return module

    def __init__(self) -> None:
        """Take nothing, as classes do that define no `__init__`."""

    def __init_subclass__(cls) -> None:
        explain_class(cls)
        if "__call__" in cls.__dict__:
            # A type's own attribute, which mypy lets nobody assign.
            setattr(cls, "__call__", _located(explained(cls.__dict__["__call__"])))  # noqa: B010

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        other = next((name for name in ("forward", "call") if hasattr(self, name)), "")
        mend = f"rename {other} to __call__" if other else "add one that returns tensors"
        raise InputError(f"{type(self).__name__} defines no __call__; {mend}")

    def __repr__(self) -> str:
        from ranvier.nn.outline import outline

        return outline(self)

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

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise InputError(
            f"{type(self).__name__}: a network can be neither pickled nor copied; write it with "
            "model.save(path) of rv.Model, or make it anew and use load_weights(net.weights)"
        )

    # ------------------------------------------------------------ state

    def param(
        self, name: str, shape: Sequence[int], init: Initializer, dtype: Any = dtypes.float32
    ) -> Parameter:
        """Return the parameter `name`; the first call draws it by `init` from seed and path.

        dtype: float32 by default. Raises ShapeError or DTypeError where a later call asks for
        another shape or dtype, InputError where the attribute is taken or memory does not suffice.
        """
        return self._state(Parameter, name, tuple(shape), init, dtypes.as_dtype(dtype))

    def buffer(
        self, name: str, shape: Sequence[int], init: Initializer, dtype: Any = dtypes.float32
    ) -> Buffer:
        """Return the buffer `name`, state that is not trained, as `param` does."""
        return self._state(Buffer, name, tuple(shape), init, dtypes.as_dtype(dtype))

    def _state(
        self, kind: type[S], name: str, shape: Shape, init: Initializer, dtype: dtypes.DType
    ) -> S:
        known = self.__dict__.get(name)
        if known is None:
            path = f"{self.path}.{name}" if self.path else name
            known = _new(kind, path, shape, init, dtype)
            setattr(self, name, known)
        if not isinstance(known, kind):
            raise InputError(f"the attribute {name!r} is taken, so it cannot hold a state; rename")
        if known.shape != shape:
            raise ShapeError(
                f"{name} has been {by(known.shape)} since the first call, this call needs "
                f"{by(shape)}; give the same kind of input, or make another layer"
            )
        if known.dtype != dtype:
            raise DTypeError(
                f"{name} is {known.dtype}, this call needs {dtype}; give the same kind of input, "
                "or make another layer"
            )
        return known

    def build(self, *inputs: Tensor | Sequence[int], seed: int = 0) -> Any:
        """Create the state for inputs given as tensors or as shapes (float32), batch included.

        Initial values depend on `seed`, 0 by default, and the paths alone. Returns what a call
        returns, and raises what it raises.
        """
        given = [x if isinstance(x, Tensor) else make_input(x) for x in inputs]
        with trace(training=False, seed=seed):
            return self(*given)

    def states(self) -> dict[str, State]:
        """Return all state, parameters and buffers, by path; shared state at its first path."""
        return {path: leaf for path, leaf in self._walk() if isinstance(leaf, State)}

    def parameters(self, frozen: bool = False) -> dict[str, Parameter]:
        """Return the parameters to train by path; with `frozen`, the frozen ones too."""
        left_out = set() if frozen else self._frozen_states()
        return {
            path: state
            for path, state in self.states().items()
            if isinstance(state, Parameter) and state not in left_out
        }

    def buffers(self) -> dict[str, Buffer]:
        """Return the buffers by path."""
        return {path: s for path, s in self.states().items() if isinstance(s, Buffer)}

    @property
    def weights(self) -> Weights:
        """The values of all state by path: `net.weights["conv1.weight"] = array`."""
        return Weights(self.states())

    def load_weights(self, arrays: Any, partial: bool = False) -> list[str]:
        """Write arrays by path and return the paths written; see `Weights.load`."""
        return self.weights.load(arrays, partial)

    def freeze(self, pattern: str = "*") -> list[str]:
        """Take the parameters whose path matches (`*`, `?`, `[…]`) out of `parameters()`.

        Returns their paths; raises InputError where there is none. Running statistics are no
        parameters: they go on while a graph is traced for training.
        """
        return self._set_frozen(pattern, True)

    def unfreeze(self, pattern: str = "*") -> list[str]:
        """Undo `freeze` for the parameters whose path matches, and return their paths."""
        return self._set_frozen(pattern, False)

    def _set_frozen(self, pattern: str, frozen: bool) -> list[str]:
        known = self.parameters(frozen=True)
        chosen = [path for path in known if fnmatchcase(path, pattern)]
        if not chosen:
            what = f"they are {', '.join(known)}" if known else "none are built yet; call build"
            raise InputError(f"no parameter matches {pattern!r}; {what}")
        states = {known[path] for path in chosen}
        for module in self.modules().values():
            for label, leaf in leaves_of(module):
                if isinstance(leaf, State) and leaf in states:
                    (module._frozen.add if frozen else module._frozen.discard)(label)
        return chosen

    def _frozen_states(self) -> set[State]:
        return {
            leaf
            for module in self.modules().values()
            for label, leaf in leaves_of(module)
            if isinstance(leaf, State) and label in module._frozen
        }

    # ------------------------------------------------------------ place in the network

    @property
    def path(self) -> str:
        """Where the module stands in the outermost network that holds it; "" for that itself."""
        parts: list[str] = []
        module: Module | None = self
        while module is not None and module._parent is not None:
            above, label = module._parent
            module = above()
            if module is not None:
                parts.insert(0, label)
        return ".".join(parts)

    def modules(self) -> dict[str, Module]:
        """Return the module itself, at "", and all below it by path; each once."""
        found = {path: leaf for path, leaf in self._walk() if isinstance(leaf, Module)}
        return {"": self, **found}

    def _walk(self) -> Iterator[tuple[str, Module | State]]:
        """Yield every module and state below this one once, with its path from here."""
        seen: set[int] = {id(self)}

        def below(module: Module, prefix: str) -> Iterator[tuple[str, Module | State]]:
            for label, leaf in leaves_of(module):
                if id(leaf) in seen:
                    continue
                seen.add(id(leaf))
                yield prefix + label, leaf
                if isinstance(leaf, Module):
                    yield from below(leaf, f"{prefix}{label}.")

        return below(self, "")

    def _join(self, parent: Module, label: str) -> None:
        """Take a place below `parent`; the first of several living parents counts."""
        if self._parent is not None and self._parent[0]() is not None:
            return
        above: Module | None = parent
        while above is not None and above is not self:
            above = above._parent[0]() if above._parent is not None else None
        if above is None:  # else `self` holds `parent` already, and paths would never end
            object.__setattr__(self, "_parent", (ref(parent), label))


def _new(kind: type[S], path: str, shape: Shape, init: Initializer, dtype: dtypes.DType) -> S:
    """The state at `path` with its initial value, or with none where the trace draws none."""
    label = path.rpartition(".")[2]
    try:
        if prod(shape) >= 1 << 60:  # what NumPy refuses in words of its own
            raise MemoryError
        if not current().drawing:
            return kind.unset(shape, dtype, path)
        array = np.asarray(init(generator(current().initial_seed(), path), shape))
    except MemoryError:
        raise InputError(
            f"{label} would hold {by(shape)} numbers, more than there is memory for; "
            "make the layer or its input smaller"
        ) from None
    if array.shape != shape:
        raise ShapeError(
            f"the initializer of {label} gave {by(array.shape)} for the shape {by(shape)}"
        )
    return kind(array, dtype, name=path)


explain_class(Module)
_RESERVED = frozenset(name for name in vars(Module) if not name.startswith("_"))


def _leaves(label: str, value: Any) -> Iterator[tuple[str, Module | State]]:
    """Yield the modules and states of an attribute, with their paths from its module."""
    if isinstance(value, Module | State):
        yield label, value
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _leaves(f"{label}.{i}", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(f"{label}.{key}", item)


def leaves_of(module: Module) -> Iterator[tuple[str, Module | State]]:
    """Yield the modules and states that a module holds itself, with their labels."""
    for label, value in vars(module).items():
        yield from _leaves(label, value)


_NO_TENSORS = (list, tuple, str, int, float, type(None))
"""What people may pass to a layer in place of a tensor."""


def _placed(error: Exception, module: Module, args: tuple[Any, ...]) -> Exception:
    """The error of a module's call as it goes on: with the path of the innermost module."""
    if isinstance(error, AttributeError):
        given = error.obj
        if not isinstance(given, _NO_TENSORS) or not any(given is x for x in args):
            return error
        error = InputError(
            f"expected a tensor, got a {type(given).__name__}; pass rv.input(shape), "
            "rv.constant(values) or an array"
        )
    if not hasattr(error, "layer"):
        where = module.path or type(module).__name__.lower()
        error.args = (f"{where}: {error}",)
        error.layer = where  # type: ignore[attr-defined]
    return error


def _located(call: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a `__call__` so that sub-modules know their paths and errors name the layer."""

    @functools.wraps(call)
    def wrapper(self: Module, *args: Any, **kwargs: Any) -> Any:
        for label, leaf in leaves_of(self):  # lists may have grown since they were assigned
            if isinstance(leaf, Module):
                leaf._join(self, label)
        calls = current().calls
        before = 0 if calls is None else len(calls)
        try:
            outputs = call(self, *args, **kwargs)
        except (RanvierError, AttributeError) as error:
            placed = _placed(error, self, args)
            if placed is error:
                raise
            raise placed from error
        if calls is not None:
            given = (*args, *kwargs.values())
            calls.append(CallRecord(self.path, self, given, outputs, len(calls) > before))
        return outputs

    return wrapper
