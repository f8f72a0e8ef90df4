"""What is seen only once a network has been called: whether its layers take data for what it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ranvier import dtypes
from ranvier.data.errors import DataError
from ranvier.errors import InputError
from ranvier.graph.tensor import Tensor
from ranvier.nn.layers.convolution import Conv
from ranvier.nn.layers.linear import Linear
from ranvier.nn.layers.pooling import AvgPool, MaxPool
from ranvier.nn.layers.spatial import SMALLEST, channels_seem_first
from ranvier.nn.module import Module
from ranvier.nn.trace import CallRecord
from ranvier.training.feed.arrays import Array

_LEVELS = 256
"""A picture of 8 bits has at most so many different values, however they are scaled."""


def check_owned(net: Module, calls: Sequence[CallRecord]) -> None:
    """Refuse modules with weights that the network does not hold, so that it cannot train them."""
    held = set(map(id, net.modules().values()))
    for call in calls:
        if id(call.module) not in held and call.module.states():
            kind = type(call.module).__name__
            raise InputError(
                f"a {kind} with weights is called that is no part of the network, as where it is "
                f"made inside __call__; make it in __init__, self.{kind.lower()} = nn.{kind}(…)"
            )


def check_pictures(calls: Sequence[CallRecord], inputs: Mapping[str, Array]) -> None:
    """Refuse pictures that the first convolution or pooling takes for something else.

    Samples [side, side] may be signals of as many channels as they are long, or pictures that
    lack their channel axis. They are refused where the layer would take both (its sizes are
    numbers, not tuples) and the values are at most 256 different ones, as those of pictures.
    Samples [1, side, side] and [3, side, side] have their channels first.
    """
    found = ((c.module, c.inputs) for c in calls if isinstance(c.module, Conv | MaxPool | AvgPool))
    layer, given = next(found, (None, ()))
    if layer is None or not given or not isinstance(given[0], Tensor):
        return
    shape = given[0].shape
    for name, array in inputs.items():
        if array.shape[1:] != shape[1:]:
            continue
        what = f"input {name!r}" if name else "the inputs"
        sample, kind = list(shape[1:]), type(layer).__name__
        if layer.axes == (1, 2) and _without_channels(array):
            side = shape[1]
            raise DataError(
                f"{what}: each sample is {sample}, which nn.{kind} takes for a signal of {side} "
                "channels; give pictures a channel axis, x[..., None], or say by a tuple, as "
                f"({_size(layer)},), that signals are meant"
            )
        if channels_seem_first(array.shape):
            raise DataError(
                f"{what}: each sample is {sample}, so the channels seem to stand first; put them "
                "last, np.moveaxis(x, 1, -1)"
            )


def _without_channels(array: Array) -> bool:
    square = array.ndim == 3 and array.shape[1] == array.shape[2] >= SMALLEST
    if not square:
        return False
    some = array[: -(-4 * _LEVELS // array[0].size)]  # enough elements to tell from real numbers
    return np.unique(some).size <= _LEVELS


def _size(layer: Conv | MaxPool | AvgPool) -> Any:
    return layer.kernel if isinstance(layer, Conv) else layer.window


def check_symbols(calls: Sequence[CallRecord], preprocess: Mapping[str, Any]) -> None:
    """Refuse the ids of a text where a layer takes them for magnitudes."""
    if "vocabulary" not in preprocess:
        return
    for call in calls:
        if not isinstance(call.module, Linear | Conv):
            continue
        if any(isinstance(x, Tensor) and x.dtype in dtypes.INTEGER for x in call.inputs):
            size = len(preprocess["vocabulary"]["symbols"])
            where = call.path or type(call.module).__name__.lower()
            raise DataError(
                f"{where}: the ids of a text are no magnitudes; begin the network with "
                f"nn.Embedding({size}, 16), which gives each symbol a vector"
            )
