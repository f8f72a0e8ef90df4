"""Iterative walks over a graph; nothing in Ranvier recurses on graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set

from ranvier.graph.tensor import Tensor


def topological(roots: Iterable[Tensor], known: Set[Tensor] = frozenset()) -> list[Tensor]:
    """Return every tensor that `roots` depend on, roots included, inputs before users.

    Those in `known` are left out, with all that only they depend on.
    """
    order: list[Tensor] = []
    entered: set[Tensor] = set()
    path: list[Tensor] = []  # from a root down to the tensor at hand
    behind: list[Iterator[Tensor]] = []  # what is left to visit beside each of them
    left = iter(roots)
    while True:
        for tensor in left:
            if tensor not in entered and tensor not in known:
                entered.add(tensor)
                path.append(tensor)
                behind.append(left)
                left = iter(tensor.inputs)
                break
        else:
            if not path:
                return order
            order.append(path.pop())
            left = behind.pop()


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
    for before, after in zip(old.inputs, inputs, strict=True):
        if before is not after:
            return Tensor(old.op, inputs, old.shape, old.dtype)
    return old


def users(order: Iterable[Tensor]) -> Mapping[Tensor, list[Tensor]]:
    """Return for each tensor of `order` the tensors in it that read it."""
    readers: dict[Tensor, list[Tensor]] = {tensor: [] for tensor in order}
    for tensor in readers:
        for source in dict.fromkeys(tensor.inputs):
            readers[source].append(tensor)
    return readers
