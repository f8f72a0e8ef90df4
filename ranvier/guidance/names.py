"""Names that a module or an object lacks: one sentence with what stands here in their place."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ranvier.errors import MissingImportError, MissingNameError


class Guided:
    """Base of public objects: an attribute that they lack is met by a sentence."""

    __slots__ = ()

    if not TYPE_CHECKING:  # checkers would let any attribute pass

        def __getattr__(self, name: str) -> Any:
            raise MissingNameError(name=name, obj=self)


def missing_names(module: str, later: Collection[str] = ()) -> Callable[[str], Any]:
    """Return the `__getattr__` of a public module; `later` are parts imported when asked for."""

    def missing(name: str) -> Any:
        if name in later:
            return import_module(f"{module}.{name}")
        from importlib.util import find_spec

        owner = sys.modules[module]
        # `from nn import Dense` asks for it like this, and hears of ImportErrors alone.
        if sys._getframe(1).f_code.co_name == "_handle_fromlist" and not name.startswith("_"):
            inner = hasattr(owner, "__path__") and find_spec(f"{module}.{name}") is not None
            hint = "" if inner else counterpart(owner, name)  # else to be imported now
            if hint:
                raise MissingImportError(_sentence(owner, name, hint))
        raise MissingNameError(name=name, obj=owner)

    return missing


def sentence(owner: Any, name: str) -> str:
    """What is told of a name that a module or an object lacks."""
    return _sentence(owner, name, counterpart(owner, name) or _listed(owner))


def counterpart(owner: Any, name: str) -> str:
    """What to use in place of a name that `owner` lacks, or "" where nothing is near."""
    from ranvier.guidance import words

    if name.startswith("_"):
        return ""
    if isinstance(owner, ModuleType):
        table: dict[str, str] = words.NAMES
        special = words.IN_MODULES.get(_title(owner), {})
    else:
        table = words.ATTRIBUTES
        special = {}
        for cls in reversed(type(owner).__mro__):
            special |= words.IN_CLASSES.get(cls.__name__, {})
    for found in (special.get(name), table.get(name), _elsewhere(owner, name)):
        if found:
            return found
    near = nearest(name, _public(owner))
    if near:
        return f"use {near}"
    folded = {word.casefold(): mend for word, mend in {**table, **special}.items()}
    return folded.get(name.casefold(), "")


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that is most like one, whatever its capital letters; "" if none is."""
    from difflib import get_close_matches  # only errors need it

    by_form = {each.casefold(): each for each in known}
    found = get_close_matches(word.casefold(), by_form, n=1, cutoff=0.75)
    return by_form[found[0]] if found else ""


def _elsewhere(owner: Any, name: str) -> str:
    """Where one of our public modules has the name, by its own or by other capital letters."""
    if not isinstance(owner, ModuleType):
        return ""
    spelled = [f"{title}.{each}" for title, module in _faces().items() for each in _public(module)]
    same = [each for each in spelled if each.rpartition(".")[2] == name]
    alike = [each for each in spelled if each.rpartition(".")[2].casefold() == name.casefold()]
    return next((f"use {each}" for each in (*same, *alike)), "")


def _faces() -> dict[str, ModuleType]:
    import ranvier

    inner = ("nn", "optim", "training", "losses", "metrics", "schedules", "regularization", "data")
    found = {each if each == "nn" else f"rv.{each}": getattr(ranvier, each) for each in inner}
    return {"rv": ranvier, **found, "nn.initializers": ranvier.nn.initializers}


def _public(owner: Any) -> list[str]:
    listed = getattr(owner, "__all__", None) if isinstance(owner, ModuleType) else None
    if listed is not None:
        return list(listed)
    names = dir(owner)
    if isinstance(owner, ModuleType):  # what it has imported is not its own
        own = vars(owner)
        names = [n for n in names if getattr(own[n], "__module__", None) == owner.__name__]
    return [name for name in names if not name.startswith("_")]


def _listed(owner: Any) -> str:
    names = _public(owner)
    return f"it has {', '.join(names)}" if len(names) <= 40 else "see docs/ for the names it has"


def _title(owner: Any) -> str:
    if not isinstance(owner, ModuleType):
        return type(owner).__name__
    inner = owner.__name__.removeprefix("ranvier").lstrip(".")
    return {"": "rv", "data.registry": "datasets"}.get(inner, inner)


def _sentence(owner: Any, name: str, mend: str) -> str:
    return f"{_title(owner)} has no {name!r}; {mend}"
