"""The primitives, by family; importing this package fills the registry of ops."""

from ranvier.graph.ops import (
    contraction,
    convolution,
    indexing,
    movement,
    pointwise,
    pooling,
    random,
    reduction,
)

__all__ = [
    "contraction",
    "convolution",
    "indexing",
    "movement",
    "pointwise",
    "pooling",
    "random",
    "reduction",
]
