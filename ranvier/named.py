"""`Named`, what a file may name: a registered class whose arguments are JSON.

Each family (schedules, optimizers, penalties) has its own registry. Reading a configuration
looks the name up there; no import path from a file is ever followed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, ClassVar, Self

from ranvier.errors import InputError


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

        Raises InputError for a name that the family lacks or an argument that the class lacks.
        """
        given = dict(config)
        name = given.pop("name", None)
        if name not in cls.family:
            raise InputError(f"there is no {name!r} here; there are {', '.join(cls.family)}")
        made = cls.family[name]
        known = arguments(made)
        for key in given:
            if key not in known:
                raise InputError(f"{name} has no argument {key!r}; it has {', '.join(known)}")
        result: Self = made(**given)
        return result


def arguments(named: Named | type[Named]) -> list[str]:
    """Return the names of the arguments of a class or of an object's class."""
    declared: tuple[Any, ...] = fields(named) if is_dataclass(named) else ()
    return [field.name for field in declared if field.init]


def _plain(value: Any) -> Any:
    if isinstance(value, Named):
        return value.config()
    return list(value) if isinstance(value, tuple) else value
