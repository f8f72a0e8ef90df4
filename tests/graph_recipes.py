"""The recipes of `random_graphs`: each adds one op, or one small familiar fragment."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from image_recipes import convolve, pool
from position_recipes import positions

import ranvier as rv
from ranvier.graph.tensor import Shape, Tensor

if TYPE_CHECKING:
    from random_graphs import Builder, Node

MOST_ELEMENTS = 2500
INTEGERS = (rv.int64, rv.int32, rv.uint8)

SMOOTH: dict[str, Callable[[Tensor], Tensor]] = {
    "negative": rv.negative, "tanh": rv.tanh, "sigmoid": rv.sigmoid, "erf": rv.erf,
    "sin": rv.sin, "cos": rv.cos, "gelu": rv.gelu, "softplus": rv.softplus,
    "stop_gradient": rv.stop_gradient,
}  # fmt: skip
POSITIVE = {"log": rv.log, "log1p": rv.log1p, "sqrt": rv.sqrt, "rsqrt": rv.rsqrt}
COMPARISONS = (
    rv.less, rv.less_equal, rv.greater, rv.greater_equal, rv.equal, rv.not_equal,
)  # fmt: skip


# ---------------------------------------------------------------- pointwise


def smooth(b: Builder) -> None:
    """A function without kinks, and without poles in reach."""
    x = b.number()
    name = b.choose(tuple(SMOOTH))
    kept = name in ("negative", "stop_gradient")
    b.put(SMOOTH[name](x.tensor), x.grid if kept else None)


def exponential(b: Builder) -> None:
    """exp or expm1, of an argument that is brought into -2 … 2."""
    x = b.number()
    scale = 1.0 if x.largest <= 2 else 2.0 ** -np.ceil(np.log2(x.largest / 2))
    function = rv.exp if b.flag() else rv.expm1
    b.put(function(x.tensor if scale == 1 else x.tensor * float(scale)))


def _away_from_zero(b: Builder, x: Node) -> Tensor:
    if x.smallest >= 0.25 and (x.value > 0).all():
        return x.tensor
    return rv.exp(rv.tanh(x.tensor)) if b.flag() else x.tensor * x.tensor + 0.5


def positive(b: Builder) -> None:
    """log, log1p, sqrt or rsqrt of something positive."""
    function = POSITIVE[b.choose(tuple(POSITIVE))]
    b.put(function(_away_from_zero(b, b.number())))


def kink(b: Builder) -> None:
    """relu or abs."""
    x = b.number(b.kinked)
    if b.kinked(x):
        b.put(b.choose((rv.relu, rv.abs))(x.tensor), x.grid)


def decision(b: Builder) -> None:
    """sign, step or floor."""
    x = b.number(b.decisive)
    if b.decisive(x):
        b.put(b.choose((rv.sign, rv.step, rv.floor))(x.tensor), 0)


def _shrunk(b: Builder, shape: Shape) -> Shape:
    """Draw a shape that broadcasts to `shape`."""
    kept = tuple(n if b.flag() else 1 for n in shape)
    return kept[b.integer(0, len(shape)) :] if b.flag() else shape


def _partner(b: Builder, x: Node) -> Node:
    """Draw a node of the dtype of `x` that broadcasts with it."""

    def fits(node: Node) -> bool:
        try:
            shape = np.broadcast_shapes(node.tensor.shape, x.tensor.shape)
        except ValueError:
            return False
        return node.tensor.dtype == x.tensor.dtype and prod(shape) <= MOST_ELEMENTS

    found = b.pick(fits) if b.flag() else None
    return found or b.leaf(_shrunk(b, x.tensor.shape), x.tensor.dtype)


def _finer(x: Node, y: Node) -> int | None:
    return None if x.grid is None or y.grid is None else max(x.grid, y.grid)


def arithmetic(b: Builder) -> None:
    """Sum, difference or product of two tensors, or of a tensor and a number."""
    x = b.number()
    kind = b.choose(("add", "subtract", "multiply"))
    if b.flag():
        number = b.integer(-8, 8) / 4
        left = b.flag()
        operands = (number, x.tensor) if left else (x.tensor, number)
        grid = None if x.grid is None else x.grid + (2 if kind == "multiply" else 0)
        if grid is not None:
            grid = max(grid, 2)
    else:
        y = _partner(b, x)
        operands = (x.tensor, y.tensor)
        grid = _finer(x, y)
        if kind == "multiply" and x.grid is not None and y.grid is not None:
            grid = x.grid + y.grid
    b.put(getattr(rv, kind)(*operands), grid)


def division(b: Builder) -> None:
    """A quotient, or a power of something positive."""
    x = b.number()
    y = _away_from_zero(b, _partner(b, x))
    kind = b.choose(("divide", "power", "number", "square", "inverse"))
    if kind == "divide":
        b.put(x.tensor / y)
    elif kind == "power":
        b.put(y ** rv.tanh(x.tensor))
    elif kind == "number":
        b.put(y ** (b.integer(-4, 4) / 2))
    elif kind == "square":
        b.put(x.tensor ** b.integer(2, 3))
    else:
        b.put(b.integer(1, 3) / y)


def extreme(b: Builder) -> None:
    """maximum or minimum of two tensors."""
    x = b.number(b.kinked)
    y = _partner(b, x)
    if b.kinked(x) and b.kinked(y):
        b.put(b.choose((rv.maximum, rv.minimum))(x.tensor, y.tensor), _finer(x, y))


# ---------------------------------------------------------------- whole numbers and truth


def whole(b: Builder) -> None:
    """Arithmetic of integers."""
    dtype = b.choose(INTEGERS)
    x = b.pick(lambda n: n.tensor.dtype == dtype) or b.leaf(b.shape(), dtype)
    y = _partner(b, x)
    kind = b.choose((rv.add, rv.subtract, rv.multiply, rv.maximum, rv.minimum))
    b.put(kind(x.tensor, y.tensor), 0)


def comparison(b: Builder) -> None:
    """A comparison of two tensors or with a number."""
    x = b.pick(b.decisive) or b.leaf(b.shape(), rv.int64)
    compare = b.choose(COMPARISONS)
    if b.flag() and x.tensor.dtype != rv.bool_:
        b.put(compare(x.tensor, b.integer(0, 3)), 0)
        return
    y = _partner(b, x)
    if b.decisive(y):
        b.put(compare(x.tensor, y.tensor), 0)


def truth(b: Builder) -> None:
    """and, or, not."""
    x = b.pick(lambda n: n.tensor.dtype == rv.bool_) or b.leaf(b.shape(), rv.bool_)
    if b.flag():
        b.put(~x.tensor, 0)
    else:
        y = _partner(b, x).tensor
        b.put(x.tensor & y if b.flag() else x.tensor | y, 0)


def choice(b: Builder) -> None:
    """where."""
    x = b.pick() or b.number()
    y = _partner(b, x)
    shape = np.broadcast_shapes(x.tensor.shape, y.tensor.shape)
    condition = b.leaf(_shrunk(b, shape), rv.bool_)
    b.put(rv.where(condition.tensor, x.tensor, y.tensor), _finer(x, y))


def conversion(b: Builder) -> None:
    """A change of dtype, where it does not round."""
    x = b.pick(lambda n: b.decisive(n) and n.largest < 2**EXACT_INTEGER) or b.number()
    if not b.decisive(x):
        b.put(rv.tanh(x.tensor.astype(rv.float64)).astype(b.case.dtype))
        return
    target = b.choose((b.case.dtype, rv.int64, rv.int32, rv.bool_, rv.bfloat16))
    if target == rv.bfloat16:
        if x.floating and x.grid is not None and x.largest * 2.0**x.grid < 2**8:
            b.put(x.tensor.astype(target).astype(x.tensor.dtype), x.grid)
    else:
        b.put(x.tensor.astype(target), x.grid if target == b.case.dtype else 0)


EXACT_INTEGER = 20


# ---------------------------------------------------------------- reductions, contraction


def reduction(b: Builder) -> None:
    """sum, mean, var, max or min over some axes."""
    x = b.number()
    axes, keepdims = b.axes(x.tensor.ndim), b.flag()
    axes = tuple(a - x.tensor.ndim if b.flag() else a for a in axes)
    count = prod(x.tensor.shape[a] for a in axes)
    kind = b.choose(("sum", "mean", "var", "max", "min")) if count else "sum"
    out = getattr(rv, kind)
    if kind in ("max", "min"):
        if b.kinked(x):
            b.put(out(x.tensor, axes, keepdims), x.grid)
    else:
        grid = x.grid if kind == "sum" else None
        b.put(out(x.tensor, axes, keepdims), grid, bound=count * x.largest)


def whole_reduction(b: Builder) -> None:
    """A reduction of integers or of truth values, or argmax."""
    x = b.pick(b.decisive) or b.leaf(b.shape(), rv.int64)
    if x.tensor.dtype != rv.bool_ and b.flag():
        axis = b.integer(-x.tensor.ndim, x.tensor.ndim - 1) if x.tensor.ndim else None
        if axis is None or x.tensor.shape[axis]:
            b.put(rv.argmax(x.tensor, axis), 0)
    elif not x.floating:
        b.put(rv.sum(x.tensor, b.axes(x.tensor.ndim), b.flag()), 0)


def product(b: Builder) -> None:
    """A matrix product: vectors, matrices, batches; either side transposed."""
    x = b.number(lambda n: n.tensor.ndim >= 1)
    if x.tensor.ndim == 0:
        return
    a = x.tensor
    if a.ndim >= 2 and b.flag():
        a = rv.swapaxes(a, -1, -2)
    k, n = a.shape[-1], b.choose((1, 2, 3, 7, 16, 17, 33))
    n = max(1, min(n, MOST_ELEMENTS // max(1, prod(a.shape[:-1]))))
    lead = a.shape[:-2] if b.flag() else ()
    shape: Shape = (k,) if b.flag() and not lead else (*lead, k, n)
    if prod(shape) > MOST_ELEMENTS:
        return
    transposed = len(shape) > 1 and b.flag()
    y = b.leaf((*lead, n, k) if transposed else shape)
    other = rv.swapaxes(y.tensor, -1, -2) if transposed else y.tensor
    grid = None if x.grid is None or y.grid is None else x.grid + y.grid
    operands = (a, other)
    if b.flag() and a.ndim == other.ndim >= 2 and a.shape[:-2] == other.shape[:-2]:
        operands = (rv.swapaxes(other, -1, -2), rv.swapaxes(a, -1, -2))
    b.put(rv.matmul(*operands), grid, bound=k * x.largest * y.largest)


# ---------------------------------------------------------------- movement


def reorder(b: Builder) -> None:
    """transpose, flip, expand_dims or reshape."""
    x = b.pick() or b.number()
    t = x.tensor
    kind = b.choose(("transpose", "reshape", "flip", "expand"))
    if kind == "transpose":
        axes = b.draw(_permutation(t.ndim))
        b.put(rv.transpose(t, axes), x.grid)
    elif kind == "flip":
        b.put(rv.flip(t, b.axes(t.ndim)), x.grid)
    elif kind == "expand" and t.ndim < 5:
        b.put(rv.expand_dims(t, b.integer(-t.ndim - 1, t.ndim)), x.grid)
    else:
        b.put(rv.reshape(t, _regrouped(b, t.shape)), x.grid)


def _permutation(n: int) -> Any:
    from hypothesis import strategies as st

    return st.permutations(range(n)).map(tuple)


def _regrouped(b: Builder, shape: Shape) -> Shape:
    """Draw a shape of the same size: factors of the axes, regrouped."""
    factors = [f for n in shape for f in _factors(n)]
    groups: list[int] = [1] if b.flag() else []
    for factor in factors:
        if groups and (b.flag() or len(groups) == 4):
            groups[-1] *= factor
        else:
            groups.append(factor)
    return tuple(groups)


def _factors(n: int) -> list[int]:
    found = next((d for d in (2, 3, 5, 7) if n % d == 0), n)
    return [n] if n in (1, found) else [found, n // found]


def part(b: Builder) -> None:
    """Basic indexing: integers, strided slices in both directions, new axes."""
    x = b.pick(lambda n: n.tensor.ndim >= 1) or b.number()
    keys: list[Any] = []
    for n in x.tensor.shape:
        kind = b.choose(("all", "slice", "integer", "new"))
        if kind == "integer" and n > 0:
            keys.append(b.integer(-n, n - 1))
            continue
        if kind == "new" and len(keys) < 5:
            keys.append(None)
        low = b.integer(0, n // 2)
        step = b.choose((1, 2, 3, -1, -2))
        ends = (low, n - b.integer(0, (n - low - 1) // 2)) if n > low else (0, n)
        bounded = slice(*ends, step) if step > 0 else slice(ends[1] - 1, ends[0] - 1, step)
        if step < 0 and ends[0] == 0:
            bounded = slice(ends[1] - 1, None, step)
        keys.append(bounded if kind == "slice" else slice(None))
    b.put(x.tensor[tuple(keys)], x.grid)


def repeat(b: Builder) -> None:
    """broadcast_to."""
    x = b.pick(lambda n: n.tensor.size * 2 <= MOST_ELEMENTS) or b.number()
    shape = list(x.tensor.shape)
    for axis, n in enumerate(shape):
        if n == 1 and prod(shape) * 7 <= MOST_ELEMENTS and b.flag():
            shape[axis] = b.choose((2, 3, 7))
    if len(shape) < 4 and prod(shape) * 3 <= MOST_ELEMENTS:
        shape.insert(0, b.choose((2, 3, 1)))
    b.put(rv.broadcast_to(x.tensor, shape), x.grid)


def surround(b: Builder) -> None:
    """pad."""
    x = b.pick(lambda n: n.tensor.size <= 500) or b.number()
    widths = [(b.integer(0, 2), b.integer(0, 2)) for _ in x.tensor.shape]
    b.put(rv.pad(x.tensor, widths), x.grid)


def join(b: Builder) -> None:
    """concatenate or stack, maybe of one tensor with itself."""
    x = b.pick(lambda n: n.tensor.ndim >= 1 and n.tensor.size <= 800)
    if x is None:
        return
    t, axis = x.tensor, b.integer(-x.tensor.ndim, x.tensor.ndim - 1)
    y = b.pick(lambda n: n.tensor.dtype == t.dtype and n.tensor.shape == t.shape) or x
    if b.flag() and t.ndim < 5:
        b.put(rv.stack([t, y.tensor], axis), _finer(x, y))
        return
    shape = list(t.shape)
    shape[axis] = b.integer(1, 3)
    z = b.leaf(tuple(shape), t.dtype)
    grid = None if z.grid is None or _finer(x, y) is None else max(z.grid, _finer(x, y) or 0)
    b.put(rv.concatenate([t, z.tensor, y.tensor], axis), grid)


# ---------------------------------------------------------------- indexing and random


def gather(b: Builder) -> None:
    """take, scatter_add or one_hot by an index tensor."""
    x = b.pick(lambda n: n.tensor.ndim >= 1 and n.tensor.size <= 800)
    dtype = b.choose((rv.int64, rv.int32))
    if x is None or b.flag():
        classes = b.choose((3, 1, 7, 17))
        index = b.leaf(b.shape(0, 2), dtype, classes)
        b.put(rv.one_hot(index.tensor, classes, b.case.dtype), 0)
        return
    rows = x.tensor.shape[0]
    if b.flag() or x.tensor.dtype == rv.bool_ or x.tensor.dtype not in rv.dtypes.NUMERIC:
        shape = b.choose(((2,), (), (7,), (3, 1), (1, 3)))
        axis = b.integer(-x.tensor.ndim, x.tensor.ndim - 1)
        if x.tensor.shape[axis]:
            index = b.leaf(shape, dtype, x.tensor.shape[axis])
            b.put(rv.take(x.tensor, index.tensor, axis), x.grid)
    else:
        buckets = b.choose((3, 1, 7, 33))
        index = b.leaf((rows,), dtype, buckets)
        out = rv.scatter_add(x.tensor, index.tensor, buckets)
        b.put(out, x.grid, bound=rows * x.largest)


def chance(b: Builder) -> None:
    """Random bits, random floats and a dropout mask made of them."""
    seed, stream = b.integer(0, 2**40), b.integer(0, 3)
    step = b.leaf((), rv.int64).tensor if b.flag() else b.integer(0, 2**33)
    kind = b.choose(("uniform", "bytes", "words", "dropout"))
    if kind == "uniform":
        b.put(rv.random_uniform(b.shape(), seed, step, stream, b.case.dtype))
    elif kind == "dropout":
        x = b.number()
        kept = rv.random_bits(x.tensor.shape, seed, step, stream, rv.uint8) < 128
        b.put(rv.where(kept, x.tensor * 2.0, rv.zeros_like(x.tensor)), x.grid)
    else:
        dtype = rv.uint8 if kind == "bytes" else rv.int32
        b.put(rv.random_bits(b.shape(), seed, step, stream, dtype), 0)


# ---------------------------------------------------------------- fragments


def fragment(b: Builder) -> None:
    """softmax, log-softmax, layer norm, cross-entropy, a dense layer."""
    x = b.number(lambda n: n.tensor.ndim >= 1)
    if x.tensor.ndim == 0:
        return
    axis = b.integer(-x.tensor.ndim, x.tensor.ndim - 1)
    t = x.tensor
    if not t.shape[axis] or not t.shape[-1]:
        return
    kind = b.choose(("softmax", "log_softmax", "layer_norm", "cross_entropy"))
    if kind == "softmax":
        b.put(rv.softmax(t, axis))
    elif kind == "log_softmax":
        b.put(rv.log_softmax(t, axis))
    elif kind == "layer_norm":
        centred = t - rv.mean(t, axis, keepdims=True)
        scale = b.leaf(t.shape[-1:]).tensor
        b.put(centred * rv.rsqrt(rv.var(t, axis, keepdims=True) + 0.25) * scale)
    else:
        classes = t.shape[-1]
        labels = b.leaf(t.shape[:-1], rv.int64, classes).tensor
        picked = rv.log_softmax(t) * rv.one_hot(labels, classes, t.dtype)
        b.put(rv.sum(picked, -1) * -1.0 if 0 in t.shape else -rv.mean(rv.sum(picked, -1)))


Recipe = Callable[["Builder"], None]

RECIPES: tuple[Recipe, ...] = (
    arithmetic, smooth, reduction, reorder, product, part, kink, exponential, positive, division,
    extreme, decision, whole, comparison, truth, choice, conversion, whole_reduction, repeat,
    surround, join, gather, chance, fragment, convolve, pool, positions, arithmetic, reduction,
    reorder, fragment, smooth,
)  # fmt: skip
"""Every recipe, the simplest first, so that Hypothesis shrinks towards those."""
