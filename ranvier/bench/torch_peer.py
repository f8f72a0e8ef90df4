"""PyTorch as a peer, as its own guides advise.

Denormals flushed, fused optimizers, gradients set to None, rows gathered from a resident
tensor, channels last. `compiled` gives loss and update to `torch.compile`; it is left out where
that does not work, for want of a C++ compiler for instance.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import peer_main
import torch
from torch import nn

Make = Callable[[dict[str, Any], tuple[int, ...]], nn.Module]
"""(arguments of our layer, shape of its weight) to a PyTorch layer."""


def _conv(arguments: dict[str, Any], shape: tuple[int, ...]) -> nn.Module:
    groups = arguments.get("groups", 1)
    return nn.Conv2d(
        shape[2] * groups,
        shape[3],
        shape[:2],
        arguments.get("stride", 1),
        arguments.get("padding", 0 if "padding" not in arguments else "valid"),
        arguments.get("dilation", 1),
        groups,
        arguments.get("use_bias", True),
    )


def _pool(kind: type[nn.Module]) -> Make:
    def make(arguments: dict[str, Any], shape: tuple[int, ...]) -> nn.Module:
        window = arguments["window"]
        return kind(window, arguments.get("stride") or window)

    return make


MAKERS: dict[str, Make] = {
    "Linear": lambda a, s: nn.Linear(s[0], s[1], a.get("use_bias", True)),
    "Conv": _conv,
    "AvgPool": _pool(nn.AvgPool2d),
    "MaxPool": _pool(nn.MaxPool2d),
    "Flatten": lambda a, s: _ChannelsLastFlatten(),
    "Dropout": lambda a, s: nn.Dropout(a["rate"]),
    "ReLU": lambda a, s: nn.ReLU(),
    "Tanh": lambda a, s: nn.Tanh(),
    "Sigmoid": lambda a, s: nn.Sigmoid(),
    "GELU": lambda a, s: nn.GELU(),
    "SiLU": lambda a, s: nn.SiLU(),
    "Softmax": lambda a, s: nn.Softmax(-1),
}


class _ChannelsLastFlatten(nn.Module):
    """[b, c, h, w] to [b, h·w·c], the order in which our weights are."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x.permute(0, 2, 3, 1) if x.ndim == 4 else x).flatten(1)


def network(config: dict[str, Any], weights: dict[str, torch.Tensor]) -> nn.Sequential:
    """Return the network of our configuration with our initial weights."""
    found: list[nn.Module] = []
    for path, kind, arguments in peer_main.layers(config):
        weight, bias = (weights.get(f"{path}.{name}") for name in ("weight", "bias"))
        layer = MAKERS[kind](arguments, () if weight is None else tuple(weight.shape))
        with torch.no_grad():
            if weight is not None:
                order = (3, 2, 0, 1) if weight.ndim == 4 else (1, 0)
                layer.weight.copy_(weight.permute(order))
            if bias is not None:
                layer.bias.copy_(bias)
        found.append(layer)
    return nn.Sequential(*found).to(memory_format=torch.channels_last)


def optimizer(config: dict[str, Any], net: nn.Module, **options: bool) -> torch.optim.Optimizer:
    """Return the optimizer of our configuration."""
    rate, parameters = config["learning_rate"], net.parameters()
    if config["name"] in ("adam", "adamw"):
        betas = (config["beta1"], config["beta2"])
        kind = torch.optim.AdamW if config["name"] == "adamw" else torch.optim.Adam
        return kind(parameters, rate, betas, config["epsilon"], **options)
    return torch.optim.SGD(
        parameters,
        rate,
        config.get("momentum", 0.0),
        nesterov=config["name"] == "nesterov",
        **options,
    )


def case(job: dict[str, Any], arrays: dict[str, torch.Tensor], compiled: bool) -> peer_main.Run:
    """Return what runs training steps, eagerly or compiled."""
    weights = {k.removeprefix("weights/"): v for k, v in arrays.items() if k.startswith("weights/")}
    net = network(job["net"], weights)
    x, y, index = (arrays[name] for name in ("inputs", "targets", "index"))
    if x.ndim == 4:
        x = x.permute(0, 3, 1, 2)  # still channels last in memory
    classes = job["loss"] == "cross_entropy"
    distance = nn.functional.cross_entropy if classes else nn.functional.mse_loss

    def loss_of(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return distance(net(x), y)

    # The compiler fuses the update by itself; the fused one is a single call to it.
    rule = optimizer(job["optimizer"], net, fused=not compiled)
    loss = torch.compile(loss_of, fullgraph=True) if compiled else loss_of
    update = torch.compile(rule.step) if compiled else rule.step

    def run(steps: int) -> None:
        for step in range(steps):
            rows = index[step % len(index)]
            rule.zero_grad(set_to_none=True)
            loss(x.index_select(0, rows), y.index_select(0, rows)).backward()
            update()

    return run


def main() -> None:
    """Serve the job's step in both modes."""
    job, arrays = peer_main.load()
    torch.set_num_threads(job["threads"])
    torch.set_flush_denormal(True)
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    cases = {"eager": case(job, tensors, compiled=False)}
    cases["eager"](2)
    try:
        compiled = case(job, tensors, compiled=True)
        compiled(3)
        cases["compiled"] = compiled
    except Exception as error:  # whatever keeps the compiler from working
        import sys

        print(f"torch.compile does not work here: {error}", file=sys.stderr)
    peer_main.serve(cases)


if __name__ == "__main__":
    main()
