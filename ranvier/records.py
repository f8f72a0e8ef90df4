"""`dataclass`, as the standard library has it, for frozen classes that are quick to define.

The library's own compiles six methods for each frozen class, which takes a slow processor a
millisecond; Ranvier defines some 150 of them before its first program runs. Here only
`__init__` is compiled for each class, and the other methods are closures over its fields.
`fields`, `replace`, `asdict` and type checkers see an ordinary frozen dataclass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, FrozenInstanceError, fields
from dataclasses import dataclass as _dataclass
from functools import partial
from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(cls=None, /, *, frozen=False, eq=True):
        """The decorator: `@dataclass`, `@dataclass(frozen=True)` or `(frozen=True, eq=False)`.

        eq: whether two objects are equal, and hash alike, by their fields; else by identity.
        """
        if cls is None:
            return partial(dataclass, frozen=frozen, eq=eq)
        if not frozen:
            return _dataclass(cls, eq=eq)
        own = set(vars(cls))
        _collect_fields(cls)
        methods = {"__init__": _init(cls), "__repr__": _repr(cls), **_FROZEN}
        if eq:
            methods |= _comparison(cls)
        for name, method in methods.items():
            if name not in own:
                setattr(cls, name, method)
        return cls


def _collect_fields(cls: type[Any]) -> None:
    """Let the library find the fields; it need not know, meanwhile, that all is frozen."""
    known = [vars(base).get("__dataclass_params__") for base in cls.__mro__[1:]]
    above = [parameters for parameters in known if parameters is not None]
    if not all(parameters.frozen for parameters in above):
        raise TypeError(f"{cls.__name__} is frozen, but extends a dataclass that is not")
    for parameters in above:
        parameters.frozen = False
    try:
        _dataclass(cls, init=False, repr=False, eq=False)
    finally:
        for parameters in above:
            parameters.frozen = True
    cls.__dataclass_params__.frozen = True


def _init(cls: type[Any]) -> Callable[..., None]:
    """The initializer, written out and compiled, so that its signature is the class's own."""
    known: dict[str, Any] = {"_put": object.__setattr__, "_missing": MISSING}
    parameters, lines = [], []
    for field in fields(cls):
        name, value = field.name, field.name
        if field.kw_only or not field.init:
            raise TypeError(f"{cls.__name__}.{name}: arguments of frozen classes have positions")
        if field.default is not MISSING:
            known[f"_default_{name}"] = field.default
            parameters.append(f"{name}=_default_{name}")
        elif field.default_factory is not MISSING:
            known[f"_new_{name}"] = field.default_factory
            parameters.append(f"{name}=_missing")
            value = f"_new_{name}() if {name} is _missing else {name}"
        else:
            parameters.append(name)
        lines.append(f"    _put(self, {name!r}, {value})")
    if hasattr(cls, "__post_init__"):
        lines.append("    self.__post_init__()")
    text = "\n".join([f"def __init__({', '.join(['self', *parameters])}):", *lines, "    return"])
    exec(text, known)
    method: Callable[..., None] = known["__init__"]
    method.__qualname__ = f"{cls.__qualname__}.__init__"
    return method


def _repr(cls: type[Any]) -> Callable[[Any], str]:
    names = [field.name for field in fields(cls) if field.repr]

    @recursive_repr()
    def text(self: Any) -> str:
        arguments = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"{type(self).__qualname__}({arguments})"

    return text


def _comparison(cls: type[Any]) -> dict[str, Callable[..., Any]]:
    """Equality and hash by the fields that compare."""
    names = [field.name for field in fields(cls) if field.compare]
    if len(names) > 1:
        values: Callable[[Any], Any] = attrgetter(*names)
    else:  # attrgetter would give a bare value, or refuse to give none

        def values(self: Any) -> Any:
            return tuple(getattr(self, name) for name in names)

    def equal(self: Any, other: object) -> Any:
        return values(self) == values(other) if type(other) is type(self) else NotImplemented

    def hashed(self: Any) -> int:
        return hash(values(self))

    return {"__eq__": equal, "__hash__": hashed}


def _refuse_assignment(self: object, name: str, value: object) -> NoReturn:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_deletion(self: object, name: str) -> NoReturn:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


_FROZEN = {"__setattr__": _refuse_assignment, "__delattr__": _refuse_deletion}
