"""Small graphs that are easy to get wrong, or that once were: each is run on every engine.

To add one: write a builder in `graphs.py` that returns a `GraphCase`, and decorate it.
"""

from regressions.graphs import GRAPHS

__all__ = ["GRAPHS"]
