"""A network as its `repr` shows it: a line for each module, indented by its place."""

from __future__ import annotations

from collections.abc import Iterator
from reprlib import Repr
from typing import Any

from ranvier.graph.leaves import Parameter, State
from ranvier.nn.module import Module, by, leaves_of
from ranvier.nn.sequential import Sequential

_MOST_LINES = 200
_LONGEST = 60
"""Arguments and shapes of a module are shortened to so many characters."""
_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = _LONGEST


def outline(net: Module) -> str:
    """Return the modules of a network with their arguments, and with their state once built.

    A module that stands at several places is shown at the first; beyond 200 lines the rest is
    counted.
    """
    rows = [_row(module, label, depth) for module, label, depth in _below(net)]
    shown = rows[:_MOST_LINES]
    widths = [max(len(row[column]) for row in shown) for column in range(3)]
    lines = [
        f"{name:<{widths[0]}}  {shapes:<{widths[1]}}  {count:>{widths[2]}}".rstrip()
        for name, shapes, count in shown
    ]
    if len(rows) > len(shown):
        lines.append(f"… and {len(rows) - len(shown)} more")
    count = sum(p.size for p in net.parameters(frozen=True).values())
    if len(rows) > 1:
        lines.append(f"{count:,} parameters" if net.states() else "not built yet: shapes unknown")
    return "\n".join(lines)


def _below(net: Module) -> Iterator[tuple[Any, str, int]]:
    """Yield the network and all below it, each once: module, label, depth."""
    seen: set[int] = set()
    left: list[tuple[Any, str, int]] = [(net, "", 0)]
    while left:
        module, label, depth = left.pop()
        if id(module) in seen:
            continue
        if isinstance(module, Module):
            seen.add(id(module))
            inner = [(child, name, depth + 1) for name, child in _children(module)]
            left += reversed(inner)
        yield module, label, depth


def _children(module: Module) -> list[tuple[str, Any]]:
    """The modules of a module; of a `Sequential` the functions too."""
    if isinstance(module, Sequential):
        return list(zip(module.names, module, strict=True))
    return [(label, leaf) for label, leaf in leaves_of(module) if isinstance(leaf, Module)]


def _row(module: Any, label: str, depth: int) -> tuple[str, str, str]:
    name = "  " * depth + (f"{label}: " if label else "")
    if not isinstance(module, Module):
        return name + getattr(module, "__name__", type(module).__name__), "", ""
    own = [(path, leaf) for path, leaf in leaves_of(module) if isinstance(leaf, State)]
    shapes = ", ".join(f"{path} {by(state.shape)}" for path, state in own)
    count = sum(state.size for _, state in own if isinstance(state, Parameter))
    return name + _made(module), _cut(shapes), f"{count:,}" if own else ""


def _made(module: Module) -> str:
    """The class with the arguments that are no modules, as the user wrote them."""
    if isinstance(module, Sequential):
        return type(module).__name__
    made = module._made_with
    given = [_SHORT.repr(value) for value in made.args if not _holds_modules(value)]
    given += [
        f"{key}={_SHORT.repr(value)}"
        for key, value in made.kwargs.items()
        if not _holds_modules(value)
    ]
    return f"{type(module).__name__}({_cut(', '.join(given))})"


def _holds_modules(value: Any) -> bool:
    parts = value if isinstance(value, list | tuple) else [value]
    return any(isinstance(part, Module) for part in parts)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
