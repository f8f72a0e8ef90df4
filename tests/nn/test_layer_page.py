"""docs/layers.md says of every layer what the code says: arguments, defaults, shapes."""

from __future__ import annotations

import inspect
import re
from math import prod
from pathlib import Path

import numpy as np
import pytest

import ranvier as rv
from ranvier import nn
from ranvier.nn.module import Module

PAGE = Path(__file__).parents[2] / "docs/layers.md"
SECTION = re.compile(r"^### (\w+)\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
ROW = re.compile(r"^\| `([^`]+)` \| (.+?) \| (.+?) \|$", re.MULTILINE)

LAYERS = {
    name: each
    for name in nn.__all__
    if isinstance(each := getattr(nn, name), type) and issubclass(each, Module)
}
del LAYERS["Module"]


def sections() -> dict[str, str]:
    """The text of each layer's section."""
    return dict(SECTION.findall(PAGE.read_text(encoding="utf-8")))


def parameters(name: str) -> list[inspect.Parameter]:
    """The arguments of a layer, without `self`."""
    return list(inspect.signature(LAYERS[name].__init__).parameters.values())[1:]


def usage(name: str) -> str:
    """How the page must show a layer and its arguments."""
    plain = [each.replace(annotation=each.empty) for each in parameters(name)]
    return f"nn.{name}{inspect.Signature(plain)}".replace("'", '"')


def arguments(name: str) -> list[tuple[str, str]]:
    """The name and default of each argument, as the page must show them."""

    def row(each: inspect.Parameter) -> tuple[str, str]:
        stars = {each.VAR_POSITIONAL: "*", each.VAR_KEYWORD: "**"}.get(each.kind)
        if stars:
            return stars + each.name, "none"
        if each.default is each.empty:
            return each.name, "required"
        return each.name, f"`{each.default!r}`".replace("'", '"')

    return [row(each) for each in parameters(name)]


def tables(text: str) -> tuple[list[tuple[str, str]], list[tuple[str, str, str]]]:
    """The arguments (name, default) and the examples (code, input, output) of a section."""
    rows = ROW.findall(text)
    examples = [row for row in rows if row[0].startswith("nn.")]
    return [row[:2] for row in rows if row not in examples], examples


def output(code: str, given: str) -> str:
    """The shape that the layer of an example gives, computed."""
    sizes, _, dtype = given.partition("] ")
    shape = tuple(int(size) for size in re.findall(r"\d+", sizes))
    linear = nn.Linear(30)
    linear.build((32, 784))
    layer = eval(code, {"nn": nn, "rv": rv, "linear": linear})
    x = rv.input(shape, getattr(rv, dtype or "float32"), name="x")
    array = np.arange(prod(shape)).reshape(shape) % 7
    y = rv.compile({"x": x}, {"y": layer(x)}, engine="reference")(x=array.astype(x.dtype))["y"]
    assert np.isfinite(y).all()
    return str(list(y.shape))


def test_the_page_has_every_layer_and_no_other() -> None:
    assert sorted(sections()) == sorted(LAYERS)


@pytest.mark.parametrize("name", LAYERS)
def test_arguments_and_defaults_are_the_code_s(name: str) -> None:
    text = sections()[name]
    assert f"`{usage(name)}`" in text.splitlines()
    assert tables(text)[0] == arguments(name)


@pytest.mark.parametrize("name", LAYERS)
def test_examples_give_the_shapes_that_the_page_says(name: str) -> None:
    _, examples = tables(sections()[name])
    assert examples
    for code, given, result in examples:
        assert code.startswith(f"nn.{name}(")
        assert output(code, given) == result


@pytest.mark.parametrize("name", LAYERS)
def test_each_says_when_to_use_it(name: str) -> None:
    """Prose between the signature and the tables."""
    prose = sections()[name].partition(f"`{usage(name)}`")[2].partition("|")[0]
    assert len(prose.split()) >= 6


def test_wrong_entries_are_noticed() -> None:
    assert usage("LayerNorm") == "nn.LayerNorm(*, epsilon=1e-05)"
    assert arguments("Residual") == [("body", "required"), ("shortcut", "`None`")]
    assert output("nn.MaxPool(2)", "[4, 6, 6, 1]") == "[4, 3, 3, 1]"
    assert tables("| `rate` | `0.5` | a share |\n") == ([("rate", "`0.5`")], [])
