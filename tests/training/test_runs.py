"""Run folders: what they hold, how training goes on from them, what damages them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import classifier, dropped, spirals

import ranvier as rv
from ranvier import nn
from ranvier.errors import InputError
from ranvier.training import BestWeights, Convergence, EarlyStopping, RunError, TimeBudget
from ranvier.training.loop import Training
from ranvier.training.run import RunFolder

X, Y = spirals()
EPOCHS = 5
FILES = {"config.json", "weights.safetensors", "state.safetensors", "history.jsonl"}


class Killed(BaseException):
    """Ends a run where it stands, as a power cut would."""


class _KillAfter(rv.training.Callback):
    def __init__(self, steps: int) -> None:
        self.left = steps

    def on_steps(self, training: Training) -> None:
        self.left -= 1
        if not self.left:
            raise Killed


@pytest.fixture(autouse=True)
def _one_step_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that runs can be broken off after any step, with a checkpoint at each."""
    monkeypatch.setattr("ranvier.training.pace.Pace.took", lambda *_: None)
    monkeypatch.setattr("ranvier.training.loop.CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr("ranvier.training.loop._SAVING_SHARE", 0.0)


def fit(model: rv.Model, out: Path | None, resume: bool = False, **arguments: Any) -> Any:
    settings = {"epochs": EPOCHS, "validation": spirals(60, 1), "seed": 3, **arguments}
    return model.fit(X, Y, out=out, resume=resume, **settings)


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


# ---------------------------------------------------------------- resuming


@pytest.mark.parametrize("steps", range(1, 3 * EPOCHS + 1))
def test_a_resumed_run_ends_with_the_same_bytes(tmp_path: Path, steps: int) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    fit(dropped(), whole)
    with pytest.raises(Killed):
        fit(dropped(), broken, callbacks=[_KillAfter(steps)])
    fit(dropped(), broken, resume=True)
    assert contents(broken) == contents(whole)


@pytest.mark.parametrize("saves", range(1, 4 * EPOCHS + 2))
def test_a_run_resumes_from_every_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saves: int
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    fit(dropped(), whole)
    left = [saves]
    save = RunFolder.save

    def last(run: RunFolder, checkpoint: Any) -> None:
        save(run, checkpoint)
        left[0] -= 1
        if not left[0]:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "save", last)
        with pytest.raises(Killed):
            fit(dropped(), broken)
    fit(dropped(), broken, resume=True)
    assert contents(broken) == contents(whole)


def test_resuming_keeps_what_callbacks_know(tmp_path: Path) -> None:
    def callbacks() -> list[rv.training.Callback]:
        return [EarlyStopping(patience=3), BestWeights("validation_accuracy")]

    rate = rv.optim.Adam(0.2)
    whole = fit(dropped(optimizer=rate), tmp_path / "whole", epochs=40, callbacks=callbacks())
    assert whole.stopped
    broken = [*callbacks(), _KillAfter(3 * len(whole) - 4)]
    with pytest.raises(Killed):
        fit(dropped(optimizer=rate.fresh()), tmp_path / "broken", epochs=40, callbacks=broken)
    again = fit(
        dropped(optimizer=rate.fresh()),
        tmp_path / "broken",
        resume=True,
        epochs=40,
        callbacks=callbacks(),
    )
    assert again.stopped == whole.stopped
    for name in ("weights.safetensors", "history.jsonl"):
        assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_finished_run_resumes_to_itself_and_further(tmp_path: Path) -> None:
    short, long = tmp_path / "short", tmp_path / "long"
    fit(dropped(), short, epochs=2)
    before = contents(short)
    fit(dropped(), short, resume=True, epochs=2)
    assert contents(short) == before
    fit(dropped(), short, resume=True, epochs=4)
    fit(dropped(), long, epochs=4)
    assert contents(short) == contents(long)


