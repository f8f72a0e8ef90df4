"""Errors in the words of the command line: of its options, and not of Python's arguments.

An error that says which choice or setting it is about has that replaced by the option that makes
the choice; any other one is left as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ranvier.errors import NonFiniteError, RanvierError

_OPTIONS = {
    "epochs": "--epochs",
    "batch_size": "--batch-size",
    "optimizer": "--optimizer",
    "learning_rate": "--learning-rate",
    "tolerance": "--tolerance",
    "minutes": "--max-minutes",
}
"""Options by the names of choices; all others are made by `--set`."""

_SETTINGS = {
    "training.about.model": "MODEL",
    "training.about.data": "--data",
    "training.about.label": "--label",
    "training.about.regression": "--regression",
    "training.about.settings.": "--set ",
    "training.batch_size": "--batch-size",
    "training.seed": "--seed",
    "optimizer.name": "--optimizer",
    "optimizer.learning_rate": "--learning-rate",
    "engine": "--engine",
}
"""Options by the keys of a run's settings, or by how these begin."""

_NAME_IS = re.compile(r"^(?:[^;]*: )?(?!there )[\w ]+ is (?=\S)")
"""The beginning of an error such as "l2: strength is -1; use 0 or more"."""


def in_options(error: RanvierError) -> str:
    """Return an error's message in the words of the command line."""
    from ranvier.models.prepare import ChoiceError
    from ranvier.training.run.folder import OtherSettingsError, TakenError

    if isinstance(error, ChoiceError):
        option = _OPTIONS.get(error.choice, f"--set {error.choice}")
        option = error.choice if error.choice.startswith("--") else option
        named = None if error.within else _NAME_IS.match(str(error))
        return f"{option} is {str(error)[named.end() :]}" if named else f"{option}: {error}"
    if isinstance(error, OtherSettingsError):
        return _other_settings(error.folder, error.key, error.old, error.new)
    if isinstance(error, TakenError):
        return f"{error.folder} exists already; pass --resume or another --out, or delete it"
    if isinstance(error, NonFiniteError):
        return f"{error}; see --learning-rate and --set optimizer.clip_norm=1"
    return str(error)


@contextmanager
def by_options(given: Mapping[str, Any]) -> Iterator[None]:
    """Let errors name the options by which these settings were given, None standing for not."""
    from ranvier.models.prepare import ChoiceError

    try:
        yield
    except ChoiceError as error:
        if given.get(error.choice) is not None:
            error.choice = f"--{error.choice.replace('_', '-')}"
        raise


def _other_settings(path: Any, key: str, old: Any, new: Any) -> str:
    if key == "training.about.digest":
        return f"the data have changed since {path} was begun; restore them, or pass another --out"
    if key.endswith("learning_rate.steps"):
        what = "a schedule for as many steps as --epochs, --batch-size and the data then gave,"
        return f"{path} was begun with {what} {old}, not {new}; give the same, or another --out"
    found = [name for name in _SETTINGS if key == name or key.startswith(name)]
    option = _SETTINGS[max(found, key=len)] if found else key
    option += key.removeprefix(max(found, key=len)) if option.endswith(" ") else ""
    return (
        f"{path} was begun with {option} {_given(old)}, not {_given(new)}; "
        "resume with the same options, or pass another --out"
    )


def _given(value: Any) -> str:
    """A value as the command line takes it; "none" where it was not given."""
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value)
