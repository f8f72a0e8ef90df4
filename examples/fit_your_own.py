"""Your own module, loss and metric, trained with `rv.Model`.

The network predicts a number and how sure it is of it: the mean and the logarithm of the
variance of a normal distribution, by maximum likelihood (Nix & Weigend, 1994).
"""

import numpy as np

import ranvier as rv
from ranvier import nn


class MeanAndSpread(nn.Module):
    """[batch, features] to [batch, 2]: the mean, and the logarithm of the variance."""

    def __init__(self, hidden: int) -> None:
        self.hidden = nn.Linear(hidden)
        self.mean = nn.Linear(1)
        self.spread = nn.Linear(1)

    def __call__(self, x: rv.Tensor) -> rv.Tensor:
        h = rv.tanh(self.hidden(x))
        return rv.concatenate([self.mean(h), self.spread(h)], axis=1)


def surprise(predictions: rv.Tensor, targets: rv.Tensor) -> rv.Tensor:
    """-log of the normal density at the target but for a constant, [batch]."""
    mean, log_variance = predictions[:, 0], predictions[:, 1]
    return 0.5 * (log_variance + (targets[:, 0] - mean) ** 2 * rv.exp(-log_variance))


def within(predictions: rv.Tensor, targets: rv.Tensor) -> rv.Tensor:
    """1 where the target is within two standard deviations of the mean, [batch]."""
    distance = rv.abs(targets[:, 0] - predictions[:, 0])
    return (distance < 2 * rv.exp(0.5 * predictions[:, 1])).astype(rv.float32)


def main() -> tuple[rv.training.History, np.ndarray]:
    """Train, print what was learnt, return the history and the spread at both ends."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (4000, 1)).astype(np.float32)
    noise = 0.05 + 0.2 * (x + 1)  # grows from left to right
    y = (np.sin(3 * x) + noise * rng.normal(size=x.shape)).astype(np.float32)

    model = rv.Model(MeanAndSpread(32), surprise, rv.optim.Adam(0.01), [within])
    history = model.fit(x, y, epochs=30, batch_size=64, validation=0.1, progress=False)
    print(f"loss: {history[0]['loss']:.2f} at first, {history[-1]['loss']:.2f} at last")
    print(f"within two deviations: {history[-1]['validation_within']:.1%}")

    ends = np.array([[-0.8], [0.8]], np.float32)
    spread = np.exp(0.5 * model.predict(ends)[:, 1])
    for place, found in zip(ends[:, 0], spread, strict=True):
        print(f"noise at {place:+.1f}: {found:.2f}, really {0.05 + 0.2 * (place + 1):.2f}")
    return history, spread


if __name__ == "__main__":
    main()
