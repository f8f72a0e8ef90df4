"""Convolutional programs: how kernels are chosen and fused, and that their results are right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from networks import STEPS, compiled

import ranvier as rv
from ranvier.engines.native.host import host
from ranvier.engines.native.lower.widen import neighbours
from ranvier.engines.native.plans.convolution import merged_depth
from ranvier.engines.native.program import NativeProgram
from ranvier.engines.native.schedule.kernels import (
    ConvolutionKernel,
    HaloKernel,
    Kernel,
    RowKernel,
    WinogradKernel,
)


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


@pytest.mark.parametrize("pixel", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("way", ["winograd", "side by side", "one axis", "batch-innermost"])
def test_what_is_not_finite_reaches_no_other_image(way: str, pixel: float) -> None:
    """It may reach neighbours that do not see it, as 0 times infinity; but not beyond its image."""
    shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
        "winograd": ((3, 15, 15, 32), (3, 3, 32, 32)),
        "side by side": ((3, 12, 16, 3), (3, 3, 3, 1)),
        "one axis": ((3, 16, 1), (3, 1, 1)),
        "batch-innermost": ((33, 8, 8, 1), (3, 3, 1, 1)),
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
    assert len(kinds(program, HaloKernel)) == 1
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
        assert kinds(program, HaloKernel) == []
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
        assert len(kinds(program, HaloKernel)) == 1
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
