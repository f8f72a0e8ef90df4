"""JAX as a peer: one jitted training step, with the state donated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import peer_main
from jax import lax

Arrays = dict[str, jax.Array]


def _conv(x: jax.Array, a: dict[str, Any], w: jax.Array) -> jax.Array:
    def pair(value: Any) -> tuple[int, int]:
        return (value, value) if isinstance(value, int) else tuple(value)

    return lax.conv_general_dilated(
        x,
        w,
        pair(a.get("stride", 1)),
        a.get("padding", "valid").upper(),
        rhs_dilation=pair(a.get("dilation", 1)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=a.get("groups", 1),
    )


def _pool(x: jax.Array, a: dict[str, Any], start: float, rule: Callable[..., Any]) -> jax.Array:
    window = (1, a["window"], a["window"], 1)
    stride = a.get("stride") or a["window"]
    return lax.reduce_window(x, start, rule, window, (1, stride, stride, 1), "VALID")


POINTWISE = {
    "ReLU": jax.nn.relu,
    "Tanh": jnp.tanh,
    "Sigmoid": jax.nn.sigmoid,
    "GELU": jax.nn.gelu,
    "SiLU": jax.nn.silu,
    "Softmax": jax.nn.softmax,
}


def apply(config: dict[str, Any], weights: Arrays, x: jax.Array) -> jax.Array:
    """Return what our configuration's network makes of `x`."""
    for path, kind, a in peer_main.layers(config):
        w, b = weights.get(f"{path}.weight"), weights.get(f"{path}.bias")
        if kind in POINTWISE:
            x = POINTWISE[kind](x)
        elif kind == "Flatten":
            x = x.reshape(len(x), -1)
        elif kind == "AvgPool":
            x = _pool(x, a, 0.0, lax.add) / a["window"] ** 2
        elif kind == "MaxPool":
            x = _pool(x, a, -jnp.inf, lax.max)
        elif kind == "Linear" and w is not None:
            x = x @ w
        elif kind == "Conv" and w is not None:
            x = _conv(x, a, w)
        else:
            raise ValueError(f"the JAX peer has no {kind}")
        x = x if b is None else x + b
    return x


def update(config: dict[str, Any], p: Arrays, g: Arrays, s: Any, t: jax.Array) -> tuple[Any, Any]:
    """One step of the optimizer: new parameters and new state."""
    rate = config["learning_rate"]
    if config["name"] in ("sgd", "momentum"):
        v = jax.tree.map(lambda v, g: config.get("momentum", 0.0) * v - rate * g, s[0], g)
        return jax.tree.map(jnp.add, p, v), (v, s[1])
    b1, b2 = config["beta1"], config["beta2"]
    m = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, s[0], g)
    v = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, s[1], g)
    scaled = rate / (1 - b1**t)

    def move(p: jax.Array, m: jax.Array, v: jax.Array) -> jax.Array:
        return p - scaled * m / (jnp.sqrt(v / (1 - b2**t)) + config["epsilon"])

    return jax.tree.map(move, p, m, v), (m, v)


def main() -> None:
    """Serve the job's step."""
    job, arrays = peer_main.load()
    tensors = {name: jnp.asarray(array) for name, array in arrays.items()}
    params = {k.removeprefix("weights/"): v for k, v in tensors.items() if k.startswith("weights/")}
    x, y, index = (tensors[name] for name in ("inputs", "targets", "index"))

    def loss(params: Arrays, x: jax.Array, y: jax.Array) -> jax.Array:
        found = apply(job["net"], params, x)
        if job["loss"] == "cross_entropy":
            return -jnp.take_along_axis(jax.nn.log_softmax(found), y[:, None], 1).mean()
        return ((found - y) ** 2).mean()

    @jax.jit
    def step(params: Arrays, state: Any, t: jax.Array, rows: jax.Array) -> Any:
        slopes = jax.grad(loss)(params, x[rows], y[rows])
        return *update(job["optimizer"], params, slopes, state, t), t + 1

    zeros = jax.tree.map(jnp.zeros_like, params)
    held = [params, (zeros, zeros), jnp.float32(1)]

    def run(steps: int) -> None:
        for number in range(steps):
            held[:] = step(*held, index[number % len(index)])
        jax.block_until_ready(held)

    run(2)
    peer_main.serve({"jit": run})


if __name__ == "__main__":
    main()
