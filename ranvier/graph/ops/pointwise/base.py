"""`Pointwise`, the base of the pointwise ops: what each refuses and the type it gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from ranvier import dtypes
from ranvier.dtypes import DType
from ranvier.errors import DTypeError, ShapeError
from ranvier.graph.tensor import Op, Shape, Tensor
from ranvier.records import dataclass


@dataclass(frozen=True)
class Pointwise(Op):
    """Base of the pointwise ops: equal shapes, equal dtypes out of `accepts`."""

    arity = 1
    accepts: ClassVar[tuple[DType, ...]] = dtypes.FLOATING
    gives: ClassVar[DType | None] = None
    """The dtype of the result; None where it is that of the inputs."""

    def infer(self, *inputs: Tensor) -> tuple[Shape, DType]:
        self._check(inputs)
        return inputs[0].shape, self.gives or inputs[0].dtype

    def _check(self, inputs: Sequence[Tensor]) -> None:
        first = inputs[0]
        for other in inputs[1:]:
            if other.shape != first.shape:
                raise ShapeError(
                    f"{self.name}: shapes {first.shape} and {other.shape} differ; broadcast first"
                )
            if other.dtype != first.dtype:
                raise DTypeError(
                    f"{self.name}: dtypes {first.dtype} and {other.dtype} differ; "
                    "convert one with .astype(...)"
                )
        if first.dtype not in self.accepts:
            raise DTypeError(
                f"{self.name} takes {', '.join(d.name for d in self.accepts)}, not {first.dtype}; "
                "convert with .astype(...)"
            )
