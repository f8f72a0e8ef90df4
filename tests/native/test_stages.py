"""Each stage's specification catches what is broken by hand, and names the stage and the kernel.

The step is a small one with a product, a softmax, a loss and an update in place; of each stage's
result one thing is changed at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

import ranvier as rv
from ranvier.engines.native.fuse.fusion import fuse
from ranvier.engines.native.fuse.groups import FusedGroup, Fusion
from ranvier.engines.native.host import example_host
from ranvier.engines.native.indexmap import Affine, IndexMap
from ranvier.engines.native.lower.lower import lower
from ranvier.engines.native.pipeline import schedule_step
from ranvier.engines.native.schedule.kernels import (
    Body,
    BodyKernel,
    Buffer,
    Instruction,
    Kernel,
    Literal,
    Load,
    Product,
    Reduce,
    RowKernel,
    Store,
    TiledKernel,
)
from ranvier.engines.native.schedule.memory import Arena, lifetimes
from ranvier.engines.native.schedule.order import Sequenced
from ranvier.engines.native.schedule.schedule import Schedule
from ranvier.engines.native.verify.arena import verify_arena
from ranvier.engines.native.verify.bodies import verify_bodies
from ranvier.engines.native.verify.fault import StageError
from ranvier.engines.native.verify.fusion import verify_fusion
from ranvier.engines.native.verify.lowered import verify_lowered
from ranvier.engines.native.verify.order import verify_order
from ranvier.engines.program import Options, Signature
from ranvier.graph.leaves import Constant
from ranvier.graph.ops.convolution import Convolution, Geometry
from ranvier.graph.ops.pointwise import Pointwise, Tanh
from ranvier.graph.ops.reduction import Sum
from ranvier.graph.tensor import Tensor, apply

HOST = example_host("avx512")


def a_step() -> Signature:
    x = rv.input((6, 32), name="x")
    w = rv.Parameter(np.ones((32, 40), np.float32), name="w")
    u = rv.Parameter(np.ones((40, 24), np.float32), name="u")
    hidden = rv.tanh(x @ w)
    loss = -rv.log_softmax(hidden @ u, 1).mean()
    slopes = rv.gradients(loss, [w, u])
    updates = {p: p - 0.1 * g for p, g in zip((w, u), slopes, strict=True)}
    return Signature({"x": x}, {"loss": loss, "hidden": hidden}, updates)


def lowered() -> list[Tensor]:
    return lower(a_step().roots, HOST)


def scheduled() -> Schedule:
    return schedule_step(a_step(), Options(), HOST)


def refused(check: Callable[[], None], stage: str, fault: str) -> None:
    with pytest.raises(StageError) as caught:
        check()
    text = str(caught.value)
    assert text.startswith(f"{stage}: ")
    assert fault in text
    assert "please report it" in text


# ------------------------------------------------------------ lowering


@dataclass(frozen=True)
class Unknown(Pointwise):
    """An op that nobody registered."""

    def infer(self, *inputs: Tensor) -> tuple[tuple[int, ...], Any]:
        return inputs[0].shape, inputs[0].dtype


def convolved(axes: int, padding: int) -> Tensor:
    image, kernel = rv.input((2, *(8,) * axes, 3)), rv.input((*(3,) * axes, 3, 4))
    ones = (1,) * axes
    geometry = Geometry(ones, (padding,) * axes, (padding,) * axes, ones, 1)
    return rv.tanh(apply(Convolution(geometry), image, kernel))


X = rv.input((4, 4), name="x")
LOWERED: dict[str, tuple[Callable[[], Sequence[Tensor]], str]] = {
    "an op that nobody knows": (
        lambda: [Tensor(Unknown(), (X,), X.shape, X.dtype)],
        "not registered",
    ),
    "a wrong shape": (lambda: [Tensor(Tanh(), (X,), (4, 5), X.dtype)], "tanh gives float32[4,4]"),
    "a wrong dtype": (lambda: [Tensor(Tanh(), (X,), X.shape, rv.float64)], "but the tensor says"),
    "a missing input": (lambda: [Tensor(Tanh(), (), X.shape, X.dtype)], "the graph"),
    "a constant that may change": (
        lambda: [rv.tanh(Tensor(Constant(np.ones(3)), (), (3,), rv.float64))],
        "not read-only",
    ),
    "one root twice": (lambda: [rv.tanh(X)] * 2, "one tensor stands for two results"),
    "a leaf as a root": (lambda: [X], "a root that no kernel"),
    "rows taken as a root": (
        lambda: [rv.take(X, rv.constant(np.array([1])))],
        "a root that no kernel",
    ),
    "padding left in a convolution": (lambda: [convolved(2, 1)], "pads its image itself"),
    "a convolution of signals": (lambda: [convolved(1, 0)], "not two-dimensional"),
    "pooling": (lambda: [rv.tanh(rv.max_pool(rv.input((1, 4, 4, 1)), 2))], "max_pool float32"),
    "a product of no depth": (lambda: [rv.input((3, 0)) @ rv.input((0, 2))], "no depth"),
}


@pytest.mark.parametrize("case", LOWERED)
def test_a_broken_lowered_graph(case: str) -> None:
    broken, fault = LOWERED[case]
    refused(lambda: verify_lowered(broken()), "lowering", fault)


# ------------------------------------------------------------ fusion


def first(fusion: Fusion, kind: str) -> FusedGroup:
    return next(group for group in fusion.groups if group.kind == kind)


def with_reduction(fusion: Fusion) -> FusedGroup:
    return next(group for group in fusion.groups if group.inner)


def lose_a_result(fusion: Fusion) -> None:
    fusion.groups.pop()
    for node, k in list(fusion.group_of.items()):
        if k == len(fusion.groups):
            del fusion.group_of[node]


def anchor_twice(fusion: Fusion) -> None:
    (node, where), *_ = fusion.groups[0].anchors.items()
    fusion.groups[1].anchors[node] = where


def move(group: FusedGroup, change: Callable[[IndexMap], IndexMap]) -> None:
    node, where = next(iter(group.anchors.items()))
    group.anchors[node] = change(where)


def scaled(where: IndexMap) -> IndexMap:
    return replace_axes(where, [axis.scaled(2) for axis in where.axes])


def shifted(where: IndexMap) -> IndexMap:
    return replace_axes(where, [axis.scaled(1, 1) for axis in where.axes])


def turned(where: IndexMap) -> IndexMap:
    return replace_axes(where, list(where.axes)[::-1])


def replace_axes(where: IndexMap, axes: list[Affine]) -> IndexMap:
    return IndexMap(where.domain, tuple(axes), where.guards)


def swap_groups(fusion: Fusion) -> None:
    """Put the last group first: it then reads what later ones store."""
    fusion.groups.insert(0, fusion.groups.pop())
    for node in fusion.group_of:
        fusion.group_of[node] = (fusion.group_of[node] + 1) % len(fusion.groups)


def halve_inner(fusion: Fusion) -> None:
    group = with_reduction(fusion)
    node, where = next(iter(group.inner.items()))
    group.inner[node] = scaled(where)


def widen_domain(fusion: Fusion) -> None:
    group = first(fusion, "rows")
    group.domain = (*group.domain, 2)


def reduce_along_rows(fusion: Fusion) -> None:
    group = with_reduction(fusion)
    group.rows = 0


FUSED: dict[str, tuple[Callable[[Fusion], Any], str]] = {
    "a result lost": (lose_a_result, "no group stores the result"),
    "a tensor in two groups": (anchor_twice, "is in two groups"),
    "every other element": (lambda f: move(first(f, "contraction"), scaled), "every element once"),
    "off by one": (lambda f: move(first(f, "contraction"), shifted), "every element once"),
    "axes turned round": (lambda f: move(first(f, "contraction"), turned), "every element once"),
    "other loops": (widen_domain, "the group over"),
    "too many rows": (lambda f: setattr(first(f, "rows"), "rows", 9), "of the loops are rows"),
    "a reader first": (swap_groups, "stores later"),
    "a read of what lies nowhere": (
        lambda f: f.groups[0].reads.update({rv.tanh(X): None}),
        "which no group stores",
    ),
    "a reduction of nothing": (lambda f: with_reduction(f).inner.clear(), "no map of its input"),
    "half of what is reduced": (halve_inner, "every element once"),
    "a sum along its own rows": (reduce_along_rows, "varies along the loops that it runs over"),
    "an unknown kind": (lambda f: setattr(f.groups[0], "kind", "magic"), "no kernel"),
    "a product that is none": (
        lambda f: setattr(first(f, "rows"), "kind", "contraction"),
        "its first tensor is",
    ),
    "an empty group": (lambda f: f.groups[0].anchors.clear(), "it computes nothing"),
}


@pytest.mark.parametrize("case", FUSED)
def test_a_broken_fusion(case: str) -> None:
    breaks, fault = FUSED[case]
    roots = lowered()
    fusion = fuse(roots, True)
    verify_fusion(fusion, roots)
    breaks(fusion)
    if fault == "of the loops are rows":
        fault = "loops are rows"
    refused(lambda: verify_fusion(fusion, roots), "fusion", fault)


# ------------------------------------------------------------ bodies


def row_kernel() -> RowKernel:
    """A kernel with loads, a reduction and stores."""
    found = scheduled().sequenced.kernels
    return next(
        k for k in found if isinstance(k, RowKernel)
        and any(isinstance(x, Reduce) for x in k.body.instructions)
    )  # fmt: skip


def tiled_kernel() -> TiledKernel:
    found = scheduled().sequenced.kernels
    return next(k for k in found if isinstance(k, TiledKernel))


def changed(kernel: BodyKernel, kind: type[Instruction], **fields: Any) -> BodyKernel:  # type: ignore[valid-type]
    """The kernel with some fields of its first instruction of a kind replaced."""
    instructions = list(kernel.body.instructions)
    number = next(i for i, x in enumerate(instructions) if isinstance(x, kind))
    instructions[number] = replace(instructions[number], **fields)  # type: ignore[type-var]
    return with_body(kernel, instructions)


def with_body(kernel: BodyKernel, instructions: Sequence[Instruction]) -> BodyKernel:
    return replace(kernel, body=replace(kernel.body, instructions=tuple(instructions)))


def at(kernel: BodyKernel, kind: type[Instruction]) -> Affine:  # type: ignore[valid-type]
    found = next(x for x in kernel.body.instructions if isinstance(x, kind))
    position: Affine = found.at  # type: ignore[attr-defined]
    return position


def reversed_body() -> BodyKernel:
    kernel = row_kernel()
    stores = [x for x in kernel.body.instructions if isinstance(x, Store)]
    rest = [x for x in kernel.body.instructions if not isinstance(x, Store)]
    return with_body(kernel, [*rest[:-1], stores[0], rest[-1], *stores[1:]])


def beyond(kernel: BodyKernel, kind: type[Instruction]) -> BodyKernel:  # type: ignore[valid-type]
    return changed(kernel, kind, at=at(kernel, kind).scaled(1, 10_000))


def standing(kernel: BodyKernel) -> BodyKernel:
    """Every point of the loops stores to one element."""
    return changed(kernel, Store, at=Affine(0, (0,) * len(kernel.body.domain)))


def overlapping(kernel: BodyKernel) -> BodyKernel:
    return changed(kernel, Store, at=Affine(0, (1,) * len(kernel.body.domain)))


BODIES: dict[str, tuple[Callable[[], BodyKernel], str]] = {
    "a value from later on": (lambda: changed(row_kernel(), Reduce, arg=10_000), "not computed"),
    "a load past the end": (lambda: beyond(row_kernel(), Load), "it leaves"),
    "a store past the end": (lambda: beyond(row_kernel(), Store), "it leaves"),
    "a store before the start": (
        lambda: changed(tiled_kernel(), Store, at=at(tiled_kernel(), Store).scaled(1, -1)),
        "it leaves",
    ),
    "a store that stands still": (lambda: standing(tiled_kernel()), "does not follow"),
    "a store that writes twice": (lambda: overlapping(tiled_kernel()), "twice"),
    "a store as another dtype": (
        lambda: changed(row_kernel(), Store, dtype=rv.float64),
        "it stores float32 as float64",
    ),
    "a load as another dtype": (
        lambda: changed(row_kernel(), Load, dtype=rv.int32),
        "holds float32, not int32",
    ),
    "a product without a contraction": (
        lambda: with_body(row_kernel(), [Product(rv.float32), *row_kernel().body.instructions[1:]]),
        "a product outside",
    ),
    "a reduction of a tile": (
        lambda: with_body(
            tiled_kernel(),
            [
                tiled_kernel().body.instructions[0],
                Reduce(Sum((0,)), 0, rv.float32),
                *tiled_kernel().body.instructions[1:],
            ],
        ),
        "a reduction in an epilogue",
    ),
    "a load after a store": (reversed_body, "comes after a store"),
    "too few loops": (
        lambda: changed(row_kernel(), Load, at=Affine(0, ())),
        "not over the",
    ),
    "more rows than loops": (
        lambda: replace(row_kernel(), body=replace(row_kernel().body, rows=7)),
        "loops are rows",
    ),
    "no store": (
        lambda: with_body(
            row_kernel(),
            [x for x in row_kernel().body.instructions if not isinstance(x, Store)],
        ),
        "it stores nothing",
    ),
}


@pytest.mark.parametrize("case", BODIES)
def test_a_broken_body(case: str) -> None:
    broken, fault = BODIES[case]
    kernel = broken()
    refused(lambda: verify_bodies([kernel]), "bodies", fault)
    with pytest.raises(StageError, match=kernel.name):
        verify_bodies([kernel])


def test_positions_under_guards_are_counted_out() -> None:
    x = rv.input((5, 6))
    padded = rv.pad(x, ((1, 1), (0, 2))) * 2.0
    found = schedule_step(Signature({"x": x}, {"y": padded}, {}), Options(), HOST)
    (kernel,) = found.sequenced.kernels
    assert isinstance(kernel, BodyKernel)
    wrong = changed(kernel, Load, at=at(kernel, Load).scaled(1, 1))
    refused(lambda: verify_bodies([wrong]), "bodies", "it leaves i:x")


# ------------------------------------------------------------ order


def reordered(change: Callable[[list[Kernel], list[int]], None]) -> Sequenced:
    found = scheduled().sequenced
    kernels, epochs = list(found.kernels), list(found.epochs)
    change(kernels, epochs)
    return Sequenced(tuple(kernels), tuple(epochs))


def reverse(kernels: list[Kernel], epochs: list[int]) -> None:
    kernels.reverse()


def drop(kernels: list[Kernel], epochs: list[int]) -> None:
    del kernels[0], epochs[-1]


def repeat(kernels: list[Kernel], epochs: list[int]) -> None:
    kernels.append(kernels[-1])
    epochs.append(epochs[-1])


def update_first(kernels: list[Kernel], epochs: list[int]) -> None:
    """A kernel that reads state after another has replaced it."""
    state, copy = (Buffer(kind, "w", (4,), rv.float32) for kind in ("state", "temporary"))
    line = Affine(0, (1,))
    one, read = Literal(1.0, rv.float32), Load(state, line, (), rv.float32)
    writes = RowKernel("writer", (), Body((4,), 1, (one, Store(state, line, 0, rv.float32))))
    reads = RowKernel("reader", (), Body((4,), 1, (read, Store(copy, line, 0, rv.float32))))
    kernels[:], epochs[:] = [writes, reads], [0, 1]


def write_input(kernels: list[Kernel], epochs: list[int]) -> None:
    kernel = next(k for k in kernels if any(b.kind == "input" for b in k.reads()))
    given = next(b for b in kernel.reads() if b.kind == "input")
    assert isinstance(kernel, BodyKernel)
    body = Body((given.size,), 1, (Load(given, Affine(0, (1,)), (), given.dtype),
                                   Store(given, Affine(0, (1,)), 0, given.dtype)))  # fmt: skip
    kernels.append(RowKernel("vandal", (), body))
    epochs.append(epochs[-1])


def read_own(kernels: list[Kernel], epochs: list[int]) -> None:
    number, kernel = next(
        (i, k) for i, k in enumerate(kernels) if isinstance(k, BodyKernel)
        and any(b.kind == "temporary" for b in k.writes())
    )  # fmt: skip
    target = next(b for b in kernel.writes() if b.kind == "temporary")
    load = Load(target, Affine(0, (0,) * len(kernel.body.domain)), (), target.dtype)
    shifted = [shift(x) for x in kernel.body.instructions]
    kernels[number] = with_body(kernel, [load, *shifted])


def shift(x: Instruction) -> Instruction:
    """The instruction when one more stands before it."""
    fields: dict[str, Any] = {}
    for name in ("arg", "otherwise"):
        if getattr(x, name, None) is not None:
            fields[name] = getattr(x, name) + 1
    if hasattr(x, "args"):
        fields["args"] = tuple(arg + 1 for arg in x.args)
    return replace(x, **fields)  # type: ignore[type-var]


def count(change: Callable[[list[int]], list[int]]) -> Callable[[list[Kernel], list[int]], None]:
    def apply_to(kernels: list[Kernel], epochs: list[int]) -> None:
        epochs[:] = change(epochs)

    return apply_to


ORDERS: dict[str, tuple[Callable[[list[Kernel], list[int]], None], str]] = {
    "no barrier at all": (count(lambda e: [0] * len(e)), "it reads "),
    "a missing barrier": (count(lambda e: [max(0, n - 1) for n in e]), "without a barrier"),
    "backwards": (reverse, "without a barrier"),
    "a kernel left out": (drop, "which nothing writes"),
    "a kernel twice": (repeat, "writes too"),
    "state overwritten too early": (update_first, "may have overwritten"),
    "a barrier skipped in counting": (count(lambda e: [2 * n for n in e]), "one by one"),
    "counted from one": (count(lambda e: [n + 1 for n in e]), "one by one"),
    "too few counts": (count(lambda e: e[:-1]), "one by one"),
    "an input overwritten": (write_input, "which is given"),
    "a read of what is yet to be written": (read_own, "which it has yet to write"),
}


@pytest.mark.parametrize("case", ORDERS)
def test_a_broken_order(case: str) -> None:
    change, fault = ORDERS[case]
    refused(lambda: verify_order(reordered(change)), "order", fault)


# ------------------------------------------------------------ memory


def neighbours(found: Schedule) -> tuple[Any, Any]:
    """Two temporaries that live at the same time."""
    spans = lifetimes(found.sequenced)
    return next(
        (a, b) for a in spans for b in spans
        if a is not b and spans[a][0] <= spans[b][1] and spans[b][0] <= spans[a][1]
    )  # fmt: skip


def placed(found: Schedule, offset: Callable[[Arena, Any, Any], int]) -> Arena:
    a, b = neighbours(found)
    arena = found.arena
    moved = {**arena.offsets, a: offset(arena, a, b)}
    return replace(arena, offsets=moved, size=arena.size + a.nbytes)


MEMORY: dict[str, tuple[Callable[[Schedule], Arena], str]] = {
    "one on another": (lambda s: placed(s, lambda a, x, y: a.offsets[y]), "overlaps"),
    "the end of another": (
        lambda s: placed(s, lambda a, x, y: a.offsets[y] + (y.nbytes - 1) // 64 * 64),
        "overlaps",
    ),
    "past the end": (lambda s: placed(s, lambda a, x, y: a.size + 64), "leaves the arena"),
    "before the start": (lambda s: placed(s, lambda a, x, y: -64), "leaves the arena"),
    "amid a cache line": (
        lambda s: placed(s, lambda a, x, y: a.offsets[x] + 4),
        "amid a cache line",
    ),
    "no memory": (
        lambda s: replace(
            s.arena,
            offsets={b: at for b, at in s.arena.offsets.items() if b is not neighbours(s)[0]},
        ),
        "it has no memory",
    ),
    "an arena too small": (
        lambda s: replace(s.arena, size=max(s.arena.offsets.values())),
        "leaves the arena",
    ),
    "an empty arena": (lambda s: replace(s.arena, size=0), "leaves the arena"),
    "everything at the start": (
        lambda s: replace(s.arena, offsets=dict.fromkeys(s.arena.offsets, 0)),
        "overlaps",
    ),
    "everything a line apart": (
        lambda s: replace(s.arena, offsets={b: 64 * i for i, b in enumerate(s.arena.offsets)}),
        "overlaps",
    ),
}


@pytest.mark.parametrize("case", MEMORY)
def test_a_broken_arena(case: str) -> None:
    change, fault = MEMORY[case]
    found = scheduled()
    verify_arena(found.sequenced, found.arena)
    refused(lambda: verify_arena(found.sequenced, change(found)), "memory", fault)