def test_resume_without_a_checkpoint_starts_anew(tmp_path: Path) -> None:
    fit(dropped(), tmp_path / "a", resume=True)
    fit(dropped(), tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_saving_waits_until_it_takes_its_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(dropped(), tmp_path / "whole")
    monkeypatch.setattr("ranvier.training.loop._SAVING_SHARE", 1e9)
    epochs, save = [], RunFolder.save

    def noted(run: RunFolder, checkpoint: Any) -> None:
        epochs.append(checkpoint.epoch)
        save(run, checkpoint)

    monkeypatch.setattr(RunFolder, "save", noted)
    fit(dropped(), tmp_path / "rare")
    assert epochs == [0, EPOCHS]
    with pytest.raises(Killed):
        fit(dropped(), tmp_path / "broken", callbacks=[_KillAfter(3 * EPOCHS - 1)])
    assert epochs[2:] == [0]
    fit(dropped(), tmp_path / "broken", resume=True)
    for folder in ("rare", "broken"):
        assert contents(tmp_path / folder) == contents(tmp_path / "whole")
        assert [each["epoch"] for each in RunFolder(tmp_path / folder).timings()] == [1, 2, 3, 4, 5]


def test_damaged_timings_are_left_out(tmp_path: Path) -> None:
    fit(dropped(), tmp_path / "run", epochs=2)
    good = (tmp_path / "run" / "timings.jsonl").read_text()
    bad = '{"epoch": 1}\n[1]\nnull\n{"epoch": 9, "seconds": "a", "samples": 1}\n\xff\n{"epo\n'
    (tmp_path / "run" / "timings.jsonl").write_text(bad + good, "latin-1")
    fit(dropped(), tmp_path / "run", epochs=3, resume=True)
    assert [each["epoch"] for each in RunFolder(tmp_path / "run").timings()] == [1, 2, 3]


def test_ctrl_c_saves_and_passes_on(tmp_path: Path) -> None:
    def press(training: Training, record: Any) -> None:
        if record["epoch"] == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        fit(dropped(), tmp_path / "broken", callbacks=[press])
    fit(dropped(), tmp_path / "broken", resume=True, callbacks=[lambda *_: None])
    fit(dropped(), tmp_path / "whole", callbacks=[lambda *_: None])
    assert contents(tmp_path / "broken") == contents(tmp_path / "whole")


def test_killed_processes_resume_to_the_same_bytes(tmp_path: Path) -> None:
    """SIGKILL at three moments; the slow test kills many more."""
    _killed_runs(tmp_path, 3)


@pytest.mark.slow
def test_many_killed_processes(tmp_path: Path) -> None:
    _killed_runs(tmp_path, 50)


_SCRIPT = """
import sys
sys.path[:0] = [{tests!r}]
from test_runs import *
import ranvier.training.loop as loop
loop.CHECKPOINT_SECONDS = 0.0
loop._SAVING_SHARE = 0.0
from ranvier.training.pace import Pace
Pace.took = lambda *_: None
fit(dropped(), Path(sys.argv[1]), resume=True, epochs=12)
"""


def _killed_runs(tmp_path: Path, kills: int) -> None:
    script = tmp_path / "run.py"
    script.write_text(_SCRIPT.format(tests=str(Path(__file__).parent)))

    def start(out: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, str(script), str(out)])

    whole = tmp_path / "whole"
    assert start(whole).wait() == 0
    rng = np.random.default_rng(0)
    saving = 0
    for kill in range(kills):
        out = tmp_path / f"run{kill}"
        process = start(out)
        while not (out / "state.safetensors").exists():
            time.sleep(0.001)
        time.sleep(rng.uniform(0, 0.15))
        if kill % 2:  # the next save of this run, not wherever it happens to be
            while process.poll() is None and not any(out.glob(".*.tmp")):
                pass
        process.kill()
        process.wait()
        saving += any(out.glob(".*.tmp"))
        assert start(out).wait() == 0
        assert contents(out) == contents(whole)
        assert not list(out.glob(".*.tmp"))
    assert saving >= 0.3 * kills or kills < 10


# ---------------------------------------------------------------- refusals


