"""`compile` checks a step and hands it to an engine."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

from ranvier.engines.program import Options, Program, Signature, is_count
from ranvier.errors import GraphError, InputError, ShapeError
from ranvier.graph.leaves import Input, State
from ranvier.graph.printing import type_text
from ranvier.graph.tensor import Tensor
from ranvier.graph.walk import topological
from ranvier.guidance.calls import explained, unknown_argument

VERIFY = "RANVIER_VERIFY"
"""The environment variable that, if set, stands for `verify=True` in all programs."""


@explained
def compile(  # noqa: A001 (the name is the contract)
    inputs: Mapping[str, Tensor],
    outputs: Mapping[str, Tensor],
    updates: Mapping[State, Tensor] | None = None,
    engine: str = "native",
    **options: Any,
) -> Program:
    """Compile a step: `outputs` by name, and the new value of each state in `updates`.

    All new values are computed from the state at the beginning of the step. Every program
    input that the graph reads stands in `inputs`. `engine` is "native" or "reference";
    `options` are the fields of `Options`.
    """
    chosen = _options(options)
    for what, given in (("inputs", inputs), ("outputs", outputs)):
        if not isinstance(given, Mapping):
            kind = type(given).__name__
            raise GraphError(f"{what} is of type {kind}; pass a dictionary of tensors by name")
    if not isinstance(updates, Mapping | None):
        kind = type(updates).__name__
        raise GraphError(f"updates is of type {kind}; pass a dictionary of new values by state")
    signature = Signature(dict(inputs), dict(outputs), dict(updates or {}))
    _check(signature)
    with _collector_paused():
        if engine == "reference":
            from ranvier.engines.reference import ReferenceProgram

            return ReferenceProgram(signature, chosen)
        if engine == "native":
            from ranvier.engines.native.program import NativeProgram

            return NativeProgram(signature, chosen)
    raise InputError(f"there is no engine {engine!r}; use 'native' or 'reference'")


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Leave cyclic garbage for later: compiling makes many objects, and a tenth of its time
    would go into looking through them for cycles that are not there."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def check_options(owner: str, given: Iterable[str], beside: Iterable[str] = ()) -> None:
    """Refuse what is no option of `Options`, nor `beside` an argument of the owner."""
    known = [field.name for field in fields(Options)]
    own = [name for name in beside if name not in ("options", "self")]
    for name in given:
        if name not in known:
            kind = "argument" if own else "option"
            raise unknown_argument(owner, name, [*own, *known], kind=kind)


def _options(given: Mapping[str, Any]) -> Options:
    check_options("compile", given)
    if os.environ.get(VERIFY):
        given = {"verify": True, **given}
    return Options(**{name: _option(name, value) for name, value in given.items()})


def _option(name: str, value: Any) -> Any:
    """Return the value of an option as `Options` has it, or raise InputError."""
    if name == "threads" and value is not None:
        if not is_count(value, 1):
            raise InputError(f"threads is {value!r}; use a whole number from 1 on, or None")
        return int(value)
    if name == "passes":
        listed = isinstance(value, Iterable) and not isinstance(value, str)
        names = tuple(value) if listed else (None,)
        if not all(isinstance(pass_name, str) for pass_name in names):
            raise InputError(f"passes is {value!r}; use a list of names, such as ['fold']")
        return names
    return value


def _check(signature: Signature) -> None:
    _check_kinds(signature)
    names: dict[Tensor, str] = {}
    for name, tensor in signature.inputs.items():
        if not isinstance(tensor.op, Input):
            made = f"computed by {tensor.op.name}" if tensor.inputs else f"a {tensor.op.name}"
            raise GraphError(f"inputs[{name!r}] is {made}; make it with rv.input(...)")
        if tensor in names:
            raise GraphError(f"inputs {names[tensor]!r} and {name!r} are one tensor; name it once")
        names[tensor] = name
    if "steps" in signature.inputs:
        raise GraphError("an input cannot be called 'steps', which counts the steps of a call")
    for state, new in signature.updates.items():
        if (new.shape, new.dtype) != (state.shape, state.dtype):
            raise ShapeError(
                f"the update of {state.label or 'a state'} is {type_text(new)}, "
                f"the state {type_text(state)}; they must agree"
            )
    for tensor in topological(signature.roots):
        if isinstance(tensor.op, Input) and tensor not in names:
            label = tensor.op.label or type_text(tensor)
            raise GraphError(f"the graph reads the input {label}, which `inputs` does not name")


def _check_kinds(signature: Signature) -> None:
    named = [("inputs", signature.inputs), ("outputs", signature.outputs)]
    for what, tensors in named:
        for name, tensor in tensors.items():
            if not isinstance(name, str):
                raise GraphError(f"{what} has a name of type {type(name).__name__}; use strings")
            if not isinstance(tensor, Tensor):
                kind = type(tensor).__name__
                raise GraphError(f"{what}[{name!r}] is of type {kind}; it must be a tensor")
    for state, new in signature.updates.items():
        if not isinstance(state, State):
            raise GraphError("updates has a key that is no Parameter or Buffer")
        if not isinstance(new, Tensor):
            label, kind = state.label or "a state", type(new).__name__
            raise GraphError(f"the update of {label} is of type {kind}; it must be a tensor")
