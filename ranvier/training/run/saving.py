"""Models as run folders: what `Model.save` writes and `rv.load` reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ranvier import metrics
from ranvier.data.source import Names
from ranvier.errors import InputError, RanvierError
from ranvier.guidance.calls import explained
from ranvier.metrics import METRICS, Metric
from ranvier.nn.config import from_config, to_config
from ranvier.nn.module import Module
from ranvier.optim import Optimizer
from ranvier.regularization import Penalty
from ranvier.training.feed.binding import build
from ranvier.training.loop.history import History
from ranvier.training.objective import ONE, Head
from ranvier.training.run.files import RunError, as_json, load_json
from ranvier.training.run.folder import CONFIG, STATE, Checkpoint, RunFolder
from ranvier.training.run.settings import Settings
from ranvier.training.weight_rules import WeightRules

if TYPE_CHECKING:
    from ranvier.training.model import Model

FORMAT = 1
"""The version of the layout of `config.json`."""

_MALFORMED = (KeyError, TypeError, ValueError, AttributeError)
"""What reading a configuration of another form raises."""

_CALLED = {"heads": "the options of a loss or metric", "training": "about"}
"""What the keys of `config.json` are called where they cannot be written."""


def config_of(model: Model) -> dict[str, Any]:
    """Return what `config.json` says of a model: all that can be said without code."""
    from ranvier import __version__

    trained = model.net.parameters()
    frozen = [path for path in model.net.parameters(frozen=True) if path not in trained]
    table, stopping = model.objective.class_weights, model.early_stopping
    config = {
        "format": FORMAT,
        "version": __version__,
        "engine": model.engine,
        "net": to_config(model.net),
        "heads": {name: _head_config(head) for name, head in model.objective.heads.items()},
        "penalties": [each.config() for each in model.objective.penalties],
        "class_weights": None if table is None else table.tolist(),
        **model.rules.config(),
        "early_stopping": None if stopping is None else stopping.config(),
        "optimizer": model.optimizer.config(),
        "preprocess": model.preprocess,
        "classes": list(model.classes),
        "frozen": frozen,
        "training": model.settings.to_json(),
    }
    return {key: as_json(value, _CALLED.get(key, key)) for key, value in config.items()}


def known_columns(run: RunFolder) -> dict[str, Names]:
    """Return the names of the columns that a run has learnt from, by input, as far as it is one."""
    try:
        return Settings.from_json(load_json(run.path / CONFIG)["training"]).columns
    except (RanvierError, *_MALFORMED):
        return {}


def save(model: Model, path: Path) -> None:
    """Write a model to a run folder."""
    if not model.settings.inputs:
        raise InputError("the model has seen no data yet; fit it, or build it, before saving")
    config = config_of(model)
    checkpoint = Checkpoint(
        weights=dict(model.net.weights),
        optimizer={p: b.value for p, b in model.optimizer.state().items()},
        epoch=model.epochs_done,
    )
    with RunFolder(path) as run:
        run.replace(config)
        run.save_weights(checkpoint.weights, checkpoint.epoch, 0)
        run.save(checkpoint)


@explained
def load(
    path: str | Path,
    *,
    net: Module | None = None,
    loss: Any = None,
    metrics: Any = None,
    engine: str = "native",
    **options: Any,
) -> Model:
    """Read a model that `Model.save`, or `fit` with a run folder, has written.

    net: the network, where its class is the user's own. loss, metrics: likewise, where they are
    functions. Raises RunError for files that are missing or damaged, and for a class that is
    not known; no code is ever taken from a file.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise RunError(f"{folder}: there is no such run folder; check the path")
    if not (folder / CONFIG).exists():
        raise RunError(f"{folder}: holds no {CONFIG}, so it is no run folder; check the path")
    config = load_json(folder / CONFIG)
    with _reading(folder / CONFIG):
        model = _model(config, net, loss, metrics, engine, options)
        settings = Settings.from_json(config["training"])
        frozen = dict.fromkeys(config["frozen"])
    with model.undone():
        # What goes wrong in a network that was passed is not the file's fault.
        with _reading(folder / CONFIG, () if net is not None else _MALFORMED):
            build(model, settings, drawing=False)
        _restore(model, folder, net is not None)
        with _reading(folder / CONFIG):
            for each in frozen:
                model.freeze(each.replace("[", "[[]"))
    return model


