"""`Embedding`, a learned vector for each of a number of symbols."""

from __future__ import annotations

from ranvier import dtypes
from ranvier import validation as checks
from ranvier.errors import DTypeError
from ranvier.graph import functions as f
from ranvier.graph.leaves import Parameter
from ranvier.graph.tensor import Tensor
from ranvier.nn import initializers
from ranvier.nn.initializers import Initializer
from ranvier.nn.module import Module


class Embedding(Module):
    """Integers [...], 0 to `count` - 1, to their rows of the table: [..., width].

    Raises InputError for arguments that are none, DTypeError for inputs that are no integers.

    weight: [count, width], drawn by `init`, by default normal with variance 1 / width, so that a
    row has length 1 on average and the table may also serve as output weights (Press & Wolf,
    "Using the output embedding to improve language models", 2017): `x @ embedding.weight.T`.
    """

    weight: Parameter

    def __init__(self, count: int, width: int, *, init: Initializer | None = None) -> None:
        self.count = checks.whole_number("Embedding: count", count)
        self.width = checks.whole_number("Embedding: width", width)
        default = initializers.Normal(self.width**-0.5)
        self.init = initializers.chosen("Embedding: init", init, default)

    def __call__(self, x: Tensor) -> Tensor:
        if x.dtype not in dtypes.INTEGER:
            raise DTypeError(f"expected integers, got {x.dtype}; convert with .astype('int64')")
        indices = f.cast(x, dtypes.int32) if x.dtype == dtypes.uint8 else x
        return f.take(self.param("weight", (self.count, self.width), self.init), indices)
