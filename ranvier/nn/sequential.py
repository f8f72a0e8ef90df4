"""`Sequential`, modules one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, overload

from ranvier.errors import InputError
from ranvier.nn.module import Module


class Sequential(Module):
    """Pass the input through each module in turn.

    Each kind is numbered from 1: `conv1`, `tanh1`, `conv2`. A keyword gives a name instead and
    its module follows the others: `Sequential(nn.Conv(6, 5), head=nn.Linear(10))`. Functions
    of one tensor, such as `rv.relu`, may stand between the modules. A list of modules serves too.
    `net[0]`, `net["conv1"]` and `net[1:3]` give parts. Raises InputError for what cannot be
    called and for a name given twice.
    """

    def __init__(
        self,
        *modules: Callable[..., Any] | Sequence[Callable[..., Any]],
        **named: Callable[..., Any],
    ) -> None:
        self._names: list[str] = []
        counts: dict[str, int] = {}
        for module in _listed(modules):
            kind = _kind(module)
            counts[kind] = counts.get(kind, 0) + 1
            self._append(f"{kind}{counts[kind]}", module)
        for name, module in named.items():
            self._append(name, module)

    def __call__(self, x: Any) -> Any:
        for module in self:
            x = module(x)
        return x

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the modules, in order."""
        return tuple(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[Callable[..., Any]]:
        return (getattr(self, name) for name in self._names)

    @overload
    def __getitem__(self, key: slice) -> Sequential: ...
    @overload
    def __getitem__(self, key: int | str) -> Any: ...
    def __getitem__(self, key: int | str | slice) -> Any:
        """The module at a position or of a name; a slice shares its modules under their names."""
        if isinstance(key, slice):
            return Sequential(**{name: getattr(self, name) for name in self._names[key]})
        if isinstance(key, str) and key not in self._names:
            raise InputError(f"there is no module {key!r}; there are {', '.join(self._names)}")
        return getattr(self, key if isinstance(key, str) else self._names[key])

    def _append(self, name: str, module: Callable[..., Any]) -> None:
        if isinstance(module, type):
            raise InputError(f"{name} is a class; make a module of it, {module.__name__}(...)")
        if not callable(module):
            raise InputError(f"{name} is {_shown(module)}; use modules or functions")
        if name in self.__dict__:
            raise InputError(f"two modules are called {name!r}; rename one by its keyword")
        setattr(self, name, module)
        self._names.append(name)


def _listed(modules: Sequence[Any]) -> Sequence[Any]:
    """The modules; those of the list that is given alone."""
    if len(modules) != 1:
        return modules
    if isinstance(modules[0], Mapping):
        raise InputError("Sequential: modules by name are keywords; pass nn.Sequential(**modules)")
    return modules[0] if isinstance(modules[0], list | tuple) else modules


def _shown(value: Any) -> str:
    """What is no module, and the one that a text such as "relu" may mean."""
    if not isinstance(value, str):
        return f"a {type(value).__name__}"
    from ranvier import nn

    known = {each.casefold(): each for each in nn.__all__}
    near = known.get(value.casefold())
    return f"the text {value!r}" + (f", for which there is nn.{near}()" if near else "")


def _kind(module: Callable[..., Any]) -> str:
    if isinstance(module, Module):
        return type(module).__name__.lower()
    name = getattr(module, "__name__", "")
    return name if name.isidentifier() else "function"
