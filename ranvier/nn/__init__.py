"""Networks: modules, layers, initial values, and the trace that says what a graph is for."""

from typing import TYPE_CHECKING

from ranvier.graph.compositions import softplus
from ranvier.guidance.names import missing_names
from ranvier.nn import initializers
from ranvier.nn.layers.activations import (
    ELU,
    GELU,
    SELU,
    Identity,
    LeakyReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Step,
    Tanh,
)
from ranvier.nn.layers.batchnorm import BatchNorm
from ranvier.nn.layers.convolution import Conv
from ranvier.nn.layers.dropout import Dropout
from ranvier.nn.layers.embedding import Embedding
from ranvier.nn.layers.flatten import Flatten
from ranvier.nn.layers.latent import GaussianLatent
from ranvier.nn.layers.layernorm import LayerNorm
from ranvier.nn.layers.linear import Linear
from ranvier.nn.layers.noise import GaussianNoise, MaskingNoise
from ranvier.nn.layers.pooling import AvgPool, GlobalAvgPool, MaxPool
from ranvier.nn.layers.residual import Residual
from ranvier.nn.layers.tied import TiedLinear
from ranvier.nn.layers.units import activation
from ranvier.nn.layers.upsample import Reshape, Upsample
from ranvier.nn.module import Module
from ranvier.nn.sequential import Sequential
from ranvier.nn.trace import Trace, trace
from ranvier.nn.weights import Weights

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "AvgPool",
    "BatchNorm",
    "Conv",
    "Dropout",
    "Embedding",
    "Flatten",
    "GaussianLatent",
    "GaussianNoise",
    "GlobalAvgPool",
    "Identity",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "MaskingNoise",
    "MaxPool",
    "Module",
    "ReLU",
    "Reshape",
    "Residual",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Step",
    "Tanh",
    "TiedLinear",
    "Trace",
    "Upsample",
    "Weights",
    "activation",
    "initializers",
    "softplus",
    "trace",
]

if not TYPE_CHECKING:  # checkers would let any name pass
    __getattr__ = missing_names(__name__)
