"""Arguments as other libraries call them, each with its counterpart here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any

from ranvier import validation as checks
from ranvier.guidance.names import nearest

INFERRED = "input sizes are inferred from the data, so leave it out"
RATE = "give it to the optimizer of rv.Model, as optimizer=rv.optim.Adam(0.001)"
TARGETED = "it runs on this machine's processor; leave it out"

SAME: dict[str, tuple[str, ...]] = {
    "batch": ("batch_size",),
    "beta_1": ("beta1",),
    "beta_2": ("beta2",),
    "bias": ("use_bias",),
    "class_weight": ("class_weights",),
    "clipnorm": ("clip_norm",),
    "clipvalue": ("clip_value",),
    "dilation_rate": ("dilation",),
    "dim": ("axis",),
    "dims": ("axis", "axes"),
    "embedding_dim": ("width",),
    "eps": ("epsilon",),
    "eta": ("learning_rate",),
    "factor": ("factor", "decay"),
    "features_out": ("features",),
    "filters": ("channels",),
    "gamma": ("factor", "decay"),
    "input": ("inputs", "net"),
    "input_dim": ("count",),
    "keepdim": ("keepdims",),
    "kernel_initializer": ("init",),
    "kernel_size": ("kernel", "window"),
    "learning_rate_init": ("learning_rate",),
    "loss_fn": ("loss",),
    "loss_function": ("loss",),
    "lr": ("learning_rate",),
    "max_iter": ("epochs",),
    "metric": ("metrics",),
    "minibatch_size": ("batch_size",),
    "model": ("net",),
    "n_epochs": ("epochs",),
    "nb_epoch": ("epochs",),
    "negative_slope": ("slope",),
    "network": ("net",),
    "num_embeddings": ("count",),
    "num_epochs": ("epochs",),
    "opt": ("optimizer",),
    "out_channels": ("channels",),
    "out_features": ("features",),
    "output_dim": ("width",),
    "p": ("rate",),
    "pool_size": ("window",),
    "random_state": ("seed",),
    "rho": ("decay",),
    "sample_weight": ("weights",),
    "step_size": ("every",),
    "strides": ("stride",),
    "T_max": ("steps",),
    "tol": ("tolerance",),
    "units": ("features",),
    "weight": ("weights", "class_weights"),
    "X": ("data", "inputs"),
    "x": ("data", "inputs"),
    "y": ("targets",),
}
"""Arguments by what others call them."""

ADVICE: dict[str, str] = {
    "activation": "put the activation after the layer, as nn.Linear(16), nn.ReLU()",
    "device": TARGETED,
    "in_channels": INFERRED,
    "in_features": INFERRED,
    "inplace": "leave it out, the compiler decides what is done in place",
    "input_shape": INFERRED,
    "input_size": INFERRED,
    "kernel_regularizer": "pass penalties=[rv.regularization.L2(1e-4)] to rv.Model",
    "learning_rate": RATE,
    "lr": RATE,
    "normalized_shape": INFERRED,
    "num_features": INFERRED,
    "recurrent_dropout": "put nn.Dropout between the layers",
    "requires_grad": "use rv.Parameter for what is trained, rv.Buffer for what is not",
    "shuffle": "leave it out, every epoch visits the samples in a new order, which seed= decides",
    "training": "leave it out: fit trains, predict and evaluate do not; by hand it is "
    "rv.trace(training=True)",
    "validation_data": "pass the arrays as validation=(x, y)",
    "validation_split": "pass the share as validation=0.2",
    "verbose": "pass progress=False for silence, progress=True for the bar",
    "weight_decay": "use rv.optim.AdamW(weight_decay=…), or penalties=[rv.regularization.L2(…)] "
    "of rv.Model",
    "workers": "leave it out, batches are prepared by the program itself",
    "num_workers": "leave it out, batches are prepared by the program itself",
    "steps_per_epoch": "leave it out, an epoch visits every sample once",
    "initial_epoch": "leave it out, a second fit goes on where the first one ended",
    "amsgrad": "leave it out",
    "nesterov": "use rv.optim.Nesterov",
    "return_sequences": "there is no such layer here",
}
"""Arguments that there are not, and what is done in their place."""

OF_CALL: dict[tuple[str, str], str] = {
    ("SGD", "momentum"): "use rv.optim.Momentum(0.01, momentum=0.9)",
    ("SGD", "weight_decay"): "pass penalties=[rv.regularization.L2(…)] to rv.Model",
    ("Optimizer", "params"): "leave it out, rv.Model gives the optimizer its parameters",
    ("Adam", "betas"): "use beta1=… and beta2=…",
    ("Embedding", "input_length"): INFERRED,
    ("Embedding", "padding_idx"): "leave it out; weights= of fit says what counts",
    ("Model", "inputs"): "pass one network: derive it from nn.Module, its __call__(self, x) "
    "is what joins inputs and outputs",
    ("Model", "outputs"): "pass one network: derive it from nn.Module, its __call__(self, x) "
    "is what joins inputs and outputs",
    ("Conv", "filters"): "use channels=…, kernel=… and stride=…",
    ("BatchNorm", "axis"): "leave it out, channels are the last axis",
    ("Linear", "input_dim"): INFERRED,
}
"""What holds for one class or function alone."""

MISSING: dict[tuple[str, str], str] = {
    ("Model", "net"): "pass a network, as rv.Model(net, loss=…); one of your own derives from "
    "nn.Module and defines __call__",
    ("fit", "data"): "pass inputs and targets, as fit(x, y)",
}
"""By function and the argument that it lacks."""

TWICE: dict[tuple[str, str], str] = {
    ("Optimizer", "learning_rate"): "pass no parameters, rv.Model gives the optimizer those of "
    "its network",
}

_SIZES: dict[str, str] = {
    "Linear": "takes features by position; input sizes are inferred, so nn.Linear({1}) stands for "
    "({0}, {1})",
    "Conv": "takes channels and kernel by position; input channels are inferred, so "
    "nn.Conv({1}, {2}) stands for ({0}, {1}, {2}) and stride=, padding=, … go by name",
    "BatchNorm": "takes nothing by position; the channels are inferred, so nn.BatchNorm() stands "
    "for ({0})",
    "LayerNorm": "takes nothing by position; the features are inferred, so nn.LayerNorm() stands "
    "for ({0})",
    "Flatten": "keeps the batch axis and joins all others: nn.Flatten() takes nothing",
    "Sequential": "takes modules and functions by position",
}
"""What is said of too many arguments by position: the arguments stand for {0}, {1}, …"""


def counterpart(owners: Sequence[str], word: str, known: Sequence[str]) -> str:
    """What to use in place of an argument that is not among `known`; "" where nothing is near.

    owners: the function, or the class, and the class that the function is a method of.
    """
    if special := told(OF_CALL, owners, word):
        return special
    for meant in SAME.get(word, ()):
        if meant in known:
            return f"use {meant}=…"
    if word in ADVICE:
        return ADVICE[word]
    if near := nearest(word, known):
        return f"use {near}=…"
    return _of_model(word) if owners[-1] == "Model" and owners[0] != "Model" else ""


def _of_model(word: str) -> str:
    """What a method of a model lacks and the model itself takes."""
    from ranvier.training.model import Model

    taken = signature(Model).parameters
    found = next((each for each in (word, *SAME.get(word, ())) if each in taken), "")
    return f"pass {found}=… to rv.Model" if found else ""


def told(table: Mapping[tuple[str, str], str], owners: Sequence[str], word: str) -> str:
    """What a table tells of an argument of a function or class; "" for nothing."""
    from ranvier.optim import Optimizer

    families = ["Optimizer"] if {each.lower() for each in owners} & set(Optimizer.family) else []
    return next((table[each, word] for each in (*owners, *families) if (each, word) in table), "")


def misplaced(owners: Sequence[str], args: tuple[Any, ...]) -> str:
    """What is said of arguments that stand where this class takes none; "" where nothing is."""
    shown = [*map(checks.shown, args), "…", "…"]
    return next((_SIZES[each].format(*shown) for each in owners if each in _SIZES), "")
