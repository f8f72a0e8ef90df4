"""Mistakes with layers: the error names the layer, the shapes that met and the likely mend."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import ranvier as rv
from ranvier import nn
from ranvier.errors import DTypeError, InputError, ShapeError
from ranvier.nn.module import TIMES, Module


def message(call: Callable[[], object]) -> str:
    with pytest.raises((ShapeError, InputError)) as caught:
        call()
    return str(caught.value)


def test_errors_say_layer_shapes_and_mend() -> None:
    convs = nn.Sequential(nn.Conv(6, 3), nn.Conv(16, 3))
    convs.build((1, 14, 14, 6))
    assert message(lambda: convs[1].build((128, 14, 14, 16))) == (
        "conv2: expected 6 input channels, got 16 (input 128×14×14×16); give it the channels "  # noqa: RUF001
        "that it was built for, or make a new Conv"
    )
    assert message(lambda: convs.build((1, 6, 14, 14))) == (
        "conv1: expected 6 input channels, got 14 (input 1×6×14×14); the channels seem to "  # noqa: RUF001
        "stand first: use rv.transpose(x, (0, 2, 3, 1))"
    )
    assert message(lambda: nn.Conv(6, (3, 3)).build((2, 7, 3))) == (
        "conv: expected an input [batch, *spatial, channel] with 2 spatial axes between batch "
        "and channel, got 2×7×3; reshape it, with a channel axis last"  # noqa: RUF001
    )
    net = nn.Sequential(nn.Linear(4))
    net.build((2, 12))
    assert message(lambda: net.build((2, 3, 4))) == (
        "linear1: expected 12 input features, got 4 (input 2×3×4); "  # noqa: RUF001
        "put nn.Flatten() before the layer"
    )
    block = nn.Sequential(block=nn.Residual(nn.Conv(8, 3, stride=2, padding="same")))
    assert message(lambda: block.build((2, 8, 8, 4))) == (
        "block: the body gives 2×4×4×8, the shortcut 2×8×8×4 (input 2×8×8×4); "  # noqa: RUF001
        "let both agree, for instance with shortcut=nn.Conv(8, 1, stride=2)"
    )


PICTURES = "expected an input [batch, *spatial, channel] with {} spatial axes between batch and "
PICTURES += "channel, got {}; reshape it, with a channel axis last"


@pytest.mark.parametrize(
    ("layer", "shape", "text"),
    [
        (nn.Linear(3), (), "linear1: expected an input [..., features], got a scalar; reshape it"),
        (nn.Conv(3, 3), (), "conv1: " + PICTURES.format("1 or 2", "a scalar")),
        (nn.Conv(3, 3), (2, 4), "conv1: " + PICTURES.format("1 or 2", "2x4")),
        (nn.Conv(3, 3, stride=(1, 1)), (2, 9, 3), "conv1: " + PICTURES.format("2", "2x9x3")),
        (nn.Conv(3, 3, padding=(1, 1)), (2, 9, 3), "conv1: " + PICTURES.format("2", "2x9x3")),
        (nn.Conv(3, (3,)), (2, 9, 9, 3), "conv1: " + PICTURES.format("1", "2x9x9x3")),
        (
            nn.Conv(3, 7),
            (2, 5, 5, 3),
            "conv1: convolution: kernel (7, 7) is larger than image (5, 5) with padding (0, 0), "
            "(0, 0); pad the image or take a smaller kernel",
        ),
        (
            nn.Conv(4, 3, groups=2),
            (2, 9, 9, 3),
            "conv1: 3 input channels do not split into 2 groups (input 2x9x9x3); choose groups "
            "that divide both",
        ),
        (nn.MaxPool(2), (2, 4), "maxpool1: " + PICTURES.format("1 or 2", "2x4")),
        (nn.AvgPool((2, 2)), (2, 9, 3), "avgpool1: " + PICTURES.format("2", "2x9x3")),
        (
            nn.MaxPool(5),
            (2, 4, 4, 3),
            "maxpool1: max_pool: window (5, 5) is larger than image (4, 4) with padding (0, 0), "
            "(0, 0); pad the image or take a smaller window",
        ),
        (
            nn.AvgPool(2, padding=2),
            (2, 4, 4, 3),
            "avgpool1: average_pool: window (2, 2) would see nothing but padding (2, 2), (2, 2) "
            "beside image (4, 4); pad less than the window's size",
        ),
        (
            nn.GlobalAvgPool(),
            (2, 4),
            "globalavgpool1: expected an input [batch, *spatial, channel], got 2x4; leave the "
            "layer out or put it before nn.Flatten()",
        ),
        (nn.Flatten(), (), "flatten1: expected an input [batch, ...], got a scalar; reshape it"),
        (
            nn.LayerNorm(),
            (),
            "layernorm1: expected an input [..., features], got a scalar; reshape it",
        ),
        (
            nn.Softmax(3),
            (2, 3),
            "softmax1: axis 3 does not fit an input of 2 axes (2x3); use one that it has",
        ),
    ],
)
def test_inputs_of_wrong_axes(layer: Module, shape: tuple[int, ...], text: str) -> None:
    found = message(lambda: nn.Sequential(layer).build(shape))
    assert found.replace(TIMES, "x") == text


@pytest.mark.parametrize(
    "layer",
    [nn.LayerNorm(), nn.GlobalAvgPool(), nn.LeakyReLU(), nn.ELU(), nn.GELU(), nn.Softplus()],
)
def test_layers_of_floats(layer: Module) -> None:
    x = rv.input((2, 4, 3), rv.int64)
    text = r"^\w+1: expected floats, got int64; convert with .astype\('float32'\)$"
    with pytest.raises(DTypeError, match=text):
        nn.Sequential(layer)(x)


@pytest.mark.parametrize("given", [[1.0, 2.0], (2, 3), "x", 3.0, 3, None])
@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Linear(3),
        lambda: nn.Conv(3, 3),
        lambda: nn.Flatten(),
        lambda: nn.Embedding(3, 4),
        lambda: nn.LayerNorm(),
    ],
)
def test_what_is_no_tensor(make: Callable[[], Module], given: object) -> None:
    layer = make()
    found = message(lambda: nn.Sequential(layer)(given))
    name = type(layer).__name__.lower()
    assert found == (
        f"{name}1: expected a tensor, got a {type(given).__name__}; pass rv.input(shape), "
        "rv.constant(values) or an array"
    )


def test_a_mistake_in_one_s_own_layer_stays_what_it_is() -> None:
    class Own(nn.Module):
        def __call__(self, x: rv.Tensor) -> rv.Tensor:
            return self.missing(x)  # type: ignore[attr-defined,no-any-return]

    with pytest.raises(AttributeError, match="missing"):
        Own().build((2, 3))


def test_layers_of_no_inputs_have_no_weights() -> None:
    assert nn.Conv(4, 3).build((2, 9, 9, 0)).shape == (2, 7, 7, 4)
    assert nn.Linear(4).build((2, 0)).shape == (2, 4)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: nn.Residual(3), "Residual: body is 3; use a module or function"),  # type: ignore[arg-type]
        (
            lambda: nn.Residual(nn.Tanh(), "x"),  # type: ignore[arg-type]
            "Residual: shortcut is 'x'; use a module or function",
        ),
        (
            lambda: nn.Sequential(nn.Linear),
            "Linear1 is a class; make a module of it, Linear(...)",
        ),
        (
            lambda: nn.Conv(3, (3, 3), stride=(2,)),
            "Conv: kernel (3, 3), stride (2,) are for different numbers of spatial axes; use the "
            "same",
        ),
        (
            lambda: nn.Linear(3).build((2, 3), seed="x"),  # type: ignore[arg-type]
            "trace: seed is 'x'; use a whole number",
        ),
        (
            lambda: nn.Dropout(1.0),
            "Dropout: rate is 1.0; use a number in [0, 0.998], the share left out",
        ),
        (lambda: nn.Linear(0), "Linear: features is 0; use a whole number, 1 or more"),
        (
            lambda: nn.Conv(4, 3, groups=3),
            "Conv: 4 channels in 3 groups; use a positive multiple of groups",
        ),
        (lambda: nn.LayerNorm(epsilon=0), "LayerNorm: epsilon is 0; use a positive number"),
    ],
)
def test_arguments_are_checked(make: Callable[[], object], text: str) -> None:
    assert message(make) == text