@contextmanager
def _reading(path: Path, malformed: tuple[type[Exception], ...] = _MALFORMED) -> Iterator[None]:
    """Say of errors which file they come from, and of some that it is malformed."""
    try:
        yield
    except RanvierError as error:
        raise RunError(f"{path}: {error}") from None
    except malformed:
        raise RunError(f"{path}: not a configuration of this version") from None


def _model(
    config: Mapping[str, Any],
    net: Module | None,
    loss: Any,
    measures: Any,
    engine: str,
    options: Mapping[str, Any],
) -> Model:
    from ranvier.training.model import Model

    if config["format"] != FORMAT:
        raise InputError(f"the format is {config['format']}, this version reads {FORMAT}")
    heads = config["heads"]
    one = list(heads) == [ONE]
    losses = {name: _own(head["loss"], "loss", loss is None) for name, head in heads.items()}
    for head in heads.values():
        _own(head, "metric", measures is None)
    if measures is None:
        by_output = {n: [_metric(each) for each in head["metrics"]] for n, head in heads.items()}
        measures = by_output[ONE] if one else by_output
    # Runs of older versions have dilution alone.
    beside = {name: config.get(name) for name in (*WeightRules().config(), "early_stopping")}
    return Model(
        net if net is not None else from_config(config["net"]),
        loss if loss is not None else (losses[ONE] if one else losses),
        Optimizer.from_config(config["optimizer"]),
        measures,
        penalties=[Penalty.from_config(each) for each in config["penalties"]],
        loss_weights={name: head["weight"] for name, head in heads.items()},
        class_weights=config["class_weights"],
        standardize_targets={name: head.get("standardize", False) for name, head in heads.items()},
        preprocess=config["preprocess"],
        classes=config["classes"],
        engine=engine,
        **beside,
        **options,
    )


def _restore(model: Model, folder: Path, passed: bool) -> None:
    """Write the arrays of the folder into the model; `passed`: whether its network was given."""
    checkpoint = Checkpoint.load(folder / STATE) if (folder / STATE).exists() else None
    path, weights = RunFolder(folder).load_weights(checkpoint)
    if passed and (differences := model.weights.differences(weights)):
        raise RunError(
            f"{path}: the network that was passed differs from the saved one: "
            f"{'; '.join(differences)}; pass one that is made as it was"
        )
    try:
        model.load_weights(weights)
        if checkpoint is not None:
            path = folder / STATE
            model.optimizer.load(checkpoint.optimizer, model.net.parameters(frozen=True))
            model.epochs_done = checkpoint.epoch
            model.history = History(checkpoint.history, checkpoint.stopped)
            model.timings = RunFolder(folder).timings()
    except RanvierError as error:
        raise RunError(f"{path}: does not fit {CONFIG}: {error}") from None


def _head_config(head: Head) -> dict[str, Any]:
    measures = [_metric_config(metric) for metric in head.measures]
    mine = any(isinstance(each, dict) and each.get("own") for each in measures)
    mine |= any(metrics.epoch_metric(metric.name) != metric for metric in head.whole)
    return {
        "loss": {"name": head.loss.name, "own": True} if head.loss.own else head.loss.config(),
        "weight": head.weight,
        "metrics": [*measures, *(metric.name for metric in head.whole)],
        **({"standardize": _scale_config(head)} if head.standardize else {}),
        **({"own": True} if mine else {}),
    }


def _scale_config(head: Head) -> bool | dict[str, Any]:
    return bool(head.standardize) if head.scale is None else head.scale.config()


def _metric_config(metric: Metric) -> str | dict[str, Any]:
    """A metric's name where that says all, else how it differs from a known one."""
    with suppress(InputError):
        if metrics.get(metric.name) == metric:
            return metric.name
    for name, known in METRICS.items():
        if known.function is metric.function:
            return {"name": metric.name, "function": name, "options": metric.options}
    return {"name": metric.name, "own": True}


def _metric(config: Any) -> str | Metric:
    """The metric, or its name, that `_metric_config` has described."""
    if isinstance(config, str):
        return config
    known = METRICS[config["function"]]
    return replace(known, name=str(config["name"]), options=dict(config["options"]))


def _own(config: Mapping[str, Any], what: str, needed: bool) -> Mapping[str, Any]:
    """Refuse a user's own function that was not passed."""
    if config.get("own") and needed:
        argument = "loss" if what == "loss" else "metrics"
        raise InputError(f"a {what} is the user's own; load it with rv.load(path, {argument}=...)")
    return config
