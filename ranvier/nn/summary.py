"""What a network is made of: layers, shapes, parameters, multiply-adds, activations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from math import prod
from typing import Any

from ranvier.graph.leaves import State
from ranvier.graph.leaves import input as make_input
from ranvier.graph.ops.contraction import MatMul
from ranvier.graph.ops.convolution import (
    Convolution,
    ConvolutionInputGradient,
    ConvolutionWeightGradient,
)
from ranvier.graph.tensor import Tensor
from ranvier.nn.module import TIMES, Module
from ranvier.nn.trace import CallRecord, trace
from ranvier.records import dataclass

_OWN = "(own operations)"


@dataclass(frozen=True)
class Layer:
    """One call of a module that calls no other. Shapes and counts are those of one sample."""

    path: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    trainable: bool
    multiply_adds: int
    activation_bytes: int


@dataclass(frozen=True)
class Summary:
    """The layers in the order of their calls, and totals over the network, for one sample.

    multiply_adds: of all products and convolutions. activation_bytes: what the layers give, all
    of which training keeps at once.
    """

    layers: tuple[Layer, ...]
    parameters: int
    trainable: int
    multiply_adds: int
    activation_bytes: int

    def to_json(self) -> dict[str, Any]:
        """Return the summary for `--json`."""
        return {
            "parameters": self.parameters,
            "multiply_adds": self.multiply_adds,
            "activation_bytes": self.activation_bytes,
            "layers": [{**asdict(layer), "shape": list(layer.shape)} for layer in self.layers],
        }

    def __str__(self) -> str:
        rows = [("layer", "kind", "output", "parameters", "multiply-adds", "bytes")]
        rows += [
            (
                layer.path,
                layer.kind,
                TIMES.join(map(str, layer.shape)) or "1",
                f"{layer.parameters:,}" + ("" if layer.trainable else " frozen"),
                f"{layer.multiply_adds:,}",
                f"{layer.activation_bytes:,}",
            )
            for layer in self.layers
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(
                cell.ljust(width) if i < 3 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        frozen = self.parameters - self.trainable
        total = (
            f"{self.parameters:,} parameters ({_size(4 * self.parameters)})"
            + (f", {frozen:,} of them frozen" if frozen else "")
            + f"; for one sample {self.multiply_adds:,} multiply-adds, "
            f"{_size(self.activation_bytes)} of activations"
        )
        return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:], "-" * len(lines[0]), total])

    def __repr__(self) -> str:
        return str(self)


def summarize(net: Module, *inputs: Tensor | Sequence[int], seed: int = 0) -> Summary:
    """Trace a network and return its summary.

    inputs: tensors or shapes, with a batch axis of 1. State that is not there yet is created.
    """
    given = [x if isinstance(x, Tensor) else make_input(x) for x in inputs]
    with trace(training=False, seed=seed) as t:
        t.calls = []
        outputs = net(*given)
    leaves = [call for call in t.calls if not call.inner]
    trained = set(net.parameters().values())
    counted: set[State] = set()
    layers = [_layer(call, counted, trained) for call in leaves]
    every = net.parameters(frozen=True).values()
    total = multiply_adds(_tensors(outputs))
    own = total - sum(layer.multiply_adds for layer in layers)
    own_parameters = sum(p.size for p in every if p not in counted)
    if own or own_parameters:
        layers.append(Layer(_OWN, type(net).__name__, (), own_parameters, True, own, 0))
    return Summary(
        tuple(layers),
        sum(p.size for p in every),
        sum(p.size for p in every if p in trained),
        total,
        sum(layer.activation_bytes for layer in layers),
    )


def multiply_adds(roots: Iterable[Tensor], stops: Iterable[Tensor] = ()) -> int:
    """Return the multiply-adds of all products and convolutions between `stops` and `roots`."""
    return sum(_cost(tensor) for tensor in between(list(roots), set(stops)))


def _layer(call: CallRecord, counted: set[State], trained: set[Any]) -> Layer:
    outputs = _tensors(call.outputs)
    own = [p for p in call.module.parameters(frozen=True).values() if p not in counted]
    counted.update(own)
    return Layer(
        call.path,
        type(call.module).__name__,
        outputs[0].shape[1:] if outputs else (),
        sum(p.size for p in own),
        all(p in trained for p in own),
        multiply_adds(outputs, _tensors(call.inputs)),
        sum(t.size * t.dtype.itemsize for t in outputs),
    )


def between(roots: list[Tensor], stops: set[Tensor]) -> list[Tensor]:
    """The tensors that the roots depend on, up to the stops, which are left out."""
    seen = set(stops)
    found, left = [], [root for root in roots if root not in seen]
    while left:
        tensor = left.pop()
        if tensor in seen:
            continue
        seen.add(tensor)
        found.append(tensor)
        left += tensor.inputs
    return found


def _cost(tensor: Tensor) -> int:
    op = tensor.op
    if isinstance(op, MatMul):
        return tensor.size * tensor.inputs[0].shape[-1]
    if isinstance(op, Convolution):
        return tensor.size * prod(tensor.inputs[1].shape[:-1])
    if isinstance(op, ConvolutionInputGradient):
        gradient, weight = tensor.inputs
        return gradient.size * prod(weight.shape[:-1])
    if isinstance(op, ConvolutionWeightGradient):
        return tensor.inputs[1].size * prod(tensor.shape[:-1])
    return 0


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = tuple(value.values())
    if isinstance(value, list | tuple):
        return [tensor for item in value for tensor in _tensors(item)]
    return []


def _size(count: int) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000  # type: ignore[assignment]
    return f"{count:.3g} GB"
