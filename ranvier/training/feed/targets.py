"""Targets of regression in standard units, and predictions back in the targets' own.

Prices near 200,000 as they are would need weights of that size, which no learning rate that
suits the rest can reach. So the network predicts (target - mean) / std, the loss is computed
there, and predictions and metrics are brought back: both are part of the programs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ranvier import dtypes
from ranvier.data.errors import DataError
from ranvier.data.labels import standard_scores
from ranvier.errors import InputError
from ranvier.graph import functions as f
from ranvier.graph.tensor import Tensor
from ranvier.records import dataclass

_FORM = 'use True, False or {"mean": …, "std": …} of finite numbers, a std above 0'


@dataclass(frozen=True)
class TargetScale:
    """The mean and the deviation of targets: one each, or one for each place on the last axis."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, targets: np.ndarray) -> TargetScale:
        """Return the scale of targets [n] or [n, ..., k]; one that never changes keeps its unit.

        Raises DataError for targets that are not finite numbers.
        """
        if targets.dtype.kind not in "fiub" or not np.isfinite(targets).all():
            raise DataError(
                "the targets to standardize hold NaN, infinity or no numbers; "
                "replace these or leave their rows out"
            )
        columns = targets.reshape(-1, targets.shape[-1] if targets.ndim > 1 else 1)
        mean, std = standard_scores(columns)
        return cls(tuple(mean), tuple(std))

    def standardized(self, targets: Tensor) -> Tensor:
        """Return (targets - mean) / std."""
        return (f.cast(targets, dtypes.float32) - _along(self.mean)) / _along(self.std)

    def restored(self, predictions: Tensor) -> Tensor:
        """Return predictions of standardized targets in the targets' own unit."""
        return f.cast(predictions, dtypes.float32) * _along(self.std) + _along(self.mean)

    def config(self) -> dict[str, Any]:
        """Return the numbers, ready for JSON."""
        return {"mean": list(self.mean), "std": list(self.std)}


Standardize = bool | TargetScale
"""Whether an output's targets are standardized; by which scale, once that is known."""


def standardize(given: Any, outputs: Mapping[str, bool]) -> dict[str, Standardize]:
    """Return what `standardize_targets` says of each output.

    given: True for all losses on numbers, False, a mean and a std, or a dict of these by output.
    outputs: whether each output's loss is on numbers. Raises InputError for anything else.
    """
    if given is True and not any(outputs.values()):
        raise InputError(
            "standardize_targets is for losses on numbers, such as mean_squared_error; leave it out"
        )
    if isinstance(given, bool):
        return {name: given and numeric for name, numeric in outputs.items()}
    by_output = dict(given) if isinstance(given, Mapping) else {"": given}
    if by_output.keys() <= {"mean", "std"} and not by_output.keys() <= outputs.keys():
        by_output = {"": given}
    found: dict[str, Standardize] = dict.fromkeys(outputs, False)
    for name, each in by_output.items():
        if name not in outputs or (each is not False and not outputs[name]):
            raise InputError(
                f"standardize_targets names the output {name!r}, which has no loss on numbers; "
                f"those that have are {[name for name in outputs if outputs[name]]}"
            )
        found[name] = each if isinstance(each, bool) else _scale(each)
    return found


def _scale(given: Any) -> TargetScale:
    try:
        mean, std = (np.atleast_1d(np.asarray(given[key], np.float64)) for key in ("mean", "std"))
        good = set(given) == {"mean", "std"} and mean.ndim == 1 and mean.shape == std.shape
    except (TypeError, ValueError, KeyError, IndexError):
        good = False
    if not good or not (np.isfinite(mean).all() and np.isfinite(std).all() and (std > 0).all()):
        raise InputError(f"standardize_targets has {given!r}; {_FORM}")
    return TargetScale(tuple(mean.tolist()), tuple(std.tolist()))


def _along(values: Sequence[float]) -> Tensor:
    """Numbers that broadcast over the last axis; one number over all."""
    return f.as_tensor(np.asarray(values if len(values) > 1 else values[0], np.float32))
