"""Metrics against plain loops over samples and pairs: ties, absent classes, weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers import normal

import ranvier as rv
from ranvier import metrics, nn
from ranvier.errors import InputError, ShapeError

SEEDS = range(4)


def drawn(seed: int, classes: int = 4, samples: int = 30) -> tuple[Any, Any, Any]:
    """Scores with many ties, labels of which the last class is absent, weights with zeros."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 5, (samples, classes)) / 4
    weights = rng.random(samples) * (rng.random(samples) < 0.8)
    return scores, rng.integers(0, max(classes - 1, 2), samples), weights


def area(scores: Any, positive: Any, weights: Any) -> float:
    won = pairs = 0.0
    for i in np.flatnonzero(positive):
        for j in np.flatnonzero(~positive):
            both = weights[i] * weights[j]
            pairs += both
            won += both * ((scores[i] > scores[j]) + (scores[i] == scores[j]) / 2)
    return won / pairs if pairs else float("nan")


@pytest.mark.parametrize("seed", SEEDS)
def test_roc_auc_is_the_share_of_pairs_won(seed: int) -> None:
    scores, labels, weights = drawn(seed)
    one, sides = scores[:, 0] * 1000 - 500, labels > 0
    assert metrics.roc_auc(one, sides, weights) == pytest.approx(area(one, sides, weights))
    by_class = [area(scores[:, c], labels == c, weights) for c in range(4)]
    assert np.isnan(by_class[3])
    assert metrics.roc_auc(scores, labels, weights) == pytest.approx(np.mean(by_class[:3]))
    assert metrics.roc_auc(np.zeros(30), sides) == 0.5
    assert np.isnan(metrics.roc_auc(scores, np.zeros(30, int)))
    assert np.isnan(metrics.roc_auc(np.where(one < 0, np.nan, one), sides))


@pytest.mark.parametrize("seed", SEEDS)
def test_precision_recall_and_f1_count_samples(seed: int) -> None:
    scores, labels, weights = drawn(seed)
    counts = np.zeros((4, 4))
    for row, label, weight in zip(scores, labels, weights, strict=True):
        counts[label, max(range(4), key=lambda c: (row[c], -c))] += weight
    np.testing.assert_allclose(metrics.confusion_matrix(scores, labels, weights), counts)
    one_hot = np.eye(4)[labels]
    np.testing.assert_allclose(metrics.confusion_matrix(scores, one_hot, weights), counts)
    shares = {"precision": [], "recall": [], "f1": []}  # type: ignore[var-annotated]
    for c in range(4):
        right, predicted, present = counts[c, c], counts[:, c].sum(), counts[c].sum()
        precision = right / predicted if predicted else 0.0
        recall = right / present if present else 0.0
        both = precision + recall
        shares["precision"].append(precision)
        shares["recall"].append(recall)
        shares["f1"].append(2 * precision * recall / both if both else 0.0)
    for name, each in shares.items():
        found = metrics.EPOCH_METRICS[name](scores, labels, weights)
        assert found == pytest.approx(np.mean(each))


@pytest.mark.parametrize("seed", SEEDS)
def test_r2_of_outputs_and_weights(seed: int) -> None:
    targets, predictions = normal(20, 3, seed=seed), normal(20, 3, seed=seed + 9)
    weights = np.random.default_rng(seed).random(20)
    each = []
    for t, p in zip(targets.T.astype(float), predictions.T.astype(float), strict=True):
        middle = sum(weights * t) / sum(weights)
        each.append(1 - sum(weights * (t - p) ** 2) / sum(weights * (t - middle) ** 2))
    assert metrics.r2(predictions, targets, weights) == pytest.approx(np.mean(each))
    targets[:, 0], predictions[:, 0] = 3, 3
    assert metrics.r2(predictions, targets, weights) == pytest.approx(np.mean([1, *each[1:]]))
    predictions[0, 0] = 4
    assert metrics.r2(predictions, targets, weights) == pytest.approx(np.mean([0, *each[1:]]))
    with np.errstate(all="raise"):
        assert np.isnan(metrics.r2(predictions, targets, np.zeros(20)))


@pytest.mark.parametrize("name", metrics.EPOCH_METRICS)
def test_arrays_that_do_not_fit(name: str) -> None:
    metric = metrics.EPOCH_METRICS[name]
    for predictions, targets in ((np.zeros(3), np.zeros(4)), (np.zeros((3, 4)), np.zeros(4))):
        with pytest.raises(ShapeError, match="do not fit"):
            metric(predictions, targets)
    with pytest.raises(ShapeError, match=r"weights \(2,\) for 3 samples; give one each"):
        metric(np.zeros(3), np.zeros(3), [1, 2])


def test_what_is_no_metric() -> None:
    with pytest.raises(InputError, match=r"^3 is no metric; use a name or a function"):
        metrics.get(3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"^top_k: k is 0; use a whole number, 1 or more"):
        metrics.get("top_0")(rv.constant(np.eye(3)), rv.constant([0, 1, 2]))


