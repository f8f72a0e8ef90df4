"""Convolutional programs: how kernels are chosen and fused, and that their results are right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from networks import STEPS, compiled

import ranvier as rv
from ranvier.engines.native.convolution_plan import merged_depth
from ranvier.engines.native.host import host
from ranvier.engines.native.kernels import (
    BorderKernel,
    ConvolutionKernel,
    Kernel,
    RowKernel,
    WinogradKernel,
)
from ranvier.engines.native.program import NativeProgram
from ranvier.engines.native.widen import neighbours


def program_of(
    results: dict[str, rv.Tensor], **inputs: Any
) -> tuple[NativeProgram, dict[str, np.ndarray]]:
    """A native program, and what the reference engine makes of the same graph in float64."""
    arrays = {name: array for name, (_, array) in inputs.items()}
    tensors = {name: tensor for name, (tensor, _) in inputs.items()}
    reference = rv.compile(tensors, results, engine="reference", passes=())
    program = rv.compile(tensors, results)
    assert isinstance(program, NativeProgram)
    return program, reference(**arrays)


def given(rng: np.random.Generator, *shape: int, dtype: Any = np.float32) -> Any:
    array = rng.normal(size=shape).astype(dtype)
    return rv.input(shape, dtype), array


def kinds(program: NativeProgram, kind: type[Kernel]) -> list[Kernel]:
    return [k for k in program.schedule.sequenced.kernels if isinstance(k, kind)]


# ---------------------------------------------------------------- Winograd's filtering

SIZES = [(2, 12, 12, 32, 32), (1, 13, 15, 32, 48), (3, 14, 14, 64, 96), (2, 17, 12, 48, 32)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("padding", [0, 1, ((2, 1), (0, 2))])
def test_winograd_errs_hardly_more_than_the_direct_way(size: tuple[int, ...], padding: Any) -> None:
    images, height, width, channels, outputs = size
    rng = np.random.default_rng(4)
    x, w = given(rng, images, height, width, channels), given(rng, 3, 3, channels, outputs)
    y = rv.convolution(x[0] * 2.0, w[0], padding=padding)
    t = rv.constant(rng.normal(size=y.shape).astype(np.float32))
    results = dict(
        zip("xw", rv.gradients(rv.sum(rv.tanh(y * 0.05) * t), [x[0], w[0]]), strict=True)
    )
    results["y"] = y
    program, reference = program_of(results, x=x, w=w)
    exact_inputs = {"x": x[1].astype(np.float64), "w": w[1].astype(np.float64)}
    a, b = (rv.input(v.shape, v.dtype) for v in exact_inputs.values())
    exact = rv.compile({"x": a, "w": b}, {"y": rv.convolution(a * 2.0, b, padding=padding)},
                       engine="reference")(**exact_inputs)["y"]  # fmt: skip
    found = program(x=x[1], w=w[1])
    least = 10 if min(y.shape[1:3]) < 12 else 1
    assert least == 10 or kinds(program, WinogradKernel)
    ours, theirs = (float(np.abs(v - exact).max()) for v in (found["y"], reference["y"]))
    assert ours <= 4 * theirs
    for name in "xw":
        scale = np.abs(reference[name]).max()
        np.testing.assert_allclose(found[name], reference[name], atol=2e-6 * scale, rtol=0)


GRADIENTS = [(4, 8, 8, 32, 32), (3, 16, 12, 32, 48), (8, 28, 28, 128, 64), (1, 10, 8, 64, 128)]


@pytest.mark.parametrize("size", GRADIENTS)
@pytest.mark.parametrize("padding", [0, 1])
def test_winograd_gradients_err_hardly_more_than_the_direct_way(
    size: tuple[int, ...], padding: int
) -> None:
    """In one chunk of images or several, in one group of panels or several."""
    images, height, width, channels, outputs = size
    rng = np.random.default_rng(4)
    rim = 2 * (1 - padding)
    x = given(rng, images, height + rim, width + rim, channels)
    g = given(rng, images, height, width, outputs)
    slope = _slope(x[0], g[0], padding)
    program, reference = program_of({"dw": slope}, x=x, g=g)
    assert kinds(program, WinogradKernel)
    found = program(x=x[1], g=g[1])["dw"]
    a, b = (rv.input(v.shape, rv.float64) for v in (x[1], g[1]))
    exact = rv.compile({"x": a, "g": b}, {"dw": _slope(a, b, padding)}, engine="reference")(
        x=x[1].astype(np.float64), g=g[1].astype(np.float64)
    )["dw"]
    ours, theirs = (float(np.abs(v - exact).max()) for v in (found, reference["dw"]))
    assert ours <= 4 * theirs
    assert program.bisect(x=x[1], g=g[1]) is None


def _slope(x: rv.Tensor, g: rv.Tensor, padding: int) -> rv.Tensor:
    """The gradient of 3x3 weights, given that of the result."""
    w = rv.constant(np.zeros((3, 3, x.shape[-1], g.shape[-1]), x.dtype))
    return rv.gradients(rv.sum(rv.convolution(x, w, padding=padding) * g), [w])[0]


@pytest.mark.parametrize(
    "change", ["odd height", "channels apart", "stride", "dilation", "few channels", "no images"]
)
def test_what_winograd_gradients_do_not_suit_goes_the_direct_way(change: str) -> None:
    rng = np.random.default_rng(4)
    channels = 7 if change == "few channels" else 32
    step = 2 if change == "channels apart" else 1
    images = 0 if change == "no images" else 2
    x = given(rng, images, 25 if change == "odd height" else 26, 26, channels * step)
    w = rv.constant(np.zeros((3, 3, channels, 32), np.float32))
    stride, dilation = 1 + (change == "stride"), 1 + (change == "dilation")
    y = rv.convolution(x[0][..., ::step], w, stride=stride, dilation=dilation)
    g = given(rng, *y.shape)
    program, reference = program_of({"dw": rv.gradients(rv.sum(y * g[0]), [w])[0]}, x=x, g=g)
    assert not kinds(program, WinogradKernel)
    found, wanted = program(x=x[1], g=g[1])["dw"], reference["dw"]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max(initial=0))


def test_winograd_keeps_not_a_number_where_it_is() -> None:
    """Odd images end inside a tile; what lies beyond them must not leak in."""
    rng = np.random.default_rng(5)
    x, w = given(rng, 2, 15, 15, 32), given(rng, 3, 3, 32, 32)
    x[1][1] = np.nan
    program, _ = program_of({"y": rv.convolution(x[0], w[0])}, x=x, w=w)
    assert kinds(program, WinogradKernel)
    y = program(x=x[1], w=w[1])["y"]
    assert np.isfinite(y[0]).all()
    assert np.isnan(y[1]).all()


@pytest.mark.parametrize("pixel", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("way", ["winograd", "side by side", "one axis", "images last"])
def test_what_is_not_finite_reaches_no_other_image(way: str, pixel: float) -> None:
    """It may reach neighbours that do not see it, as 0 times infinity; but not beyond its image."""
    shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
        "winograd": ((3, 15, 15, 32), (3, 3, 32, 32)),
        "side by side": ((3, 12, 16, 3), (3, 3, 3, 1)),
        "one axis": ((3, 16, 1), (3, 1, 1)),
        "images last": ((33, 8, 8, 1), (3, 3, 1, 1)),
    }
    rng = np.random.default_rng(5)
    x, w = (given(rng, *shape) for shape in shapes[way])
    y = rv.convolution(x[0], w[0], padding=1)
    program, clean = program_of({"y": y}, x=x, w=w)
    assert bool(kinds(program, WinogradKernel)) == (way == "winograd")
    assert way == "winograd" or neighbours(1, 16, 3, 1, host().lanes(rv.float32)) > 1
    x[1][1, 0], x[1][1, -1] = pixel, pixel
    seen = rv.compile({"x": x[0], "w": w[0]}, {"y": y}, engine="reference")(x=x[1], w=w[1])["y"]
    found = program(x=x[1], w=w[1])["y"]
    np.testing.assert_allclose(found[::2], clean["y"][::2], rtol=1e-4, atol=1e-4)
    assert not np.isfinite(found[~np.isfinite(seen)]).any()


# ---------------------------------------------------------------- fusion and memory


def test_activations_and_borders_cost_no_copy() -> None:
    """What a convolution computes lies at once within the border that the next one reads."""
    rng = np.random.default_rng(6)
    x = given(rng, 4, 20, 20, 16)
    w, v = (rv.Parameter(given(rng, 3, 3, 16, 16)[1]) for _ in range(2))
    h = rv.relu(rv.convolution(x[0], w) + 1.0)
    program, reference = program_of({"y": rv.convolution(h, v, padding=1)}, x=x)
    assert len(kinds(program, ConvolutionKernel) + kinds(program, WinogradKernel)) == 2
    assert len(kinds(program, BorderKernel)) == 1
    assert kinds(program, RowKernel) == []
    for _ in range(2):  # the border is written anew each time
        found = program(x=x[1])["y"]
        np.testing.assert_allclose(found, reference["y"], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("stride", "dilation", "groups"), [(1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 1, 2), ((1, 2), 1, 1)]
)
def test_tiles_across_images_need_no_border(stride: object, dilation: int, groups: int) -> None:
    """Where much of a window is border, each tile takes one pixel of many images, without it."""
    rng = np.random.default_rng(8)
    x, w = given(rng, 24, 6, 5, 4), given(rng, 5, 5, 4 // groups, 8)
    y = rv.convolution(rv.tanh(x[0]), w[0], stride, 4, dilation, groups)
    program, reference = program_of({"y": y + 1.0}, x=x, w=w)
    if program.host.lanes(rv.float32) == 16:  # shorter vectors prefer other plans
        (kernel,) = kinds(program, ConvolutionKernel)
        assert len(kernel.plan.inside) == 2
        assert kinds(program, BorderKernel) == []
    found = program(x=x[1], w=w[1])["y"]
    np.testing.assert_allclose(found, reference["y"], rtol=1e-4, atol=1e-4)
    assert program.bisect(x=x[1], w=w[1]) is None


def test_a_border_that_something_else_reads_is_written() -> None:
    rng = np.random.default_rng(9)
    x, w, g = given(rng, 16, 6, 5, 4), given(rng, 5, 5, 4, 8), given(rng, 16, 10, 9, 8)
    y = rv.convolution(rv.tanh(x[0]), w[0], padding=4)
    (slope,) = rv.gradients(rv.sum(y * g[0]), [w[0]])
    program, reference = program_of({"y": y, "slope": slope}, x=x, w=w, g=g)
    if program.host.lanes(rv.float32) == 16:
        assert any(len(kernel.plan.inside) == 2 for kernel in kinds(program, ConvolutionKernel))
        assert len(kinds(program, BorderKernel)) == 1
    found = program(x=x[1], w=w[1], g=g[1])
    for name, wanted in reference.items():
        scale = np.abs(wanted).max()
        np.testing.assert_allclose(found[name], wanted, rtol=0, atol=1e-5 * scale)


def test_an_image_read_in_another_shape_is_not_stored_with_gaps() -> None:
    rng = np.random.default_rng(7)
    x = given(rng, 3, 8, 8, 16)
    w = rv.Parameter(given(rng, 3, 3, 16, 16)[1])
    h = rv.tanh(x[0])
    results = {"y": rv.convolution(h, w, padding=1), "flat": rv.exp(h.reshape(3, 1024)) @ np.eye(
        1024, 5, dtype=np.float32)}  # fmt: skip
    program, reference = program_of(results, x=x)
    found = program(x=x[1])
    for name, wanted in reference.items():
        np.testing.assert_allclose(found[name], wanted, rtol=1e-4, atol=1e-4)


def test_few_channels_are_computed_side_by_side() -> None:
    assert neighbours(outputs=6, width=28, kernel=5, stride=1, lanes=16) == 2
    assert neighbours(outputs=6, width=27, kernel=5, stride=1, lanes=16) == 1  # does not divide
    assert neighbours(outputs=16, width=28, kernel=5, stride=1, lanes=16) == 1
    assert neighbours(outputs=1, width=16, kernel=3, stride=1, lanes=16) > 4


def test_loops_of_the_depth_merge_where_one_step_runs_through() -> None:
    assert merged_depth((3, 3, 16), (320, 16, 1)) == ((1, 3, 48), (0, 320, 1))
    assert merged_depth((1, 1, 64), (0, 0, 1)) == ((1, 1, 64), (0, 0, 1))
    assert merged_depth((3, 3, 16), (640, 32, 1)) == ((3, 3, 16), (640, 32, 1))


@pytest.mark.parametrize("name", ["lenet5", "residual"])
def test_bisecting_finds_nothing(name: str) -> None:
    step = STEPS[name]()
    program = compiled(step)
    assert program.bisect(index=step.index(1)[0], **step.arrays) is None


def test_depthwise_and_grouped_convolutions() -> None:
    rng = np.random.default_rng(8)
    for groups, channels, outputs in ((6, 1, 1), (4, 1, 3), (3, 5, 7)):
        x = given(rng, 2, 9, 8, groups * channels)
        w = given(rng, 3, 3, channels, groups * outputs)
        y = rv.convolution(x[0], w[0], 1, 1, 1, groups)
        grads = rv.gradients(rv.sum(y * y), [x[0], w[0]])
        program, reference = program_of({"y": y, "gx": grads[0], "gw": grads[1]}, x=x, w=w)
        found = program(x=x[1], w=w[1])
        for name, wanted in reference.items():
            scale = np.abs(wanted).max()
            np.testing.assert_allclose(found[name], wanted, atol=1e-5 * scale, rtol=0)
