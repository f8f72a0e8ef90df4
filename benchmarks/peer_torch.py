"""PyTorch as a contender, as its own guides advise: `python peer_torch.py`, then lines on stdin.

Denormals flushed, fused optimizers, gradients set to None, rows gathered from a resident
tensor, the same initial weights and batches as ours. `compiled` gives forward, backward and the
optimizer's step to `torch.compile`.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable

import data
import torch
import worker
from torch import nn

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def network(name: str) -> nn.Sequential:
    """The dense network `name` with the shared initial weights."""
    layers: list[nn.Module] = []
    for weight, bias in data.weights(name):
        linear = nn.Linear(*weight.shape)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(weight.T))
            linear.bias.copy_(torch.from_numpy(bias))
        layers += [linear, nn.ReLU()]
    layers[-1] = nn.Sigmoid() if name == "autoencoder" else nn.Identity()
    return nn.Sequential(*layers)


def optimizer(name: str, net: nn.Module, **options: bool) -> torch.optim.Optimizer:
    """The optimizer of the table."""
    if name == "mlp":
        rule = data.MOMENTUM
        return torch.optim.SGD(net.parameters(), rule.rate, rule.momentum, **options)
    adam = data.ADAM
    return torch.optim.Adam(
        net.parameters(), adam.rate, (adam.beta1, adam.beta2), adam.epsilon, **options
    )


def step_case(name: str, mode: str) -> worker.Case:
    """Training steps; `mode` is eager or compiled."""
    net = network(name)
    resident = {key: torch.from_numpy(value) for key, value in data.dataset(name).items()}
    resident.setdefault("y", resident["x"])
    distance = nn.functional.cross_entropy if name == "mlp" else nn.functional.mse_loss
    index = torch.from_numpy(data.batches(4096))

    def loss_of(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return distance(net(x), y)

    compiled = mode == "compiled"
    loss = torch.compile(loss_of, fullgraph=True) if compiled else loss_of
    # The compiler fuses the update by itself; the fused one is a single call to it.
    rule = optimizer(name, net, fused=not compiled)
    update = torch.compile(rule.step) if compiled else rule.step

    def run(count: int) -> list[torch.Tensor]:
        losses = []
        for i in range(count):
            rows = index[i % len(index)]
            x = resident["x"].index_select(0, rows)
            y = x if name == "autoencoder" else resident["y"].index_select(0, rows)
            rule.zero_grad(set_to_none=True)
            value = loss(x, y)
            value.backward()
            update()
            losses.append(value.detach())
        return losses

    return run


def cases() -> dict[str, Callable[[], worker.Case]]:
    """Every case by name."""
    return {
        f"{name}-{mode}": functools.partial(step_case, name, mode)
        for name in data.SIZES
        for mode in ("eager", "compiled")
    }


if __name__ == "__main__":
    torch.set_num_threads(CORES or 1)
    torch.set_flush_denormal(True)
    if sys.argv[1:] == ["--losses"]:
        for name in data.SIZES:
            found = step_case(name, "eager")(20)
            print(name, *(f"{float(value):.6f}" for value in found))
    else:
        worker.serve(cases())
