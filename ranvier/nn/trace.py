"""`trace`, the one ambient context: whether layers train, and what they leave behind.

Training, evaluation and prediction are separate graphs over the same state. While a graph is
built, the trace says which of them it is, gives random draws their key and counter, and
collects the new statistics that layers such as batch normalization compute.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np

from ranvier import dtypes
from ranvier import validation as checks
from ranvier.errors import InputError, ShapeError
from ranvier.graph import functions as f
from ranvier.graph.leaves import Buffer, Constant, State
from ranvier.graph.tensor import Tensor
from ranvier.guidance.calls import explain_class, explained
from ranvier.records import dataclass

if TYPE_CHECKING:
    from ranvier.nn.module import Module


@dataclass(frozen=True)
class CallRecord:
    """A call of a module in a trace; `inner` where other modules were called inside it."""

    path: str
    module: Module
    inputs: tuple[Any, ...]
    outputs: Any
    inner: bool


class Trace:
    """What one graph is built for; `trace` makes it.

    training: whether the graph is a training step.
    weights: the weight of each sample, [batch], or None where all weigh the same.
    updates: the new value of each state that layers have changed, for `rv.compile`.
    penalties: what layers add to the loss of each sample, [batch] each.
    calls: every call of a module so far, for those who set it to a list.
    drawing: whether new state gets its initial values; set to False by those who write it at once.
    """

    calls: list[CallRecord] | None = None
    drawing: bool = True

    def __init__(
        self,
        training: bool,
        seed: int | Tensor = 0,
        step: Tensor | None = None,
        weights: Tensor | None = None,
    ) -> None:
        self.training = training
        if not isinstance(seed, Tensor):
            seed = f.as_tensor(checks.whole_number("trace: seed", seed, None), dtypes.int64)
        self.seed = seed
        self.weights = weights
        self.updates: dict[State, Tensor] = {}
        self.penalties: list[Tensor] = []
        self._step = step
        self._draws: dict[str, int] = {}
        for label, tensor in (("seed", self.seed), ("step", step)):
            if tensor is not None and (tensor.shape, tensor.dtype) != ((), dtypes.int64):
                raise ShapeError(f"trace: the {label} must be an int64 scalar")
        if weights is not None and weights.ndim != 1:
            raise ShapeError(f"trace: weights are [batch], not of shape {weights.shape}")

    @property
    def step(self) -> Tensor:
        """The counter of steps; one of the trace's own, among `updates`, where none was given."""
        if self._step is None:
            counter = Buffer(np.int64(0), name="trace.step")
            self.updates[counter] = counter + 1
            self._step = counter
        return self._step

    def latest(self, state: State) -> Tensor:
        """Return the newest value of `state`: recorded in this trace, or the state itself."""
        return self.updates.get(state, state)

    def record(self, state: State, new: Tensor) -> None:
        """Let `new` be the value of `state` after the step."""
        self.updates[state] = new

    def random_bytes(self, path: str, shape: Sequence[int]) -> Tensor:
        """Return uniform uint8 for the module at `path`: a new draw each step and each call."""
        return f.random_bits(shape, self.seed, self.step, self._stream(path), dtypes.uint8)

    def random_normal(self, path: str, shape: Sequence[int]) -> Tensor:
        """Return standard normal float32 for the module at `path`, likewise.

        By the method of Box & Muller, "A note on the generation of random normal deviates", 1958.
        """
        first, second = (self._random_uniform(path, shape) for _ in range(2))
        return f.sqrt(f.log(1.0 - first) * -2.0) * f.cos(second * (2 * np.pi))

    def _random_uniform(self, path: str, shape: Sequence[int]) -> Tensor:
        return f.random_uniform(shape, self.seed, self.step, self._stream(path))

    def _stream(self, path: str) -> int:
        """The key of the next draw of the module at `path`."""
        ordinal = self._draws.get(path, 0)
        self._draws[path] = ordinal + 1
        return stream(path, ordinal)

    def penalize(self, penalty: Tensor) -> None:
        """Add `penalty`, [batch], to what training minimizes beside the loss of each sample."""
        if penalty.ndim != 1:
            raise ShapeError(f"a layer's penalty is [batch], not of shape {penalty.shape}")
        self.penalties.append(penalty)

    def initial_seed(self) -> int:
        """Return the number that initial values of new state are drawn with."""
        if isinstance(self.seed, State):
            return int(self.seed.value)
        if isinstance(self.seed.op, Constant):
            return int(self.seed.op.value)
        raise InputError(
            "the trace's seed is computed, so it cannot draw initial values; "
            "build the network first with net.build(input, seed=...)"
        )


explain_class(Trace)
_active: ContextVar[Trace | None] = ContextVar("ranvier_trace", default=None)


@contextmanager
@explained
def trace(
    training: bool = False,
    seed: int | Tensor = 0,
    step: Tensor | None = None,
    weights: Tensor | None = None,
) -> Iterator[Trace]:
    """Build graphs for training or for use; the block's variable holds what layers recorded.

    seed: int, or an int64 scalar tensor, so that one program serves many seeds.
    step: int64 scalar, counted up by each step, usually the optimizer's; random draws follow it.
    weights: [batch], the samples' weights, which batch statistics use too.

        with rv.trace(training=True, seed=0, step=optimizer.step) as t:
            loss = losses.total(losses.cross_entropy(net(x), y))
        updates = {**optimizer.updates(loss, net.parameters()), **t.updates}
    """
    made = Trace(training, seed, step, weights)
    token = _active.set(made)
    try:
        yield made
    finally:
        _active.reset(token)


def current() -> Trace:
    """Return the active trace; outside of all, one for evaluation with seed 0."""
    return _active.get() or Trace(training=False)


def stream(path: str, ordinal: int = 0) -> int:
    """Return the 32-bit key of the draw number `ordinal` of the module at `path`."""
    digest = hashlib.sha256(f"{path}#{ordinal}".encode()).digest()
    return int.from_bytes(digest[:4], "little")
