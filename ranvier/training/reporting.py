"""What a run's report shows: measured here, drawn by `ranvier.report`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ranvier.data.source import Dataset
from ranvier.metrics import confusion_matrix
from ranvier.training.files import write_atomically
from ranvier.training.history import History
from ranvier.training.model import Model
from ranvier.training.run import REPORT, RunFolder
from ranvier.training.speed import speed

_MISTAKES = 24
_PAIRS = 10
_POINTS = 1000


def write_report(
    model: Model,
    data: Dataset,
    run: RunFolder,
    title: str,
    history: History,
    test: Mapping[str, Any],
    command: str | None = None,
) -> Path:
    """Write `report.html` into the run folder and return its path.

    command: what makes the run again. The confusion matrix and the mistakes are those of the
    test data.
    """
    from ranvier.report import Report, render

    headline = {f"test_{key}": value for key, value in test.items() if isinstance(value, float)}
    if "accuracy" in test:
        headline = {"test_error": 1 - test["accuracy"], **headline}
    summary = model.summary().to_json()
    timings = run.timings()
    pace = speed(model, data.train, timings)
    shown = Report(
        title=title,
        headline=headline,
        history=list(history),
        seconds=[each["seconds"] for each in timings],
        samples_per_second=pace.samples_per_second,
        share_of_peak=pace.share_of_peak,
        summary=summary["layers"],
        totals={k: v for k, v in summary.items() if k != "layers"},
        settings=_settings(model),
        command=command,
        filters=_filters(model, data),
        **_outcome(model, data),
    )
    path = run.path / REPORT
    write_atomically(path, render(shown).encode())
    return path


def _settings(model: Model) -> dict[str, Any]:
    training = model.settings.to_json()
    about = training.pop("about")
    training.pop("inputs")
    optimizer = model.optimizer.config()
    losses = {name or "loss": head.loss.config() for name, head in model.objective.heads.items()}
    return {**about, **training, "optimizer": optimizer, **losses}


def _outcome(model: Model, data: Dataset) -> dict[str, Any]:
    """What the network makes of the test data, by the kind of its task."""
    test = data.test
    if isinstance(test.inputs, Mapping) or isinstance(test.targets, Mapping):
        return {}
    found = model.predict(test.inputs)
    if test.targets is None:
        return _reconstructed(test.inputs[:_PAIRS], found[:_PAIRS])
    if model.classes and found.ndim == 2 and found.shape[1] == len(model.classes):
        return _classified(test.inputs, test.targets, found, model.classes)
    if test.targets.dtype.kind == "f" and test.targets.size == found.size:
        return {"scatter": (found.reshape(-1)[:_POINTS], test.targets.reshape(-1)[:_POINTS])}
    return {}


def _classified(
    inputs: np.ndarray, targets: np.ndarray, found: np.ndarray, classes: Sequence[str]
) -> dict[str, Any]:
    """The confusion matrix, and the mistakes that the network was surest of."""
    from ranvier.report import Mistake

    labels = found.argmax(-1)
    wrong = np.flatnonzero(labels != targets)
    surest = wrong[np.argsort(-found[wrong, labels[wrong]], kind="stable")][:_MISTAKES]
    mistakes = [
        Mistake(
            picture=_picture(inputs[row]),
            values=None if _picture(inputs[row]) is not None else inputs[row].reshape(-1)[:6],
            row=int(row),
            true=classes[targets[row]],
            predicted=classes[labels[row]],
            probability=float(found[row, labels[row]]),
        )
        for row in surest
    ]
    return {
        "confusion": confusion_matrix(found, targets),
        "classes": classes,
        "mistakes": mistakes,
    }


def _reconstructed(inputs: np.ndarray, found: np.ndarray) -> dict[str, Any]:
    if _picture(inputs[0]) is None:
        return {}
    outputs = np.rint(found.reshape(inputs.shape) * 255).clip(0, 255).astype(np.uint8)
    return {"reconstructions": (inputs, outputs)}


def _picture(sample: np.ndarray) -> np.ndarray | None:
    """A sample as a picture uint8 [height, width, 1 or 3], if it is one."""
    if sample.dtype == np.uint8 and sample.ndim == 3 and sample.shape[2] in (1, 3):
        return sample
    return None


def _filters(model: Model, data: Dataset) -> dict[str, np.ndarray]:
    """Weights that can be seen: kernels of convolutions, and dense layers on pictures."""
    found = {}
    inputs = data.train.inputs
    shape = () if isinstance(inputs, Mapping) else inputs.shape[1:]
    for path, array in model.weights.items():
        if array.ndim == 4 and array.shape[0] > 1:
            found[path] = array
        elif array.ndim == 2 and len(shape) == 3 and array.shape[0] == np.prod(shape):
            found[path] = array.reshape(*shape, -1)
    return found
