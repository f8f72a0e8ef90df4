"""Pretrain an encoder without labels, and let a classifier of few labels grow out of it.

A convolutional autoencoder learns to mend damaged digits. Its encoder then becomes the first
part of a classifier, the very same layers: at first they are frozen and only the new head
learns, then all layers are fine-tuned at a lower rate. Beside it the same classifier learns from
nothing but the labels.
"""

import ranvier as rv
from ranvier import models, nn
from ranvier.models.autoencoder import encode

PICTURES, LABELS = 4000, 200
SCALE = {"scale": 1 / 255}


def autoencoder() -> nn.Module:
    """A denoising autoencoder of two convolutions, with codes of 24 numbers."""
    recipe = models.get("conv-autoencoder")
    return recipe.network((28, 28, 1), 784, channels=(8, 16), code=24, noise=0.25)


def classifier(encoder: nn.Module, rate: float) -> rv.Model:
    """An encoder with a head of ten classes."""
    net = nn.Sequential(encoder=encoder, relu=nn.ReLU(), head=nn.Linear(10))
    net.build((1, 28, 28, 1))
    return rv.Model(net, "cross_entropy", rv.optim.Adam(rate), ["accuracy"], preprocess=SCALE)


def main() -> dict[str, float]:
    """Return the shares of test digits that are right: head alone, fine-tuned, from scratch."""
    digits = rv.datasets.load("mnist")
    pictures = digits.train.inputs[:PICTURES]
    few = digits.train.take(slice(PICTURES, PICTURES + LABELS))

    teacher = rv.Model(autoencoder(), optimizer=rv.optim.Adam(2e-3), preprocess=SCALE)
    teacher.fit(pictures, epochs=6, batch_size=64, progress=False)
    print(f"codes: {encode(teacher, pictures[:3]).shape}")

    encoder = teacher.net.encoder
    head = classifier(encoder, 1e-2)
    frozen = head.freeze("encoder.*")
    print(f"frozen: {', '.join(frozen)}")
    head.fit(few, epochs=20, progress=False)
    found = {"head alone": head.evaluate(digits)["accuracy"]}

    head.unfreeze("encoder.*")
    whole = rv.Model(head.net, "cross_entropy", rv.optim.Adam(1e-3), ["accuracy"], preprocess=SCALE)
    whole.fit(few, epochs=15, progress=False)
    found["fine-tuned"] = whole.evaluate(digits)["accuracy"]

    scratch = classifier(autoencoder().encoder, 1e-3)
    scratch.fit(few, epochs=35, progress=False)
    found["from scratch"] = scratch.evaluate(digits)["accuracy"]
    for name, share in found.items():
        print(f"{name}: {share:.1%} of the test digits right, from {LABELS} labels")
    return found


if __name__ == "__main__":
    main()
