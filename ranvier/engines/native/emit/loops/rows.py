"""Row kernels: pointwise work and reductions over rows and columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

from llvmlite import ir

from ranvier.engines.native.emit.ir import builder as e
from ranvier.engines.native.emit.ir.access import Point
from ranvier.engines.native.emit.ir.builder import Value
from ranvier.engines.native.emit.loops.body import (
    CONSTANT,
    UNIT,
    Evaluator,
    Plan,
    addresses,
    plan_body,
)
from ranvier.engines.native.emit.loops.pairwise import added, pairwise
from ranvier.engines.native.emit.loops.pairwise import loop as pairwise_loop
from ranvier.engines.native.emit.loops.reduce import Accumulator, Fold, accumulator
from ranvier.engines.native.emit.loops.shape import Loops, shape_loops
from ranvier.engines.native.host import Host
from ranvier.engines.native.schedule.kernels import Body, Buffer, Reduce, RowKernel, Store
from ranvier.graph.tensor import Shape


def emit_rows(
    module: Value, host: Host, kernel: RowKernel, slots: Mapping[Buffer, int], name: str
) -> Value:
    """Emit the kernel function `name`: each thread works on its share of the units."""
    loops = shape_loops(kernel.body, host)
    function, b = e.kernel(module, name)
    table, thread, threads = function.args
    body = loops.body
    used = {buffer: slots[buffer] for buffer in (*kernel.reads(), *kernel.writes())}
    evaluator = Evaluator(b, body, addresses(b, table, used))
    plan = plan_body(body, range(body.rows, len(body.domain)))
    sums = {i: accumulator(b, x, loops) for i, x in plan.numbered(Reduce)}  # type: ignore[arg-type]
    nowhere = Point(tuple(e.i64(0) for _ in body.domain))
    evaluator.run(plan.at_level(CONSTANT), nowhere)
    writer = _Rows(b, loops, plan, evaluator, sums)
    start, stop = e.share(b, writer.units, thread, threads)
    with e.loop(b, start, stop) as unit:
        writer.emit_unit(unit)
    b.ret_void()
    return function


@dataclass
class _Rows:
    """Emits the work of one unit: a row, a block of a row, or a vector of rows."""

    b: Value
    loops: Loops
    plan: Plan
    evaluator: Evaluator
    sums: Mapping[int, Accumulator]

    @property
    def body(self) -> Body:
        return self.loops.body

    @property
    def units(self) -> int:
        """The number of units that threads share."""
        rows = self.body.domain[: self.body.rows]
        if 0 in self.body.domain and not self.sums:
            return 0
        if self.loops.style == "column":
            return prod(rows[:-1]) * -(-rows[-1] // self.loops.lanes) if self.loops.lanes else 1
        return prod(rows) * self._blocks

    @property
    def _blocks(self) -> int:
        return -(-self.body.domain[-1] // self.loops.block) if self.loops.block else 1

    def emit_unit(self, unit: Value) -> None:
        point, block = self._unit_point(unit)
        plan = self.plan
        here = self.evaluator.scoped()
        unit_level = plan.at_level(UNIT)
        here.run([i for i in unit_level if plan.depth[i] == 0 and self._early(i)], point)
        for number in range(plan.passes):
            targets = plan.targets(number)
            if targets:
                for i in targets:
                    if i in self.sums:
                        self.sums[i].reset(self.b)
                self._emit_pass(targets, point, block, here)
                for i in targets:
                    if i in self.sums:
                        here.values[i] = self.sums[i].result(self.b)
            ready = [i for i in unit_level if plan.depth[i] <= number + 1 and self._early(i)]
            here.run(ready, point)
        here.run(unit_level, point)

    def _early(self, number: int) -> bool:
        """Stores of whole units come last, after every read."""
        return not isinstance(self.body.instructions[number], Store)

    def _unit_point(self, unit: Value) -> tuple[Point, Value]:
        """The indices of a unit's rows; columns stand at 0. Also the number of its block."""
        b, body, loops = self.b, self.body, self.loops
        rows = body.domain[: body.rows]
        columns = [e.i64(0)] * len(body.columns)
        if loops.style == "row":
            block = e.rem(b, unit, self._blocks)
            indices = delinearized(b, e.div(b, unit, self._blocks), rows)
            return Point((*indices, *columns)), block
        if not loops.lanes:
            return Point((*(e.i64(0) for _ in rows), *columns)), e.i64(0)
        blocks = -(-rows[-1] // loops.lanes)
        first = e.mul(b, e.rem(b, unit, blocks), loops.lanes)
        indices = delinearized(b, e.div(b, unit, blocks), rows[:-1])
        point = Point((*indices, first, *columns), body.rows - 1, loops.lanes)
        if rows[-1] % loops.lanes:
            mask = e.lane_mask(b, b.sub(e.i64(rows[-1]), first), loops.lanes)
            point = replace(point, mask=mask)
        return point, e.i64(0)

    def _emit_pass(self, targets: Sequence[int], unit: Point, block: Value, at: Evaluator) -> None:
        """One pass over the inner loops, for the reductions and stores `targets`."""
        body, loops = self.body, self.loops
        numbers = self.plan.slice(targets)
        sums = [self.sums[i] for i in targets if i in self.sums]
        rounded = [x for x in sums if isinstance(x, Fold) and x.rounds]
        rows, nest = unit.indices[: body.rows], [range(n) for n in body.columns]
        if loops.style == "column" or not loops.lanes:
            with pairwise(self.b, nest, 1, rounded) as indices:
                self._emit_point(numbers, replace(unit, indices=(*rows, *indices)), at)
            return
        length, lanes = body.domain[-1], loops.lanes
        vectors = added(range(length // lanes), 1) + (length % lanes > 0)
        with pairwise(self.b, nest[:-1], vectors, rounded) as indices:
            self._emit_vectors(numbers, (*rows, *indices), block, at, rounded)

    def _emit_vectors(
        self,
        numbers: Sequence[int],
        prefix: Sequence[Value],
        block: Value,
        at: Evaluator,
        rounded: Sequence[Fold],
    ) -> None:
        """The innermost loop of row style: whole vectors, then the rest under a mask."""
        b, lanes, length = self.b, self.loops.lanes, self.body.domain[-1]
        whole, vector = length // lanes * lanes, len(self.body.domain) - 1
        end, loop = e.i64(length), pairwise_loop(b, range(0, whole, lanes), 1, rounded)
        if self._blocks > 1:
            start = e.mul(b, block, self.loops.block)
            end = e.minimum(b, b.add(start, e.i64(self.loops.block)), length)
            loop = e.loop(b, start, e.minimum(b, end, whole), lanes)
        if whole:
            with loop as i:
                self._emit_point(numbers, Point((*prefix, i), vector, lanes), at)
        if whole != length:
            rest = length - whole
            few = min(1 << (rest - 1).bit_length(), lanes)
            mask = ir.Constant(
                ir.VectorType(e.I1, few), [ir.Constant(e.I1, int(i < rest)) for i in range(few)]
            )
            point = Point((*prefix, e.i64(whole)), vector, few, None if few == rest else mask)
            with b.if_then(b.icmp_signed("==", end, e.i64(length))):
                self._emit_point(numbers, point, at)

    def _emit_point(self, numbers: Sequence[int], point: Point, at: Evaluator) -> None:
        here = at.scoped()
        here.run(numbers, point)
        for i in numbers:
            x = self.body.instructions[i]
            if isinstance(x, Reduce):
                self.sums[i].add(self.b, here.values[x.arg], point)


def delinearized(b: Value, flat: Value, box: Shape) -> list[Value]:
    """The indices of position `flat` in a row-major box."""
    indices: list[Value] = []
    for length in reversed(box[1:]):
        indices.append(e.rem(b, flat, length))
        flat = e.div(b, flat, length)
    if box:
        indices.append(flat)
    return indices[::-1]
