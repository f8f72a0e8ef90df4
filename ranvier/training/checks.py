"""What is checked of data before it reaches a program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ranvier import dtypes
from ranvier.data.errors import DataError
from ranvier.data.source import Split
from ranvier.errors import InputError
from ranvier.graph.tensor import Shape
from ranvier.training.objective import Objective, by_name
from ranvier.training.settings import Form, form_of


def check_counts(**counts: Any) -> None:
    """Refuse what is no whole number in range: 1 or more, for a seed 0 or more."""
    for name, value in counts.items():
        least = 0 if name == "seed" else 1
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise InputError(f"{name} is {value!r}; use a whole number, {least} or more")
        if value >= 1 << 63:
            raise InputError(f"{name} is {value}; use a number below 2**63")


def fitting(forms: Mapping[str, Form], split: Split) -> Split:
    """Return a split whose inputs are like those that a network was built for.

    Whole numbers become floats where the network has seen floats. Raises DataError for inputs of
    other names, shapes or kinds.
    """
    given = by_name(split.inputs)
    if set(given) != set(forms):
        raise DataError(
            f"the inputs are {', '.join(map(repr, given))}, the network has learnt from "
            f"{', '.join(map(repr, forms))}; use the same names"
        )
    found = {name: _fitting(forms[name], array, name) for name, array in given.items()}
    return replace(split, inputs=found if isinstance(split.inputs, Mapping) else found[""])


def _fitting(form: Form, array: np.ndarray, name: str) -> np.ndarray:
    wanted = dtypes.as_dtype(form["dtype"])
    if wanted in dtypes.FLOATING and array.dtype.kind in "iub":
        array = array.astype(wanted)
    if form_of(array.shape, array.dtype) == form:
        return array
    raise DataError(
        f"{f'input {name!r}' if name else 'the inputs'}: each sample is {array.dtype} "
        f"{list(array.shape[1:])}, the network has learnt from {wanted.name} {form['shape']}; "
        "give samples of the same kind"
    )


def check_labels(objective: Objective, outputs: Mapping[str, Shape], split: Split) -> None:
    """Refuse class numbers that an output does not have."""
    for name, target in by_name(split.targets).items() if split.targets is not None else ():
        head = objective.heads.get(name)
        if head is None or head.loss.name != "cross_entropy" or target.dtype.kind not in "iu":
            continue
        classes = outputs[name][-1]
        wrong = (target < 0) | (target >= classes)
        if "ignore" in head.loss.options:
            wrong &= target != head.loss.options["ignore"]
        if wrong.any():
            row = int(np.argwhere(wrong)[0][0])
            raise DataError(
                f"the target of row {row} is {target[wrong][0]}, the network has {classes} "
                f"outputs; use class numbers 0 to {classes - 1}, or {target[wrong][0] + 1} outputs"
            )
