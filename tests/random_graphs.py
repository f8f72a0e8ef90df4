"""Random well-typed graphs with data: what the engines and the passes are compared on.

`graph_cases(dtype)` is a Hypothesis strategy. Each case carries its arrays, so that its
builder can look at the values and keep them where rounding does not decide: exponentials stay
small, divisors stay off zero, and decisions (comparisons, maxima, casts to integers) are only
taken on *exact* tensors, whose elements are multiples of a power of two small enough to be
computed without rounding in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
from graph_recipes import RECIPES, Recipe
from hypothesis import strategies as st

import ranvier as rv
from ranvier.dtypes import DType, is_floating
from ranvier.graph.printing import show
from ranvier.graph.tensor import Shape, Tensor
from ranvier.graph.walk import topological

SIZES = (1, 2, 3, 7, 15, 16, 17, 31, 33, 40, 0)
MOST_ELEMENTS = 2500
MOST_OPS = 25
LARGEST = 32.0
"""Values beyond this are scaled down by a power of two."""
EXACT_BITS = 20
"""An exact tensor's elements have at most this many significant bits."""


@dataclass(frozen=True, eq=False)
class Node:
    """A tensor with its value (floats in double precision).

    grid: the elements are multiples of 2**-grid and exact; None where they are rounded.
    """

    tensor: Tensor
    value: np.ndarray
    grid: int | None

    @property
    def largest(self) -> float:
        """The largest magnitude."""
        return float(np.max(np.abs(self.value.astype(np.float64)), initial=0.0))

    @property
    def smallest(self) -> float:
        """The smallest magnitude."""
        return float(np.min(np.abs(self.value.astype(np.float64)), initial=np.inf))

    @property
    def floating(self) -> bool:
        """Whether the tensor is float32 or float64."""
        return is_floating(self.tensor.dtype)


@dataclass(eq=False)
class GraphCase:
    """What `rv.compile` needs, with an array for each input and the state's first values."""

    dtype: DType
    inputs: dict[str, Tensor] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    outputs: dict[str, Tensor] = field(default_factory=dict)
    updates: dict[rv.State, Tensor] = field(default_factory=dict)
    initial: dict[rv.State, np.ndarray] = field(default_factory=dict)
    exact: set[Tensor] = field(default_factory=set)

    @property
    def roots(self) -> list[Tensor]:
        """The outputs, then the new values of the state."""
        return [*self.outputs.values(), *self.updates.values()]

    @property
    def feed(self) -> dict[Tensor, np.ndarray]:
        """The arrays by input tensor, as `evaluate` takes them."""
        return {tensor: self.arrays[name] for name, tensor in self.inputs.items()}

    def reset(self) -> None:
        """Give every state its first value again."""
        for state, value in self.initial.items():
            state.value = value

    def __repr__(self) -> str:
        news = {f"new {state.label}": new for state, new in self.updates.items()}
        return f"GraphCase {self.dtype}:\n{show({**self.outputs, **news})}\n"


