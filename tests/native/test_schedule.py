"""What the scheduler promises: which work shares a kernel, and where state is updated.

The schedules are golden texts, for a machine with AVX-512 (they do not depend on the machine at
hand).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from textwrap import dedent
from typing import Any

import numpy as np
import pytest
from plans import plan, step_plan

import ranvier as rv
from ranvier.engines.native.schedule.kernels import MatmulKernel, Packing, PackKernel
from ranvier.engines.native.schedule.schedule import Schedule
from ranvier.graph.leaves import Input
from ranvier.graph.tensor import Tensor
from ranvier.graph.walk import topological


def zeros(*shape: int, name: str) -> rv.Parameter:
    return rv.Parameter(np.zeros(shape, np.float32), name=name)


def check_text(found: Schedule, text: str) -> None:
    assert str(found) == dedent(text).strip()


# ------------------------------------------------------------ what a kernel reads

X, W = rv.input((24, 24), name="x"), rv.input((24, 24), name="w")
ROWS = rv.input((2, 1, 2, 24), name="rows")


def across(v: rv.Tensor) -> rv.Tensor:
    """Sums along which no map leads through transpositions: `v` must lie in memory."""
    return rv.reshape(v, (9, 64)).sum(axis=1)


def stored_late(name: str) -> dict[str, rv.Tensor]:
    """Graphs of which a tensor turns out to be needed in memory after others have used it."""
    logarithms, tanh = rv.log_softmax(ROWS, axis=0), rv.tanh(X)
    scaled = (tanh * 1.5).T
    product = rv.tanh(scaled @ W)
    cases = {
        "the largest along rows": {
            "y": rv.softmax(logarithms, axis=2),
            "z": rv.concatenate([logarithms, ROWS], 2),
        },
        "an operand": {"y": X.T @ W + X, "z": across(X.T)},
        "an operand and more": {"a": product.T + scaled.T, "b": product, "c": across(scaled)},
        "a result in its shape": {
            "y": tanh,
            "z": rv.reshape(rv.reshape(tanh, (64, 9)), (24, 24)),
        },
    }
    return cases[name]


LATE = ("the largest along rows", "an operand", "an operand and more", "a result in its shape")


@pytest.mark.parametrize("passes", [("views",), (), None])
@pytest.mark.parametrize("name", LATE)
def test_kernels_do_not_read_what_kernels_behind_them_store(
    name: str, passes: tuple[str, ...] | None
) -> None:
    results, rng = stored_late(name), np.random.default_rng(0)
    inputs = {t.op.label: t for t in topological(results.values()) if isinstance(t.op, Input)}
    given = {name: rng.normal(size=t.shape).astype("f") for name, t in inputs.items()}
    want = rv.compile(inputs, results, engine="reference")(**given)
    options = {} if passes is None else {"passes": passes}
    for threads in (1, 3):
        found = rv.compile(inputs, results, threads=threads, **options)(**given)
        for name, expected in want.items():
            np.testing.assert_allclose(found[name], expected, rtol=1e-5, atol=1e-5)


def test_what_is_stored_late_is_not_computed_anew() -> None:
    """Not in inner loops, by the kernels that had it before."""
    y = rv.input((24, 24, 64), name="y")
    sine = rv.sin(X)
    found = plan({"x": X, "y": y}, {"y": rv.reshape(sine, (24, 24, 1)) * y, "z": across(sine)})
    assert str(found).count("= sin ") == 1


# ------------------------------------------------------------ what shares a kernel


def test_softmax_cross_entropy_with_its_gradient_is_one_row_kernel() -> None:
    x, labels = rv.input((32, 10), name="x"), rv.input((32,), rv.int64, "labels")
    each = -(rv.one_hot(labels, 10) * rv.log_softmax(x)).sum(-1)
    (gradient,) = rv.gradients(each.sum(), [x])
    found = plan({"x": x, "labels": labels}, {"each": each, "gradient": gradient})
    (kernel,) = found.sequenced.kernels
    text = str(kernel)
    assert "rows (32,) columns (10,)" in text
    assert text.count("exp") == text.count("load i:x") == text.count("load i:labels") == 1
    assert found.arena.size == 0


def test_the_optimizer_is_the_epilogue_of_the_weights_gradient() -> None:
    x, g = rv.input((128, 64), name="x"), rv.input((128, 256), name="g")
    w, v = zeros(64, 256, name="w"), zeros(64, 256, name="v")
    velocity = v * 0.5 + x.T @ g
    found = plan({"x": x, "g": g}, {}, {v: velocity, w: w - velocity * 0.25})
    text = """
        matmul0: matmul 64x256, depth 128 of i:x, i:g
          rows (64,) columns (256,)
            %0 = load s:v[256*i0 + i1]
            %1 = float32 0.5
            %2 = multiply %0 %1
            %3 = product
            %4 = add %2 %3
            %5 = load s:w[256*i0 + i1]
            %6 = float32 0.25
            %7 = multiply %4 %6
            %8 = subtract %5 %7
            %9 = store %4 to s:v[256*i0 + i1]
            %10 = store %8 to s:w[256*i0 + i1]
        """
    # The product's plan may have its left operand packed by a kernel before this one.
    assert str(found.sequenced.kernels[-1]) == dedent(text).strip()
    assert len(found.sequenced.kernels) <= 2


def test_large_products_pack_their_operands_but_those_that_they_share() -> None:
    x, *weights = (rv.input((1024, 1024), name=name) for name in "xvw")
    (alone,) = plan({"x": x, "v": weights[0]}, {"y": x @ weights[0]}, {}).sequenced.kernels
    assert isinstance(alone, MatmulKernel)
    assert alone.packed_left is not None
    assert alone.packed_left.by_segment
    assert alone.operands() == (alone.left.buffer, alone.right.buffer)
    inputs = {"x": x, "v": weights[0], "w": weights[1]}
    both = plan(inputs, {"y": x @ weights[0], "z": x @ weights[1]}, {})
    pack, *products = both.sequenced.kernels
    assert isinstance(pack, PackKernel)
    assert (pack.operand, pack.right) == (products[0].left, False)
    for product in products:
        assert product.packed_left == Packing(pack.packed, by_segment=False)
        assert product.operands() == (pack.packed, product.right.buffer)


def test_the_biass_gradient_and_update_are_one_column_kernel() -> None:
    g, b = rv.input((128, 256), name="g"), zeros(256, name="b")
    check_text(
        plan({"g": g}, {}, {b: b - g.sum(0) * 0.5}),
        """
        rows0: rows
          rows (256,) columns (128,)
            %0 = load s:b[i0]
            %1 = load i:g[i0 + 256*i1]
            %2 = reduce sum %1
            %3 = float32 0.5
            %4 = multiply %2 %3
            %5 = subtract %0 %4
            %6 = store %5 to s:b[i0]
        arena 0 bytes
        """,
    )


def test_layer_norm_is_one_kernel() -> None:
    x, gain, shift = rv.input((128, 64), name="x"), zeros(64, name="gain"), zeros(64, name="shift")
    centred = x - x.mean(-1, keepdims=True)
    scale = rv.rsqrt((centred * centred).sum(-1, keepdims=True) + 0.5)
    check_text(
        plan({"x": x}, {"y": centred * scale * gain + shift}),
        """
        rows0: rows
          rows (128,) columns (64,)
            %0 = load i:x[64*i0 + i1]
            %1 = reduce sum %0
            %2 = float32 0.015625
            %3 = multiply %1 %2
            %4 = subtract %0 %3
            %5 = multiply %4 %4
            %6 = reduce sum %5
            %7 = float32 0.5
            %8 = add %6 %7
            %9 = rsqrt %8
            %10 = multiply %4 %9
            %11 = load s:gain[i1]
            %12 = multiply %10 %11
            %13 = load s:shift[i1]
            %14 = add %12 %13
            %15 = store %14 to o:y[64*i0 + i1]
        arena 0 bytes
        """,
    )


def test_a_sum_over_long_rows_joins_what_it_adds_up() -> None:
    """One pass over memory stores the elements and sums them; short rows keep a pass of theirs."""
    for columns, kernels in ((96, 1), (24, 2)):
        x = rv.input((80, 12, columns), name="x")
        h = rv.tanh(x)
        found = plan({"x": x}, {"h": h, "sum": rv.sum(h, -1)})
        assert len(found.sequenced.kernels) == kernels


def test_a_means_gradient_is_divided_before_it_is_spread() -> None:
    """A division for each pooled number, in the epilogue that makes it, and none for each pixel."""
    x, w = rv.input((6, 7, 7, 16), name="x"), zeros(16, 3, name="w")
    y = rv.tanh(x).mean((1, 2)) @ w
    found = plan({"x": x}, {"slope": rv.gradients(rv.sum(y * y), [x])[0]})
    *_, product, spread = map(str, found.sequenced.kernels)
    assert "product\n    %1 = float32 49.0\n    %2 = divide %0 %1" in product
    assert "divide %" not in spread


def test_bias_and_activation_are_the_epilogue_of_a_product() -> None:
    x, w, b = rv.input((16, 32), name="x"), zeros(32, 48, name="w"), zeros(48, name="b")
    (kernel,) = plan({"x": x}, {"y": rv.relu(x @ w + b)}).sequenced.kernels
    assert str(kernel).startswith("matmul0: matmul 16x48, depth 32 of i:x, s:w\n")
    assert "maximum" in str(kernel)


def test_transpositions_are_read_through() -> None:
    x, w = rv.input((32, 16), name="x"), zeros(48, 32, name="w")
    (kernel,) = plan({"x": x}, {"y": x.T @ w.T}).sequenced.kernels
    assert str(kernel).startswith("matmul0: matmul 16x48, depth 32 of i:x, s:w\n")


def test_each_update_of_the_mlp_is_fused() -> None:
    """No kernel of the step does nothing but update."""
    found = step_plan("mlp")
    for kernel in found.sequenced.kernels:
        if any(buffer.kind == "state" for buffer in kernel.writes()):
            assert "product" in str(kernel) or "reduce sum" in str(kernel)


# ------------------------------------------------------------ fuse and in_place


def test_without_fusing_each_tensor_has_a_kernel() -> None:
    x = rv.input((4, 6), name="x")
    outputs = {"y": rv.tanh(-x) + x.sum(1, keepdims=True)}
    kernels = plan({"x": x}, outputs, fuse=False).sequenced.kernels
    names = sorted(node.op.name for kernel in kernels for node in kernel.nodes)
    assert names == ["add", "broadcast_to", "negative", "sum", "tanh"]
    assert all(len(kernel.nodes) == 1 for kernel in kernels)
    assert len(plan({"x": x}, outputs).sequenced.kernels) == 1


@pytest.mark.parametrize("name", ["small", "norm_net", "attention"])
def test_without_fusing_every_tensor_of_a_step_is_stored(name: str) -> None:
    found = step_plan(name, fuse=False)
    for kernel in found.sequenced.kernels:
        assert len(kernel.nodes) <= 1
        assert set(kernel.nodes) <= set(found.stored)


ADD_ONE = """
    rows0: rows
      rows (4, 4) columns ()
        %0 = load s:a[4*i0 + i1]
        %1 = float32 1.0
        %2 = add %0 %1
        %3 = store %2 to {}[4*i0 + i1]
    """


def test_state_is_updated_where_it_lies() -> None:
    a = zeros(4, 4, name="a")
    check_text(plan({}, {}, {a: a + 1.0}), ADD_ONE.format("s:a") + "arena 0 bytes")


def test_with_nothing_in_place_new_state_is_copied_at_the_end() -> None:
    a = zeros(4, 4, name="a")
    text = """
    -- barrier
    copy_a: rows
      rows (16,) columns ()
        %0 = load t:new_a[i0]
        %1 = store %0 to s:a[i0]
    arena 64 bytes
    """
    whole = dedent(ADD_ONE.format("t:new_a")).strip() + "\n" + dedent(text).strip()
    assert str(plan({}, {}, {a: a + 1.0}, in_place=False)) == whole


def test_with_nothing_in_place_no_memory_is_shared() -> None:
    found = step_plan("norm_net", in_place=False)
    spans = sorted((at, at + p.nbytes) for p, at in found.arena.offsets.items())
    assert all(stop <= start for (_, stop), (start, _) in pairwise(spans))


# ------------------------------------------------------------ hazards of state


def run(updates: Mapping[rv.State, Tensor], **options: Any) -> list[np.ndarray]:
    """The states after two steps, by `native`."""
    rng = np.random.default_rng(0)
    for state in updates:
        state.value = rng.uniform(-1, 1, state.shape)
    rv.compile({}, {}, updates, **options)(steps=2)
    return [state.value for state in updates]


def crossing(name: str) -> dict[rv.State, Tensor]:
    a, b, c = (zeros(19, 19, name=n) for n in "abc")
    cases: dict[str, dict[rv.State, Tensor]] = {
        "two swap": {a: b, b: a},
        "three rotate": {a: b, b: c, c: a},
        "two cross": {a: a + b, b: a * 0.5},
        "two cross transposed": {a: b.T + 1.0, b: a.T - a},
        "product of itself": {a: a @ a},
        "product with its transpose": {a: a @ a.T, b: b.T @ a},
        "products cross": {a: a @ b, b: b @ a, c: a + c},
        "transposed": {a: a.T},
        "reversed": {a: a[::-1, ::-1] * 0.5},
        "shifted": {a: rv.pad(a, [(1, 0), (0, 0)])[:-1] + a},
        "minus its mean": {a: a - a.mean()},
        "minus means of rows": {a: a - a.mean(1, keepdims=True)},
        "minus means of columns": {a: a - a.mean(0, keepdims=True)},
        "rows taken": {a: rv.take(a, np.arange(19)[::-1].copy())},
        "rows added up": {a: rv.scatter_add(a, np.arange(19) // 2, 19), b: a + b},
        "one new value for two": {a: b * 2.0, b: b * 2.0},
    }
    return cases[name]


CROSSING = (
    "two swap", "three rotate", "two cross", "two cross transposed", "product of itself",
    "product with its transpose", "products cross", "transposed", "reversed", "shifted",
    "minus its mean", "minus means of rows", "minus means of columns", "rows taken",
    "rows added up", "one new value for two",
)  # fmt: skip


@pytest.mark.parametrize("name", CROSSING)
def test_updates_that_read_what_others_write(name: str) -> None:
    want = run(crossing(name), engine="reference", passes=())
    for threads in (1, 3):
        for in_place in (True, False):
            found = run(crossing(name), threads=threads, in_place=in_place)
            for got, expected in zip(found, want, strict=True):
                np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
