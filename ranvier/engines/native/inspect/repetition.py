"""Repetition: how many times a kernel computes what it needs once.

Fusion computes some values again rather than store them: in each pass over a row, for each part
of a concatenation, at each place of a window, for each row that a vector is spread over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import prod

from ranvier.engines.native.emit.loops.body import INNER, UNIT, plan_body
from ranvier.engines.native.schedule.costs import counts, elements
from ranvier.engines.native.schedule.kernels import Body, BodyKernel, Kernel, Reduce
from ranvier.graph.tensor import Tensor


def repetition(kernels: Iterable[Kernel]) -> float | None:
    """Pointwise work and reductions done, relative to each element's being computed once.

    1 is no repetition; None is no such work. What several of the kernels compute counts once as
    needed.
    """
    done = 0
    needed: Counter[Tensor] = Counter()
    for kernel in kernels:
        if isinstance(kernel, BodyKernel):
            done += _done(kernel.body)
            needed.update(kernel.body.needed or {})
    once = sum(min(count, elements(node)) for node, count in needed.items())
    return done / once if once else None


def _done(body: Body) -> int:
    """The times that counted instructions are evaluated, over all loops and passes."""
    lead = min(body.rows, max(len(body.domain) - 1, 0))  # pointwise loops vectorize the last
    plan = plan_body(body, range(lead, len(body.domain)))
    passes = Counter(i for n in range(plan.passes) for i in plan.slice(plan.targets(n)))
    times = {INNER: prod(body.domain), UNIT: prod(body.domain[:lead])}
    total = 0
    for i, x in enumerate(body.instructions):
        if isinstance(x, Reduce):
            total += prod(body.domain)
        elif counts(x):
            level = plan.level[i]
            total += times.get(level, 1) * (max(passes[i], 1) if level == INNER else 1)
    return total
