"""Networks as JSON and back: the class of each module and the arguments it was made with.

A file names classes of `ranvier.nn`, initializers and functions, and nothing else: no import
path is followed. Your own class is noted as such, and its network is passed to `rv.load`.
What was changed after a module was made, such as `net.conv1 = other`, is not seen.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from ranvier.errors import InputError, RanvierError
from ranvier.graph import compositions, functions
from ranvier.nn import initializers
from ranvier.nn.module import Module

_DEEPEST = 64

_MOST_MODULES = 10_000
"""Modules of a network, each as many times as it is called: a short file may repeat repetitions."""

INITIALIZERS: dict[str, type[Any]] = {
    cls.__name__: cls
    for cls in vars(initializers).values()
    if isinstance(cls, type) and cls.__module__ == initializers.__name__ and is_dataclass(cls)
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: getattr(functions, name) for name in ("tanh", "sigmoid", "step", "exp", "abs")},
    **{name: getattr(compositions, name) for name in ("relu", "gelu", "softplus")},
    **{name: getattr(compositions, name) for name in ("softmax", "log_softmax")},
}


def classes() -> dict[str, type[Module]]:
    """Return the classes that a file may name."""
    from ranvier import nn

    public = (getattr(nn, name) for name in nn.__all__)
    return {
        cls.__name__: cls
        for cls in public
        if isinstance(cls, type) and issubclass(cls, Module) and cls is not Module
    }


def to_config(module: Module) -> dict[str, Any]:
    """Return a module as JSON: `{"class": "Conv", "arguments": {"channels": 6, "kernel": 5}}`.

    A module, or an argument, that has no JSON form becomes `{"class": …, "own": true}`, which
    `from_config` refuses. A module that stands at several places is written once.
    """
    return _Writer().module(module)


def from_config(config: Any) -> Module:
    """Return the network of a configuration; InputError for anything that is none."""
    return _Reader().module(config, 0)


class _Writer:
    def __init__(self) -> None:
        self._done: dict[int, int] = {}
        self._classes = classes()

    def module(self, module: Module) -> dict[str, Any]:
        if id(module) in self._done:
            return {"same": self._done[id(module)]}
        name = type(module).__name__
        found: dict[str, Any] = {"class": name, "own": True}
        if self._classes.get(name) is type(module):
            found = {"class": name, "arguments": self._arguments(module)}
        self._done[id(module)] = len(self._done)
        return found

    def _arguments(self, module: Module) -> dict[str, Any]:
        made = module._made_with
        bound = inspect.signature(type(module)).bind(*made.args, **made.kwargs)
        return {name: self.value(value) for name, value in bound.arguments.items()}

    def value(self, value: Any) -> Any:
        if isinstance(value, np.integer | np.floating | np.bool_):
            value = value.item()
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        if isinstance(value, Mapping):
            return {"dict": {str(key): self.value(item) for key, item in value.items()}}
        if isinstance(value, Module):
            return self.module(value)
        if INITIALIZERS.get(type(value).__name__) is type(value):
            given = {f.name: self.value(getattr(value, f.name)) for f in fields(value)}
            return {"initializer": type(value).__name__, "arguments": given}
        name = getattr(value, "__name__", type(value).__name__)
        if FUNCTIONS.get(name) is value:
            return {"function": name}
        return {"class": name, "own": True}


class _Reader:
    def __init__(self) -> None:
        self._done: list[tuple[Module, int]] = []
        """The modules made so far, and how many each one calls, itself among them."""
        self._count = 0
        self._classes = classes()

    def module(self, config: Any, depth: int) -> Module:
        made = self.value(config, depth)
        if not isinstance(made, Module):
            raise InputError("the network's configuration describes no module")
        return made

    def value(self, config: Any, depth: int) -> Any:
        if depth > _DEEPEST:
            raise InputError(f"the network's configuration is nested deeper than {_DEEPEST}")
        if config is None or isinstance(config, bool | int | float | str):
            return config
        if isinstance(config, list):
            return [self.value(item, depth + 1) for item in config]
        if not isinstance(config, Mapping):
            raise InputError(f"the network's configuration holds a {type(config).__name__}")
        match list(config):
            case ["dict"] if isinstance(config["dict"], Mapping):
                return {k: self.value(v, depth + 1) for k, v in config["dict"].items()}
            case ["same"]:
                return self._again(config["same"])
            case ["function"]:
                return _known(FUNCTIONS, config["function"], "function")
            case ["class", "own"]:
                raise InputError(
                    f"{config['class']} is a class or function of the user's own; load it with "
                    "rv.load(path, net=...), the network made by your code"
                )
            case ["initializer", "arguments"]:
                cls = _known(INITIALIZERS, config["initializer"], "initializer")
                return self._make(cls, config["arguments"], depth)
            case ["class", "arguments"]:
                return self._new(config, depth)
        raise InputError(f"the network's configuration has the keys {', '.join(config)}")

    def _new(self, config: Mapping[str, Any], depth: int) -> Module:
        before = self._count
        cls = _known(self._classes, config["class"], "class")
        made: Module = self._make(cls, config["arguments"], depth)
        self._add(1)
        self._done.append((made, self._count - before))
        return made

    def _add(self, modules: int) -> None:
        self._count += modules
        if self._count > _MOST_MODULES:
            raise InputError(
                f"the network's configuration calls more than {_MOST_MODULES:,} modules; make the "
                "network in your code and load it with rv.load(path, net=...)"
            )

    def _again(self, number: Any) -> Module:
        if not isinstance(number, int) or not 0 <= number < len(self._done):
            raise InputError(
                f"the network's configuration repeats module {number!r}, which is none"
            )
        module, size = self._done[number]
        self._add(size)
        return module

    def _make(self, cls: type[Any], arguments: Any, depth: int) -> Any:
        if not isinstance(arguments, Mapping):
            raise InputError(f"{cls.__name__}: the arguments are no object")
        parameters = inspect.signature(cls).parameters
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for name, config in arguments.items():
            if name not in parameters:
                raise InputError(
                    f"{cls.__name__} has no argument {name!r}; it has {', '.join(parameters)}"
                )
            value = self.value(config, depth + 1)
            kind = parameters[name].kind
            if kind is inspect.Parameter.VAR_POSITIONAL and isinstance(value, list):
                args += value
            elif kind is inspect.Parameter.VAR_KEYWORD and isinstance(value, dict):
                kwargs |= value
            else:
                kwargs[name] = value
        try:
            return cls(*args, **kwargs)
        except RanvierError:
            raise
        except (TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{cls.__name__}: the arguments do not fit: {error}") from None


def _known(registry: Mapping[str, Any], name: Any, what: str) -> Any:
    if not isinstance(name, str) or name not in registry:
        raise InputError(
            f"there is no {what} {name!r} in this version of Ranvier; if it is yours, load the "
            "run with rv.load(path, net=...)"
        )
    return registry[name]
