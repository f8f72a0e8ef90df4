"""What a program does, as a table: its kernels in order, their arithmetic, traffic and time."""

from __future__ import annotations

import numpy as np

from ranvier.engines.native.inspect.repetition import repetition
from ranvier.engines.native.schedule.costs import Cost, cost_of
from ranvier.engines.native.schedule.kernels import Kernel
from ranvier.engines.native.schedule.schedule import Schedule
from ranvier.records import dataclass


@dataclass(frozen=True)
class Profile:
    """A profiled call: seconds of one step spent in each kernel, and the machine's peak.

    A kernel's time is that of the first thread, waiting for the others included. `peak` is in
    GFLOP/s, measured beside the call on as many threads.
    """

    seconds: np.ndarray
    peak: float
    threads: int


def describe_schedule(schedule: Schedule, profile: Profile | None) -> str:
    """Return the table; with a profile also milliseconds and the share of peak."""
    kernels = schedule.sequenced.kernels
    head = f"{'kernel':<16}{'MFLOP':>10}{'kB':>10}{'times':>7}"
    lines = [head + (f"{'ms':>9}{'peak':>7}" if profile else "") + "  computes"]
    total = Cost(0, 0)
    for i, kernel in enumerate(kernels):
        cost = cost_of(kernel)
        total += cost
        timed = "" if profile is None else _timed(cost, float(profile.seconds[i]), profile)
        row = _row(kernel.name, cost, repetition([kernel]))
        lines.append(row + timed + f"  {_summary(kernel)}")
    timed = "" if profile is None else _timed(total, float(profile.seconds.sum()), profile)
    barriers = 1 + max(schedule.sequenced.epochs, default=0)
    lines.append(_row("total", total, repetition(kernels)) + timed + f"  {barriers} barriers")
    lines.append(f"arena {schedule.arena.size / 1e3:.1f} kB")
    if profile is not None:
        lines.append(f"peak {profile.peak:.0f} GFLOP/s on {profile.threads} threads")
    return "\n".join(lines)


def _row(name: str, cost: Cost, times: float | None) -> str:
    repeated = "" if times is None else f"{times:.2f}"
    return f"{name:<16}{cost.flops / 1e6:>10.3f}{cost.bytes / 1e3:>10.1f}{repeated:>7}"


def _timed(cost: Cost, seconds: float, profile: Profile) -> str:
    share = cost.flops / seconds / 1e9 / profile.peak if seconds else 0.0
    return f"{seconds * 1e3:>9.4f}{share:>7.0%}"


def _summary(kernel: Kernel) -> str:
    """The ops whose results the kernel computes, and their shapes."""
    names = [f"{node.op.name}{list(node.shape)}" for node in kernel.nodes]
    return " ".join(names) if names else str(kernel).partition(": ")[2]
