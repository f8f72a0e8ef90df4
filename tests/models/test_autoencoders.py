"""Autoencoders: encode and decode, noise, tied weights, codes that are drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ranvier as rv
from ranvier import models, nn
from ranvier.errors import InputError
from ranvier.models.autoencoder import decode, encode
from ranvier.models.prepare import Choices, prepare

NAMES = ["autoencoder", "conv-autoencoder", "variational-autoencoder"]
SMALL: dict[str, dict[str, Any]] = {
    "autoencoder": {"hidden": [32]},
    "conv-autoencoder": {"channels": [4, 6]},
    "variational-autoencoder": {"hidden": [32]},
}


def pictures(count: int = 64, side: int = 12) -> np.ndarray:
    """Bright bars across dark pictures, at random places: uint8 [count, side, side, 1]."""
    rng = np.random.default_rng(0)
    found = np.zeros((count, side, side, 1), np.uint8)
    for picture, at, upright in zip(
        found, rng.integers(0, side - 2, count), rng.random(count) < 0.5, strict=True
    ):
        (picture if upright else picture.transpose(1, 0, 2))[at : at + 3] = 255
    return found


def made(name: str, data: np.ndarray | None = None, **settings: Any) -> Any:
    split = rv.data.Split(pictures() if data is None else data, None)
    dataset = rv.data.Dataset("bars", split, split, split)
    options = {**SMALL[name], "code": 5, **settings}
    chosen = Choices(settings=options, optimizer="adam", learning_rate=5e-3)
    return prepare(models.get(name), dataset, chosen)


@pytest.mark.parametrize("name", NAMES)
def test_decoding_a_code_is_what_the_network_predicts(name: str, tmp_path: Path) -> None:
    ready = made(name)
    ready.model.fit(ready.data.train, epochs=2, batch_size=16)
    x = ready.data.train.inputs
    codes = encode(ready.model, x)
    assert codes.shape == (64, 5)
    whole = ready.model.predict(x)
    np.testing.assert_allclose(decode(ready.model, codes), whole, rtol=1e-5, atol=1e-6)
    assert 0 <= whole.min() <= whole.max() <= 1
    ready.model.save(tmp_path / "run")
    again = rv.load(tmp_path / "run")
    np.testing.assert_array_equal(encode(again, x), codes)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_each_learns_to_give_back_its_inputs(name: str, noise: float) -> None:
    settings = {"noise": noise} if name != "variational-autoencoder" else {}
    ready = made(name, **settings)
    x = ready.data.train.inputs / np.float32(255)
    ready.model.fit(ready.data.train, epochs=60, batch_size=16)
    error = ((ready.model.predict(ready.data.train.inputs).reshape(x.shape) - x) ** 2).mean()
    # Better than the mean picture, which is what a network without a code can do.
    assert error < 0.6 * ((x - x.mean(axis=0)) ** 2).mean()


@pytest.mark.parametrize("sides", [(12, 12), (7, 10), (5, 5)])
def test_convolutions_serve_pictures_of_any_size(sides: tuple[int, int]) -> None:
    data = np.random.default_rng(0).integers(0, 256, (6, *sides, 3)).astype(np.uint8)
    ready = made("conv-autoencoder", data)
    ready.model.fit(ready.data.train)
    assert ready.model.predict(data).shape == data.shape
    assert encode(ready.model, data).shape == (6, 5)


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_tied_weights_stay_tied(engine: str, tmp_path: Path) -> None:
    net = models.get("autoencoder").network((12, 12, 1), 144, hidden=[20], code=5, tied=True)
    model = rv.Model(net, optimizer=rv.optim.Adam(1e-2), preprocess={"scale": 1 / 255})
    history = model.fit(pictures(), epochs=3, batch_size=16)
    assert history[-1]["loss"] < history[0]["loss"]
    weights = {path: array.shape for path, array in model.weights.items()}
    assert weights == {
        "encoder.linear1.weight": (144, 20),
        "encoder.linear1.bias": (20,),
        "encoder.linear2.weight": (20, 5),
        "encoder.linear2.bias": (5,),
        "decoder.tiedlinear1.bias": (20,),
        "decoder.tiedlinear2.bias": (144,),
    }
    model.save(tmp_path / "run")
    again = rv.load(tmp_path / "run", engine=engine)
    wanted = model.predict(pictures())
    np.testing.assert_allclose(again.predict(pictures()), wanted, rtol=1e-5, atol=1e-6)
    assert net.decoder["tiedlinear2"].source is net.encoder["linear1"]


def test_a_variational_autoencoder_draws_codes_while_training_only() -> None:
    ready = made("variational-autoencoder", beta=1.0)
    history = ready.model.fit(ready.data.train, epochs=30, batch_size=16)
    assert history[-1]["penalty"] > 0
    # Divergence for each number of the code, once it is divided by the inputs again.
    assert 0.1 < history[-1]["penalty"] * 144 / 5 < 10
    x = ready.data.train.inputs
    assert np.array_equal(ready.model.predict(x), ready.model.predict(x))
    drawn = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
    assert decode(ready.model, drawn).shape == (7, 144)
    free = made("variational-autoencoder", beta=0.0)
    assert free.model.fit(free.data.train, epochs=1)[0]["penalty"] == 0


def test_a_trained_encoder_becomes_part_of_another_network() -> None:
    ready = made("conv-autoencoder")
    ready.model.fit(ready.data.train, epochs=3)
    encoder, before = ready.model.net.encoder, encode(ready.model, pictures())
    net = nn.Sequential(encoder=encoder, relu=nn.ReLU(), head=nn.Linear(2))
    classifier = rv.Model(net, "cross_entropy", rv.optim.Adam(1e-2), preprocess={"scale": 1 / 255})
    upright = (pictures()[:, :, 0, 0] > 0).all(axis=1).astype(int)
    net.build((1, 12, 12, 1))
    net.freeze("encoder.*")
    classifier.fit(pictures(), upright, epochs=2)
    assert np.array_equal(encode(ready.model, pictures()), before)
    net.unfreeze("encoder.*")
    classifier.fit(pictures(), upright, epochs=2)
    assert not np.array_equal(encode(ready.model, pictures()), before)


def test_what_has_no_parts_or_no_pictures() -> None:
    model = rv.Model(nn.Linear(3))
    with pytest.raises(InputError, match="the network has no part 'encoder'; give it encoder="):
        encode(model, np.zeros((2, 3), np.float32))
    net = models.get("autoencoder").network((4,), 4, hidden=[3], code=2)
    with pytest.raises(InputError, match="the model has seen no data yet; fit it first"):
        decode(rv.Model(net), np.zeros((2, 2), np.float32))
    with pytest.raises(InputError, match=r"pictures are \[height, width, channel\], samples here"):
        models.get("conv-autoencoder").network((10,), 10)
