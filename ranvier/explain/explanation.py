"""`explain`: what one sample does to each unit, and what the loss asks of each weight.

The numbers come from the compiled program: its outputs are the values that the layers give, and
the gradient of the loss with respect to each of them and to each weight.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ranvier.data.errors import DataError
from ranvier.engines.program import Program
from ranvier.errors import InputError
from ranvier.graph.backprop import gradients
from ranvier.graph.leaves import Parameter
from ranvier.graph.ops.convolution import Convolution, Geometry
from ranvier.graph.ops.pooling import MaxPool, SumPool
from ranvier.graph.tensor import Tensor
from ranvier.nn.summary import between
from ranvier.nn.trace import CallRecord, trace
from ranvier.training.feed.arrays import whole_split
from ranvier.training.feed.binding import feed_for
from ranvier.training.feed.feeds import InOrder
from ranvier.training.feed.preprocess import preprocessed
from ranvier.training.loop.pace import Pace
from ranvier.training.objective import ONE
from ranvier.training.programs import apply_net, targets_of

if TYPE_CHECKING:
    from ranvier.training.model import Model


@dataclass(frozen=True)
class Step:
    """One call of a layer, for one sample; arrays have no batch axis.

    inputs, output: what went in and came out; delta: ∂L/∂output, the same shape.
    weights, gradients: the layer's parameters by name, and ∂L/∂ each of them.
    window: kernel, stride and zeros before the first row and column, where it looks at patches.
    """

    path: str
    kind: str
    inputs: np.ndarray
    output: np.ndarray
    delta: np.ndarray
    weights: Mapping[str, np.ndarray]
    gradients: Mapping[str, np.ndarray]
    window: Mapping[str, Sequence[int]] | None = None


@dataclass(frozen=True)
class Explanation:
    """One sample's way through a network and back: the layers in the order of their calls.

    loss: of this sample; target: as it was given; prediction: what `predict` shows of it.
    """

    loss: float
    target: np.ndarray | None
    prediction: np.ndarray
    classes: tuple[str, ...]
    steps: tuple[Step, ...]

    def __getitem__(self, path: str) -> Step:
        """Return the first call of the layer with this path."""
        for step in self.steps:
            if step.path == path:
                return step
        paths = ", ".join(dict.fromkeys(step.path for step in self.steps))
        raise InputError(f"no layer is called {path!r}; there are {paths}")

    def write(self, path: str | Path) -> Path:
        """Write the explanation as one page that opens offline, and return its path."""
        from ranvier.explain.page import page
        from ranvier.training.run.files import write_atomically

        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, page(self).encode())
        return target

    def to_json(self) -> dict[str, Any]:
        """Return all numbers as JSON values."""
        return {
            "loss": self.loss,
            "target": None if self.target is None else self.target.tolist(),
            "prediction": self.prediction.tolist(),
            "layers": [
                {
                    "path": step.path,
                    "kind": step.kind,
                    "output": step.output.tolist(),
                    "delta": step.delta.tolist(),
                    "weights": {name: w.tolist() for name, w in step.weights.items()},
                    "gradients": {name: g.tolist() for name, g in step.gradients.items()},
                }
                for step in self.steps
            ],
        }

    def __str__(self) -> str:
        lines = [f"loss {self.loss:.6g}"]
        for step in self.steps:
            sizes = "x".join(map(str, step.output.shape))
            lines.append(
                f"{step.path} ({step.kind}) {sizes}: output {_range(step.output)}, "
                f"delta {_range(step.delta)}"
            )
        return "\n".join(lines)


def explain(model: Model, inputs: Any, target: Any = None) -> Explanation:
    """Return every number of one sample's way through a model, forward and backward.

    inputs: one sample, without a batch axis; target: its target, or None where the network gives
    back its inputs. The network is used as in evaluation: no dropout, running statistics.
    Raises DataError for what the network cannot take.
    """
    if isinstance(inputs, Mapping) or isinstance(target, Mapping):
        raise DataError("explain takes a network with one input and one output")
    x = np.asarray(inputs)[None]
    y = None if target is None else np.asarray(target)[None]
    split = whole_split(x, y)
    assert split is not None
    feed = feed_for(model, split, split, 0, lambda clean: InOrder(clean, 1), learning=False)
    learner = model.learner()
    batch = feed.batch()
    with trace(False, weights=batch.weights) as t:
        t.calls = []
        seen = preprocessed(batch.inputs, learner.preprocess)
        found = apply_net(learner.net, seen)
        sums = learner.objective.sums(found, targets_of(batch, seen, found), batch.weights)
    loss = learner.objective.mean_loss(sums)
    leaves = [call for call in t.calls if not call.inner and isinstance(call.outputs, Tensor)]
    outputs = {"loss": loss, "prediction": learner.objective.linked(found)[ONE]}
    outputs |= _towards(loss, leaves)
    program = learner.compile(batch.placeholders, outputs)
    arrays = next(iter(feed.calls(0, 0, Pace()))).arrays
    values = _run(program, arrays)
    steps = tuple(_step(number, call, values) for number, call in enumerate(leaves))
    return Explanation(
        float(values["loss"]),
        None if target is None else np.asarray(target),
        values["prediction"][0],
        model.classes,
        steps,
    )


def _towards(loss: Tensor, calls: Sequence[CallRecord]) -> dict[str, Tensor]:
    """The outputs of the layers, their inputs, and the gradients, by names that `_step` knows."""
    tensors: list[Tensor] = []
    names: list[str] = []
    outputs: dict[str, Tensor] = {}
    for number, call in enumerate(calls):
        outputs[f"{number}.output"] = call.outputs
        outputs[f"{number}.inputs"] = _input(call)
        tensors.append(call.outputs)
        names.append(f"{number}.delta")
        for name, parameter in _own(call).items():
            tensors.append(parameter)
            names.append(f"{number}.gradient.{name}")
    return outputs | dict(zip(names, gradients(loss, tensors), strict=True))


def _own(call: CallRecord) -> dict[str, Parameter]:
    return {
        name: value for name, value in vars(call.module).items() if isinstance(value, Parameter)
    }


def _input(call: CallRecord) -> Tensor:
    found = next((x for x in call.inputs if isinstance(x, Tensor)), None)
    if found is None:
        raise InputError(f"{call.path} was called without a tensor, and cannot be explained")
    return found


def _run(program: Program, arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
    found = program(steps=1, **arrays)
    return {name: array[0] for name, array in found.items()}


def _step(number: int, call: CallRecord, values: Mapping[str, np.ndarray]) -> Step:
    weights = {name: parameter.value for name, parameter in _own(call).items()}
    return Step(
        call.path,
        type(call.module).__name__,
        values[f"{number}.inputs"][0],
        values[f"{number}.output"][0],
        values[f"{number}.delta"][0],
        weights,
        {name: values[f"{number}.gradient.{name}"] for name in weights},
        _window(call),
    )


def _window(call: CallRecord) -> dict[str, list[int]] | None:
    """Kernel, stride, dilation and padding of a layer that looks at patches of a picture."""
    seen = _input(call)
    if seen.ndim != 4:
        return None
    for node in between([call.outputs], {seen}):
        if isinstance(node.op, Convolution):
            return _patches(node.op.geometry, node.inputs[1].shape[:2], node.op.geometry.groups)
        if isinstance(node.op, MaxPool | SumPool):
            return _patches(node.op.window.geometry, node.op.window.lengths, seen.shape[-1])
    return None


def _patches(geometry: Geometry, kernel: Sequence[int], groups: int) -> dict[str, list[int]]:
    return {
        "kernel": list(kernel),
        "stride": list(geometry.stride),
        "dilation": list(geometry.dilation),
        "before": list(geometry.before),
        "groups": [groups],
    }


def _range(values: np.ndarray) -> str:
    if not values.size:
        return "empty"
    return f"{values.min():.4g} to {values.max():.4g}"
