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
