"""Winograd's filtering: when it is chosen, and that it errs hardly more than the direct way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from test_images import given, kinds, program_of

import ranvier as rv
from ranvier.engines.native import program as native
from ranvier.engines.native.host import example_host, host
from ranvier.engines.native.indexmap import Affine
from ranvier.engines.native.plans import winograd_gradient as winograd_gradient_plan
from ranvier.engines.native.plans.convolution import weight_gradient_loops
from ranvier.engines.native.plans.winograd_gradient import plan_winograd_gradient
from ranvier.engines.native.schedule.kernels import WinogradKernel
from ranvier.graph.ops.convolution import Geometry

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


GRADIENTS = [(4, 8, 8, 32, 32), (6, 16, 12, 32, 48), (8, 28, 28, 128, 64), (4, 10, 8, 64, 128)]


@pytest.mark.parametrize("size", GRADIENTS)
@pytest.mark.parametrize("padding", [0, 1])
def test_winograd_gradients_err_hardly_more_than_the_direct_way(
    size: tuple[int, ...], padding: int
) -> None:
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
    "change",
    [
        "odd height",
        "odd width",
        "channels apart",
        "stride",
        "dilation",
        "groups",
        "few channels",
        "few images",
        "no images",
    ],
)
def test_what_winograd_gradients_do_not_suit_goes_the_direct_way(change: str) -> None:
    rng = np.random.default_rng(4)
    channels = 7 if change == "few channels" else 32
    step, groups = 1 + (change == "channels apart"), 1 + (change == "groups")
    images = {"no images": 0, "few images": 1}.get(change, 4)
    height, width = 26 - (change == "odd height"), 26 - (change == "odd width")
    x = given(rng, images, height, width, channels * step)
    w = rv.constant(np.zeros((3, 3, channels // groups, 32), np.float32))
    stride, dilation = 1 + (change == "stride"), 1 + (change == "dilation")
    y = rv.convolution(x[0][..., ::step], w, stride, 0, dilation, groups)
    g = given(rng, *y.shape)
    program, reference = program_of({"dw": rv.gradients(rv.sum(y * g[0]), [w])[0]}, x=x, g=g)
    assert not kinds(program, WinogradKernel)
    found, wanted = program(x=x[1], g=g[1])["dw"], reference["dw"]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max(initial=0))


VIEWS = [
    "plain",
    "padded",
    "inside another",
    "transposed",
    "flipped",
    "every second row",
    "broadcast",
]


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("draw", range(2))
def test_winograd_gradients_cut_in_any_way(
    view: str, dtype: Any, draw: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small caches make several groups of panels, unequal ones too; some vectors are short."""
    pick = np.random.default_rng([VIEWS.index(view), np.dtype(dtype).itemsize, draw])
    bytes_ = int(pick.choice([b for b in (16, 32, 64) if b <= host().vector_bytes]))
    caches = int(pick.choice([8 << 10, 32 << 10])), int(pick.choice([64 << 10, 1 << 20]))
    machine = replace(host(), vector_bytes=bytes_, l1_bytes=caches[0], l2_bytes=caches[1])
    monkeypatch.setattr(native, "host", lambda: machine)
    for limit in ("_FEWEST_TILES", "_FEWEST_UNITS"):
        monkeypatch.setattr(winograd_gradient_plan, limit, 1)
    monkeypatch.setenv("RANVIER_CACHE", "")
    channels, outputs = (int(n) * machine.lanes(np.dtype(dtype)) for n in pick.integers(2, 12, 2))
    images, height, width = int(pick.integers(4, 9)), *(int(n) * 2 for n in pick.integers(4, 7, 2))
    shape = {
        "padded": (images, height, width, channels),
        "inside another": (images, height + 4, width + 4, channels + 3),
        "transposed": (height + 2, images, width + 2, channels),
        "every second row": (images, 2 * height + 4, width + 2, channels),
        "broadcast": (1, height + 2, width + 2, channels),
    }.get(view, (images, height + 2, width + 2, channels))
    x, g = (given(pick, *s, dtype=dtype) for s in (shape, (images, height, width, outputs)))
    image = x[0]
    match view:
        case "padded":
            image = rv.pad(rv.tanh(image), [(0, 0), (1, 1), (1, 1), (0, 0)])
        case "inside another":
            image = image[:, 1:-1, 2:, 3:]
        case "transposed":
            image = rv.transpose(image, (1, 0, 2, 3))
        case "flipped":
            image = rv.flip(image, (1, 2))
        case "every second row":
            image = image[:, 1::2]
        case "broadcast":
            image = rv.broadcast_to(image, (images, *image.shape[1:]))
    slope = _slope(image, g[0], 0) * 2.0
    program, reference = program_of({"dw": slope}, x=x, g=g)
    assert len(kinds(program, WinogradKernel)) == 1
    found, wanted = program(x=x[1], g=g[1])["dw"], reference["dw"]
    tolerance = (3e-6 if dtype == np.float32 else 1e-14) * np.abs(wanted).max()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance)
    program.arena.view(np.uint8)[...] = 255  # nothing is read that was not written
    for threads in (1, 3):
        other = rv.compile({"x": x[0], "g": g[0]}, {"dw": slope}, threads=threads)
        np.testing.assert_array_equal(other(x=x[1], g=g[1])["dw"], found)
    np.testing.assert_array_equal(program(x=x[1], g=g[1])["dw"], found)


def test_small_caches_make_several_groups_of_unequal_panels() -> None:
    """Which the test above is to reach."""
    machine = replace(example_host("avx2"), l1_bytes=8 << 10, l2_bytes=64 << 10)
    lanes = machine.lanes(rv.float32)
    shapes = (4, 3, 3, 2 * lanes, 11 * lanes), (4, 8, 8, 11 * lanes)
    x, g = (Affine(0, (100_000, 1000, s[-1], 1)) for s in shapes)
    geometry = Geometry((1, 1), (0, 0), (0, 0), (1, 1), 1)
    loops = weight_gradient_loops(geometry, *shapes, x, g)
    plan = plan_winograd_gradient(geometry, *shapes, loops, x, g, rv.float32, machine)
    assert plan is not None
    assert plan.groups > 1
    assert len(plan.panels.sizes) > 1


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