def test_a_folder_that_exists_is_refused(tmp_path: Path) -> None:
    fit(classifier(), tmp_path / "run")
    before = contents(tmp_path / "run")
    with pytest.raises(RunError, match="exists already; resume it, choose another folder"):
        fit(classifier(), tmp_path / "run")
    assert contents(tmp_path / "run") == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    with pytest.raises(RunError, match="holds no run, or other files"):
        fit(classifier(), tmp_path / "other", resume=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 4}, "was begun with training.seed = 3, not 4"),
        ({"batch_size": 16}, "was begun with training.batch_size = 32, not 16"),
        ({"about": {"data": "b"}}, 'was begun with training.about.data = null, not "b"'),
    ],
)
def test_resuming_with_other_settings_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    fit(classifier(), tmp_path / "run")
    with pytest.raises(RunError) as error:
        fit(classifier(), tmp_path / "run", resume=True, **change)
    assert message in str(error.value)


def test_resuming_another_network_is_refused(tmp_path: Path) -> None:
    fit(classifier(), tmp_path / "run")
    with pytest.raises(RunError, match="was begun with net"):
        fit(dropped(), tmp_path / "run", resume=True)


@pytest.mark.parametrize("name", ["config.json", "state.safetensors", "weights.safetensors"])
def test_a_flipped_byte_is_found(tmp_path: Path, name: str) -> None:
    run = tmp_path / "run"
    fit(classifier(), run)
    path = run / name
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(content), 40):
        broken = bytearray(content)
        broken[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(broken))
        with pytest.raises(RunError, match=name):
            rv.load(run)
    path.write_bytes(content)
    rv.load(run)


# ---------------------------------------------------------------- one run to a folder


def _blocked(folder: Path) -> list[str]:
    """What a second process is told that resumes the run, or begins one, in the folder."""
    script = (
        "import sys; from pathlib import Path\n"
        f"sys.path[:0] = [{str(Path(__file__).parent)!r}]\n"
        "from test_runs import *\n"
        "for resume in (True, False):\n"
        "    try:\n        fit(classifier(), Path(sys.argv[1]), resume=resume)\n"
        "    except RunError as error:\n        print(error)\n"
    )
    command = [sys.executable, "-c", script, str(folder)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def test_a_run_that_is_alive_is_left_alone(tmp_path: Path) -> None:
    said: list[str] = []

    def intrude(training: Training, record: Any) -> None:
        if record["epoch"] == 2:
            (tmp_path / "run" / ".state.safetensors.mine.tmp").touch()
            said.extend(_blocked(tmp_path / "run"))
            assert (tmp_path / "run" / ".state.safetensors.mine.tmp").exists()
            with pytest.raises(RunError, match="another run is writing"):
                fit(classifier(), tmp_path / "run", resume=True)

    fit(classifier(), tmp_path / "run", callbacks=[intrude])
    assert len(said) == 2
    assert "another run is writing to" in said[0]
    assert "exists already" in said[1]
    assert not (tmp_path / "run" / ".lock").exists()


@pytest.mark.parametrize("ended", [False, True])
def test_the_second_of_two_fresh_runs_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: bool
) -> None:
    """It has found the folder free; before it locks it, the first begins, and perhaps ends."""
    first, second = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "run")

    def overtaken(path: Path) -> None:
        monkeypatch.undo()
        first.begin({"format": 1}, False)
        if ended:
            first.close()

    monkeypatch.setattr("ranvier.training.run.new_folder", overtaken)
    message = "exists already" if ended else "another run is writing"
    with first, second, pytest.raises(RunError, match=message):
        second.begin({"format": 1}, False)
    with second:
        second.begin({"format": 1}, True)


# ---------------------------------------------------------------- saving and loading


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
    from ranvier.training.files import load_json, save_json

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


# ---------------------------------------------------------------- callbacks


def test_callbacks_end_training(tmp_path: Path) -> None:
    stopped = classifier().fit(X, Y, epochs=500, validation=(X, Y), callbacks=[Convergence(1e-4)])
    assert len(stopped) < 500
    assert "converged" in stopped.stopped
    history = classifier(optimizer=rv.optim.SGD(0.0)).fit(
        X, Y, epochs=50, validation=(X, Y), callbacks=[EarlyStopping(patience=4)]
    )
    assert len(history) == 5
    assert history.stopped == "validation_loss has not improved for 4 epochs"


