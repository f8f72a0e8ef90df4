"""Models saved and loaded: what comes back, and what has no form in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import classifier, dropped
from small_runs import X, Y, contents, fit, one_step_a_call

import ranvier as rv
from ranvier import nn
from ranvier.errors import InputError
from ranvier.training import RunError
from ranvier.training.loop.loop import Training

pytestmark = pytest.mark.usefixtures(one_step_a_call.__name__)


def test_a_loaded_model_predicts_and_goes_on_alike(tmp_path: Path) -> None:
    model = dropped()
    model.fit(X, Y, epochs=2)
    model.save(tmp_path / "saved")
    loaded = rv.load(tmp_path / "saved")
    assert np.array_equal(loaded.predict(X), model.predict(X))
    assert loaded.evaluate(X, Y) == model.evaluate(X, Y)
    for each in (model, loaded):
        each.fit(X, Y, epochs=2)
    assert np.array_equal(loaded.predict(X), model.predict(X))
    model.save(tmp_path / "saved")  # replaces a run
    assert np.array_equal(rv.load(tmp_path / "saved").predict(X), model.predict(X))


@pytest.mark.parametrize(
    "files",
    [
        {"thesis.tex": "all of it"},
        {"config.json": '{"model_type": "bert"}'},
        {"config.json": '{"model_type": "bert"}', "pytorch_model.bin": "w", "thesis.tex": "t"},
    ],
)
def test_folders_of_others_are_left_alone(tmp_path: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    model = classifier()
    model.fit(X, Y)
    with pytest.raises(RunError, match="holds no run"):
        model.save(tmp_path)
    with pytest.raises(RunError, match="holds no run"):
        fit(classifier(), tmp_path, resume=True)
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == files


def test_a_run_with_other_files_beside_it_is_not_saved_over(tmp_path: Path) -> None:
    model = classifier()
    model.fit(X, Y, out=tmp_path / "run")
    (tmp_path / "run" / "thesis.tex").touch()
    before = contents(tmp_path / "run")
    with pytest.raises(RunError, match=r"such as thesis\.tex"):
        model.save(tmp_path / "run")
    assert contents(tmp_path / "run") == before


def test_numbers_of_numpy_are_written_as_numbers(tmp_path: Path) -> None:
    given = {"preprocess": {"mean": X.mean(0), "std": X.std(0), "scale": np.float32(0.5)}}
    rule = rv.optim.Adam(np.float32(0.01), clip_norm=np.float64(1))
    model = classifier(optimizer=rule, **given)
    about = {"x": np.float32(0.5), 1: (2, np.arange(2)), "none": None}
    fit(model, tmp_path / "run", about=about)
    fit(classifier(optimizer=rule.fresh(), **given), tmp_path / "run", resume=True, about=about)
    model.save(tmp_path / "saved")
    loaded = rv.load(tmp_path / "saved")
    assert loaded.settings.about == {"x": 0.5, "1": [2, [0, 1]], "none": None}
    assert np.array_equal(loaded.predict(X), model.predict(X))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"about": {"x": float("nan")}}, "about cannot be written"),
        ({"about": {"x": {1, 2}}}, "about cannot be written to a file (a set has no JSON form)"),
        ({"callbacks": [lambda t, r: r.update(x={1})]}, "what callbacks have added to the record"),
    ],
)
def test_what_has_no_form_in_a_file_is_refused(
    tmp_path: Path, arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError) as error:
        fit(classifier(), tmp_path / "run", **arguments)
    assert said in str(error.value)
    assert "about" not in arguments or not (tmp_path / "run").exists()


def test_what_callbacks_record_is_made_plain(tmp_path: Path) -> None:
    def measure(training: Training, record: Any) -> None:
        record["norm"] = np.linalg.norm(training.net.weights["linear1.weight"])
        record["gap"] = float("nan")
        record["sides"] = training.net.weights["linear2.bias"][:2] * 0

    class Known(rv.training.Callback):
        def state(self) -> dict[str, Any]:
            return {"seen": np.float32(0.5), "rows": np.arange(2)}

    alone = fit(classifier(), None, callbacks=[measure, Known()])
    kept = fit(classifier(), tmp_path / "run", callbacks=[measure, Known()])
    assert kept.records == alone.records
    assert isinstance(kept[0]["norm"], float)
    assert kept[0]["gap"] is None
    assert kept[0]["sides"] == [0, 0]
    again = fit(classifier(), tmp_path / "run", resume=True, callbacks=[measure, Known()])
    assert again.records == kept.records


def test_one_s_own_classes_and_functions_are_passed(tmp_path: Path) -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            self.dense = nn.Linear(3)

        def __call__(self, x: rv.Tensor) -> rv.Tensor:
            return self.dense(x)

    def own_loss(predictions: rv.Tensor, targets: rv.Tensor) -> rv.Tensor:
        return rv.sum((predictions - rv.one_hot(targets, 3)) ** 2, 1)

    model = rv.Model(Own(), own_loss)
    model.fit(X, Y)
    model.save(tmp_path / "run")
    with pytest.raises(RunError, match=r"a loss .* rv.load\(path, loss=...\)"):
        rv.load(tmp_path / "run")
    with pytest.raises(RunError, match=r"Own is a class .* rv.load\(path, net=...\)"):
        rv.load(tmp_path / "run", loss=own_loss)
    loaded = rv.load(tmp_path / "run", net=Own(), loss=own_loss)
    assert np.array_equal(loaded.predict(X), model.predict(X))


def test_metrics_and_losses_come_back_with_their_options(tmp_path: Path) -> None:
    strict = rv.metrics.Metric("accuracy", rv.metrics.accuracy, {"threshold": 0.9})
    twice = rv.metrics.Metric("second", rv.metrics.top_k, {"k": 2})
    sides = rv.Model(nn.Sequential(nn.Linear(1)), "binary_cross_entropy", metrics=[strict])
    arms = classifier(loss=rv.losses.cross_entropy, metrics=[twice, "top_1", "accuracy", "f1"])
    for name, model, targets in (("sides", sides, Y > 0), ("arms", arms, Y)):
        model.fit(X, targets, epochs=3)
        model.save(tmp_path / name)
        loaded = rv.load(tmp_path / name)
        assert loaded.evaluate(X, targets) == model.evaluate(X, targets)
        assert np.array_equal(loaded.predict(X), model.predict(X))
    np.testing.assert_allclose(arms.predict(X).sum(1), 1, rtol=1e-6)


def test_a_metric_of_one_s_own_with_a_known_look(tmp_path: Path) -> None:
    def top_secret(predictions: rv.Tensor, targets: rv.Tensor) -> rv.Tensor:
        return rv.max(predictions, 1)

    model = classifier(metrics=[top_secret])
    model.fit(X, Y)
    model.save(tmp_path / "run")
    with pytest.raises(
        RunError, match=r"a metric is the user's own; load it with rv.load\(path, me"
    ):
        rv.load(tmp_path / "run")
    assert rv.load(tmp_path / "run", metrics=[top_secret]).evaluate(X, Y) == model.evaluate(X, Y)


@pytest.mark.parametrize("error", [AttributeError, KeyError, TypeError, ValueError])
def test_a_bug_in_a_network_that_is_passed_is_shown(tmp_path: Path, error: Any) -> None:
    class Own(nn.Module):
        def __init__(self, bug: bool) -> None:
            self.dense = nn.Linear(3)
            self.bug = bug

        def __call__(self, x: rv.Tensor) -> rv.Tensor:
            if self.bug:
                raise error("a bug")
            return self.dense(x)

    model = rv.Model(Own(False), "cross_entropy")
    model.fit(X, Y)
    model.save(tmp_path / "run")
    with pytest.raises(error, match="a bug"):
        rv.load(tmp_path / "run", net=Own(True))


def test_an_unknown_class_is_refused(tmp_path: Path) -> None:
    fit(classifier(), tmp_path / "run")
    from ranvier.training.run.files import load_json, save_json

    config = load_json(tmp_path / "run" / "config.json")
    config["net"]["arguments"]["modules"][0]["class"] = "os.system"
    save_json(tmp_path / "run" / "config.json", config)
    with pytest.raises(RunError, match=r"config.json: there is no class 'os.system'"):
        rv.load(tmp_path / "run")


def test_frozen_parameters_and_several_outputs_are_remembered(tmp_path: Path) -> None:
    model = classifier()
    model.fit(X, Y)
    model.freeze("linear1.*")
    model.save(tmp_path / "run")
    assert list(rv.load(tmp_path / "run").net.parameters()) == ["linear2.weight", "linear2.bias"]


@pytest.mark.parametrize("missing", ["config.json", "nothing"])
def test_what_is_no_run_is_refused(tmp_path: Path, missing: str) -> None:
    if missing == "nothing":
        tmp_path = tmp_path / "nowhere"
    with pytest.raises(RunError, match=r"there is no such run folder|is no run folder"):
        rv.load(tmp_path)


def test_partial_transfer_of_weights() -> None:
    teacher, pupil = classifier(), classifier()
    teacher.fit(X, Y)
    pupil.fit(X, Y, seed=1)
    kept = {p: a for p, a in teacher.weights.items() if p.startswith("linear1")}
    assert pupil.load_weights(kept, partial=True) == ["linear1.weight", "linear1.bias"]
    assert np.array_equal(pupil.weights["linear1.weight"], teacher.weights["linear1.weight"])
