"""What a run's report shows: measured here, drawn by `ranvier.report`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ranvier.data.errors import DataError
from ranvier.data.source import Dataset, Split
from ranvier.metrics import confusion_matrix
from ranvier.training.feed.arrays import ByInput, whole_split
from ranvier.training.objective import ONE, Head
from ranvier.training.run.files import write_atomically
from ranvier.training.run.folder import REPORT
from ranvier.training.run.machine import stamp
from ranvier.wording import counted

if TYPE_CHECKING:
    from ranvier.training.model import Model

_MISTAKES = 24
_PAIRS = 10
_POINTS = 1000
_OF_CLASSES = ("cross_entropy", "binary_cross_entropy")
"""Losses of outputs that say which class a sample is of."""


def write_report(
    model: Model,
    data: Any,
    path: str | Path,
    *,
    title: str | None = None,
    command: str | None = None,
    measured: Mapping[str, Any] | None = None,
) -> Path:
    """Write the report of a model's last training as one HTML file, and return its path.

    data: a `Dataset`, or the test set as a `Split` or a pair of arrays. path: the file, or a
    folder, which then holds `report.html`. command: what makes the run again. measured: what
    `model.evaluate` says of the test set, where that is known already.

    The speed of the training step is measured anew, where `data` has a training set; that takes
    about a second. Raises DataError and InputError for data that do not fit.
    """
    from ranvier.report import Report, render
    from ranvier.training.loop.speed import speed

    test = _test_set(data, model.settings.columns)
    found = model.evaluate(test) if measured is None else measured
    summary = model.summary().to_json()
    pace = speed(model, data.train if isinstance(data, Dataset) else None, model.timings)
    shown = Report(
        title=title or _title(data),
        headline=_headline(found, model.objective.standardized),
        facts=_facts(model, data, test),
        history=list(model.history),
        seconds=[each["seconds"] for each in model.timings],
        samples_per_second=pace.samples_per_second,
        share_of_peak=pace.share_of_peak,
        summary=summary["layers"],
        totals={k: v for k, v in summary.items() if k != "layers"},
        settings=_settings(model),
        command=command,
        filters=_filters(model, test),
        **_outcome(model, test),
    )
    place = Path(path)
    place = place / REPORT if place.is_dir() else place
    # A file's name may hold bytes that are no UTF-8, which no page can hold as they are.
    write_atomically(place, render(shown).encode("utf-8", "backslashreplace"))
    return place


def _test_set(data: Any, columns: ByInput) -> Split:
    given = data.test if isinstance(data, Dataset) else data
    split = whole_split(given, what="the test set", columns=columns)
    if split is None:
        raise DataError("a report takes its test set as arrays; pass (inputs, targets)")
    return split


def _title(data: Any) -> str:
    return f"A network on {data.name}" if isinstance(data, Dataset) else "A trained network"


def _headline(found: Mapping[str, Any], standardized: bool) -> dict[str, float]:
    """The results, each fact once: the error says what the accuracy would."""
    shown = {f"test_{key}": value for key, value in found.items() if isinstance(value, float)}
    if standardized:
        shown["test_loss, of standardized targets"] = shown.pop("test_loss")
    if "accuracy" in found:
        del shown["test_accuracy"]
        return {"test_error": 1 - found["accuracy"], **shown}
    return shown


def _facts(model: Model, data: Any, test: Split) -> dict[str, str]:
    """When, with what and on what the model was trained."""
    from ranvier.report.curves import best_epoch

    known = {**stamp(model.engine, model.options), **(model.timings[-1] if model.timings else {})}
    parts = {"test": len(test)}
    if isinstance(data, Dataset):
        parts = {"training": len(data.train), "validation": len(data.validation), **parts}
    facts = {
        "Trained": _day(str(known["date"])),
        "Samples": ", ".join(f"{count:,} {part}" for part, count in parts.items()),
        "Machine": f"{known['processor']}, {counted(int(known['threads']), 'thread')}",
        "Version": f"Ranvier {known['version']}, engine {model.engine}",
    }
    best = best_epoch(model.history)
    if best is not None:
        facts["Best epoch"] = f"{best} of {len(model.history)}, by the validation loss"
    return facts


def _day(date: str) -> str:
    """A date of the timings as people write it."""
    when = datetime.fromisoformat(date.replace("Z", "+00:00"))
    return f"{when.day} {when:%B %Y, %H:%M} UTC"


def _settings(model: Model) -> dict[str, Any]:
    """What the run was made with: all that a reader needs to make it again."""
    training = model.settings.to_json()
    about = training.pop("about")
    training.pop("inputs")
    objective, heads = model.objective, model.objective.heads
    weights = objective.class_weights
    return {
        **about,
        **training,
        "optimizer": model.optimizer.config(),
        **{name or "loss": head.loss.config() for name, head in heads.items()},
        "standardized_targets": _scales(heads),
        "loss_weights": {name: head.weight for name, head in heads.items() if name},
        "penalties": [each.config() for each in objective.penalties],
        **model.rules.config(),
        "class_weights": None if weights is None else _by_class(model.classes, weights),
    }


def _scales(heads: Mapping[str, Head]) -> dict[str, Any]:
    """By which means and deviations targets are standardized, by output where there are several."""
    known = {name: head.scale.config() for name, head in heads.items() if head.scale is not None}
    return known.get(ONE, known)


def _by_class(classes: Sequence[str], weights: np.ndarray) -> dict[str, float]:
    names = classes if len(classes) == len(weights) else map(str, range(len(weights)))
    return {name: float(f"{weight:.4g}") for name, weight in zip(names, weights, strict=True)}


def _outcome(model: Model, test: Split) -> dict[str, Any]:
    """What the network makes of the test set, by the kind of its task."""
    inputs, targets = test.inputs, test.targets
    if isinstance(inputs, Mapping) or isinstance(targets, Mapping):
        return {}
    found = model.predict(inputs)
    if isinstance(found, Mapping):
        return {}
    if targets is None:
        return _reconstructed(inputs[:_PAIRS], found[:_PAIRS])
    if model.objective.heads[ONE].loss.name in _OF_CLASSES and _are_classes(targets):
        return _classified(test, _probabilities(found), model.classes)
    if targets.dtype.kind == "f" and targets.size == found.size:
        return {"scatter": (found.reshape(-1)[:_POINTS], targets.reshape(-1)[:_POINTS])}
    return {}


def _are_classes(targets: np.ndarray) -> bool:
    """Whether targets are the number of a class for each sample, and no shares."""
    return targets.ndim == 1 and bool((targets == np.rint(targets)).all())


def _probabilities(found: np.ndarray) -> np.ndarray:
    """Probabilities [n, classes], also where the network gives that of class 1 alone."""
    if found.ndim == 2 and found.shape[1] > 1:
        return found
    one = found.reshape(-1, 1)
    return np.concatenate([1 - one, one], axis=1)


def _classified(test: Split, found: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """The confusion matrix, and the mistakes that the network was surest of."""
    from ranvier.report import Mistake

    assert isinstance(test.inputs, np.ndarray)
    assert isinstance(test.targets, np.ndarray)
    inputs, targets = test.inputs, test.targets.astype(np.int64)
    count = found.shape[1]
    names = classes if len(classes) == count else [str(number) for number in range(count)]
    labels = found.argmax(-1)
    wrong = np.flatnonzero(labels != targets)
    surest = wrong[np.argsort(-found[wrong, labels[wrong]], kind="stable")][:_MISTAKES]
    mistakes = [
        Mistake(
            picture=_picture(inputs[row]),
            values=None if _picture(inputs[row]) is not None else inputs[row].reshape(-1)[:6],
            row=int(row),
            true=names[targets[row]],
            predicted=names[labels[row]],
            probability=float(found[row, labels[row]]),
        )
        for row in surest
    ]
    return {
        "confusion": confusion_matrix(found, targets, test.weights),
        "classes": names,
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


def _filters(model: Model, test: Split) -> dict[str, np.ndarray]:
    """Weights that can be seen: kernels of convolutions, and dense layers on pictures."""
    found = {}
    inputs = test.inputs
    shape = () if isinstance(inputs, Mapping) else inputs.shape[1:]
    for path, array in model.weights.items():
        if array.ndim == 4 and array.shape[0] > 1:
            found[path] = array
        elif array.ndim == 2 and len(shape) == 3 and array.shape[0] == np.prod(shape):
            found[path] = array.reshape(*shape, -1)
    return found
