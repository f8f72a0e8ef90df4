"""A small network learns XOR, written by hand with the engine alone.

Two inputs, eight hidden neurons (tanh), one output (sigmoid); squared error; gradient descent
on all four observations at once. Rumelhart, Hinton and Williams, "Learning representations by
back-propagating errors", 1986, gave the problem its fame: no single layer can solve it.
"""

import numpy as np

import ranvier as rv

INPUTS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
TARGETS = np.array([[0], [1], [1], [0]], np.float32)

HIDDEN = 8
LEARNING_RATE = 1.0
STEPS = 2000


def network(seed: int) -> list[rv.Parameter]:
    """Return the weights [2, hidden], [hidden, 1] and biases, drawn from `seed`."""
    rng = np.random.default_rng(seed)
    return [
        rv.Parameter(rng.normal(size=(2, HIDDEN)).astype(np.float32), name="hidden.weight"),
        rv.Parameter(np.zeros(HIDDEN, np.float32), name="hidden.bias"),
        rv.Parameter(rng.normal(size=(HIDDEN, 1)).astype(np.float32), name="out.weight"),
        rv.Parameter(np.zeros(1, np.float32), name="out.bias"),
    ]


def forward(x: rv.Tensor, parameters: list[rv.Parameter]) -> rv.Tensor:
    """[batch, 2] inputs to [batch, 1] outputs between 0 and 1."""
    weight, bias, out_weight, out_bias = parameters
    hidden = rv.tanh(x @ weight + bias)
    return rv.sigmoid(hidden @ out_weight + out_bias)


def train(seed: int = 0, engine: str = "native") -> tuple[np.ndarray, np.ndarray]:
    """Train, and return the loss of every step and the four outputs afterwards."""
    parameters = network(seed)
    x = rv.input((4, 2), name="x")
    target = rv.input((4, 1), name="target")
    output = forward(x, parameters)
    loss = rv.mean((output - target) ** 2)

    slopes = rv.gradients(loss, parameters)
    updates = {p: p - LEARNING_RATE * g for p, g in zip(parameters, slopes, strict=True)}
    learn = rv.compile({"x": x, "target": target}, {"loss": loss}, updates, engine=engine)
    answer = rv.compile({"x": x}, {"output": output}, engine=engine)

    losses = learn(steps=STEPS, x=INPUTS, target=TARGETS)["loss"]
    return losses, answer(x=INPUTS)["output"]


def main() -> None:
    losses, outputs = train()
    print(f"loss: {losses[0]:.4f} at first, {losses[-1]:.4f} after {STEPS} steps")
    for (a, b), (y,) in zip(INPUTS, outputs, strict=True):
        print(f"{a:.0f} xor {b:.0f} = {y:.3f}")


if __name__ == "__main__":
    main()
