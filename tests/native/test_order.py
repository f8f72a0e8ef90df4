"""The order of kernels, with its barriers, and the memory that temporaries share.

Both are checked by brute force on random graphs and on the steps of training.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import STEPS
from plans import plan, step_plan
from random_graphs import GraphCase, graph_cases

import ranvier as rv
from ranvier.engines.native.schedule.kernels import Buffer, Kernel
from ranvier.engines.native.schedule.memory import Arena, allocate
from ranvier.engines.native.schedule.order import Sequenced, find_cycle, sequence
from ranvier.engines.native.schedule.schedule import Schedule
from ranvier.engines.native.verify.arena import verify_arena
from ranvier.engines.native.verify.fault import StageError
from ranvier.engines.native.verify.order import verify_order

# ------------------------------------------------------------ order


def case_plan(case: GraphCase, fuse: bool, in_place: bool) -> Schedule:
    return plan(case.inputs, case.outputs, case.updates, fuse=fuse, in_place=in_place)


@settings(max_examples=60)
@given(graph_cases("float32"), st.booleans(), st.booleans())
def test_order_and_memory_of_random_graphs(case: GraphCase, fuse: bool, in_place: bool) -> None:
    found = case_plan(case, fuse, in_place)
    verify_order(found.sequenced)
    check_memory(found.sequenced, found.arena)


@pytest.mark.parametrize("options", [{}, {"fuse": False}, {"in_place": False}])
@pytest.mark.parametrize("name", STEPS)
def test_order_and_memory_of_training_steps(name: str, options: Mapping[str, Any]) -> None:
    found = step_plan(name, **options)
    verify_order(found.sequenced)
    check_memory(found.sequenced, found.arena)


class Toy(Kernel):
    """A kernel known by what it reads and writes."""

    def __init__(self, name: str, reads: tuple[Buffer, ...], writes: tuple[Buffer, ...]) -> None:
        super().__init__(name, ())
        object.__setattr__(self, "buffers", (reads, writes))

    def reads(self) -> Iterator[Buffer]:
        yield from self.buffers[0]  # type: ignore[attr-defined]

    def writes(self) -> Iterator[Buffer]:
        yield from self.buffers[1]  # type: ignore[attr-defined]


def buffer(name: str, kind: str = "temporary", size: int = 16) -> Buffer:
    return Buffer(kind, name, (size,), rv.float32)


def test_a_kernel_that_needs_no_barrier_comes_first() -> None:
    a, b, c, d = map(buffer, "abcd")
    found = sequence([Toy("a", (), (a,)), Toy("b", (a,), (b,)), Toy("c", (), (c,)),
                      Toy("d", (b, c), (d,))])  # fmt: skip
    assert [kernel.name for kernel in found.kernels] == ["a", "c", "b", "d"]
    assert found.epochs == (0, 0, 1, 2)


def test_one_barrier_serves_all_that_wait() -> None:
    a, b, c = map(buffer, "abc")
    found = sequence([Toy("a", (), (a,)), Toy("b", (a,), (b,)), Toy("c", (a,), (c,))])
    assert found.epochs == (0, 1, 1)


def test_state_is_written_after_it_is_read() -> None:
    w, y = buffer("w", "state"), buffer("y", "output")
    found = sequence([Toy("update", (w,), (w,)), Toy("use", (w,), (y,))])
    assert [kernel.name for kernel in found.kernels] == ["use", "update"]
    assert found.epochs == (0, 1)


def test_kernels_that_wait_for_each_other_are_found() -> None:
    v, w = buffer("v", "state"), buffer("w", "state")
    swap = [Toy("first", (v,), (w,)), Toy("second", (w,), (v,))]
    assert find_cycle([*swap, Toy("other", (), (buffer("y"),))]) == [0, 1]
    assert find_cycle(swap[:1]) == []


# ------------------------------------------------------------ memory


def check_memory(found: Sequenced, arena: Arena) -> None:
    """Of all pairs of temporaries, those that live in a common epoch lie apart, and all fit."""
    epochs: dict[Buffer, list[int]] = defaultdict(list)
    for epoch, kernel in zip(found.epochs, found.kernels, strict=True):
        for p in (*kernel.reads(), *kernel.writes()):
            if p.kind == "temporary":
                epochs[p].append(epoch)
    assert set(epochs) == set(arena.offsets)
    lives = {p: set(range(min(known), max(known) + 1)) for p, known in epochs.items()}
    for p, at in arena.offsets.items():
        assert at % 64 == 0
        assert 0 <= at <= at + p.nbytes <= arena.size
    for p, q in combinations(lives, 2):
        first, second = sorted((p, q), key=arena.offsets.__getitem__)
        apart = arena.offsets[first] + first.nbytes <= arena.offsets[second]
        assert apart or not lives[p] & lives[q], f"{p} and {q} overlap"


def chain() -> Sequenced:
    """a -> b -> c -> d, each in an epoch of its own."""
    a, b, c, d = map(buffer, "abcd")
    return sequence([Toy("a", (), (a,)), Toy("b", (a,), (b,)), Toy("c", (b,), (c,)),
                     Toy("d", (c,), (d,))])  # fmt: skip


def test_memory_is_used_again() -> None:
    found = chain()
    arena = allocate(found, reuse=True)
    check_memory(found, arena)
    assert arena.size == 128
    assert allocate(found, reuse=False).size == 256


def test_the_checker_finds_an_overlap() -> None:
    found = chain()
    arena = allocate(found, reuse=True)
    verify_arena(found, arena)
    a, b, c, _ = (next(kernel.writes()) for kernel in found.kernels)
    verify_arena(found, replace(arena, offsets={**arena.offsets, a: arena.offsets[c]}))
    with pytest.raises(StageError, match=r"^memory: t:[ab]: it overlaps t:[ab] in "):
        verify_arena(found, replace(arena, offsets={**arena.offsets, a: arena.offsets[b]}))
    with pytest.raises(StageError, match="amid a cache line"):
        verify_arena(found, replace(arena, offsets={**arena.offsets, a: 4}))


@settings(max_examples=200)
@given(st.data())
def test_the_checker_agrees_with_brute_force(data: st.DataObject) -> None:
    """Random kernels with random buffers at random offsets."""
    count = data.draw(st.integers(1, 8))
    made: list[Buffer] = []
    kernels: list[Kernel] = []
    for i in range(count):
        reads = tuple(p for p in made if data.draw(st.booleans()))
        made.append(buffer(f"t{i}", size=data.draw(st.sampled_from([1, 16, 40]))))
        kernels.append(Toy(f"k{i}", reads, (made[-1],)))
    found = sequence(kernels)
    check_memory(found, allocate(found, reuse=True))
    check_memory(found, allocate(found, reuse=False))
    offsets = {p: 64 * data.draw(st.integers(0, 12)) for p in made}
    arena = Arena(offsets, 64 * 16)
    try:
        check_memory(found, arena)
    except AssertionError:
        with pytest.raises(StageError, match="overlap"):
            verify_arena(found, arena)
    else:
        verify_arena(found, arena)
