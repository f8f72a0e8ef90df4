"""How fast training was: samples a second, and the share of the machine's peak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ranvier.data.source import Split
from ranvier.graph.tensor import Tensor
from ranvier.nn.summary import multiply_adds
from ranvier.records import dataclass
from ranvier.training.feeds import Resident
from ranvier.training.model import Model


@dataclass(frozen=True)
class Speed:
    """None where there is nothing to measure by."""

    samples_per_second: float | None
    share_of_peak: float | None


def speed(model: Model, train: Split, timings: Sequence[Mapping[str, Any]]) -> Speed:
    """Return the speed of the epochs in `timings`, validation included.

    Only arithmetic that the step needs is counted: two for each multiply-add of its products
    and convolutions. The peak is measured now, on as many threads.
    """
    seconds = sum(each["seconds"] for each in timings)
    samples = sum(each["samples"] for each in timings)
    if not seconds:
        return Speed(None, None)
    rate = samples / seconds
    if model.engine != "native":
        return Speed(rate, None)
    from ranvier.engines.native.host import host
    from ranvier.engines.native.peak import measure_peak

    program = model.training_program(Resident(train, model.settings.batch_size, 0))
    flops = needed_flops(program.simplified.roots) / model.settings.batch_size
    threads = model.options.get("threads") or host().cores
    return Speed(rate, rate * flops / 1e9 / measure_peak(threads))


def needed_flops(roots: Sequence[Tensor]) -> int:
    """Return the arithmetic of all products and convolutions that the roots need."""
    return 2 * multiply_adds(roots)
