"""Operands packed beforehand, by other kernels or tile by tile, and when that must not be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import ranvier as rv
from ranvier.engines.native import program as native
from ranvier.engines.native.host import Host, host
from ranvier.engines.native.plans import matmul as contraction_plan
from ranvier.engines.native.program import NativeProgram
from ranvier.engines.native.schedule.kernels import ConvolutionKernel, Kernel, PackKernel


@pytest.fixture
def no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """No cache, whose keys know nothing of changed limits."""
    monkeypatch.setenv("RANVIER_CACHE", "")


def use(monkeypatch: pytest.MonkeyPatch, machine: Host) -> None:
    monkeypatch.setattr(native, "host", lambda: machine)


def check(results: dict[str, rv.Tensor], inputs: dict[str, rv.Tensor]) -> list[Kernel]:
    """The kernels of a program that agrees with the reference, with 1 to 4 threads alike."""
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(size=x.shape).astype(np.float32) for name, x in inputs.items()}
    expected = rv.compile(inputs, results, engine="reference", passes=())(**arrays)
    programs = [rv.compile(inputs, results, threads=threads) for threads in (1, 2, 3, 4)]
    found = [program(**arrays) for program in programs]
    for name, array in expected.items():
        scale = np.abs(array).max()
        np.testing.assert_allclose(found[0][name], array, atol=1e-5 * scale, rtol=0)
        assert all(np.array_equal(found[0][name], other[name]) for other in found)
    assert isinstance(programs[0], NativeProgram)
    return programs[0].schedule.sequenced.kernels


@pytest.mark.usefixtures("no_cache")
def test_products_share_a_packed_operand_only_if_they_read_all_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Parts of one matrix that end in the same vector are cut alike, but they are not the same."""
    monkeypatch.setattr(contraction_plan, "_SMALL", 0)
    use(monkeypatch, replace(host(), l1_bytes=512, l2_bytes=2048))
    inputs = {"a": rv.input((90, 20)), "c": rv.input((90, 20)), "b": rv.input((20, 64))}
    a, c, b = inputs.values()
    kernels = check(
        {"few": a @ b[:, :29], "all": c @ b[:, :32], "same": (2 * a) @ b[:, :32]}, inputs
    )
    packed = [k for k in kernels if isinstance(k, PackKernel) and k.right]
    assert sorted(k.plan.n for k in packed) == [29, 32]


@pytest.mark.usefixtures("no_cache")
def test_a_long_product_packs_its_right_operand_once(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, replace(host(), l2_bytes=256 << 10))
    a, b = rv.input((3000, 200)), rv.input((200, 300))
    kernels = check({"y": a @ b}, {"a": a, "b": b})
    assert len([k for k in kernels if isinstance(k, PackKernel) and k.right]) == 1


@pytest.mark.usefixtures("no_cache")
@pytest.mark.parametrize(
    ("k", "vectors", "packed"), [(200, 200, True), (200, 8, False), (40, 200, False)]
)
def test_a_large_left_operand_of_many_uses_is_packed(k: int, vectors: int, packed: bool) -> None:
    """Also where it lies well: its rows are 200 elements apart, or 40."""
    a, b = rv.input((1000, k)), rv.input((k, vectors * host().lanes(rv.float32)))
    kernels = check({"y": a @ b}, {"a": a, "b": b})
    assert any(isinstance(kernel, PackKernel) and not kernel.right for kernel in kernels) == packed


def gradient(
    image: tuple[int, ...], kernel: tuple[int, ...], dilation: int = 1
) -> tuple[dict[str, rv.Tensor], dict[str, rv.Tensor]]:
    """The gradient of a convolution's weights, and the inputs."""
    x, w = rv.input(image), rv.input(kernel)
    y = rv.convolution(x, w, dilation=dilation)
    t = rv.constant(np.random.default_rng(1).normal(size=y.shape).astype(np.float32))
    (found,) = rv.gradients(rv.sum(y * t), [w])
    return {"gradient": found}, {"x": x, "w": w}


@pytest.mark.parametrize(
    ("image", "kernel"),
    [
        ((3, 9, 9, 70), (3, 3, 70, 600)),
        ((5, 16, 9, 33), (3, 1, 33, 519)),
        ((2, 5, 5, 7), (1, 1, 7, 700)),
    ],
)
def test_a_weight_gradient_with_many_panels_packs_its_tiles(
    image: tuple[int, ...], kernel: tuple[int, ...]
) -> None:
    kernels = check(*gradient(image, kernel))
    assert [k.plan.left_packed for k in kernels if isinstance(k, ConvolutionKernel)] == [True]


@pytest.mark.usefixtures("no_cache")
@pytest.mark.parametrize(
    ("kernel", "dilation"), [((2, 2, 3, 256), 2), ((4, 1, 3, 256), 1), ((2, 3, 1, 256), 1)]
)
def test_tiles_of_several_lines_are_read_where_they_lie(
    monkeypatch: pytest.MonkeyPatch, kernel: tuple[int, ...], dilation: int
) -> None:
    """With 32 registers a tile holds the rows of several kernel elements, if those are few."""
    use(monkeypatch, replace(host(), vector_registers=32))
    kernels = check(*gradient((8, 12, 12, kernel[2]), kernel, dilation))
    (plan,) = (k.plan for k in kernels if isinstance(k, ConvolutionKernel))
    assert plan.loops.lines == 1 or not plan.left_packed


@pytest.mark.parametrize(
    ("image", "kernel", "padding"),
    [
        ((32, 4, 4, 3), (3, 2, 3, 5), ((1, 1), (4, 4))),
        ((32, 1, 4, 1), (1, 1, 1, 5), ((0, 0), (2, 2))),
        ((6, 5, 5, 20), (2, 2, 20, 40), ((3, 4), (3, 3))),
    ],
)
def test_windows_that_see_nothing_but_border(
    image: tuple[int, ...], kernel: tuple[int, ...], padding: tuple[tuple[int, int], ...]
) -> None:
    x, w = rv.input(image), rv.input(kernel)
    check({"y": rv.convolution(rv.tanh(x), w, padding=padding)}, {"x": x, "w": w})
