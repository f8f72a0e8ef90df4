"""`Weights`, the arrays of a network by path, read and written with checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

import numpy as np

from ranvier import dtypes
from ranvier.errors import DTypeError, InputError, ShapeError
from ranvier.graph.leaves import State, as_array
from ranvier.guidance.calls import explain_class


class Weights(Mapping[str, np.ndarray]):
    """A view of state by path: reading copies the present value, assigning replaces it."""

    def __init__(self, states: Mapping[str, State]) -> None:
        self._states = states

    def __getitem__(self, path: str) -> np.ndarray:
        return self._state(path).value

    def __setitem__(self, path: str, value: Any) -> None:
        state = self._state(path)
        state.value = _checked(path, state, value)

    def __contains__(self, path: object) -> bool:
        return path in self._states

    def __iter__(self) -> Iterator[str]:
        return iter(self._states)

    def __len__(self) -> int:
        return len(self._states)

    def __repr__(self) -> str:
        lines = [f"{path}: {s.dtype.name}{list(s.shape)}" for path, s in self._states.items()]
        return "\n".join(lines) or "no weights yet; build the network first"

    def load(self, arrays: Mapping[str, Any], partial: bool = False) -> list[str]:
        """Write all arrays by path, or none where one does not fit; return the paths written.

        The paths must be those of the network. With `partial`, only the paths that both have
        are written, and there must be at least one. Raises InputError for paths, ShapeError
        or DTypeError for an array.
        """
        common = [path for path in self._states if path in arrays]
        missing = [path for path in self._states if path not in arrays]
        unknown = [path for path in arrays if path not in self._states]
        if not partial and (missing or unknown):
            parts = [
                f"{what} {_some(paths)}"
                for what, paths in (("lack", missing), ("have besides", unknown))
                if paths
            ]
            raise InputError(
                f"the arrays {' and '.join(parts)}; pass partial=True to load what matches"
            )
        if not common:
            raise InputError("no path of the arrays is one of the network's; build it first?")
        new = {path: _checked(path, self._states[path], arrays[path]) for path in common}
        for path, array in new.items():
            self._states[path].value = array
        return common

    def differences(self, arrays: Mapping[str, Any]) -> list[str]:
        """Say in which paths and shapes the arrays differ from the network; a dozen at most."""
        missing = [path for path in self._states if path not in arrays]
        unknown = [path for path in arrays if path not in self._states]
        shapes = [
            f"{path} is {list(state.shape)}, not {list(np.shape(arrays[path]))}"
            for path, state in self._states.items()
            if path in arrays and state.shape != np.shape(arrays[path])
        ]
        lists = (("it lacks", unknown), ("it alone has", missing))
        paths = [f"{what} {_some(those)}" for what, those in lists if those]
        return [*shapes[:_MOST], *["…"] * (len(shapes) > _MOST), *paths]

    def _state(self, path: str) -> State:
        if path not in self._states:
            near = get_close_matches(path, self._states, n=3, cutoff=0)
            hint = f"near it are {', '.join(near)}" if near else "build the network first"
            raise InputError(f"there are no weights at {path!r}; {hint}")
        return self._states[path]


explain_class(Weights)
_MOST = 5
"""How many paths a message lists."""


def _some(paths: list[str]) -> str:
    return f"{', '.join(paths[:_MOST])}{' …' * (len(paths) > _MOST)}"


def _checked(path: str, state: State, value: Any) -> np.ndarray:
    array = as_array(value)
    if array.shape != state.shape:
        raise ShapeError(
            f"{path} has shape {state.shape}, the array {array.shape}; transpose or reshape it"
        )
    floating = (*dtypes.FLOATING, dtypes.bfloat16)
    if (array.dtype in floating) != (state.dtype in floating):
        raise DTypeError(
            f"{path} is {state.dtype}, the array {array.dtype}; convert it with "
            f".astype('{state.dtype}')"
        )
    return array
