"""Convolution and pooling beside PyTorch, folded normalization, and the words of errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ranvier as rv
from ranvier.errors import DTypeError, ShapeError
from ranvier.graph.ops.convolution import Convolution
from ranvier.graph.simplify import simplify
from ranvier.graph.walk import topological

GEOMETRIES = [
    # image, channels, outputs, kernel, stride, padding, dilation, groups
    (7, 3, 4, 3, 1, 1, 1, 1),
    (8, 4, 6, 3, 2, 1, 1, 2),
    (9, 2, 5, 2, 3, 0, 2, 1),
    (1, 7, 3, 1, 1, 0, 1, 1),
    (11, 6, 6, 5, 2, 2, 1, 3),
    (16, 32, 48, 3, 1, 1, 1, 1),
]


@pytest.mark.parametrize("engine", ["reference", "native"])
@pytest.mark.parametrize("case", GEOMETRIES)
def test_convolution_is_that_of_pytorch(case: tuple[int, ...], engine: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed beside Ranvier")
    n, c, f, k, stride, padding, dilation, groups = case
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(2, n, n, c)), rng.normal(size=(k, k, c // groups, f))
    theirs_x, theirs_w = (
        torch.tensor(array.transpose(order), requires_grad=True)
        for array, order in ((x, (0, 3, 1, 2)), (w, (3, 2, 0, 1)))
    )
    wanted = torch.nn.functional.conv2d(theirs_x, theirs_w, None, stride, padding, dilation, groups)
    (wanted**2).sum().backward()
    a, b = rv.input(x.shape, x.dtype), rv.input(w.shape, w.dtype)
    y = rv.convolution(a, b, stride, padding, dilation, groups)
    grads = rv.gradients(rv.sum(y * y), [a, b])
    results = {"y": y, "x": grads[0], "w": grads[1]}
    found = rv.compile({"x": a, "w": b}, results, engine=engine)(x=x, w=w)
    close(found["y"], wanted.detach().numpy().transpose(0, 2, 3, 1))
    close(found["x"], theirs_x.grad.numpy().transpose(0, 2, 3, 1))
    close(found["w"], theirs_w.grad.numpy().transpose(2, 3, 1, 0))


@pytest.mark.parametrize("engine", ["reference", "native"])
@pytest.mark.parametrize("case", [(7, 2, 2, 0), (8, 3, 2, 1), (6, 3, 1, 1), (5, 2, 3, 0)])
def test_pooling_is_that_of_pytorch(case: tuple[int, ...], engine: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed beside Ranvier")
    n, window, stride, padding = case
    x = np.random.default_rng(1).normal(size=(2, n, n, 3))
    theirs = torch.tensor(x.transpose(0, 3, 1, 2), requires_grad=True)
    functional = torch.nn.functional
    largest = functional.max_pool2d(theirs, window, stride, padding)
    average = functional.avg_pool2d(theirs, window, stride, padding, count_include_pad=False)
    (largest**2).sum().backward()
    (average**3).sum().backward()
    a = rv.input(x.shape, x.dtype)
    ours = rv.max_pool(a, window, stride, padding), rv.average_pool(a, window, stride, padding)
    (grad,) = rv.gradients(rv.sum(ours[0] ** 2) + rv.sum(ours[1] ** 3), [a])
    results = {"largest": ours[0], "average": ours[1], "grad": grad}
    found = rv.compile({"x": a}, results, engine=engine)(x=x)
    close(found["largest"], largest.detach().numpy().transpose(0, 2, 3, 1))
    close(found["average"], average.detach().numpy().transpose(0, 2, 3, 1))
    close(found["grad"], theirs.grad.numpy().transpose(0, 2, 3, 1))


def close(found: np.ndarray, wanted: np.ndarray) -> None:
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)


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


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (((1, 4, 4, 2), (3, 3, 3, 5)), ShapeError, "expected 3 input channels"),
        (((1, 4, 4, 2), (5, 3, 2, 5)), ShapeError, "kernel (5, 3) is larger than the padded"),
        (((4, 2), (3, 2, 5)), ShapeError, "an image is [batch, *spatial, channels], not (4, 2)"),
        (((1, 4, 4, 2), (3, 3, 2, 5), (1, 1, 1)), ShapeError, "stride (1, 1, 1) is not for 2"),
        (((1, 4, 4, 2), (3, 3, 2, 5), 1, "full"), ShapeError, "not 'full'"),
        (((1, 4, 4, 2), (3, 3, 2, 5), 1, -1), ShapeError, "must not be negative"),
        (((1, 4, 4, 2), (3, 3, 2, 5), 1.5), DTypeError, "stride 1.5 is not made of whole numbers"),
    ],
)
def test_errors_name_what_met(arguments: tuple[Any, ...], error: type, words: str) -> None:
    image, weights, *rest = arguments
    with pytest.raises(error) as caught:
        rv.convolution(rv.input(image), rv.input(weights), *rest)
    assert words in str(caught.value)
    assert str(caught.value).startswith("convolution")
