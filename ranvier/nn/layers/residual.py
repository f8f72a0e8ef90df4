"""`Residual`, a connection round a part of the network."""

from __future__ import annotations

from collections.abc import Callable

from ranvier import validation as checks
from ranvier.errors import InputError, ShapeError
from ranvier.graph.tensor import Tensor
from ranvier.nn.module import Module, by


class Residual(Module):
    """body(x) + shortcut(x), where the shortcut is x itself by default.

    Both must give the same shape, else ShapeError. Raises InputError for what is no module or
    function. He et al., "Deep residual learning for image recognition", 2016.
    """

    def __init__(
        self,
        body: Callable[[Tensor], Tensor],
        shortcut: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        for label, part in (("body", body), ("shortcut", shortcut)):
            if isinstance(part, type) or not (callable(part) or (shortcut is None is part)):
                raise InputError(
                    f"Residual: {label} is {checks.shown(part)}; use a module or function"
                )
        self.body = body
        self.shortcut = shortcut

    def __call__(self, x: Tensor) -> Tensor:
        beside = x if self.shortcut is None else self.shortcut(x)
        y = self.body(x)
        if y.shape != beside.shape:
            raise ShapeError(
                f"the body gives {by(y.shape)}, the shortcut {by(beside.shape)} "
                f"(input {by(x.shape)}); {_mend(y, beside)}"
            )
        return y + beside


def _mend(y: Tensor, beside: Tensor) -> str:
    if y.ndim != beside.ndim or y.ndim not in (3, 4):
        return "let both give the same shape"
    stride = round(beside.shape[1] / max(y.shape[1], 1))
    strided = f", stride={stride}" if stride > 1 else ""
    return f"let both agree, for instance with shortcut=nn.Conv({y.shape[-1]}, 1{strided})"
