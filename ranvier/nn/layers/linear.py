"""`Linear`, a fully connected layer."""

from __future__ import annotations

from ranvier import dtypes
from ranvier import validation as checks
from ranvier.errors import ShapeError
from ranvier.graph import functions as f
from ranvier.graph.leaves import Parameter
from ranvier.graph.tensor import Tensor
from ranvier.nn import initializers
from ranvier.nn.initializers import Initializer
from ranvier.nn.module import Module, by


class Linear(Module):
    """x @ weight + bias: [..., in] to [..., features]; the inputs are counted at the first call.

    features: how many numbers come out. use_bias: whether the bias is added, True by default.

    weight: [in, features], drawn by `init`, by default Glorot's uniform values (Glorot &
    Bengio, 2010). bias: [features], zeros at first. Whole numbers are made float32.

    Raises InputError for arguments that are none, ShapeError for a scalar and for inputs of
    another size than those of the first call.
    """

    weight: Parameter
    bias: Parameter

    def __init__(
        self, features: int, *, use_bias: bool = True, init: Initializer | None = None
    ) -> None:
        self.features = checks.whole_number("Linear: features", features)
        self.use_bias = checks.flag("Linear: use_bias", use_bias)
        self.init = initializers.chosen("Linear: init", init, initializers.GlorotUniform())

    def __call__(self, x: Tensor) -> Tensor:
        if x.ndim == 0:
            raise ShapeError("expected an input [..., features], got a scalar; reshape it")
        x = floating(x)
        inputs = x.shape[-1]
        known = getattr(self, "weight", None)
        if known is not None and known.shape[0] != inputs:
            raise ShapeError(
                f"expected {known.shape[0]} input features, got {inputs} (input {by(x.shape)}); "
                f"{_mend(x, known.shape[0])}"
            )
        y = f.matmul(x, self.param("weight", (inputs, self.features), self.init, x.dtype))
        if not self.use_bias:
            return y
        return y + self.param("bias", (self.features,), initializers.zeros, x.dtype)


def floating(x: Tensor) -> Tensor:
    """Return whole numbers and truth values as float32, anything else as it is."""
    return f.cast(x, dtypes.float32) if x.dtype in (*dtypes.INTEGER, dtypes.bool_) else x


def _mend(x: Tensor, features: int) -> str:
    if x.ndim > 2 and x.size // x.shape[0] == features:
        return "put nn.Flatten() before the layer"
    return "give it inputs of the size that it was built for, or make a new Linear"
