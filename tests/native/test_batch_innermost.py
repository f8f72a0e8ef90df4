"""Convolutions whose vectors run along the images: when they are chosen, and what they compute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from networks import STEPS, compiled

import ranvier as rv
from ranvier.engines.native.lower.batch_innermost import (
    BatchInnermostConvolution,
    BatchInnermostWeightGradient,
)
from ranvier.engines.native.program import NativeProgram
from ranvier.engines.native.schedule.kernels import ConvolutionKernel, HaloKernel, IndexKernel
from ranvier.graph.tensor import Tensor

IMAGES = 32
"""Two vectors of the widest kind."""


def check(
    results: Mapping[str, Tensor], inputs: Mapping[str, tuple[Tensor, np.ndarray]]
) -> NativeProgram:
    """Compare with the reference, as compiled by default and unfused; return the first program."""
    tensors = {name: tensor for name, (tensor, _) in inputs.items()}
    arrays = {name: array for name, (_, array) in inputs.items()}
    wanted = rv.compile(tensors, results, engine="reference", passes=())(**arrays)
    programs = [
        rv.compile(tensors, results),
        rv.compile(tensors, results, fuse=False, in_place=False, threads=3),
    ]
    for program in programs:
        found = program(**arrays)
        for name, want in wanted.items():
            scale = max(float(np.abs(want).max()), 1e-30)
            tolerance = 2e-5 if want.dtype == np.float32 else 1e-12
            np.testing.assert_allclose(found[name], want, rtol=0, atol=tolerance * scale)
        assert program.bisect(**arrays) is None
    assert isinstance(programs[0], NativeProgram)
    return programs[0]


def given(rng: np.random.Generator, *shape: int, dtype: Any = np.float32) -> Any:
    return rv.input(shape, dtype), rng.normal(size=shape).astype(dtype)


def ops(program: NativeProgram) -> list[type]:
    """The kinds of the program's contractions, in order."""
    kernels = program.schedule.sequenced.kernels
    return [type(k.nodes[0].op) for k in kernels if isinstance(k, ConvolutionKernel)]


