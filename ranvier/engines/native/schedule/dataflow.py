"""What the instructions of a body use: earlier ones, and positions in its loops."""

from __future__ import annotations

from ranvier.engines.native.indexmap import Affine
from ranvier.engines.native.schedule.kernels import (
    Choose,
    Compute,
    Instruction,
    Load,
    Reduce,
    Store,
)


def arguments(x: Instruction) -> tuple[int, ...]:
    """The numbers of the instructions that `x` uses."""
    match x:
        case Compute():
            return x.args
        case Choose():
            return (x.arg,) if x.otherwise is None else (x.arg, x.otherwise)
        case Reduce() | Store():
            return (x.arg,)
        case _:
            return ()


def positions(x: Instruction) -> list[Affine]:
    """The affine functions of the domain that `x` evaluates."""
    match x:
        case Load():
            return [x.at, *(g.at for g in x.guards)]
        case Choose():
            return [g.at for g in x.guards]
        case Store():
            return [x.at]
        case Reduce() if x.index is not None:
            return [x.index]
        case _:
            return []