class Builder:
    """Grows one graph by recipes; every choice is a draw, so that Hypothesis can shrink it."""

    def __init__(self, draw: Callable[[Any], Any], dtype: DType, differentiate: bool) -> None:
        self.draw = draw
        self.case = GraphCase(dtype)
        self.pool: list[Node] = []
        self.shown: list[Node] = []
        self.differentiate = differentiate
        self.rng = np.random.default_rng(draw(st.integers(0, 2**16)))
        self._values: dict[Tensor, np.ndarray] = {}

    # ------------------------------------------------------------ choices

    def integer(self, low: int, high: int) -> int:
        """Draw a whole number from low to high, both included."""
        return int(self.draw(st.integers(low, high)))

    def flag(self) -> bool:
        """Draw a truth value."""
        return bool(self.draw(st.booleans()))

    def choose(self, options: Sequence[Any]) -> Any:
        """Draw one of `options`; the first is the simplest."""
        return options[self.draw(st.sampled_from(range(len(options))))]

    def pick(self, accept: Callable[[Node], bool] = lambda node: True) -> Node | None:
        """Draw a node that `accept` takes, or return None where there is none."""
        found = [node for node in reversed(self.pool) if accept(node)]
        return self.choose(found) if found else None

    def number(self, accept: Callable[[Node], bool] = lambda node: True) -> Node:
        """Draw a floating node of the case's dtype, made anew where there is none."""
        wanted = self.pick(lambda n: n.tensor.dtype == self.case.dtype and accept(n))
        return wanted or self.leaf(self.shape())

    def decisive(self, node: Node) -> bool:
        """Whether a decision may be taken on the value of `node`."""
        return not node.floating or node.grid is not None

    def kinked(self, node: Node) -> bool:
        """Whether a continuous function with a kink may be taken of `node`."""
        return self.decisive(node) or not self.differentiate

    def shape(self, least: int = 0, most: int = 4) -> Shape:
        """Draw a shape of `least` to `most` axes."""
        shape: list[int] = []
        for _ in range(self.integer(least, most)):
            room = MOST_ELEMENTS // max(prod(shape), 1)
            shape.append(self.choose([n for n in SIZES if n <= max(room, 1)]))
        return tuple(shape)

    def axes(self, ndim: int) -> tuple[int, ...]:
        """Draw a subset of the axes, not empty where there are any."""
        chosen = tuple(a for a in range(ndim) if self.flag())
        return chosen if chosen or ndim == 0 else (ndim - 1,)

    # ------------------------------------------------------------ nodes

    def leaf(self, shape: Shape, dtype: DType | None = None, high: int = 16) -> Node:
        """Draw an input, parameter, buffer or constant; integers lie in 0 … high - 1."""
        dtype = self.case.dtype if dtype is None else dtype
        array, grid = self._data(shape, dtype, high)
        kind = self.choose(("input", "parameter", "buffer", "constant"))
        if kind == "input":
            name = f"x{len(self.case.inputs)}"
            tensor = self.case.inputs[name] = rv.input(shape, dtype, name=name)
            self.case.arrays[name] = array
        elif kind == "constant":
            tensor = rv.constant(array)
        else:
            make = rv.Parameter if kind == "parameter" and is_floating(dtype) else rv.Buffer
            tensor = make(array, name=f"s{len(self.case.initial)}")
            self.case.initial[tensor] = array
        self._values[tensor] = array.astype(np.float64) if is_floating(dtype) else array
        return self._add(tensor, grid)

    def _data(self, shape: Shape, dtype: DType, high: int) -> tuple[np.ndarray, int | None]:
        if dtype == rv.bool_:
            return self.rng.random(shape) < 0.5, 0
        if not is_floating(dtype):
            return self.rng.integers(0, high, shape).astype(dtype), 0
        if self.flag():
            return np.asarray(self.rng.uniform(-2, 2, shape)).astype(dtype), None
        return np.asarray(self.rng.integers(-16, 17, shape) / 8).astype(dtype), 3

    def value(self, tensor: Tensor) -> np.ndarray:
        """Compute a tensor of the graph, in double precision."""
        with np.errstate(all="ignore"):
            for t in topological([tensor], set(self._values)):
                value = np.asarray(t.op.meaning(np, *(self._values[s] for s in t.inputs)))
                self._values[t] = value.astype(np.float64) if is_floating(t.dtype) else value
        return self._values[tensor]

    def put(self, tensor: Tensor, grid: int | None = None, bound: float | None = None) -> Node:
        """Add a tensor to the pool.

        `grid` as in Node; `bound` is on the magnitude of all partial results, by default the
        largest element.
        """
        value = self.value(tensor)
        assert not is_floating(tensor.dtype) or np.isfinite(value).all(), show([tensor])
        node = Node(tensor, value, grid)
        bound = node.largest if bound is None else bound
        if grid is not None and bound * 2.0**grid > 2.0**EXACT_BITS:
            node = Node(tensor, value, grid := None)
        if not node.floating or node.largest <= LARGEST:
            return self._add(tensor, grid)
        down = int(np.ceil(np.log2(node.largest / 4)))
        if grid is not None:
            self.case.exact.add(tensor)
            grid += down
        return self._add(tensor * 2.0**-down, grid)

    def _add(self, tensor: Tensor, grid: int | None) -> Node:
        node = Node(tensor, self.value(tensor), grid)
        self.pool.append(node)
        if grid is not None:
            self.case.exact.add(tensor)
        return node

    def show(self, node: Node) -> None:
        """Make `node` a result of the graph."""
        self.shown.append(node)

    # ------------------------------------------------------------ the ends of the graph

    def finish(self) -> GraphCase:
        """Choose outputs, gradients and updates."""
        case = self.case
        chosen = [self.pool[-1], *(self.choose(self.pool) for _ in range(self.integer(0, 3)))]
        chosen += self.shown
        if self.flag():
            read = {source for tensor in self._values for source in tensor.inputs}
            chosen += [node for node in self.pool if node.tensor not in read]
        case.outputs.update({f"out{i}": node.tensor for i, node in enumerate(chosen)})
        self._update()
        if self.differentiate:
            self._gradients()
        return case

    def _update(self) -> None:
        states = list(self.case.initial)
        for state in states:
            if not self.flag():
                continue
            same = [n for n in self.pool if _same_type(n.tensor, state)]
            if self.flag() or state.dtype == rv.bool_:
                self.case.updates[state] = self.choose(same).tensor
            elif is_floating(state.dtype):
                self.case.updates[state] = state * 0.5 + self.choose(same).tensor * 0.25
            else:
                self.case.updates[state] = state + 1
        for a, b in pairwise(states):
            if _same_type(a, b) and self.flag():
                self.case.updates.update({a: b, b: a})

    def _gradients(self) -> None:
        floats = [n for n in self.pool if n.tensor.dtype == self.case.dtype]
        leaves = [n.tensor for n in floats if not n.tensor.inputs]
        towards = [t for t in leaves if t.op.name in ("state", "input")]
        if not towards:
            return
        loss = average(floats[-1].tensor)
        for _ in range(self.integer(0, 2)):
            node = self.choose(floats)
            loss = loss + average(node.tensor * node.tensor)
        self.case.outputs["loss"] = loss
        for i, (leaf, grad) in enumerate(zip(towards, rv.gradients(loss, towards), strict=True)):
            value = self.value(grad)
            assert np.isfinite(value).all(), show([grad])
            if np.max(np.abs(value), initial=0) > 1e4:
                continue
            if isinstance(leaf, rv.State) and self.flag():
                self.case.updates[leaf] = leaf - grad * 0.125
            else:
                self.case.outputs[f"grad{i}"] = grad


def average(tensor: Tensor) -> Tensor:
    """The mean, but 0 of no elements."""
    return rv.mean(tensor) if tensor.size else rv.sum(tensor)


def _same_type(a: Tensor, b: Tensor) -> bool:
    return (a.shape, a.dtype) == (b.shape, b.dtype)


@st.composite
def graph_cases(
    draw: Callable[[Any], Any],
    dtype: Any = "float32",
    recipes: Sequence[Recipe] = RECIPES,
    most: int = MOST_OPS,
) -> GraphCase:
    """Draw a graph whose floats are of `dtype` (float32 graphs may pass through float64)."""
    builder = Builder(draw, np.dtype(dtype), differentiate=draw(st.booleans()))
    builder.leaf(builder.shape())
    for _ in range(builder.choose(range(1, most + 1))):
        builder.choose(recipes)(builder)
    return builder.finish()
