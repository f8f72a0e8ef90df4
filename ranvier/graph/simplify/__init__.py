"""Simplification: small passes from graph to graph, run in turn until nothing changes.

Values stay the same up to rounding, and NaN, infinities and -0 stay what they are; for `scales`
this holds as long as its factors, and the weights times them, are finite and no subnormals. Inputs
and state stay the same objects; random ops are never merged; what no root needs is gone, because
nothing refers to it any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ranvier.errors import GraphError
from ranvier.graph.simplify.arithmetic import arithmetic
from ranvier.graph.simplify.fold import fold
from ranvier.graph.simplify.lifting import lift
from ranvier.graph.simplify.reductions import products, reductions
from ranvier.graph.simplify.rules import Pass, RulePass
from ranvier.graph.simplify.scales import scales
from ranvier.graph.simplify.share import share
from ranvier.graph.simplify.views import views
from ranvier.graph.tensor import Tensor
from ranvier.graph.verify import verify

PASSES: Mapping[str, Pass] = {
    "views": views,
    "fold": fold,
    "arithmetic": arithmetic,
    "lift": lift,
    "reductions": reductions,
    "products": products,
    "scales": scales,
    "share": share,
}
"""Every pass by name, in the order in which they run."""

MOST_ROUNDS = 10


def simplify(roots: Sequence[Tensor], passes: Sequence[str] = tuple(PASSES)) -> list[Tensor]:
    """Return tensors of the same values as `roots`, in their order, over a smaller graph.

    `passes` names the passes to run. The graph is verified before the first of them and after
    each that changed it; neighbours that are tables of rules share one walk.
    """
    steps = _steps(passes)
    sound: set[Tensor] = set()
    settled: list[set[Tensor]] = [set() for _ in steps]
    roots = list(roots)
    verify(roots, sound)
    done: list[list[Tensor] | None] = [None] * len(steps)
    for _ in range(MOST_ROUNDS):
        before = roots
        for i, step in enumerate(steps):
            if done[i] is roots:  # it has seen them, and changed nothing
                continue
            found = step(roots, settled[i])
            if any(new is not old for new, old in zip(found, roots, strict=True)):
                roots = found
                verify(roots, sound)
            else:
                done[i] = roots
        if roots is before:
            break
    return roots


def _steps(names: Sequence[str]) -> list[Pass]:
    """Return the passes of these names, with neighbouring tables of rules joined into one."""
    steps: list[Pass] = []
    for name in names:
        if name not in PASSES:
            raise GraphError(f"there is no pass {name!r}; there are {', '.join(PASSES)}")
        step = PASSES[name]
        last = steps[-1] if steps else None
        if isinstance(step, RulePass) and isinstance(last, RulePass):
            steps[-1] = RulePass(*last.tables, *step.tables)
        else:
            steps.append(step)
    return steps
