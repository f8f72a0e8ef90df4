"""Evaluating a body's instructions at one point of its domain.

Each instruction is evaluated where it is needed least often: once a kernel if it depends on
no loop, once a unit (a row, or a vector of rows) if it depends on the unit's loops only, else
at every point of the inner loops. Reductions divide the inner loops into passes: what needs
a reduction's result runs in the next pass, where cheap values are computed anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import field

import numpy as np
from llvmlite import ir

from ranvier.dtypes import DType, bfloat16
from ranvier.engines.native.emit.ir import builder as e
from ranvier.engines.native.emit.ir.access import Point, guard_mask, read, write
from ranvier.engines.native.emit.ir.builder import Value
from ranvier.engines.native.emit.ir.pointwise import compute, literal, value_type
from ranvier.engines.native.schedule.dataflow import arguments, positions
from ranvier.engines.native.schedule.kernels import (
    Body,
    Buffer,
    Choose,
    Compute,
    Instruction,
    Literal,
    Load,
    Product,
    Reduce,
    Store,
)
from ranvier.records import dataclass

CONSTANT, UNIT, INNER = range(3)
"""The levels: evaluated once a kernel, once a unit, at every point of the inner loops."""


@dataclass(frozen=True)
class Plan:
    """When each instruction of a body is evaluated.

    level: one of CONSTANT, UNIT, INNER. depth: the number of reductions on the way to it,
    which is the pass in which an inner instruction can first be evaluated.
    """

    body: Body
    level: tuple[int, ...]
    depth: tuple[int, ...]

    @property
    def passes(self) -> int:
        """The number of passes over the inner loops."""
        inner = [d for d, level in zip(self.depth, self.level, strict=True) if level == INNER]
        reduces = [self.depth[i] for i, x in self.numbered(Reduce)]
        return 1 + max((*inner, *reduces), default=-1)

    def at_level(self, level: int) -> list[int]:
        """The instructions evaluated at one level, in order."""
        return [i for i, found in enumerate(self.level) if found == level]

    def numbered(self, kind: type[Instruction]) -> list[tuple[int, Instruction]]:
        """The instructions of one kind, with their numbers."""
        return [(i, x) for i, x in enumerate(self.body.instructions) if isinstance(x, kind)]

    def pass_of(self, number: int) -> int:
        """The pass that evaluates a reduction's argument or performs an inner store.

        State is written in the last pass, when nothing of the old value is still to be read.
        """
        x = self.body.instructions[number]
        if isinstance(x, Store) and x.buffer.kind == "state":
            return self.passes - 1
        return self.depth[number]

    def targets(self, number: int) -> list[int]:
        """The reductions and inner stores of pass `number`."""
        return [
            i
            for i, x in enumerate(self.body.instructions)
            if (isinstance(x, Reduce) or (isinstance(x, Store) and self.level[i] == INNER))
            and self.pass_of(i) == number
        ]

    def slice(self, targets: Iterable[int]) -> list[int]:
        """The inner instructions that `targets` need, in order, targets included."""
        needed: set[int] = set()
        stack = list(targets)
        while stack:
            i = stack.pop()
            if i not in needed:
                needed.add(i)
                args = arguments(self.body.instructions[i])
                stack.extend(a for a in args if self.level[a] == INNER)
        return sorted(needed)


def plan_body(body: Body, inner: Iterable[int]) -> Plan:
    """Decide when to evaluate what, given the dimensions that the inner loops run over."""
    inside = set(inner)
    level: list[int] = []
    depth: list[int] = []
    for x in body.instructions:
        args = arguments(x)
        reach = max((level[a] for a in args), default=CONSTANT)
        after = [depth[a] + isinstance(body.instructions[a], Reduce) for a in args]
        below = max(after, default=0)
        if isinstance(x, Product):
            reach = INNER
        if isinstance(x, Reduce | Store):
            # A store belongs to the thread that owns the unit, a reduction's result to the unit.
            reach = max(reach, UNIT) if isinstance(x, Store) else UNIT
        for at in () if isinstance(x, Reduce) else positions(x):
            used = {d for d, term in enumerate(at.terms) if term}
            reach = max(reach, INNER if used & inside else UNIT if used else CONSTANT)
        level.append(reach)
        depth.append(below)
    return Plan(body, tuple(level), tuple(depth))


@dataclass
class Evaluator:
    """Emits instructions; `values` maps their numbers to what they gave, where still valid."""

    b: Value
    body: Body
    address: Callable[[Buffer], Value]
    product: Callable[[Point], Value] | None = None
    values: dict[int, Value] = field(default_factory=dict)

    def run(self, numbers: Iterable[int], point: Point) -> None:
        """Evaluate the instructions `numbers` at `point`, each once; reductions are left out."""
        for i in numbers:
            if i not in self.values and not isinstance(self.body.instructions[i], Reduce):
                self._evaluate(i, point)

    def scoped(self) -> Evaluator:
        """An evaluator that knows what this one knows and keeps what it adds to itself."""
        return Evaluator(self.b, self.body, self.address, self.product, dict(self.values))

    def vector(self, number: int, lanes: int) -> Value:
        """A value as a vector."""
        value = self.values[number]
        return value if isinstance(value.type, ir.VectorType) else e.splat(self.b, value, lanes)

    def _evaluate(self, number: int, point: Point) -> None:
        b, x = self.b, self.body.instructions[number]
        match x:
            case Literal():
                self.values[number] = literal(value_type(x.dtype), _bits(x))
            case Load():
                guard = guard_mask(b, x.guards, point) if x.guards else None
                base = self.address(x.buffer)
                self.values[number] = read(b, base, x.at, x.dtype, point, guard, x.buffer.size)
            case Compute():
                dtype = self._dtype(x.args[-1])
                args = self._alike(x.args, point.lanes)
                self.values[number] = compute(b, x.op.name, dtype, args, x.dtype)
            case Choose():
                self.values[number] = self._choose(x, point)
            case Product():
                assert self.product is not None
                self.values[number] = self.product(point)
            case Store():
                value = self.values[x.arg]
                write(b, self.address(x.buffer), x.at, x.dtype, value, point)

    def _dtype(self, number: int) -> DType:
        return self.body.instructions[number].dtype

    def _alike(self, numbers: Iterable[int], lanes: int) -> list[Value]:
        """The values, all scalars or all vectors."""
        values = [self.values[i] for i in numbers]
        if any(isinstance(v.type, ir.VectorType) for v in values):
            return [self.vector(i, lanes) for i in numbers]
        return values

    def _choose(self, x: Choose, point: Point) -> Value:
        holds = guard_mask(self.b, x.guards, point)
        values = [self.values[x.arg]]
        zero = literal(value_type(x.dtype), 0)
        values.append(zero if x.otherwise is None else self.values[x.otherwise])
        if any(isinstance(v.type, ir.VectorType) for v in (holds, *values)):
            holds, *values = (
                v if isinstance(v.type, ir.VectorType) else e.splat(self.b, v, point.lanes)
                for v in (holds, *values)
            )
        return self.b.select(holds, *values)


def addresses(b: Value, table: Value, slots: Mapping[Buffer, int]) -> Callable[[Buffer], Value]:
    """A function that loads each buffer's address from the pointer table once, right here."""
    known = {buffer: e.buffer(b, table, slot) for buffer, slot in slots.items()}
    return known.__getitem__


def _bits(x: Literal) -> bool | int | float:
    """A number as LLVM has it: bfloat16, which is only moved, as its bits."""
    if x.dtype == bfloat16:
        return int(np.asarray(x.value, bfloat16).view(np.uint16))
    return x.value
