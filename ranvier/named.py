"""`Named`, what a file may name: a registered class whose arguments are JSON.

Each family (schedules, optimizers, penalties) has its own registry. Reading a configuration
looks the name up there; no import path from a file is ever followed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, ClassVar, Self

from ranvier import validation as checks
from ranvier.errors import InputError
from ranvier.guidance.values import instead


class Named:
    """Base of the families. A family sets `family = {}`, a class of it `name`."""

    name: ClassVar[str] = ""
    family: ClassVar[dict[str, type[Any]]] = {}

    def __init_subclass__(cls) -> None:
        if "name" in cls.__dict__:
            cls.family[cls.name] = cls

    def config(self) -> dict[str, Any]:
        """Return the name and the arguments, ready for JSON."""
        return {"name": self.name, **{key: _plain(getattr(self, key)) for key in arguments(self)}}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Make the object that `config` describes.

        Raises InputError for a name that the family lacks, an argument that the class lacks or
        that is missing, and a value that the class refuses.
        """
        if not isinstance(config, Mapping):
            raise InputError(
                f"{checks.shown(config)} makes no {cls.__name__.lower()}; use an object with "
                f"a name, one of {', '.join(cls.family)}"
            )
        checks.shallow(cls.__name__.lower(), config)
        given = dict(config)
        name = given.pop("name", None)
        if not isinstance(name, str) or name not in cls.family:
            raise InputError(f"there is no {checks.shown(name)} here; {instead(name, cls.family)}")
        made = cls.family[name]
        known = arguments(made)
        for key in given:
            if key not in known:
                raise InputError(f"{name} has no argument {key!r}; it has {', '.join(known)}")
        if lacking := [key for key in _needed(made) if key not in given]:
            raise InputError(f"{name} lacks {', '.join(lacking)}; it takes {', '.join(known)}")
        result: Self = made(**given)
        return result

    def _numbers(self, *labels: str, **limits: Any) -> None:
        """Make arguments Python numbers, or refuse them; `limits` are those of `checks.number`."""
        for label in labels:
            self._set(label, checks.number(self._title(label), getattr(self, label), **limits))

    def _whole_numbers(self, *labels: str) -> None:
        """Make arguments Python's whole numbers, 1 or more, or refuse them."""
        for label in labels:
            self._set(label, checks.whole_number(self._title(label), getattr(self, label)))

    def _flags(self, *labels: str) -> None:
        """Make arguments True or False, or refuse them."""
        for label in labels:
            self._set(label, checks.flag(self._title(label), getattr(self, label)))

    def _title(self, label: str) -> str:
        return f"{self.name}: {label}"

    def _set(self, label: str, value: Any) -> None:
        object.__setattr__(self, label, value)  # most of the classes are frozen


def arguments(named: Named | type[Named]) -> list[str]:
    """Return the names of the arguments of a class or of an object's class."""
    return [field.name for field in _fields(named)]


def _needed(named: type[Named]) -> list[str]:
    """The names of the arguments without a default."""
    return [
        field.name
        for field in _fields(named)
        if field.default is MISSING and field.default_factory is MISSING
    ]


def _fields(named: Named | type[Named]) -> list[Field[Any]]:
    declared: tuple[Field[Any], ...] = fields(named) if is_dataclass(named) else ()
    return [field for field in declared if field.init]


def _plain(value: Any) -> Any:
    if isinstance(value, Named):
        return value.config()
    return list(value) if isinstance(value, tuple) else value
