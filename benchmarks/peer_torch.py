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
import peer_images
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
    if name not in ("small", "autoencoder"):
        rule = data.MOMENTUM
        return torch.optim.SGD(net.parameters(), rule.rate, rule.momentum, **options)
    adam = data.ADAM
    return torch.optim.Adam(
        net.parameters(), adam.rate, (adam.beta1, adam.beta2), adam.epsilon, **options
    )


def step_case(name: str, mode: str) -> worker.Case:
    """Training steps; `mode` is eager or compiled."""
    pictures = name in data.IMAGES
    net = peer_images.network(name) if pictures else network(name)
    resident = (
        peer_images.resident(name)
        if pictures
        else {key: torch.from_numpy(value) for key, value in data.dataset(name).items()}
    )
    labels = "y" in resident and name != "small"
    resident.setdefault("y", resident["x"])
    distance = nn.functional.cross_entropy if labels else nn.functional.mse_loss
    index = torch.from_numpy(peer_images.batches(name) if pictures else data.batches(4096))

    def loss_of(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return (net(x) ** 2).mean() if name == "residual" else distance(net(x), y)

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
            if name == "residual":
                x.requires_grad_()
            y = x if name in ("autoencoder", "residual") else resident["y"].index_select(0, rows)
            rule.zero_grad(set_to_none=True)
            value = loss(x, y)
            value.backward()
            update()
            losses.append(value.detach())
        return losses

    return run


def cases() -> dict[str, Callable[[], worker.Case]]:
    """Every case by name."""
    found = {
        f"{name}-{mode}": functools.partial(step_case, name, mode)
        for name in data.STEPS
        for mode in ("eager", "compiled")
    }
    for name in data.LAYERS:
        for kind in data.passes(name):
            found[f"{name}-{kind}"] = functools.partial(peer_images.layer_case, name, kind)
    return found


if __name__ == "__main__":
    torch.set_num_threads(CORES or 1)
    torch.set_flush_denormal(True)
    if sys.argv[1:] == ["--losses"]:
        for name in (*data.SIZES, "lenet5", "residual"):
            found = step_case(name, "eager")(20)
            print(name, *(f"{float(value):.6f}" for value in found))
    else:
        worker.serve(cases())