def test_best_weights_come_back() -> None:
    model = classifier(optimizer=rv.optim.SGD(3.0))
    best = BestWeights("validation_loss")
    history = model.fit(X, Y, epochs=30, validation=(X, Y), callbacks=[best])
    assert model.evaluate(X, Y)["loss"] == pytest.approx(min(history["validation_loss"]))


def test_callbacks_begin_anew_with_each_training() -> None:
    best, stopping = BestWeights(), EarlyStopping(patience=2)
    callbacks = [best, stopping]
    classifier().fit(X, Y, epochs=30, validation=(X, Y), callbacks=callbacks)
    model = classifier(optimizer=rv.optim.SGD(1e-4))
    history = model.fit(X, Y, epochs=3, validation=(X, Y), callbacks=callbacks)
    assert len(history) == 3
    assert model.evaluate(X, Y)["loss"] == pytest.approx(min(history["validation_loss"]))
    assert stopping.best == min(history["validation_loss"])
    worse = {"validation": (X, (Y + 1) % 3), "callbacks": [EarlyStopping("loss", 2), *callbacks]}
    assert model.fit(X, Y, epochs=1, **worse)[0]["epoch"] == 4
    assert best.best_epoch == 4


def test_a_time_budget_ends_and_a_resumed_run_goes_on(tmp_path: Path) -> None:
    class Late(TimeBudget):
        def on_steps(self, training: Training) -> None:
            if training.epoch == 1 and training.position == 2:
                training.stop("over", final=False)

    history = fit(dropped(), tmp_path / "broken", callbacks=[Late(1)])
    assert len(history) == 1
    fit(dropped(), tmp_path / "broken", resume=True)
    fit(dropped(), tmp_path / "whole")
    assert contents(tmp_path / "broken") == contents(tmp_path / "whole")
    with pytest.raises(rv.errors.InputError, match="use more than 0"):
        TimeBudget(0)


def test_a_monitor_that_is_not_measured() -> None:
    with pytest.raises(rv.errors.InputError, match="watches 'validation_loss', which is not"):
        classifier().fit(X, Y, callbacks=[EarlyStopping()])


def test_the_rate_finder_changes_nothing() -> None:
    model = classifier()
    model.fit(X, Y)
    before = dict(model.weights)
    found = rv.training.find_learning_rate(model, X, Y, steps=60)
    assert 1e-6 < found.suggestion < 10
    assert len(found.rates) == len(found.losses) > 10
    assert all(np.array_equal(model.weights[path], array) for path, array in before.items())


def test_history_lines_are_json(tmp_path: Path) -> None:
    history = fit(classifier(), tmp_path / "run")
    lines = (tmp_path / "run" / "history.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == history.records
    timings = (tmp_path / "run" / "timings.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in timings] == list(range(1, EPOCHS + 1))


def test_weights_of_an_interrupted_run_are_its_newest(tmp_path: Path) -> None:
    run = tmp_path / "run"
    fit(dropped(), run, epochs=2)
    with pytest.raises(Killed):
        fit(dropped(), run, epochs=5, resume=True, callbacks=[_KillAfter(7)])
    loaded = rv.load(run)
    assert loaded.epochs_done == 4
    whole = dropped()
    fit(whole, tmp_path / "whole", epochs=4)
    assert np.array_equal(loaded.predict(X), whole.predict(X))


def test_callbacks_may_change_when_a_run_is_resumed(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(Killed):
        fit(dropped(), run, callbacks=[Convergence(0.0), _KillAfter(7)])
    fit(dropped(), run, resume=True, callbacks=[EarlyStopping(patience=9), BestWeights()])


def test_another_engine_is_another_run(tmp_path: Path) -> None:
    fit(classifier(engine="reference"), tmp_path / "run")
    with pytest.raises(RunError, match='was begun with engine = "reference", not "native"'):
        fit(classifier(), tmp_path / "run", resume=True)
