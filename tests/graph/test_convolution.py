"""Convolution and pooling: their definition, PyTorch's, folded normalization, errors' words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import image_cases
import numpy as np
import pytest

import ranvier as rv
from ranvier.errors import DTypeError, ShapeError
from ranvier.graph.ops.convolution import (
    Convolution,
    ConvolutionInputGradient,
    ConvolutionWeightGradient,
    Geometry,
)
from ranvier.graph.simplify import simplify
from ranvier.graph.tensor import Shape
from ranvier.graph.walk import topological

ENGINES = ("reference", "native")


def close(found: np.ndarray, wanted: np.ndarray) -> None:
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)


# ---------------------------------------------------------------- the definition


def terms(geometry: Geometry, x: Shape, w: Shape, y: Shape) -> Iterator[tuple[Shape, Shape, Shape]]:
    """The elements of image, weights and result that meet, one triple after another."""
    for b, *position, f in product(*map(range, y)):
        first = f // (w[-1] // geometry.groups) * w[-2]
        for *tap, c in product(*map(range, w[:-1])):
            axes = zip(position, geometry.stride, tap, geometry.dilation, strict=True)
            from_border = [o * s + k * d for o, s, k, d in axes]
            pixel = [at - lo for at, lo in zip(from_border, geometry.before, strict=True)]
            if all(0 <= at < n for at, n in zip(pixel, x[1:-1], strict=True)):
                yield (b, *pixel, first + c), (*tap, c, f), (b, *position, f)


def drawn(kind: type[Any]) -> Iterator[tuple[Any, np.ndarray, np.ndarray]]:
    """Samples of an op with its two operands."""
    for i in range(20):
        op, (a, b) = image_cases.DIFFERENTIABLE[kind.name](np.random.default_rng(i), i)
        yield op, a, b


def test_the_convolution_is_its_definition() -> None:
    for op, x, w in drawn(Convolution):
        found = op.meaning(np, x, w)
        wanted = np.zeros_like(found)
        for at_x, at_w, at_y in terms(op.geometry, x.shape, w.shape, found.shape):
            wanted[at_y] += x[at_x] * w[at_w]
        close(found, wanted)


def test_the_gradient_towards_the_image_is_its_definition() -> None:
    for op, y, w in drawn(ConvolutionInputGradient):
        found = op.meaning(np, y, w)
        assert found.shape[1:-1] == op.spatial
        wanted = np.zeros_like(found)
        for at_x, at_w, at_y in terms(op.geometry, found.shape, w.shape, y.shape):
            wanted[at_x] += w[at_w] * y[at_y]
        close(found, wanted)


def test_the_gradient_towards_the_weights_is_its_definition() -> None:
    for op, x, y in drawn(ConvolutionWeightGradient):
        found = op.meaning(np, x, y)
        assert found.shape[:-2] == op.kernel
        wanted = np.zeros_like(found)
        for at_x, at_w, at_y in terms(op.geometry, x.shape, found.shape, y.shape):
            wanted[at_w] += x[at_x] * y[at_y]
        close(found, wanted)


@pytest.mark.parametrize("engine", ENGINES)
def test_ties_of_max_pooling_go_to_the_first(engine: str) -> None:
    """Windows that overlap add up what they pass back; a NaN is the largest."""
    x = rv.input((1, 5, 1), rv.float64)
    y = rv.max_pool(x, 3, 2, [(1, 1)])
    (grad,) = rv.gradients(rv.sum(y * np.array([1.0, 2.0, 4.0])[:, None]), [x])
    program = rv.compile({"x": x}, {"y": y, "grad": grad}, engine=engine)
    for values, largest, passed in (
        ([3, 3, 1, 3, 3], [3, 3, 3], [1, 2, 0, 4, 0]),
        ([0, 0, 0, 0, 0], [0, 0, 0], [1, 2, 0, 4, 0]),
        ([-4, -3, -2, -3, -5], [-3, -2, -3], [0, 1, 2, 4, 0]),
        ([5, 1, np.nan, 2, 9], [5, np.nan, 9], [1, 0, 2, 0, 4]),
    ):
        found = program(x=np.reshape(values, (1, 5, 1)).astype(np.float64))
        np.testing.assert_array_equal(found["y"].ravel(), largest)
        np.testing.assert_array_equal(found["grad"].ravel(), passed)


# ---------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    ("length", "kernel", "stride", "dilation", "zeros"),
    [
        (7, 3, 1, 1, (1, 1)), (7, 3, 2, 1, (1, 1)), (8, 3, 2, 1, (0, 1)), (5, 2, 1, 1, (0, 1)),
        (1, 5, 1, 1, (2, 2)), (4, 1, 3, 1, (0, 0)), (6, 4, 1, 1, (1, 2)), (9, 3, 1, 2, (2, 2)),
        (10, 2, 5, 1, (0, 0)), (11, 7, 4, 1, (2, 2)), (5, 4, 2, 2, (3, 3)),
    ],
)  # fmt: skip
def test_same_padding(
    length: int, kernel: int, stride: int, dilation: int, zeros: tuple[int, int]
) -> None:
    x, w = rv.input((1, length, 2)), rv.input((kernel, 2, 3))
    y = rv.convolution(x, w, stride, "same", dilation)
    assert isinstance(y.op, Convolution)
    assert (*y.op.geometry.before, *y.op.geometry.after) == zeros
    assert y.shape == (1, -(-length // stride), 3)
    if dilation == 1:
        assert rv.max_pool(x, kernel, stride, "same").shape[:2] == y.shape[:2]


def test_same_padding_is_the_least() -> None:
    """As many positions as strides begin in the image, and fewer with one zero less."""
    for n, k, s, d in product(range(1, 9), range(1, 5), range(1, 5), (1, 2)):
        y = rv.convolution(rv.input((1, n, 1)), rv.input((k, 1, 1)), s, "same", d)
        assert isinstance(y.op, Convolution)
        lo, hi = y.op.geometry.before[0], y.op.geometry.after[0]
        assert y.shape[1] == len(range(0, n, s))
        assert hi - lo in (0, 1)
        if hi:
            less = Geometry((s,), (lo,), (hi - 1,), (d,))
            assert less.positions((n,), (k,))[0] < y.shape[1]


def test_padding_differs_by_axis_and_side() -> None:
    x, w = rv.input((1, 5, 6, 2)), rv.input((2, 3, 1, 4))
    whole: Any = np.int64
    for padding, before, after in (
        (whole(1), (1, 1), (1, 1)),
        ((0, whole(2)), (0, 2), (0, 2)),
        (np.array([2, 1]), (2, 1), (2, 1)),
        ([(0, 1), 2], (0, 2), (1, 2)),
        (np.array([[0, 1], [2, 0]]), (0, 2), (1, 0)),
    ):
        y = rv.convolution(x, w, (1, whole(2)), padding, whole(1), whole(2))
        assert y.op == Convolution(Geometry((1, 2), before, after, (1, 1), 2))
        assert isinstance(y.op, Convolution)
        declared = vars(y.op.geometry).values()
        numbers = [
            n for value in declared for n in (value if isinstance(value, tuple) else [value])
        ]
        assert all(type(n) is int for n in numbers)


# ---------------------------------------------------------------- beside PyTorch

Pairs = list[tuple[int, int]]

GEOMETRIES: list[tuple[Shape, int, int, Shape, int, Pairs, int, int]] = [
    # spatial, channels, outputs, kernel, stride, padding, dilation, groups
    ((7, 7), 3, 4, (3, 3), 1, [(1, 1), (1, 1)], 1, 1),
    ((8, 8), 4, 6, (3, 3), 2, [(1, 1), (1, 1)], 1, 2),
    ((9, 9), 2, 5, (2, 2), 3, [(0, 0), (0, 0)], 2, 1),
    ((1, 1), 7, 3, (1, 1), 1, [(0, 0), (0, 0)], 1, 1),
    ((11, 11), 6, 6, (5, 5), 2, [(2, 2), (2, 2)], 1, 3),
    ((16, 16), 32, 48, (3, 3), 1, [(1, 1), (1, 1)], 1, 1),
    ((5, 8), 3, 2, (2, 4), 1, [(0, 1), (2, 1)], 1, 1),
    ((6, 3), 4, 4, (3, 1), 2, [(3, 0), (0, 2)], 1, 4),
    ((1, 1), 2, 3, (3, 2), 1, [(2, 1), (0, 1)], 1, 1),
    ((9,), 3, 4, (3,), 1, [(1, 1)], 1, 1),
    ((12,), 6, 4, (4,), 3, [(0, 2)], 2, 2),
    ((5,), 1, 1, (1,), 2, [(0, 0)], 1, 1),
]


def _theirs(torch: Any, array: np.ndarray) -> Any:
    """An image of ours as a tensor of PyTorch, with the channels before the spatial axes."""
    return torch.tensor(np.moveaxis(array, -1, 1), requires_grad=True)


def _ours(tensor: Any) -> np.ndarray:
    return np.moveaxis(tensor.detach().numpy(), 1, -1)


def _bordered(torch: Any, image: Any, padding: Pairs, value: float = 0) -> Any:
    """PyTorch's `pad`, which counts the axes from the last."""
    widths = [n for pair in reversed(padding) for n in pair]
    return torch.nn.functional.pad(image, widths, value=value)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", GEOMETRIES, ids=str)
