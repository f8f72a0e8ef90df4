"""Callbacks: what they end, keep and find."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from problems import classifier, dropped
from small_runs import EPOCHS, KillAfter, Killed, X, Y, contents, fit, one_step_a_call

import ranvier as rv
from ranvier.training import BestWeights, Convergence, EarlyStopping, RunError, TimeBudget
from ranvier.training.loop.loop import Training

pytestmark = pytest.mark.usefixtures(one_step_a_call.__name__)


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
        fit(dropped(), run, epochs=5, resume=True, callbacks=[KillAfter(7)])
    loaded = rv.load(run)
    assert loaded.epochs_done == 4
    whole = dropped()
    fit(whole, tmp_path / "whole", epochs=4)
    assert np.array_equal(loaded.predict(X), whole.predict(X))


def test_callbacks_may_change_when_a_run_is_resumed(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(Killed):
        fit(dropped(), run, callbacks=[Convergence(0.0), KillAfter(7)])
    fit(dropped(), run, resume=True, callbacks=[EarlyStopping(patience=9), BestWeights()])


def test_another_engine_is_another_run(tmp_path: Path) -> None:
    fit(classifier(engine="reference"), tmp_path / "run")
    with pytest.raises(RunError, match='was begun with engine = "reference", not "native"'):
        fit(classifier(), tmp_path / "run", resume=True)
