"""`Settings`: what a model has learnt about its data and its training, as `config.json` has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ranvier import dtypes
from ranvier.data.source import Names
from ranvier.errors import InputError
from ranvier.graph.leaves import input as make_input
from ranvier.graph.tensor import Tensor
from ranvier.training.objective import ONE

Form = dict[str, Any]
"""What one sample of an input is like: {"shape": [28, 28, 1], "dtype": "uint8"}; and where its
columns have names, {"columns": ["width", "height"]}."""


@dataclass
class Settings:
    """inputs: the form of each input, by name. about: what the caller of `fit` adds."""

    inputs: dict[str, Form] = field(default_factory=dict)
    epochs: int = 0
    batch_size: int = 0
    seed: int = 0
    about: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the settings for `config.json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, config: Mapping[str, Any]) -> Settings:
        """Read what `to_json` gave; InputError for anything else."""
        try:
            found = cls(**config)
            for form in found.inputs.values():
                dtypes.as_dtype(form["dtype"])
                if not all(isinstance(n, int) and n >= 0 for n in form["shape"]):
                    raise ValueError
                if not all(isinstance(name, str) for name in form.get("columns", ())):
                    raise ValueError
            numbers = (found.epochs, found.batch_size, found.seed)
            if not all(isinstance(n, int) and n >= 0 for n in numbers):
                raise ValueError
        except (TypeError, ValueError, KeyError, AttributeError):
            raise InputError("the training settings are malformed") from None
        return found

    @property
    def columns(self) -> dict[str, Names]:
        """The names of the columns of each input that has such, by the name of the input."""
        return {n: tuple(form["columns"]) for n, form in self.inputs.items() if "columns" in form}

    def example(self, batch: int = 1) -> Any:
        """Return input tensors of this form: one, or several by name."""
        found: dict[str, Tensor] = {
            name: make_input((batch, *form["shape"]), form["dtype"], name or None)
            for name, form in self.inputs.items()
        }
        return found[ONE] if list(found) == [ONE] else found


def form_of(shape: tuple[int, ...], dtype: Any) -> Form:
    """Return the form of samples [batch, ...]."""
    return {"shape": list(shape[1:]), "dtype": dtypes.as_dtype(dtype).name}


def with_columns(forms: Mapping[str, Form], columns: Mapping[str, Names]) -> dict[str, Form]:
    """Return the forms of inputs with the names of their columns, where they have such."""
    return {
        name: {**form, "columns": list(columns[name])} if name in columns else form
        for name, form in forms.items()
    }
