"""What is checked of data before it reaches a program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ranvier import dtypes, losses
from ranvier import validation as checks
from ranvier.data.errors import DataError
from ranvier.data.source import Split
from ranvier.epoch_metrics import several_outputs
from ranvier.errors import InputError
from ranvier.graph.tensor import Shape, Tensor
from ranvier.nn.module import Module
from ranvier.optim import Optimizer
from ranvier.training.objective import ONE, Objective, by_name
from ranvier.training.run.settings import Form, form_of


def check_counts(**counts: Any) -> None:
    """Refuse what is no whole number in range: 1 or more, for a seed 0 or more."""
    for name, value in counts.items():
        checks.whole_number(name, value, low=0 if name == "seed" else 1)


def fitting(forms: Mapping[str, Form], split: Split) -> Split:
    """Return a split whose inputs are like those that a network was built for.

    Whole numbers become what the network has seen, floats or larger ones. Raises DataError for
    inputs of other names, shapes or kinds.
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
    wider = wanted in dtypes.FLOATING or np.can_cast(array.dtype, wanted)
    if array.dtype.kind in "iub" and wider:
        array = array.astype(wanted)
    if form_of(array.shape, array.dtype).items() <= form.items():
        return array
    raise DataError(
        f"{f'input {name!r}' if name else 'the inputs'}: each sample is {array.dtype} "
        f"{list(array.shape[1:])}, the network has learnt from {wanted.name} {form['shape']}; "
        "give samples of the same kind"
    )


def check_finite(split: Split, where: str = "") -> None:
    """Refuse NaN and infinities, by row and column; `where` begins the sentence."""
    for name, array in split.arrays().items():
        if array.dtype.kind != "f" or _sums_up(array):
            continue
        for start in range(0, len(array), _ROWS):  # no mask as large as the data
            wrong = np.argwhere(~np.isfinite(array[start : start + _ROWS]))
            if len(wrong):
                row, *place = (int(each) for each in wrong[0])
                found = array[(start + row, *place)]
                at = f", column {place[0]}" if len(place) == 1 else f" at {place}" if place else ""
                raise DataError(
                    f"{where}{name}: row {start + row}{at} is {found}, counted from 0; fill such "
                    "gaps, with np.nan_to_num for instance, or leave the rows out"
                )


_ROWS = 4096


def _sums_up(array: np.ndarray) -> bool:
    """Whether the sum is finite, which it is only if all elements are: one cheap pass."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(array.sum()))


def check_outputs(objective: Objective, outputs: Mapping[str, Tensor]) -> None:
    """Refuse outputs to which a loss would apply its link a second time."""
    for name, head in objective.heads.items():
        if name in outputs:
            losses.check_output(head.loss, outputs[name])


def check_targets(objective: Objective, split: Split) -> None:
    """Refuse targets that a loss cannot learn from."""
    for name, target in by_name(split.targets).items() if split.targets is not None else ():
        if name in objective.heads:
            losses.check_targets(objective.heads[name].loss, target)


def check_labels(objective: Objective, outputs: Mapping[str, Shape], split: Split) -> None:
    """Refuse class numbers that an output does not have."""
    for name, target in by_name(split.targets).items() if split.targets is not None else ():
        head = objective.heads.get(name)
        if head is None or name not in outputs:  # the program's error says so
            continue
        if head.loss.name != "cross_entropy" or target.dtype.kind not in "iu":
            continue
        classes = outputs[name][-1]
        wrong = (target < 0) | (target >= classes)
        if "ignore" in head.loss.options:
            wrong &= target != head.loss.options["ignore"]
        if wrong.any():
            row, found = int(np.argwhere(wrong)[0][0]), int(target[wrong][0])
            more = f", or {found + 1} outputs" if found > 0 else ""
            raise DataError(
                f"the target of row {row} is {found}, the network has {classes} outputs; use "
                f"class numbers 0 to {classes - 1}{more}"
            )


def check_metrics(objective: Objective, outputs: Mapping[str, Shape], split: Split) -> None:
    """Refuse targets that are no classes, where metrics judge classes."""
    for name, target in by_name(split.targets).items() if split.targets is not None else ():
        head, output = objective.heads.get(name), outputs.get(name)
        if head is None or output is None:  # the program's error says so
            continue
        judges = [metric.name for metric in head.metrics if metric.classifies]
        labels = target.dtype.kind in "iub" and target.shape[1:] == output[1:-1] and output[1:]
        if judges and head.loss.name != "cross_entropy" and not (labels and output[-1] > 1):
            _check_two_sides(judges[0], target, several_outputs(output) and not head.labels(output))


def try_metrics(objective: Objective, outputs: Mapping[str, Shape], split: Split) -> None:
    """Let metrics of whole epochs refuse, before training, what they cannot judge."""
    for name, target in by_name(split.targets).items() if split.targets is not None else ():
        head, output = objective.heads.get(name), outputs.get(name)
        if head is not None and output is not None:
            found, wanted = np.zeros((2, *output[1:])), np.zeros((2, *target.shape[1:]))
            for metric in head.whole:
                metric(found, wanted, multilabel=head.labels(output))


def _check_two_sides(metric: str, target: np.ndarray, distributions: bool) -> None:
    """Refuse targets of which each says yes or no, unless one half lies between their two values.

    distributions: whether shares of classes that exclude each other will do.
    """
    low, high = target.min(), target.max()
    other = (target != low) & (target != high)
    if not other.any() and (low == high or low <= 0.5 < high):
        return
    if distributions and low >= 0 and np.allclose(target.sum(-1, dtype=np.float64), 1, atol=1e-3):
        return
    row = tuple(np.argwhere(other if other.any() else target == high)[0])
    raise InputError(
        f"{metric} judges classes, and the targets are no classes: that of row {row[0]} is "
        f"{target[row]}, beside {low} and {high}; use r2 or mean_absolute_error for quantities, 0 "
        "and 1 for two classes, cross_entropy with an output for each of several"
    )


def check_class_weights(objective: Objective, outputs: Mapping[str, Shape]) -> None:
    """Refuse class weights that are not one for each class of the output."""
    table = objective.class_weights
    if table is None or ONE not in outputs:
        return
    loss, last = objective.heads[ONE].loss.name, outputs[ONE][1:][-1:]
    one = loss in ("binary_cross_entropy", "hinge") and last in ((), (1,))
    classes = 2 if one else last[0] if loss == "cross_entropy" and last else table.size
    if table.shape != (classes,):
        raise InputError(
            f"there are {table.size} class weights for {classes} classes; pass one for each class"
        )


def check_optimizer(optimizer: Optimizer, net: Module) -> None:
    """Refuse an optimizer that has learnt with another network."""
    mine = set(net.parameters(frozen=True).values())
    if optimizer.served and mine.isdisjoint(optimizer.served):
        raise InputError(
            f"the optimizer {optimizer.name} has trained another network, and goes on from what "
            "it has learnt there; pass optimizer.fresh(), which has the same settings"
        )
