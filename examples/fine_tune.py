"""Use the encoder of an autoencoder in a classifier that has few labels to learn from.

The autoencoder sees pictures without labels. Its encoder's weights go into a classifier by
path; first only the new layer learns, then all layers do, at a lower rate.
"""

import ranvier as rv
from ranvier import models, nn

PICTURES, LABELS = 6000, 500
HIDDEN, CODE = (256, 64), 32


def main() -> dict[str, float]:
    """Return the shares of test digits that are right: head alone, and after fine-tuning."""
    digits = rv.datasets.load("mnist")
    pictures = digits.train.inputs[:PICTURES]
    scale = {"scale": 1 / 255}

    teacher = rv.Model(
        models.get("autoencoder").network((28, 28, 1), 784, hidden=HIDDEN, code=CODE),
        "mean_squared_error",
        rv.optim.Adam(2e-3),
        preprocess=scale,
    )
    teacher.fit(pictures, epochs=5, batch_size=64, progress=False)

    encoder = models.get("autoencoder").network((28, 28, 1), 784, hidden=HIDDEN, code=CODE).encoder
    net = nn.Sequential(encoder=encoder, relu=nn.ReLU(), head=nn.Linear(10))
    net.build((1, 28, 28, 1))
    taken = net.load_weights(dict(teacher.weights), partial=True)  # the decoder has no place here
    print(f"taken over: {', '.join(taken)}")
    net.freeze("encoder.*")

    few = digits.train.take(slice(PICTURES, PICTURES + LABELS))
    head = rv.Model(net, "cross_entropy", rv.optim.Adam(1e-2), ["accuracy"], preprocess=scale)
    head.fit(few, epochs=20, progress=False)
    found = {"head alone": head.evaluate(digits)["accuracy"]}

    net.unfreeze("encoder.*")
    whole = rv.Model(net, "cross_entropy", rv.optim.Adam(3e-4), ["accuracy"], preprocess=scale)
    whole.fit(few, epochs=10, progress=False)
    found["fine-tuned"] = whole.evaluate(digits)["accuracy"]
    for name, share in found.items():
        print(f"{name}: {share:.1%} of the test digits right, from {LABELS} labels")
    return found


if __name__ == "__main__":
    main()
