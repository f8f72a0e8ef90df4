"""How a step's code is bound to memory: all that running it takes beside the code itself.

Simplifying and scheduling a large step take Python longer than the cache takes to find its code.
So the cache keeps their outcome as well, under a key made of the graph as it was given, and a
program whose step is known there runs without them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any

import numpy as np

from ranvier.dtypes import as_dtype
from ranvier.engines.native.schedule.keys import exact
from ranvier.engines.program import Options, Signature
from ranvier.errors import CompileError
from ranvier.graph.leaves import Constant, State, StateRead
from ranvier.graph.tensor import Op, Tensor
from ranvier.graph.walk import topological
from ranvier.records import dataclass

_SHORT = 32
"""Bytes of a constant that stand in a key as they are; of longer ones their digest does."""


@dataclass(frozen=True)
class Linkage:
    """What a compiled step needs in order to run; slots are those of the pointer table.

    code: the key of its code in the cache; buffers: the number of slots.
    leaves: the number of a tensor in `numbered`, and its slot; constants: those that were not
    given but made on the way, each with its slot.
    outputs: slots by name; temporaries: slots, and offsets in an arena of so many bytes.
    kernels, barriers, seconds: of one step; the seconds are estimated, for one thread.
    counters: how many kernels need counters for each thread.
    rows: how many rows an input indexes, by name.
    """

    code: str
    buffers: int
    leaves: Sequence[tuple[int, int]]
    constants: Sequence[tuple[np.ndarray, int]]
    outputs: Mapping[str, int]
    temporaries: Sequence[tuple[int, int]]
    arena: int
    kernels: int
    barriers: int
    counters: int
    seconds: float
    rows: Mapping[str, int]

    def pack(self) -> bytes:
        """The linkage as JSON."""
        constants = [
            (array.dtype.name, array.shape, array.tobytes().hex(), slot)
            for array, slot in self.constants
        ]
        return json.dumps({**vars(self), "constants": constants}).encode()

    @staticmethod
    def unpack(payload: bytes) -> Linkage:
        """The linkage that `pack` turned into `payload`."""
        found = json.loads(payload)
        found["constants"] = [_constant(*each) for each in found["constants"]]
        return Linkage(**found)


def _constant(dtype: str, shape: list[int], data: str, slot: int) -> tuple[np.ndarray, int]:
    array = np.frombuffer(bytes.fromhex(data), as_dtype(dtype)).reshape(shape)
    return array, slot


def numbered(signature: Signature) -> list[Tensor]:
    """Every tensor of a step, inputs before users; its place here is its number in a linkage."""
    return topological([*signature.roots, *signature.updates])


def step_text(order: Sequence[Tensor], signature: Signature, options: Options) -> str | None:
    """A text that says all of a step, whose tensors are `order`; None if it cannot.

    It says nothing of what an op is: an op that is not Ranvier's own may be another tomorrow.
    """
    numbers = {tensor: number for number, tensor in enumerate(order)}
    texts: dict[int, str] = {}  # by the op's identity: ops may be equal that differ in bits
    lines = [repr(options)]
    try:
        for tensor in order:
            text = texts.get(id(tensor.op))
            if text is None:
                text = texts[id(tensor.op)] = _op_text(tensor)
            sources = [numbers[source] for source in tensor.inputs]
            lines.append(f"{text} {sources} {tensor.shape} {tensor.dtype.str}")
    except CompileError:
        return None
    named: list[Any] = [
        {name: numbers.get(tensor) for name, tensor in side.items()}
        for side in (signature.inputs, signature.outputs)
    ]
    updates = [(numbers[state], numbers[new]) for state, new in signature.updates.items()]
    return "\n".join([*lines, json.dumps([*named, updates])])


def _op_text(tensor: Tensor) -> str:
    """The text of a tensor's op; CompileError where none says all, or the tensor is unsound."""
    op = tensor.op
    _check_ours(op)
    if isinstance(op, StateRead) is not isinstance(tensor, State):
        raise CompileError(f"a {type(tensor).__name__} has the op {op.name}")
    if not isinstance(op, Constant):
        return f"{op.name} {exact(op, _check_ours)}"
    value = op.value
    if value.flags.writeable or (value.shape, value.dtype) != (tensor.shape, tensor.dtype):
        raise CompileError("a constant may change, or is not what its tensor says")
    if value.nbytes <= _SHORT:
        return f"constant {value.tobytes().hex()}"
    data = np.ascontiguousarray(value).reshape(-1).view(np.uint8)
    return f"constant {hashlib.sha256(data.data).hexdigest()}"


def _check_ours(part: Any) -> None:
    """Raise CompileError for an op or a record of a class that is not Ranvier's own."""
    kind = type(part)
    if (isinstance(part, Op) or is_dataclass(part)) and not kind.__module__.startswith("ranvier."):
        raise CompileError(f"{kind.__name__} is not a class of Ranvier")
