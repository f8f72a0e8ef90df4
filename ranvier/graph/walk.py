"""Iterative walks over a graph; nothing in Ranvier recurses on graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from ranvier.graph.tensor import Tensor


def topological(roots: Iterable[Tensor]) -> list[Tensor]:
    """Return every tensor that `roots` depend on, roots included, inputs before users."""
    order: list[Tensor] = []
    done: set[Tensor] = set()
    stack = list(roots)[::-1]
    while stack:
        tensor = stack[-1]
        waiting = [] if tensor in done else [s for s in tensor.inputs if s not in done]
        if waiting:
            stack += waiting[::-1]
            continue
        stack.pop()
        if tensor not in done:
            done.add(tensor)
            order.append(tensor)
    return order


def rewrite(
    roots: Iterable[Tensor], rule: Callable[[Tensor, tuple[Tensor, ...]], Tensor]
) -> dict[Tensor, Tensor]:
    """Rebuild the graph bottom up and return the new tensor for each old one.

    `rule(old, inputs)` gets each tensor with its already rewritten inputs; `rebuild` is the
    rule that changes nothing.
    """
    new: dict[Tensor, Tensor] = {}
    for old in topological(roots):
        new[old] = rule(old, tuple(new[source] for source in old.inputs))
    return new


def rebuild(old: Tensor, inputs: tuple[Tensor, ...]) -> Tensor:
    """Return `old` over `inputs`: itself where nothing changed."""
    if all(a is b for a, b in zip(old.inputs, inputs, strict=True)):
        return old
    return Tensor(old.op, inputs, old.shape, old.dtype)


def users(order: Iterable[Tensor]) -> Mapping[Tensor, list[Tensor]]:
    """Return for each tensor of `order` the tensors in it that read it."""
    readers: dict[Tensor, list[Tensor]] = {tensor: [] for tensor in order}
    for tensor in readers:
        for source in dict.fromkeys(tensor.inputs):
            readers[source].append(tensor)
    return readers