@pytest.mark.parametrize("loss", ["hinge", "binary_cross_entropy"])
@pytest.mark.parametrize("several", [False, True])
def test_ranking_sees_scores_that_no_link_has_made_equal(loss: str, several: bool) -> None:
    x = normal(40, 1) * 100
    sides = (x[:, 0] + normal(40, seed=1) * 100 > 0).astype(np.int64)
    judged = {"a": loss} if several else loss
    wanted = {"a": sides} if several else sides
    measures = ["roc_auc", "f1", "accuracy"]

    class Scores(nn.Module):
        def __call__(self, x: rv.Tensor) -> Any:
            return {"a": x} if several else x

    model = rv.Model(
        Scores(),
        judged,
        metrics={"a": measures} if several else measures,
        engine="reference",
    )
    found = model.evaluate(x, wanted, batch_size=16)
    prefix = "a_" if several else ""
    assert found[f"{prefix}roc_auc"] == pytest.approx(area(x[:, 0], sides > 0, np.ones(40)))
    decided = (x[:, 0] >= 0).astype(np.float64)
    assert found[f"{prefix}f1"] == pytest.approx(metrics.f1(decided, sides))
    assert found[f"{prefix}accuracy"] == pytest.approx((decided == sides).mean())


# ---------------------------------------------------------------- several labels, and averages


def many(kind: str, seed: int) -> tuple[Any, Any, Any]:
    """Scores, targets and weights of two classes, of four, or of four labels."""
    rng = np.random.default_rng(seed)
    scores = rng.random((60, 4)).round(1)
    if kind == "labels":
        return scores, rng.random((60, 4)) < [0.5, 0.2, 0.7, 0.0], rng.random(60)
    if kind == "two":
        return scores[:, 0], rng.integers(0, 2, 60), rng.random(60)
    return scores, rng.integers(0, 3, 60), rng.random(60)


@pytest.mark.parametrize("average", [None, *metrics.AVERAGES])
@pytest.mark.parametrize("kind", ["two", "classes", "labels"])
def test_averages_are_those_of_scikit_learn(kind: str, average: str | None) -> None:
    theirs = pytest.importorskip("sklearn.metrics")
    scores, targets, weights = many(kind, 3)
    found = scores.argmax(-1) if kind == "classes" else scores > 0.5
    for name, other in (
        ("precision", theirs.precision_score),
        ("recall", theirs.recall_score),
        ("f1", theirs.f1_score),
    ):
        metric = getattr(metrics, name)
        options = {"average": average, "multilabel": kind == "labels"}
        if average == "binary" and kind != "two":
            with pytest.raises(InputError, match=r"^average='binary' is for two classes; use"):
                metric(scores, targets, weights, **options)
            continue
        default = "binary" if kind == "two" else "macro"
        wanted = other(
            targets, found, average=average or default, sample_weight=weights, zero_division=0
        )
        assert metric(scores, targets, weights, **options) == pytest.approx(wanted), name


@pytest.mark.parametrize("average", [None, "macro", "micro", "weighted"])
def test_areas_are_those_of_scikit_learn(average: str | None) -> None:
    theirs = pytest.importorskip("sklearn.metrics")
    how = average or "macro"
    scores, targets, weights = many("labels", 4)
    scores, targets = scores[:, :3], targets[:, :3]
    wanted = theirs.roc_auc_score(targets, scores, average=how, sample_weight=weights)
    found = metrics.roc_auc(scores, targets, weights, average=average, multilabel=True)
    assert found == pytest.approx(wanted)
    scores, targets, _ = many("classes", 5)
    shares = scores[:, :3] / scores[:, :3].sum(-1, keepdims=True)
    wanted = theirs.roc_auc_score(targets, shares, average=how, multi_class="ovr")
    assert metrics.roc_auc(shares, targets, average=average) == pytest.approx(wanted)


def test_averages_by_hand() -> None:
    scores = np.array([[0.9, 0.1], [0.8, 0.9], [0.2, 0.7], [0.1, 0.2]])
    labels = np.array([[1, 0], [0, 1], [1, 1], [0, 0]], bool)
    both = {"multilabel": True}
    assert metrics.precision(scores, labels, **both) == pytest.approx((1 / 2 + 1) / 2)
    assert metrics.precision(scores, labels, average="micro", **both) == pytest.approx(3 / 4)
    assert metrics.recall(scores, labels, average="weighted", **both) == pytest.approx(3 / 4)
    two = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]])
    assert metrics.precision(two, [0, 1, 0]) == pytest.approx(1 / 2)
    assert metrics.precision(two, [0, 1, 0], average="macro") == pytest.approx(3 / 4)
    with pytest.raises(InputError, match=r"^average is 'mean'; use binary, macro, micro, weighted"):
        metrics.f1(two, [0, 1, 0], average="mean")


class Given(nn.Module):
    """A network whose predictions are its inputs."""

    def __call__(self, x: rv.Tensor) -> rv.Tensor:
        return x


