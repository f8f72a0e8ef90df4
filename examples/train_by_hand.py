"""A training loop written by hand: epochs, batches, validation, the best weights.

The network comes from `rv.nn`; what a step does is one graph and one program. `rv.Model` does
the same, and keeps checkpoints besides.
"""

import numpy as np

import ranvier as rv
from ranvier import nn

BATCH = 100
EPOCHS = 3


def main(rows: int = 6000) -> list[float]:
    """Train on that many digits, print a line for each epoch, return the shares of right ones."""
    digits = rv.datasets.load("mnist")
    train, held = digits.train.take(slice(0, rows)), digits.validation
    net = nn.Sequential(nn.Flatten(), nn.Linear(100), nn.ReLU(), nn.Dropout(0.1), nn.Linear(10))
    optimizer = rv.optim.Adam(2e-3)
    loss = rv.losses.get("cross_entropy")

    # All rows are an input of the program, which gathers each batch by its row numbers.
    x = rv.input(train.inputs.shape, rv.uint8)
    y = rv.input(train.targets.shape, rv.int64)
    rows_of_batch = rv.input((BATCH,), rv.int64)
    with rv.trace(training=True, seed=0, step=optimizer.step) as pass_:
        pictures = rv.take(x, rows_of_batch).astype(rv.float32) / 255
        mean = rv.losses.total(loss(net(pictures), rv.take(y, rows_of_batch)))
    updates = {**optimizer.updates(mean, net.parameters()), **pass_.updates}
    step = rv.compile({"x": x, "y": y, "rows": rows_of_batch}, {"loss": mean}, updates)

    # Without a trace for training, dropout leaves everything in.
    picture = rv.input(held.inputs.shape, rv.uint8)
    label = rv.argmax(net(picture.astype(rv.float32) / 255), -1)
    answer = rv.compile({"picture": picture}, {"label": label})

    rng = np.random.default_rng(0)
    data = {"x": train.inputs, "y": train.targets.astype(np.int64)}
    shares: list[float] = []
    best: dict[str, np.ndarray] = {}
    for epoch in range(EPOCHS):
        order = rng.permutation(rows)[: rows // BATCH * BATCH].reshape(-1, BATCH)
        losses = step(steps=len(order), rows=order, **data)["loss"]
        right = answer(picture=held.inputs)["label"] == held.targets
        shares.append(float(right.mean()))
        if shares[-1] == max(shares):
            best = dict(net.weights)
        print(f"epoch {epoch + 1}: loss {losses.mean():.3f}, {shares[-1]:.1%} of validation right")
    net.load_weights(best)
    return shares


if __name__ == "__main__":
    main()
