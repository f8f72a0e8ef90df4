"""Small problems that train in a moment, for the tests of the training room."""

from __future__ import annotations

import numpy as np

import ranvier as rv
from ranvier import nn

SAMPLES = 90


def spirals(samples: int = SAMPLES, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points [n, 2] on three arms, and their arms int64 [n]."""
    rng = np.random.default_rng(seed)
    arms = np.arange(samples) % 3
    radius = rng.uniform(0.2, 1, samples)
    angle = radius * 3 + arms * 2 * np.pi / 3
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    return (points + rng.normal(0, 0.02, points.shape)).astype(np.float32), arms


def classifier(**arguments: object) -> rv.Model:
    """A model for the spirals."""
    net = nn.Sequential(nn.Linear(16), nn.Tanh(), nn.Linear(3))
    settings = {"loss": "cross_entropy", "optimizer": rv.optim.Adam(0.01), "metrics": ["accuracy"]}
    return rv.Model(net, **{**settings, **arguments})


def dropped(**arguments: object) -> rv.Model:
    """A model with everything that draws or keeps numbers: dropout, batch norm, moments."""
    net = nn.Sequential(nn.Linear(16), nn.BatchNorm(), nn.ReLU(), nn.Dropout(0.25), nn.Linear(3))
    settings = {"loss": "cross_entropy", "optimizer": rv.optim.Adam(0.01), "metrics": ["accuracy"]}
    return rv.Model(net, **{**settings, **arguments})
