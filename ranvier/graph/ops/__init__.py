"""The primitives, by family; importing this package fills the registry of ops."""

from ranvier.graph.ops import contraction, indexing, movement, pointwise, random, reduction

__all__ = ["contraction", "indexing", "movement", "pointwise", "random", "reduction"]
