"""Losses and metrics against plain NumPy formulas and values worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import close, normal, value

import ranvier as rv
from ranvier import losses, metrics
from ranvier.errors import DTypeError, InputError, ShapeError

LOGITS = normal(4, 3) * 3
LABELS = np.array([0, 2, 1, 1])
P = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
X, T = normal(4, 5) * 2, normal(4, 5, seed=1)
BITS = (T > 0).astype(np.float32)
E = X - T


def of(function: Callable[..., rv.Tensor], *arrays: Any, **options: Any) -> np.ndarray:
    return value(function(*(rv.constant(a) for a in arrays), **options))


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_cross_entropy(dtype: Any) -> None:
    wanted = -np.log(P[np.arange(4), LABELS])
    close(of(losses.cross_entropy, LOGITS, LABELS.astype(dtype)), wanted)
    close(of(losses.cross_entropy, LOGITS, np.eye(3, dtype=np.float32)[LABELS]), wanted)


def test_cross_entropy_smoothed_over_positions_and_ignoring() -> None:
    smooth = np.eye(3)[LABELS] * 0.9 + 0.1 / 3
    found = of(losses.cross_entropy, LOGITS, LABELS, label_smoothing=0.1)
    close(found, -(smooth * np.log(P)).sum(-1))
    each = -np.log(P[np.arange(4), LABELS]).reshape(2, 2)
    sequence, labels = LOGITS.reshape(2, 2, 3), LABELS.reshape(2, 2)
    close(of(losses.cross_entropy, sequence, labels), each.mean(1))
    padded = np.array([[0, -1], [-1, -1]])
    close(of(losses.cross_entropy, sequence, padded, ignore=-1), [each[0, 0], 0])


FORMULAS: dict[str, tuple[np.ndarray, np.ndarray]] = {
    "binary_cross_entropy": (BITS, np.logaddexp(0, X) - X * BITS),
    "mean_squared_error": (T, E**2),
    "mean_absolute_error": (T, abs(E)),
    "huber": (T, np.where(abs(E) <= 1, E**2 / 2, abs(E) - 0.5)),
    "hinge": (BITS, np.maximum(0, 1 - X * (2 * BITS - 1))),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_loss_is_the_mean_of_its_formula_over_a_sample(name: str) -> None:
    targets, each = FORMULAS[name]
    close(of(losses.get(name), X, targets), each.mean(1))
    close(of(losses.get(name), X[:, :1], targets[:, 0]), each[:, 0])


def test_every_loss_has_a_gradient_a_config_and_a_formula_here() -> None:
    assert set(losses.LOSSES) == {*FORMULAS, "cross_entropy"}
    for name, loss in losses.LOSSES.items():
        x = rv.constant(X)
        targets = rv.constant(FORMULAS.get(name, (np.arange(4),))[0])
        (slope,) = rv.gradients(losses.total(loss(x, targets)), [x])
        assert np.abs(value(slope)).max() > 0
        assert losses.get(loss.config()).config() == loss.config() == {"name": name}


def test_binary_cross_entropy_is_safe_and_its_gradient_right_at_zero() -> None:
    x = rv.constant([[-200.0], [0.0], [200.0]])
    each = losses.binary_cross_entropy(x, rv.constant([0.0, 1.0, 0.0]))
    close(value(each), [0, np.log(2), 200])
    close(value(rv.gradients(rv.sum(each), [x])[0]), [[0], [-0.5], [1]])


def test_links() -> None:
    close(value(losses.get("cross_entropy").link(rv.constant(LOGITS))), P)
    close(value(losses.get("binary_cross_entropy").link(rv.constant(X))), 1 / (1 + np.exp(-X)))
    close(value(losses.get("huber").link(rv.constant(X))), X)
    close(value(losses.get("hinge").link(rv.constant(X))), X >= 0)


def test_total_and_class_weights() -> None:
    each, w = normal(4), np.float32([1, 0, 2, 0.5])
    close(of(losses.total, each), each.mean())
    close(of(losses.total, each, w), (w * each).sum() / w.sum())
    table = losses.balanced(LABELS, 4)
    close(table, [1, 0.5, 1, 0])
    close(of(lambda t: losses.class_weights(t, table), LABELS), table[LABELS])
    close(of(lambda t: losses.class_weights(t, table), np.eye(4)[LABELS]), table[LABELS])
    with pytest.raises(InputError, match="a label is 2; 2 classes end at 1"):
        losses.balanced(LABELS, 2)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: of(losses.mean_squared_error, normal(4, 1), normal(3)),
            "predictions (4, 1) and targets (3,) do not fit; give both the same shape",
        ),
        (
            lambda: of(losses.cross_entropy, LOGITS, LABELS[:3]),
            "logits (4, 3) and targets int64 (3,) do not fit; targets are integers (4,) or "
            "distributions (4, 3)",
        ),
        (
            lambda: of(losses.cross_entropy, normal(4, 1), LABELS),
            "cross_entropy: logits are [batch, ..., classes] with 2 classes or more, not (4, 1); "
            "use binary_cross_entropy for one output",
        ),
        (
            lambda: losses.get("perceptron"),
            "there is no loss 'perceptron'; there are cross_entropy, binary_cross_entropy, "
            "mean_squared_error, mean_absolute_error, huber, hinge",
        ),
        (
            lambda: losses.get("huber", beta=1),
            "huber has no option 'beta'; it has delta",
        ),
        (
            lambda: losses.get(lambda p, t: rv.sum(p))(rv.constant(X), rv.constant(T)),
            "the loss <lambda> gave (); it must give (4,), one number for each sample",
        ),
    ],
)
def test_errors(call: Callable[[], object], text: str) -> None:
    with pytest.raises((ShapeError, InputError)) as caught:
        call()
    assert str(caught.value) == text


# ---------------------------------------------------------------- far out, and wrong kinds


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_binary_cross_entropy_is_right_far_out(engine: str) -> None:
    far = np.float32([[-1e4], [1e4], [-1e4], [1e4], [2e38], [-2e38], [3e38], [-3e38]])
    sides = np.float32([[0], [1], [1], [0], [1], [0], [0], [1]])
    x, t = rv.input(far.shape), rv.input(sides.shape)
    each = losses.binary_cross_entropy(x, t)
    (slope,) = rv.gradients(rv.sum(each), [x])
    found = rv.compile({"x": x, "t": t}, {"each": each, "slope": slope}, engine=engine)
    found = found(x=far, t=sides)
    close(found["each"], [0, 0, 1e4, 1e4, 0, 0, np.float32(3e38), np.float32(3e38)])
    close(found["slope"], [[0], [0], [-1], [1], [0], [0], [1], [-1]])


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_binary_cross_entropy_keeps_its_digits_on_the_right_side(engine: str) -> None:
    near = np.float32([[-12], [-30], [-80], [12], [30], [80], [-40]])
    sides = np.float32([[0], [0], [0], [1], [1], [1], [0.25]])
    x, t = rv.input(near.shape), rv.input(sides.shape)
    each = losses.binary_cross_entropy(x, t)
    (slope,) = rv.gradients(rv.sum(each), [x])
    program = rv.compile({"x": x, "t": t}, {"each": each, "slope": slope}, engine=engine)
    found = program(x=near, t=sides)
    z, p = near.astype(np.float64), 1 / (1 + np.exp(-near.astype(np.float64)))
    wanted = np.where(sides == 1, np.log1p(np.exp(-z)), np.log1p(np.exp(z)) - sides * z)
    np.testing.assert_allclose(found["each"], wanted[:, 0], rtol=1e-6)
    slopes = np.where(sides == 1, -1 / (1 + np.exp(z)), p - sides)
    np.testing.assert_allclose(found["slope"], slopes, rtol=1e-6)
    far = program(x=np.resize(np.float32([np.inf, -np.inf]), (7, 1)), t=near * 0)["each"]
    assert far[:2].tolist() == [np.inf, 0]


@pytest.mark.parametrize("engine", ["native", "reference"])
@pytest.mark.parametrize("kind", ["labels", "distributions"])
def test_a_class_of_logit_minus_infinity_costs_nothing_unless_it_is_right(
    engine: str, kind: str
) -> None:
    logits, labels = np.float32([[1, 2, -np.inf], [1, 2, -np.inf]]), np.array([0, 2])
    targets = labels if kind == "labels" else np.eye(3, dtype=np.float32)[labels]
    x, t = rv.input(logits.shape), rv.input(targets.shape, targets.dtype)
    each = losses.cross_entropy(x, t)
    (slope,) = rv.gradients(rv.sum(each), [x])
    found = rv.compile({"x": x, "t": t}, {"each": each, "slope": slope}, engine=engine)
    found = found(x=logits, t=targets)
    close(found["each"], [np.log(1 + np.e), np.inf])
    right = 1 / (1 + np.e)
    close(found["slope"], [[right - 1, 1 - right, 0], [right, 1 - right, -1]])


def test_a_label_outside_the_classes_costs_nothing_smoothed_or_not() -> None:
    labels = np.array([1, -1, 3, 250])
    for smoothing in (0.0, 0.1):
        found = of(losses.cross_entropy, LOGITS, labels, label_smoothing=smoothing)
        assert (found != 0).tolist() == [True, False, False, False]
    lost = np.where(labels[:, None] == 1, LOGITS, np.nan).astype(np.float32)
    assert np.isfinite(of(losses.cross_entropy, lost[:2], labels[:2], ignore=-1)).all()


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_smoothing_ignoring_and_class_weights_together(smoothing: float) -> None:
    labels, table = np.array([0, -1, 1, 2]), np.float32([1, 2, 4])
    each = losses.get("cross_entropy", label_smoothing=smoothing, ignore=-1)
    x, t = rv.constant(LOGITS), rv.constant(labels)
    weights = losses.class_weights(t, table)
    seen = labels >= 0
    smooth = np.eye(3)[labels] * (1 - smoothing) + smoothing / 3
    wanted = np.where(seen, -(smooth * np.log(P)).sum(-1), 0)
    weighing = np.where(seen, table[labels], 0)
    close(value(each(x, t)), wanted)
    close(value(weights), weighing)
    close(value(losses.total(each(x, t), weights)), (weighing * wanted).sum() / weighing.sum())


def test_class_weights_of_two_classes_with_one_output() -> None:
    shares = np.float32([0, 1, 0.25])
    for targets in (shares, shares[:, None]):
        close(of(lambda t: losses.class_weights(t, [1, 3]), targets), [1, 3, 1.5])
    close(of(lambda t: losses.class_weights(t, [1, 3]), np.array([[0], [1]])), [1, 3])
    close(of(lambda t: losses.class_weights(t, [1, 3]), np.array([False, True])), [1, 3])


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: of(losses.cross_entropy, LOGITS, LABELS.astype(np.float32)),
            "logits (4, 3) and targets float32 (4,) do not fit; targets are integers (4,) or "
            "distributions (4, 3)",
        ),
        (
            lambda: of(losses.cross_entropy, LOGITS, np.eye(3, dtype=int)[LABELS], ignore=0),
            "ignore=0 needs integer targets (4,), not int64 (4, 3)",
        ),
        (
            lambda: of(losses.cross_entropy, LOGITS, LABELS, label_smoothing="much"),
            "cross_entropy: label_smoothing is 'much'; use a number in [0, 1)",
        ),
        (
            lambda: of(losses.cross_entropy, LOGITS, LABELS, ignore=0.5),
            "cross_entropy: ignore is 0.5; use a whole number",
        ),
        (
            lambda: of(losses.huber, X, T, delta=np.nan),
            "huber: delta is nan; use a positive number",
        ),
        (
            lambda: of(losses.mean_squared_error, LABELS, LABELS),
            "mean_squared_error takes floating predictions, not int64 (4,); convert with "
            ".astype(...)",
        ),
        (
            lambda: losses.class_table([1, "much"]),  # type: ignore[list-item]
            "class weights: that of 1 is 'much'; use a finite number, 0 or more",
        ),
        (
            lambda: losses.class_table([1, [2]]),  # type: ignore[list-item]
            "class weights: that of 1 is [2]; use a finite number, 0 or more",
        ),
        (
            lambda: losses.class_table({0: 1.0}),  # type: ignore[arg-type]
            "class weights are {0: 1.0}; use one number for each class",
        ),
        (
            lambda: of(lambda t: losses.class_weights(t, [1, 2, 3]), BITS),
            "3 class weights do not fit targets float32 (4, 5); targets are integers [batch] or "
            "distributions [batch, 3]",
        ),
        (
            lambda: losses.balanced([0.5], 2),
            "the labels are float64; use whole numbers, 0 to 1",
        ),
        (lambda: losses.balanced([0, -1], 2), "a label is -1; 2 classes end at 1"),
        (lambda: losses.get(3), "3 is no loss; use a name or a function"),  # type: ignore[arg-type]
    ],
)
def test_wrong_kinds(call: Callable[[], object], text: str) -> None:
    with pytest.raises((ShapeError, InputError, DTypeError)) as caught:
        call()
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("loss", "wrong", "text"),
    [
        ("hinge", [0, 1, -1], "the target of row 2 is -1; targets of hinge are 0 or 1"),
        ("hinge", [0.5, 1, 0], "the target of row 0 is 0.5; targets of hinge are 0 or 1"),
        (
            "binary_cross_entropy",
            [1, 2, 0],
            "the target of row 1 is 2; targets of binary_cross_entropy are numbers from 0 to 1",
        ),
        (
            "binary_cross_entropy",
            [1, np.nan, 0],
            "the target of row 1 is nan; targets of binary_cross_entropy are numbers from 0 to 1",
        ),
    ],
)
def test_targets_that_a_loss_cannot_learn_from(loss: str, wrong: list[float], text: str) -> None:
    model = rv.Model(rv.nn.Linear(1), loss, engine="reference")
    for learn in (model.fit, model.evaluate):
        with pytest.raises(InputError) as caught:
            learn(normal(3, 2), np.array(wrong))
        assert str(caught.value) == text
    assert np.isfinite(model.evaluate(normal(3, 2), np.array([0, 1, 1]))["loss"])


# ---------------------------------------------------------------- metrics

SCORES = np.float32([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3], [0.4, 0.4, 0.2], [0.2, 0.2, 0.6]])


def test_accuracy_and_top_k() -> None:
    assert of(metrics.accuracy, SCORES, LABELS).tolist() == [1, 0, 0, 0]
    assert of(metrics.get("top_1"), SCORES, LABELS).tolist() == [1, 0, 0, 0]
    assert of(metrics.get("top_2"), SCORES, LABELS).tolist() == [1, 1, 1, 0]
    assert of(metrics.get("top_3"), SCORES, LABELS).tolist() == [1, 1, 1, 1]
    one_hot = np.eye(3, dtype=np.float32)[LABELS]
    assert of(metrics.accuracy, SCORES, one_hot).tolist() == [1, 0, 0, 0]
    binary = np.float32([[0.2], [0.7], [0.5]])
    assert of(metrics.accuracy, binary, np.array([0, 1, 1])).tolist() == [1, 1, 0]
    assert of(metrics.top_k, np.full((1, 3), np.nan, np.float32), [1], k=2).tolist() == [0]
    sequence = of(metrics.accuracy, SCORES.reshape(2, 2, 3), LABELS.reshape(2, 2))
    assert sequence.tolist() == [0.5, 0]


def test_confusion_precision_recall_f1() -> None:
    # Predicted classes 0, 1, 0, 2; true ones 0, 2, 1, 1.
    assert metrics.confusion_matrix(SCORES, LABELS).tolist() == [[1, 0, 0], [1, 0, 1], [0, 1, 0]]
    assert metrics.precision(SCORES, LABELS) == pytest.approx((1 / 2 + 0 + 0) / 3)
    assert metrics.recall(SCORES, LABELS) == pytest.approx(1 / 3)
    assert metrics.f1(SCORES, LABELS) == pytest.approx((2 / 3) / 3)
    found, true, w = [0.9, 0.8, 0.2, 0.6], [1, 0, 1, 1], [1.0, 2.0, 1.0, 3.0]
    assert metrics.precision(found, true) == pytest.approx(2 / 3)
    assert metrics.recall(found, true) == pytest.approx(2 / 3)
    assert metrics.precision(found, true, w) == pytest.approx(4 / 6)
    assert metrics.recall(found, true, w) == pytest.approx(4 / 5)
    assert metrics.f1(found, true, w) == pytest.approx(8 / 11)
    with pytest.raises(InputError, match="a target is outside 0 to 2"):
        metrics.recall(SCORES, [0, 1, 2, 3])


def test_roc_auc_counts_pairs() -> None:
    scores, true = [0.1, 0.4, 0.4, 0.8], [0, 0, 1, 1]
    assert metrics.roc_auc(scores, true) == pytest.approx(3.5 / 4)
    assert metrics.roc_auc(scores, true, [1, 2, 1, 1]) == pytest.approx((1 + 1 + 1 + 2) / 6)
    assert np.isnan(metrics.roc_auc([0.1, 0.2], [1, 1]))
    by_class = [metrics.roc_auc(SCORES[:, c], c == LABELS) for c in range(3)]
    assert metrics.roc_auc(SCORES, LABELS) == pytest.approx(np.mean(by_class))


def test_r2() -> None:
    assert metrics.r2([1.0, 2.0, 4.0], [1, 2, 3]) == pytest.approx(0.5)
    assert metrics.r2([1.0, 2.0, 4.0], [1, 2, 3], [1, 1, 0]) == 1
    assert metrics.r2([[1.0], [1.0]], [2, 2]) == 0


def test_weighted_metrics_agree_with_scikit_learn() -> None:
    theirs = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    scores, true, w = rng.random(50).round(1), rng.integers(0, 2, 50), rng.random(50)
    found = scores > 0.5
    for ours, other in (
        (metrics.precision, theirs.precision_score),
        (metrics.recall, theirs.recall_score),
        (metrics.f1, theirs.f1_score),
    ):
        assert ours(scores, true, w) == pytest.approx(other(true, found, sample_weight=w))
    wanted = theirs.roc_auc_score(true, scores, sample_weight=w)
    assert metrics.roc_auc(scores, true, w) == pytest.approx(wanted)
    assert metrics.r2(scores, true, w) == pytest.approx(
        theirs.r2_score(true, scores, sample_weight=w)
    )


def test_metric_registry() -> None:
    assert metrics.get("accuracy").function is metrics.accuracy
    with pytest.raises(InputError, match="there is no metric of tensors 'f1'; metrics are accura"):
        metrics.get("f1")
    with pytest.raises(InputError, match=r"top_k: k is 4 for predictions \(4, 3\)"):
        metrics.get("top_4")(rv.constant(SCORES), rv.constant(LABELS))
