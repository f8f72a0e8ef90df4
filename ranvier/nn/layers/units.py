"""Activation layers by the names that recipes and the command line use."""

from __future__ import annotations

from ranvier import validation as checks
from ranvier.errors import InputError
from ranvier.guidance.calls import explained
from ranvier.nn.layers import activations
from ranvier.nn.module import Module

ACTIVATIONS: dict[str, type[Module]] = {
    "identity": activations.Identity,
    "step": activations.Step,
    "sigmoid": activations.Sigmoid,
    "tanh": activations.Tanh,
    "relu": activations.ReLU,
    "leaky_relu": activations.LeakyReLU,
    "elu": activations.ELU,
    "selu": activations.SELU,
    "gelu": activations.GELU,
    "silu": activations.SiLU,
    "softplus": activations.Softplus,
}
"""The layers of one number each, with their default arguments."""


@explained
def activation(name: str) -> Module:
    """Return a new activation layer of a name, such as "tanh"; InputError for one there is not."""
    if not isinstance(name, str) or name not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise InputError(f"there is no activation {checks.shown(name)}; there are {known}")
    return ACTIVATIONS[name]()