GEOMETRIES: list[dict[str, Any]] = [
    {},
    {"padding": 2},
    {"padding": ((2, 1), (0, 2))},
    {"stride": 2, "padding": 1},
    {"stride": (1, 3), "padding": 4},
    {"dilation": 2, "padding": ((0, 3), (4, 1))},
    {"stride": 2, "dilation": (1, 2), "padding": 3},
]


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("channels", [(1, 6), (3, 5), (7, 2)])
def test_all_three_passes(geometry: dict[str, Any], dtype: Any, channels: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    x = given(rng, IMAGES, 9, 8, channels[0], dtype=dtype)
    w = given(rng, 3, 2, *channels, dtype=dtype)
    y = rv.tanh(rv.convolution(rv.tanh(x[0]), w[0], **geometry))
    t = rv.constant(rng.normal(size=y.shape).astype(dtype))
    slopes = rv.gradients(rv.sum(y * t), [x[0], w[0]])
    results = {"y": y, "x_slope": slopes[0], "w_slope": slopes[1]}
    program = check(results, {"x": x, "w": w})
    if channels[1] < program.host.lanes(np.dtype(dtype)):
        assert BatchInnermostConvolution in ops(program)
        assert BatchInnermostWeightGradient in ops(program)


@pytest.mark.parametrize("window", [2, 3, (2, 1)])
@pytest.mark.parametrize("pooling", ["max", "max with borders", "average", "overlapping"])
def test_pooling_stays_in_the_layout(window: Any, pooling: str) -> None:
    """Max and average pooling after a convolution, side by side and overlapping, with gradients."""
    rng = np.random.default_rng(4)
    x, w = given(rng, IMAGES, 8, 9, 2), given(rng, 3, 3, 2, 5)
    h = rv.relu(rv.convolution(x[0], w[0], padding=1))
    match pooling:
        case "average":
            y = rv.average_pool(h, window)
        case "overlapping":
            y = rv.average_pool(h, window, 1)
        case "max":
            y = rv.max_pool(h, window)
        case _:
            y = rv.max_pool(h - 3.0, window, 2, ((1, 0), (0, 0)))
    flat = y.reshape(IMAGES, -1)
    v = given(rng, flat.shape[1], 4)
    z = flat @ v[0]
    t = rv.constant(rng.normal(size=z.shape).astype(np.float32))
    names = ["x", "w", "v"]
    slopes = rv.gradients(rv.sum(z * t), [x[0], w[0], v[0]])
    check({"z": z, **dict(zip(names, slopes, strict=True))}, {"x": x, "w": w, "v": v})


def test_statistics_of_channels() -> None:
    """Batch normalization between two convolutions, and its gradients."""
    rng = np.random.default_rng(5)
    shapes = [(64, 7, 6, 3), (3, 3, 3, 4), (3, 3, 4, 8)]
    x, w, v = (given(rng, *shape, dtype=np.float64) for shape in shapes)
    h = rv.convolution(x[0], w[0], padding=1)
    mean, variance = rv.moments(h, (0, 1, 2))
    h = rv.relu((h - mean) * rv.rsqrt(variance + 1e-5))
    y = rv.convolution(h, v[0], 2)
    t = rv.constant(rng.normal(size=y.shape))
    slopes = rv.gradients(rv.sum(y * t), [x[0], w[0], v[0]])
    results = {"y": y, "mean": mean, **dict(zip("xwv", slopes, strict=True))}
    check(results, {"x": x, "w": w, "v": v})


def test_what_leaves_the_layout() -> None:
    """Parts of images, of the batch, residuals, and a convolution with many channels."""
    rng = np.random.default_rng(6)
    x, w, v = given(rng, 64, 6, 6, 3), given(rng, 3, 3, 3, 3), given(rng, 3, 3, 3, 40)
    h = rv.tanh(rv.convolution(x[0], w[0], padding=1))
    results = {
        "sum": h + x[0],
        "part": h[5:37, 1:, ::2],
        "again": rv.convolution(h[:32, 1:], w[0], padding=((0, 1), (2, 0))),
        "many": rv.convolution(h, v[0]),
        "rows": rv.sum(h, (1, 2)),
        "largest": rv.max(h, (0, 1, 2)),
        "turned": h.transpose(1, 2, 3, 0).reshape(108, 64) @ h.reshape(64, 108),
        "swapped": h.transpose(0, 3, 1, 2) * 2.0,
        "lines": h.reshape(64 * 6, 18),
    }
    check(results, {"x": x, "w": w, "v": v})


@pytest.mark.parametrize("read_twice", [False, True])
def test_vectors_become_images_again(read_twice: bool) -> None:
    """A decoder's dense layer, whose result is also read as it is or not, and its gradients."""
    rng = np.random.default_rng(9)
    shapes = [(IMAGES, 6, 6, 2), (3, 3, 2, 4), (64, 64), (3, 3, 4, 2)]
    x, w, v, u = (given(rng, *shape, dtype=np.float64) for shape in shapes)
    h = rv.tanh(rv.convolution(x[0], w[0]))
    code = rv.tanh(h.reshape(IMAGES, 64) @ v[0])
    y = rv.convolution(code.reshape(IMAGES, 4, 4, 4), u[0], padding=1)
    loss = rv.sum(y * y) + (rv.sum(code * code) if read_twice else 0.0)
    slopes = rv.gradients(loss, [t for t, _ in (x, w, v, u)])
    results = {"y": y, **dict(zip("xwvu", slopes, strict=True))}
    check(results, {"x": x, "w": w, "v": v, "u": u})


def test_where_it_does_not_pay() -> None:
    rng = np.random.default_rng(7)
    for images, channels, outputs, groups in ((31, 3, 6, 1), (32, 6, 6, 2), (32, 3, 16, 1)):
        x = given(rng, images, 6, 6, channels)
        w = given(rng, 3, 3, channels // groups, outputs)
        program = check({"y": rv.convolution(x[0], w[0], groups=groups)}, {"x": x, "w": w})
        if program.host.lanes(rv.float32) == 16:
            assert BatchInnermostConvolution not in ops(program)


def test_a_border_is_written_only_for_the_weight_gradient() -> None:
    rng = np.random.default_rng(8)
    x, w = given(rng, IMAGES, 6, 5, 4), given(rng, 3, 3, 4, 8)
    y = rv.convolution(rv.tanh(x[0]), w[0], padding=2)
    program = check({"y": y}, {"x": x, "w": w})
    if program.host.lanes(rv.float32) == 16:
        assert not any(isinstance(k, HaloKernel) for k in program.schedule.sequenced.kernels)
    t = rv.constant(rng.normal(size=y.shape).astype(np.float32))
    (slope,) = rv.gradients(rv.sum(rv.tanh(y) * t), [w[0]])
    program = check({"slope": slope}, {"x": x, "w": w})
    if program.host.lanes(rv.float32) == 16:
        assert any(isinstance(k, HaloKernel) for k in program.schedule.sequenced.kernels)


def test_lenet5_is_trained_in_the_layout() -> None:
    """From the gathering of the batch to the dense layers no kernel only moves data."""
    program = compiled(STEPS["lenet5"]())
    if program.host.lanes(rv.float32) == 16:
        found = ops(program)
        assert found.count(BatchInnermostConvolution) == 3
        assert found.count(BatchInnermostWeightGradient) == 2
    moved = [k for k in program.schedule.sequenced.kernels if isinstance(k, IndexKernel)]
    assert len(moved) == 2
