"""Schedules to look at, for a machine with AVX-512: they do not depend on the one at hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from networks import STEPS

import ranvier as rv
from ranvier.engines.native.host import example_host
from ranvier.engines.native.pipeline import schedule_step
from ranvier.engines.native.schedule.schedule import Schedule
from ranvier.engines.program import Options, Signature
from ranvier.graph.simplify import simplify
from ranvier.graph.tensor import Tensor


def plan(
    inputs: Mapping[str, Tensor],
    outputs: Mapping[str, Tensor],
    updates: Mapping[rv.State, Tensor] | None = None,
    **chosen: Any,
) -> Schedule:
    """The schedule that `rv.compile` would make on an AVX-512 machine."""
    options = Options(**chosen)
    signature = Signature(inputs, outputs, updates or {})
    signature = signature.with_roots(simplify(signature.roots, options.passes))
    return schedule_step(signature, options, example_host("avx512"))


def step_plan(name: str, **options: Any) -> Schedule:
    step = STEPS[name]()
    return plan(step.inputs, step.outputs, step.updates, **options)
