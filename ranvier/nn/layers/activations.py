"""Activation layers, each a function of one number except softmax.

They take any shape, and keep shape and dtype. All but `Identity` and `ReLU` take floats alone, and
raise DTypeError for other inputs.
"""

from __future__ import annotations

import numpy as np

from ranvier import validation as checks
from ranvier.errors import ShapeError
from ranvier.graph import functions as f
from ranvier.graph.compositions import gelu, relu, softmax, softplus
from ranvier.graph.tensor import Tensor
from ranvier.nn.module import Module, by, check_floating

_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
"""The fixed point of mean 0 and variance 1 (Klambauer et al., 2017)."""


class Identity(Module):
    """x itself."""

    def __call__(self, x: Tensor) -> Tensor:
        return x


class Step(Module):
    """1 where x >= 0, else 0 (McCulloch & Pitts, 1943); `rv.step` as a layer.

    Its gradient is 0, so that nothing before it learns. straight_through: whether the gradient
    passes as if the layer were the identity, which changes no output; False by default (Bengio,
    Léonard & Courville, "Estimating or propagating gradients through stochastic neurons for
    conditional computation", 2013).
    """

    def __init__(self, *, straight_through: bool = False) -> None:
        self.straight_through = checks.flag("Step: straight_through", straight_through)

    def __call__(self, x: Tensor) -> Tensor:
        if not self.straight_through:
            return f.step(x)
        check_floating(x)
        # Infinity less itself would be NaN; a finite number less itself is 0.
        most = float(np.finfo(x.dtype).max)
        finite = f.minimum(f.maximum(x, -most), most)
        return f.step(x) + (finite - f.stop_gradient(finite))


class Sigmoid(Module):
    """1 / (1 + exp(-x)), between 0 and 1."""

    def __call__(self, x: Tensor) -> Tensor:
        return f.sigmoid(x)


class Tanh(Module):
    """The hyperbolic tangent, between -1 and 1."""

    def __call__(self, x: Tensor) -> Tensor:
        return f.tanh(x)


class ReLU(Module):
    """max(x, 0) (Nair & Hinton, 2010)."""

    def __call__(self, x: Tensor) -> Tensor:
        return relu(x)


class LeakyReLU(Module):
    """x where positive, else slope x; slope: 0.01 by default (Maas, Hannun & Ng, 2013)."""

    def __init__(self, slope: float = 0.01) -> None:
        self.slope = checks.number("LeakyReLU: slope", slope)

    def __call__(self, x: Tensor) -> Tensor:
        check_floating(x)
        return f.where(x > 0, x, x * self.slope)


class ELU(Module):
    """x where positive, else alpha (exp(x) - 1), exact near 0; alpha: 1 by default.

    Clevert, Unterthiner & Hochreiter, "Fast and accurate deep network learning by exponential
    linear units", 2016.
    """

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = checks.number("ELU: alpha", alpha)

    def __call__(self, x: Tensor) -> Tensor:
        return _elu(x, self.alpha)


def _elu(x: Tensor, alpha: float) -> Tensor:
    check_floating(x)
    # The branch that `where` drops must not overflow: its gradient would be 0 * inf. Of equals the
    # second has the gradient, so that the slope at 0 is alpha.
    below = f.expm1(f.minimum(0, x)) * alpha
    return f.where(x > 0, x, below)


class SELU(Module):
    """scale ELU(x), so that layers keep mean 0 and variance 1 from input to output.

    scale 1.0507 and alpha 1.6733 are Klambauer et al.'s, "Self-normalizing neural networks", 2017;
    they go with weights drawn by `initializers.LeCunNormal()`.
    """

    def __call__(self, x: Tensor) -> Tensor:
        return _elu(x, _SELU_ALPHA) * _SELU_SCALE


class GELU(Module):
    """x times the normal distribution function of x (Hendrycks & Gimpel, 2016)."""

    def __call__(self, x: Tensor) -> Tensor:
        check_floating(x)
        return gelu(x)


class SiLU(Module):
    """x sigmoid(x), also called swish (Elfwing, Uchibe & Doya, 2018)."""

    def __call__(self, x: Tensor) -> Tensor:
        return x * f.sigmoid(x)


class Softplus(Module):
    """log(1 + exp(x)), a smooth ReLU (Dugas et al., 2001)."""

    def __call__(self, x: Tensor) -> Tensor:
        check_floating(x)
        return softplus(x)


class Softmax(Module):
    """exp(x) divided by its sum along `axis`, the last by default (Bridle, 1990).

    Losses take logits, so no network ends with it. Raises ShapeError for an axis that the input
    lacks.
    """

    def __init__(self, axis: int = -1) -> None:
        self.axis = checks.whole_number("Softmax: axis", axis, None)

    def __call__(self, x: Tensor) -> Tensor:
        if not -x.ndim <= self.axis < x.ndim:
            raise ShapeError(
                f"axis {self.axis} does not fit an input of {x.ndim} axes ({by(x.shape)}); "
                "use one that it has"
            )
        return softmax(x, self.axis)
