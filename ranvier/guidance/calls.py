"""Calls that do not fit a signature: one sentence in place of Python's bare TypeError."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from types import FunctionType
from typing import Any, TypeVar

from ranvier.errors import ArgumentError

F = TypeVar("F", bound=Callable[..., Any])
_NAMED = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
_PLACED = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


def explained(call: F) -> F:
    """Wrap a function so that a call that does not fit it raises ArgumentError with the mend.

    Its signature, name and documentation stay.
    """

    @functools.wraps(call)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return call(*args, **kwargs)
        except TypeError as error:
            inside = error.__traceback__ is not None and error.__traceback__.tb_next is not None
            if inside:  # not by the call itself, which has no frame of its own
                raise
            raise refusal(call, args, kwargs) from None

    return wrapper  # type: ignore[return-value]


def explain(namespace: dict[str, Any]) -> None:
    """Wrap the public functions that a module defines, and the methods of its public classes.

    A module calls it with its `globals()`, below its definitions and above the tables that hold
    them, so that there is one object of each.
    """
    for name, value in list(namespace.items()):
        if name.startswith("_") or getattr(value, "__module__", None) != namespace["__name__"]:
            continue
        if isinstance(value, FunctionType):
            namespace[name] = explained(value)
        elif isinstance(value, type):
            explain_class(value)


def explain_class(cls: type[Any]) -> None:
    """Wrap the initializer and the public methods that a class defines."""
    for name, value in list(vars(cls).items()):
        own = isinstance(value, FunctionType) and value.__qualname__ == f"{cls.__qualname__}.{name}"
        if own and (name == "__init__" or not name.startswith("_")):  # a field may hold a function
            # A type's own attribute, which mypy lets nobody assign.
            setattr(cls, name, explained(value))


def refusal(call: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Return the error that says how a call does not fit, and how to mend it."""
    parameters = dict(signature(call).parameters)
    owner, _, method = call.__qualname__.rpartition(".")
    owner = owner.rpartition(".")[2]  # "<locals>" and outer classes say nothing
    if owner and next(iter(parameters), "") == "self":
        del parameters["self"]
        shown = {"__init__": type(args[0]).__name__, "__call__": args[0].__class__.__name__}
        name = shown.get(method, method)
        args = args[1:]
    else:
        owner, name = "", method
    known = [each for each, p in parameters.items() if p.kind in _NAMED]
    takes_any = any(p.kind is Parameter.VAR_KEYWORD for p in parameters.values())
    if not takes_any:
        for word in kwargs:
            if word not in known:
                return unknown_argument(name, word, known, owner)
    placed = [each for each, p in parameters.items() if p.kind in _PLACED]
    any_place = any(p.kind is Parameter.VAR_POSITIONAL for p in parameters.values())
    if len(args) > len(placed) and not any_place:
        return ArgumentError(f"{name} {_too_many((name, owner), args, placed, known)}")
    for word in placed[: len(args)]:
        if word in kwargs:
            return ArgumentError(f"{name}: {word} {_twice(owner, word)}")
    lacking = [
        each
        for each, p in parameters.items()
        if p.default is Parameter.empty and p.kind in _NAMED and each not in kwargs
        if each not in placed[: len(args)]
    ]
    mend = _missing((name, owner), lacking, known)
    return ArgumentError(f"{name} lacks {', '.join(lacking)}; {mend}")


def unknown_argument(
    name: str, word: str, known: list[str], owner: str = "", kind: str = "argument"
) -> ArgumentError:
    """Return the error for an argument that `name` lacks, with the nearest that it has."""
    from ranvier.guidance import arguments

    mend = arguments.counterpart((name, owner), word, known)
    if not mend:
        mend = f"it has {', '.join(known)}" if known else "it takes none"
    return ArgumentError(f"{name} has no {kind} {word!r}; {mend}")


def _too_many(
    owners: tuple[str, str], args: tuple[Any, ...], placed: list[str], known: list[str]
) -> str:
    from ranvier.guidance import arguments

    met = arguments.misplaced(owners, args)
    if met:
        return met
    count = len(placed)
    by_name = known[count:]
    first = f"takes {', '.join(placed)} by position" if placed else "takes nothing by position"
    rest = f"; pass {', '.join(by_name)} by name" if by_name else f", not {len(args)} values"
    return first + rest


def _twice(owner: str, word: str) -> str:
    from ranvier.guidance import arguments

    hint = arguments.told(arguments.TWICE, (owner,), word) or "pass it once"
    return f"is given by position and by name; {hint}"


def _missing(owners: tuple[str, str], lacking: list[str], known: list[str]) -> str:
    from ranvier.guidance import arguments

    hints = [arguments.told(arguments.MISSING, owners, each) for each in lacking]
    return next(filter(None, hints), f"it takes {', '.join(known)}")
