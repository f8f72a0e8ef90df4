"""What the tests of networks share."""

from __future__ import annotations

from typing import Any

import numpy as np

import ranvier as rv
from ranvier.graph.evaluate import evaluate
from ranvier.nn.module import Module


def forward(net: Module, x: np.ndarray) -> np.ndarray:
    """The output of a network in evaluation, by the reference interpreter."""
    given = rv.input(x.shape, x.dtype)
    return evaluate([net(given)], {given: x})[0]


def value(tensor: rv.Tensor) -> np.ndarray:
    """The value of a tensor that depends on no input."""
    return evaluate([tensor])[0]


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def close(found: Any, wanted: Any, tolerance: float = 1e-5) -> None:
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)
