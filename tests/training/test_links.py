"""A link that the network has already is refused, or taken for what it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ranvier as rv
from ranvier import losses, nn
from ranvier.errors import InputError

rng = np.random.default_rng(0)
X = rng.normal(size=(64, 3)).astype(np.float32)
SIDES, LABELS = (X[:, 0] > 0).astype(np.int64), X.argmax(1)

ENDS: dict[str, tuple[str, Callable[[], list[Any]], np.ndarray]] = {
    "sigmoid": ("binary_cross_entropy", lambda: [nn.Linear(1), nn.Sigmoid()], SIDES),
    "labels": ("binary_cross_entropy", lambda: [nn.Linear(3), nn.Sigmoid()], X > 0),
    "softmax": ("cross_entropy", lambda: [nn.Linear(3), nn.Softmax()], LABELS),
    "reshaped": (
        "cross_entropy",
        lambda: [nn.Linear(3), lambda x: x.reshape((-1, 1, 3)), nn.Softmax(), nn.Flatten()],
        LABELS,
    ),
    "function": ("cross_entropy", lambda: [nn.Linear(3), rv.softmax], LABELS),
    "mixed": ("cross_entropy", lambda: [nn.Linear(3), nn.Sigmoid()], LABELS),
    "also mixed": ("binary_cross_entropy", lambda: [nn.Linear(3), nn.Softmax()], X > 0),
}


def model(layers: list[Any], loss: Any, **rest: Any) -> rv.Model:
    net = nn.Sequential(*layers)
    return rv.Model(net, loss, rv.optim.Adam(0.05), engine="reference", **rest)


@pytest.mark.parametrize("end", ENDS)
def test_a_second_link_is_refused_with_the_mend(end: str) -> None:
    loss, layers, targets = ENDS[end]
    made = model(layers(), loss)
    which = "softmax" if end not in ("sigmoid", "labels", "mixed") else "sigmoid"
    text = (
        f"the network ends with a {which}, and {loss} takes logits, to which it applies its own "
        f"link; drop the last layer, or use rv.losses.get({loss!r}, from_logits=False)"
    )
    for use in (
        lambda: made.fit(X, targets, progress=False),
        lambda: made.evaluate(X, targets),
        lambda: made.predict(X),
    ):
        with pytest.raises(InputError) as caught:
            use()
        assert str(caught.value) == text


@pytest.mark.parametrize("end", ["sigmoid", "labels", "softmax", "reshaped", "function"])
def test_from_logits_false_trains_the_same_network(end: str) -> None:
    loss, layers, targets = ENDS[end]
    measures = ["accuracy", "roc_auc"]
    told = model(layers(), losses.get(loss, from_logits=False), metrics=measures)
    plain = model(layers()[:1], loss, metrics=measures)
    for each in (told, plain):
        each.fit(X, targets, epochs=3, progress=False)
    for path, weights in plain.weights.items():
        np.testing.assert_allclose(told.weights[path], weights, rtol=1e-6)
    np.testing.assert_allclose(told.predict(X), plain.predict(X), rtol=1e-6)
    found, wanted = told.evaluate(X, targets), plain.evaluate(X, targets)
    assert found == pytest.approx(wanted, rel=1e-5)
    assert found["accuracy"] > 0.5


def test_the_option_is_saved(tmp_path: Any) -> None:
    made = model(
        [nn.Linear(1), nn.Sigmoid()], {"name": "binary_cross_entropy", "from_logits": False}
    )
    made.fit(X, SIDES, progress=False)
    made.save(tmp_path / "run")
    again = rv.load(tmp_path / "run", engine="reference")
    assert np.array_equal(again.predict(X), made.predict(X))


def of(loss: str, probabilities: Any, targets: Any) -> tuple[np.ndarray, np.ndarray]:
    """The loss of probabilities of no known origin, and its gradient."""
    p = rv.constant(np.float32(probabilities))
    each = losses.get(loss, from_logits=False)(p, rv.constant(np.asarray(targets)))
    (slope,) = rv.gradients(rv.sum(each), [p])
    program = rv.compile({}, {"each": each, "slope": slope}, engine="reference")
    found = program()
    return found["each"], found["slope"]


def test_probabilities_of_other_origin() -> None:
    each, slope = of("binary_cross_entropy", [[0.25], [0.25], [0.0], [1.0], [0.0]], [1, 0, 1, 1, 0])
    np.testing.assert_allclose(each[:2], -np.log([0.25, 0.75]), rtol=1e-6)
    np.testing.assert_allclose(slope[:2, 0], [-4, 1 / 0.75], rtol=1e-6)
    assert 10 < each[2] < 20
    assert (each[3:] < 1e-6).all()
    assert np.isfinite(slope).all()
    each, slope = of("cross_entropy", [[0.5, 0.25, 0.25], [1, 1, 2], [1, 0, 0]], [0, 2, 1])
    np.testing.assert_allclose(each[:2], -np.log([0.5, 0.5]), rtol=1e-6)
    assert 10 < each[2] < 20
    assert np.isfinite(slope).all()


def test_logits_behind_probabilities_keep_their_digits() -> None:
    x = rv.constant([[-60.0], [60.0]])
    each = losses.binary_cross_entropy(rv.sigmoid(x), rv.constant([0, 1]), from_logits=False)
    np.testing.assert_allclose(each.numpy(), np.exp([-60.0, -60.0]), rtol=1e-6)
    y = rv.constant([[0.0, 200.0]])
    each = losses.cross_entropy(rv.softmax(y), rv.constant([0]), from_logits=False)
    assert each.numpy().tolist() == [200]


def test_hand_written_steps_are_refused_too() -> None:
    x = rv.constant(X)
    with pytest.raises(InputError, match="the network ends with a softmax, and cross_entropy"):
        losses.cross_entropy(rv.softmax(x), rv.constant(LABELS))
    with pytest.raises(InputError, match="the network ends with a sigmoid, and binary"):
        losses.binary_cross_entropy(rv.sigmoid(x[:, :1]), rv.constant(SIDES))


@pytest.mark.parametrize(
    "end",
    [
        lambda x: rv.softmax(x) * 2.0,
        lambda x: rv.sigmoid(x) + x,
        lambda x: (
            rv.softmax(x.reshape((-1, 3, 1)), 1).reshape((-1, 3))
            @ rv.constant(np.eye(3, dtype="f"))
        ),
        lambda x: rv.tanh(x),
        lambda x: rv.log_softmax(x),
        lambda x: x / rv.sum(x, -1, keepdims=True),
    ],
)
def test_what_is_no_link_is_left_alone(end: Callable[[rv.Tensor], rv.Tensor]) -> None:
    made = model([nn.Linear(3), end], "cross_entropy")
    made.fit(X, LABELS, progress=False)


def test_from_logits_is_true_or_false() -> None:
    with pytest.raises(InputError, match=r"^cross_entropy: from_logits is 'no'; use True or False"):
        losses.get("cross_entropy", from_logits="no")
    with pytest.raises(InputError, match=r"^huber has no option 'from_logits'; it has delta"):
        losses.get("huber", from_logits=False)
