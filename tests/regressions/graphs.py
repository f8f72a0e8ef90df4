"""The builders. Each gets the floating dtype and returns a case."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from random_graphs import GraphCase

import ranvier as rv
from ranvier.graph.tensor import Tensor

GRAPHS: dict[str, Callable[[str], GraphCase]] = {}


def graph(build: Callable[[str], GraphCase]) -> Callable[[str], GraphCase]:
    """Add a builder to the list."""
    GRAPHS[build.__name__] = build
    return build


def _values(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).uniform(-2, 2, shape)).astype(dtype)


def _case(
    dtype: str,
    shapes: Mapping[str, tuple[int, ...]],
    build: Callable[..., Mapping[str, Tensor]],
    states: tuple[rv.State, ...] = (),
    updates: Mapping[rv.State, Tensor] | None = None,
) -> GraphCase:
    case = GraphCase(np.dtype(dtype))
    for i, (name, shape) in enumerate(shapes.items()):
        case.inputs[name] = rv.input(shape, dtype, name)
        case.arrays[name] = _values(shape, dtype, i)
    case.outputs = dict(build(*case.inputs.values()))
    case.updates = dict(updates or {})
    case.initial = {state: state.value for state in states}
    return case


@graph
def views_of_views(dtype: str) -> GraphCase:
    def build(x: Tensor) -> Mapping[str, Tensor]:
        y = x.T[::-2, 1:].reshape(2, -1).T[None]
        return {"y": y, "z": rv.flip(y, 1)[0, ::3] * 2.0}

    return _case(dtype, {"x": (7, 4)}, build)


@graph
def middle_axis_reduced_and_broadcast(dtype: str) -> GraphCase:
    def build(x: Tensor) -> Mapping[str, Tensor]:
        return {"y": x - x.mean(1, keepdims=True), "z": x.sum(1).sum(0), "m": x.max((0, 2))}

    return _case(dtype, {"x": (3, 17, 5)}, build)


@graph
def concatenation_of_pads(dtype: str) -> GraphCase:
    def build(x: Tensor, y: Tensor) -> Mapping[str, Tensor]:
        wide = rv.pad(x, [(1, 0), (2, 3)])
        return {"y": rv.concatenate([wide, rv.pad(y, [(0, 0), (0, 3)]), wide[:, ::-1]], 0) + 1.0}

    return _case(dtype, {"x": (3, 4), "y": (2, 6)}, build)


@graph
def updates_cross(dtype: str) -> GraphCase:
    a, b = (rv.Buffer(_values((17,), dtype, s), name=f"b{s}") for s in (1, 2))
    return _case(dtype, {}, lambda: {"a": a}, (a, b), {a: b, b: a})


@graph
def updates_rotate_through_views(dtype: str) -> GraphCase:
    a, b = (rv.Parameter(_values((5, 5), dtype, s), name=f"p{s}") for s in (1, 2))
    return _case(dtype, {}, lambda: {}, (a, b), {a: b.T * 2.0, b: rv.flip(a, 0) + b})


@graph
def update_reads_its_own_state_transposed(dtype: str) -> GraphCase:
    a = rv.Parameter(_values((16, 16), dtype, 1), name="a")
    return _case(dtype, {}, lambda: {}, (a,), {a: a.T - 0.5 * a})


@graph
def update_is_a_matmul_of_its_state(dtype: str) -> GraphCase:
    a = rv.Parameter(_values((7, 7), dtype, 1), name="a")
    return _case(dtype, {}, lambda: {"old": a}, (a,), {a: (a @ a.T) * 0.125})


@graph
def update_is_reversed_state(dtype: str) -> GraphCase:
    a = rv.Buffer(_values((33,), dtype, 1), name="a")
    return _case(dtype, {}, lambda: {}, (a,), {a: a[::-1]})


@graph
def scalars_only(dtype: str) -> GraphCase:
    def build(x: Tensor, y: Tensor) -> Mapping[str, Tensor]:
        return {"y": rv.exp(rv.tanh(x)) * y - 1.0, "m": rv.maximum(x, y), "less": x < y}

    return _case(dtype, {"x": (), "y": ()}, build)


@graph
def constants_only(dtype: str) -> GraphCase:
    c = rv.constant(np.arange(6).reshape(2, 3), dtype)
    return _case(dtype, {}, lambda: {"c": c, "t": c.T, "s": c.sum(), "z": rv.zeros_like(c)})


@graph
def same_tensor_twice(dtype: str) -> GraphCase:
    def build(x: Tensor) -> Mapping[str, Tensor]:
        y = rv.tanh(x)
        return {"a": y, "b": y, "c": y.reshape(-1), "d": rv.concatenate([y, y])}

    return _case(dtype, {"x": (3, 5)}, build)


@graph
def input_returned(dtype: str) -> GraphCase:
    return _case(dtype, {"x": (3, 5)}, lambda x: {"x": x, "view": x.T, "flat": x.reshape(15)})


@graph
def unused_input(dtype: str) -> GraphCase:
    return _case(dtype, {"x": (3,), "unused": (2, 2)}, lambda x, unused: {"y": -x})


@graph
def state_returned_and_updated(dtype: str) -> GraphCase:
    s = rv.Parameter(_values((4, 3), dtype, 1), name="s")

    def build(x: Tensor) -> Mapping[str, Tensor]:
        return {"old": s, "sum": s.sum(0), "new": s + x, "view": s[::2].T}

    case = _case(dtype, {"x": (4, 3)}, build, (s,))
    case.updates = {s: case.outputs["new"]}
    return case


@graph
def one_value_updates_two_states(dtype: str) -> GraphCase:
    a, b = (rv.Buffer(_values((3, 2), dtype, s), name=f"b{s}") for s in (1, 2))
    new = a * b
    return _case(dtype, {}, lambda: {"new": new}, (a, b), {a: new, b: new})


@graph
def state_updated_by_an_input(dtype: str) -> GraphCase:
    s = rv.Buffer(_values((5,), dtype, 1), name="s")
    case = _case(dtype, {"x": (5,)}, lambda x: {"both": x * s}, (s,))
    case.updates = {s: case.inputs["x"]}
    return case


@graph
def empty_axes(dtype: str) -> GraphCase:
    def build(x: Tensor, y: Tensor) -> Mapping[str, Tensor]:
        joined = rv.concatenate([x, y[:0]], 0)
        return {"x": x * 2.0, "s": x.sum(0), "j": joined, "mm": x.T @ y[:0], "p": x[:0].sum()}

    return _case(dtype, {"x": (0, 3), "y": (2, 3)}, build)


@graph
def diamond_with_two_reductions(dtype: str) -> GraphCase:
    def build(x: Tensor) -> Mapping[str, Tensor]:
        e = rv.exp(x)
        return {"y": e / e.sum(1, keepdims=True) + e.sum(0) * x, "e": e.sum()}

    return _case(dtype, {"x": (15, 31)}, build)


@graph
def wide_softmax(dtype: str) -> GraphCase:
    return _case(dtype, {"x": (3, 1031)}, lambda x: {"y": rv.softmax(x), "l": rv.log_softmax(x.T)})


@graph
def batched_matmuls_in_all_transpositions(dtype: str) -> GraphCase:
    def build(a: Tensor, b: Tensor) -> Mapping[str, Tensor]:
        at, bt = rv.swapaxes(a, -1, -2), rv.swapaxes(b, -1, -2)
        return {"nn": a @ b, "tt": bt @ at, "nt": a @ bt.reshape(3, 17, 7).transpose(0, 2, 1),
                "vector": a @ b[0, :, 0], "gram": a @ at}  # fmt: skip

    return _case(dtype, {"a": (3, 5, 7), "b": (3, 7, 17)}, build)


@graph
def strided_slice_gradients(dtype: str) -> GraphCase:
    w = rv.Parameter(_values((9, 8), dtype, 1), name="w")

    def build(x: Tensor) -> Mapping[str, Tensor]:
        loss = (rv.tanh(w[1::3, ::-2]) * x).sum()
        (grad,) = rv.gradients(loss, [w])
        return {"loss": loss, "grad": grad}

    case = _case(dtype, {"x": (3, 4)}, build, (w,))
    case.updates = {w: w - 0.1 * case.outputs["grad"]}
    return case


@graph
def embedding_rows_with_repeats(dtype: str) -> GraphCase:
    table = rv.Parameter(_values((7, 3), dtype, 1), name="table")
    index = rv.constant([2, 2, 0, 6, 2])

    def build(x: Tensor) -> Mapping[str, Tensor]:
        loss = (rv.take(table, index) * x).sum()
        return {"loss": loss, "grad": rv.gradients(loss, [table])[0]}

    case = _case(dtype, {"x": (5, 3)}, build, (table,))
    case.updates = {table: table - case.outputs["grad"]}
    return case


@graph
def dropout_and_its_gradient(dtype: str) -> GraphCase:
    step = rv.Buffer(3, rv.int64, name="step")
    w = rv.Parameter(_values((5, 6), dtype, 1), name="w")
    kept = rv.random_bits((5, 6), 7, step, 1, rv.uint8) < 100
    y = rv.where(kept, w * 2.0, rv.zeros_like(w))
    (grad,) = rv.gradients((y * y).sum(), [w])
    updates = {w: w - 0.1 * grad, step: step + 1}
    return _case(dtype, {}, lambda: {"y": y, "kept": kept}, (step, w), updates)


@graph
def products_that_cancel_exactly(dtype: str) -> GraphCase:
    """A multiply-add of one rounding in place of two would leave a rest."""

    def build(x: Tensor) -> Mapping[str, Tensor]:
        p = x * 0.00346021
        return {"y": p + (-p), "z": p * 1.5 - p * 1.5}

    return _case(dtype, {"x": (5, 33)}, build)


@graph
def a_long_sum_of_equal_numbers(dtype: str) -> GraphCase:
    """All its roundings go one way, and padding keeps the loops from becoming one."""
    shift = rv.Parameter(np.asarray(0.3, dtype), name="shift")

    def build(x: Tensor) -> Mapping[str, Tensor]:
        y = rv.pad(x, ((2, 2), (2, 0), (0, 2)))
        loss = (y - shift).mean() + (y * y).mean()
        return {"loss": loss, "grad": rv.gradients(loss, [shift])[0]}

    return _case(dtype, {"x": (15, 15, 2)}, build, (shift,))


@graph
def rows_taken_of_an_image_inside_its_border(dtype: str) -> GraphCase:
    """Indexing ops read whole arrays; the padded convolution would have h lie with gaps."""
    w = rv.constant(_values((3, 3, 4, 4), dtype, 5))

    def build(x: Tensor) -> Mapping[str, Tensor]:
        h = rv.relu(rv.convolution(x, w) + 1.0)
        rows, places = np.array([3, 1, 0]), np.array([0, 1, 1, 0])
        return {
            "y": rv.convolution(h, w, padding=1),
            "taken": rv.take(h, rv.constant(rows)),
            "pixels": rv.take(h.reshape(-1, 4), rv.constant(rows)),
            "added": rv.scatter_add(h, rv.constant(places), 2),
        }

    return _case(dtype, {"x": (4, 8, 7, 4)}, build)


@graph
def a_long_last_axis_below_few_rows(dtype: str) -> GraphCase:
    def build(x: Tensor) -> Mapping[str, Tensor]:
        return {"sum": x.sum((0, 1)), "max": x.max((0, 1))}

    return _case(dtype, {"x": (2, 2, 70_000)}, build)


@graph
def windows_over_windows(dtype: str) -> GraphCase:
    """Computed anew at each place, the work would multiply at every level."""

    def build(x: Tensor) -> Mapping[str, Tensor]:
        y = x
        for _ in range(3):
            y = rv.max_pool(y * 1.5, 5, 1, 2)
        for _ in range(3):
            x = rv.average_pool(x, 3, 1, 1)
        return {"largest": y, "mean": x}

    return _case(dtype, {"x": (1, 9, 8, 2)}, build)


@graph
def views_of_nothing(dtype: str) -> GraphCase:
    def build(x: Tensor) -> Mapping[str, Tensor]:
        return {
            "reshaped": (x.reshape(3, 0) * 2.0).reshape(0, 3) * 3.0,
            "expanded": rv.exp(rv.exp(x).reshape(0, 1, 3)),
            "stacked": rv.exp(rv.stack([rv.exp(x), x], 1)),
            "strided": rv.exp(rv.exp(x)[::2, ::-1].T),
        }

    return _case(dtype, {"x": (0, 3)}, build)


@graph
def gradients_of_nothing(dtype: str) -> GraphCase:
    def build(x: Tensor, y: Tensor) -> Mapping[str, Tensor]:
        normed = x - x.mean(1, keepdims=True)
        normed = normed * rv.rsqrt(rv.var(normed, 1, keepdims=True) + 0.25)
        roots = {
            "expand": rv.expand_dims(rv.exp(x), 1),
            "stack": rv.stack([rv.exp(x), x]),
            "slice": rv.exp(x[::2]),
            "norm": normed,
            "softmax": rv.log_softmax(x) * x.sum(1, keepdims=True),
        }
        grads = {k: rv.gradients((root * root).sum(), [x])[0] for k, root in roots.items()}
        return {**grads, "max": rv.gradients(y.max(0).sum(), [y])[0]}

    return _case(dtype, {"x": (0, 4), "y": (2, 0, 3)}, build)


@graph
def first_largest_beside_a_transpose(dtype: str) -> GraphCase:
    """The columns along which `argmax` searches are split, and run in the transpose's order."""
    case = GraphCase(np.dtype(dtype))
    for rows, columns in ((6, 2), (100, 10)):
        name = f"x{rows}"
        x = case.inputs[name] = rv.input((rows, columns), dtype, name)
        case.arrays[name] = np.zeros((rows, columns), dtype)
        case.arrays[name][1:3] = 1
        scores = x @ rv.constant(np.ones((columns, columns)), dtype)
        case.outputs |= {f"first{rows}": rv.argmax(scores, 0), f"turned{rows}": scores.T}
        case.outputs[f"merged{rows}"] = scores.T.reshape(-1)
    case.exact.update(case.outputs.values())
    return case