@pytest.mark.parametrize("loss", ["binary_cross_entropy", "hinge"])
@pytest.mark.parametrize("dtype", [bool, np.int64, np.float32, np.uint8])
def test_metrics_follow_a_loss_of_several_labels(loss: str, dtype: Any) -> None:
    x = normal(50, 3)
    labels = (x + normal(50, 3, seed=1) / 2 > 0).astype(dtype)
    names = ["accuracy", "f1", "f1_micro", "precision_weighted", "recall_macro", "roc_auc"]
    model = rv.Model(Given(), loss, metrics=names, engine="reference")
    found = model.evaluate(x, labels, batch_size=16)
    decided, both = (x > 0).astype(float), {"multilabel": True}
    assert found["accuracy"] == pytest.approx(((x > 0) == labels).mean(), abs=1e-6)
    assert found["f1"] == found["f1"] == metrics.f1(decided, labels, **both)
    assert found["f1_micro"] == metrics.f1(decided, labels, average="micro", **both)
    assert found["precision_weighted"] == pytest.approx(
        metrics.precision(decided, labels, average="weighted", **both)
    )
    assert found["recall_macro"] == metrics.recall(decided, labels, **both)
    assert found["roc_auc"] == pytest.approx(metrics.roc_auc(x, labels, **both))


def test_labels_may_lie_along_several_axes() -> None:
    x = normal(20, 2, 3, 1)
    labels = (x + normal(20, 2, 3, 1, seed=1) > 0)[..., 0]
    names = ["accuracy", "f1_micro", "roc_auc"]
    model = rv.Model(Given(), "binary_cross_entropy", metrics=names, engine="reference")
    found, both = model.evaluate(x, labels, batch_size=8), {"multilabel": True}
    decided = (x[..., 0] > 0).reshape(20, 6)
    assert found["accuracy"] == pytest.approx((decided == labels.reshape(20, 6)).mean(), abs=1e-6)
    wanted = metrics.f1(decided, labels.reshape(20, 6), average="micro", **both)
    assert found["f1_micro"] == pytest.approx(wanted)
    assert found["roc_auc"] == pytest.approx(metrics.roc_auc(x, labels, **both))


def test_functions_of_this_module_are_the_metrics_of_their_names() -> None:
    x, labels = normal(20, 3), normal(20, 3, seed=1) > 0
    named = rv.Model(Given(), "hinge", metrics=["accuracy", "f1"], engine="reference")
    passed = rv.Model(Given(), "hinge", metrics=[metrics.accuracy, metrics.f1], engine="reference")
    assert named.evaluate(x, labels) == passed.evaluate(x, labels)


def test_bool_labels_are_classes() -> None:
    x, sides = normal(20, 2), normal(20, seed=1) > 0
    model = rv.Model(Given(), "cross_entropy", metrics=["accuracy", "f1"], engine="reference")
    assert model.evaluate(x, sides) == model.evaluate(x, sides.astype(int))
    assert model.evaluate(x, np.eye(2)[sides.astype(int)] > 0) == model.evaluate(x, sides)


@pytest.mark.parametrize("metric", ["accuracy", "f1", "roc_auc", "confusion_matrix"])
@pytest.mark.parametrize(
    ("targets", "text"),
    [
        (
            [0.5, 1.5, 2.0],
            "that of row 1 is 1.5, beside 0.5 and 2.0; use r2 or mean_absolute_error",
        ),
        ([3, 1, 2], "that of row 2 is 2, beside 1 and 3; use r2 or mean_absolute_error"),
        ([1, 2, 1], "that of row 1 is 2, beside 1 and 2; use r2 or mean_absolute_error"),
    ],
)
def test_metrics_of_classes_refuse_quantities(metric: str, targets: Any, text: str) -> None:
    model = rv.Model(nn.Linear(1), "mean_squared_error", metrics=["r2", metric], engine="reference")
    with pytest.raises(InputError) as caught:
        model.fit(normal(3, 2), np.array(targets), progress=False)
    assert str(caught.value).startswith(
        f"{metric} judges classes, and the targets are no classes: {text}"
    )
    with pytest.raises(InputError, match="judges classes"):
        model.fit([(normal(3, 2), np.array(targets))], progress=False)
    model.fit(normal(3, 2), np.array([1, -1, -1]), progress=False)


@pytest.mark.parametrize("metric", ["top_2", "confusion_matrix", "f1_binary"])
def test_what_several_labels_do_not_have_is_refused_before_training(metric: str) -> None:
    model = rv.Model(nn.Linear(3), "hinge", metrics=[metric], engine="reference")
    seen: list[Any] = []
    with pytest.raises(InputError, match=r"needs samples of one class|is for two classes"):
        model.fit(
            normal(8, 2), normal(8, 3) > 0, callbacks=[lambda *a: seen.append(a)], progress=False
        )
    assert not seen


def test_averages_are_saved(tmp_path: Any) -> None:
    x, labels = normal(20, 2), normal(20, 3, seed=1) > 0
    model = rv.Model(nn.Linear(3), "hinge", metrics=["f1_micro", "accuracy"], engine="reference")
    model.fit(x, labels, progress=False)
    model.save(tmp_path / "run")
    again = rv.load(tmp_path / "run", engine="reference")
    assert again.evaluate(x, labels) == model.evaluate(x, labels)