def test_convolution_is_that_of_pytorch(case: Any, engine: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed beside Ranvier")
    spatial, c, f, kernel, stride, padding, dilation, groups = case
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(2, *spatial, c)), rng.normal(size=(*kernel, c // groups, f))
    theirs_x = _theirs(torch, x)
    theirs_w = torch.tensor(np.moveaxis(w, (-1, -2), (0, 1)), requires_grad=True)
    convolve = getattr(torch.nn.functional, f"conv{len(spatial)}d")
    bordered = _bordered(torch, theirs_x, padding)
    wanted = convolve(bordered, theirs_w, None, stride, 0, dilation, groups)
    (wanted**2).sum().backward()
    a, b = rv.input(x.shape, x.dtype), rv.input(w.shape, w.dtype)
    y = rv.convolution(a, b, stride, padding, dilation, groups)
    grads = rv.gradients(rv.sum(y * y), [a, b])
    results = {"y": y, "x": grads[0], "w": grads[1]}
    found = rv.compile({"x": a, "w": b}, results, engine=engine)(x=x, w=w)
    close(found["y"], _ours(wanted))
    close(found["x"], _ours(theirs_x.grad))
    close(found["w"], np.moveaxis(theirs_w.grad.numpy(), (0, 1), (-1, -2)))


POOLS: list[tuple[Shape, Shape, Shape, Pairs]] = [
    # spatial, window, stride, padding
    ((7, 7), (2, 2), (2, 2), [(0, 0), (0, 0)]),
    ((8, 8), (3, 3), (2, 2), [(1, 1), (1, 1)]),
    ((6, 6), (3, 3), (1, 1), [(1, 1), (1, 1)]),
    ((5, 5), (2, 2), (3, 3), [(0, 0), (0, 0)]),
    ((5, 4), (3, 2), (1, 2), [(2, 0), (0, 1)]),
    ((1, 6), (1, 4), (1, 1), [(0, 0), (3, 3)]),
    ((9,), (3,), (2,), [(0, 1)]),
    ((7,), (4,), (1,), [(2, 1)]),
]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", POOLS, ids=str)
def test_pooling_is_that_of_pytorch(case: Any, engine: str) -> None:
    """The mean of what is inside is PyTorch's mean over the mean of ones, both bordered by 0."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed beside Ranvier")
    spatial, window, stride, padding = case
    x = np.random.default_rng(1).normal(size=(2, *spatial, 3))
    theirs = _theirs(torch, x)
    largest_of, average_of = (
        getattr(torch.nn.functional, f"{kind}_pool{len(spatial)}d") for kind in ("max", "avg")
    )
    largest = largest_of(_bordered(torch, theirs, padding, -np.inf), window, stride)
    average = average_of(_bordered(torch, theirs, padding), window, stride)
    inside = _bordered(torch, torch.ones_like(theirs), padding)
    average = average / average_of(inside, window, stride)
    (largest**2).sum().backward()
    (average**3).sum().backward()
    a = rv.input(x.shape, x.dtype)
    ours = rv.max_pool(a, window, stride, padding), rv.average_pool(a, window, stride, padding)
    (grad,) = rv.gradients(rv.sum(ours[0] ** 2) + rv.sum(ours[1] ** 3), [a])
    results = {"largest": ours[0], "average": ours[1], "grad": grad}
    found = rv.compile({"x": a}, results, engine=engine)(x=x)
    close(found["largest"], _ours(largest))
    close(found["average"], _ours(average))
    close(found["grad"], _ours(theirs.grad))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("batch", [1, 32])
def test_max_pooling_never_chooses_the_border(batch: int, engine: str) -> None:
    """Not even of an image of -inf, beside which the border is no smaller."""
    line, image = rv.input((batch, 4, 2), name="line"), rv.input((batch, 3, 4, 2), name="image")
    slopes = {
        "line": rv.gradients(rv.sum(rv.max_pool(line, 3, 2, [(1, 0)])), [line])[0],
        "image": rv.gradients(rv.sum(rv.max_pool(image, 3, 2, 1)), [image])[0],
    }
    program = rv.compile({"line": line, "image": image}, slopes, engine=engine)
    low = {name: np.full(t.shape, -np.inf, "f") for name, t in program.signature.inputs.items()}
    found = program(**low)
    assert (found["line"] == np.array([1, 1, 0, 0])[:, None]).all()
    corners = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]])
    assert (found["image"] == corners[..., None]).all()
    low["line"][:, 1], low["image"][:, 2, 3] = 5, np.nan
    found = program(**low)
    assert (found["line"] == np.array([0, 2, 0, 0])[:, None]).all()
    corners = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    assert (found["image"] == corners[..., None]).all()


# ---------------------------------------------------------------- normalization at inference


def normalized(x: Any, w: rv.Parameter) -> rv.Tensor:
    """Convolution and batch normalization by running statistics."""
    c = w.shape[-1]
    rng = np.random.default_rng(2)
    mean, variance = rv.Buffer(rng.normal(size=c)), rv.Buffer(rng.uniform(0.5, 2, c))
    gain, shift = rv.Parameter(rng.normal(size=c)), rv.Parameter(rng.normal(size=c))
    y = rv.convolution(x, w, padding="same")
    return (y - mean) * (rv.rsqrt(variance + 1e-5) * gain) + shift


def test_normalization_goes_into_the_weights() -> None:
    rng = np.random.default_rng(3)
    x = rv.input((2, 6, 6, 3), rv.float64)
    h: rv.Tensor = x
    for c, f in ((3, 4), (4, 5), (5, 2)):
        h = rv.relu(normalized(h, rv.Parameter(rng.normal(size=(3, 3, c, f)))))
    (folded,) = simplify([h])
    pictures = [t for t in topological([folded]) if t.ndim == 4 and t.shape[0] == 2]
    assert not [t for t in pictures if t.op.name == "multiply"]
    values = {"x": rng.normal(size=x.shape)}
    plain = rv.compile({"x": x}, {"h": h}, engine="reference", passes=())(**values)["h"]
    for engine in ("reference", "native"):
        close(rv.compile({"x": x}, {"h": h}, engine=engine)(**values)["h"], plain)


def test_a_scale_from_the_batch_stays() -> None:
    x, w = rv.input((2, 4, 4, 3)), rv.Parameter(np.ones((3, 3, 3, 4), np.float32))
    y = rv.convolution(x, w)
    twice = (y * rv.mean(x)) + y * rv.constant(np.arange(4, dtype=np.float32))
    (found,) = simplify([twice])
    convolutions = {t for t in topological([found]) if isinstance(t.op, Convolution)}
    assert [t.inputs[1] is w for t in convolutions] == [True]


# ---------------------------------------------------------------- errors

IMAGE, WEIGHTS = rv.input((1, 4, 4, 2)), rv.input((3, 3, 2, 5))


def convolve(weights: Shape, *arguments: Any, **named: Any) -> Callable[[], Any]:
    return lambda: rv.convolution(IMAGE, rv.input(weights), *arguments, **named)


ERRORS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (
        convolve((3, 3, 3, 5)),
        ShapeError,
        "convolution: weights (3, 3, 3, 5) expect 3 input channels, but image (1, 4, 4, 2) has 2; "
        "weights are [*kernel, channels / groups, outputs] with groups 1",
    ),
    (
        convolve((3, 3, 1, 3), groups=2),
        ShapeError,
        "convolution: the 3 outputs of weights (3, 3, 1, 3) do not split into 2 groups; "
        "take a number of outputs divisible by 2",
    ),
    (convolve((3, 3, 2, 5), groups=0), ShapeError, "convolution: groups 0 must be at least 1"),
    (
        convolve((3, 3, 2, 5), groups=1.0),
        DTypeError,
        "convolution: groups 1.0 is not a whole number; use an int",
    ),
    (
        convolve((5, 3, 2, 5)),
        ShapeError,
        "convolution: kernel (5, 3) is larger than image (4, 4) with padding (0, 0), (0, 0); "
        "pad the image or take a smaller kernel",
    ),
    (
        convolve((3, 2, 2, 5), dilation=2),
        ShapeError,
        "convolution: kernel (3, 2) with dilation (2, 2) is larger than image (4, 4) with "
        "padding (0, 0), (0, 0); pad the image or take a smaller kernel",
    ),
    (
        convolve((0, 2, 2, 5)),
        ShapeError,
        "convolution: kernel (0, 2) must be at least 1 along every axis",
    ),
    (
        convolve((3, 2, 5), 1, "same"),
        ShapeError,
        "convolution: weights (3, 2, 5) must have 4 axes like image (1, 4, 4, 2); "
        "weights are [*kernel, channels / groups, outputs]",
    ),
    (
        lambda: rv.convolution(rv.input((4, 2)), WEIGHTS),
        ShapeError,
        "convolution: an image is [batch, *spatial, channels] with one or two spatial axes, "
        "not (4, 2); use reshape or expand_dims",
    ),
    (convolve((3, 3, 2, 5), 0, "same"), ShapeError, "convolution: stride 0 must be at least 1"),
    (
        convolve((3, 3, 2, 5), 1.5),
        DTypeError,
        "convolution: stride 1.5 is not made of whole numbers; use ints",
    ),
    (
        convolve((3, 3, 2, 5), 1, "full"),
        ShapeError,
        'convolution: padding is "valid", "same", or numbers, not \'full\'',
    ),
    (
        convolve((3, 3, 2, 5), 1, -1),
        ShapeError,
        "convolution: padding (-1, -1), (-1, -1) must not be negative; slice the image instead",
    ),
    (
        convolve((3, 3, 2, 5), 1, (1, 2, 3)),
        ShapeError,
        "convolution: padding (1, 2, 3) must be one number, or one number or pair "
        "(before, after) for each of 2 spatial axes",
    ),
    (lambda: rv.max_pool(IMAGE, 0), ShapeError, "max_pool: window 0 must be at least 1"),
    (
        lambda: rv.max_pool(IMAGE, 5),
        ShapeError,
        "max_pool: window (5, 5) is larger than image (4, 4) with padding (0, 0), (0, 0); "
        "pad the image or take a smaller window",
    ),
    (
        lambda: rv.average_pool(rv.input((1, 0, 4, 2)), 2, 1, 1),
        ShapeError,
        "average_pool: window (2, 2) would see nothing but padding (1, 1), (1, 1) beside image "
        "(0, 4); pad less than the window's size",
    ),
    (
        lambda: rv.average_pool(rv.input((1, 4, 4, 2), "int32"), 2),
        DTypeError,
        "average_pool takes float32 or float64, not int32; use .astype(...)",
    ),
]


@pytest.mark.parametrize(("build", "error", "text"), ERRORS, ids=[text for *_, text in ERRORS])
def test_errors_say_what_met_and_how_to_mend_it(
    build: Callable[[], Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error) as caught:
        build()
    assert str(caught.value) == text
