"""Class weights: how much each sample counts in the loss, by its class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ranvier import dtypes
from ranvier import validation as checks
from ranvier.errors import InputError, ShapeError
from ranvier.graph import functions as f
from ranvier.graph.compositions import one_hot
from ranvier.graph.tensor import Tensor
from ranvier.guidance.calls import explain


def class_weights(targets: Tensor, weights: Sequence[float] | np.ndarray) -> Tensor:
    """The weight of each sample by its class, [batch]: multiply them to the samples' weights.

    targets: integers [batch] or distributions [batch, classes]; for two classes also numbers
    from 0 to 1, the share of class 1, [batch] or [batch, 1]. A class that there is not weighs 0,
    as one that `ignore` names. weights: one for each class, 0 or more; `balanced` computes them.
    """
    table = class_table(weights)
    if targets.dtype in dtypes.INTEGER and targets.ndim == 1:
        return f.sum(one_hot(f.cast(targets, dtypes.int64), len(table)) * table, -1)
    shares = f.cast(targets, dtypes.float32)
    if len(table) == 2 and targets.shape in (targets.shape[:1], (*targets.shape[:1], 1)):
        share = shares.reshape(shares.shape[0])
        return share * float(table[1]) + (1 - share) * float(table[0])
    if targets.ndim != 2 or targets.shape[1] != len(table):
        raise ShapeError(
            f"{len(table)} class weights do not fit targets {targets.dtype} {targets.shape}; "
            f"targets are integers [batch] or distributions [batch, {len(table)}]"
        )
    return f.sum(shares * table, -1)


def class_table(weights: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return class weights as float32 [classes]; InputError for what are none."""
    listed = isinstance(weights, Iterable) and not isinstance(weights, str | Mapping)
    if not listed or getattr(weights, "ndim", 1) != 1:
        raise InputError(
            f"class weights are {checks.shown(weights)}; use one number for each class"
        )
    each = [checks.number(f"class weights: that of {i}", w, low=0) for i, w in enumerate(weights)]
    return np.array(each, np.float32)


def balanced(labels: Any, classes: int) -> np.ndarray:
    """Return class weights n / (classes * count), float32 [classes]; 0 for an absent class.

    labels: integers, 0 to classes - 1, of any shape; else InputError.
    """
    classes = checks.whole_number("balanced: classes", classes)
    found = np.asarray(labels).reshape(-1)
    if found.size and found.dtype.kind not in "iub":
        raise InputError(f"the labels are {found.dtype}; use whole numbers, 0 to {classes - 1}")
    for label in (found.min(initial=0), found.max(initial=0)) if found.size else ():
        if not 0 <= label < classes:
            raise InputError(f"a label is {label}; {classes} classes end at {classes - 1}")
    counts = np.bincount(found.astype(np.int64), minlength=classes)
    shares = counts.sum() / (classes * np.maximum(counts, 1))
    return np.where(counts > 0, shares, 0).astype(np.float32)


explain(globals())
