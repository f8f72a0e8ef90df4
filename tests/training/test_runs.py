"""How training goes on from run folders, with the same bits wherever it was broken off."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import dropped
from small_runs import EPOCHS, KillAfter, Killed, contents, fit, one_step_a_call

import ranvier as rv
from ranvier.training import BestWeights, EarlyStopping
from ranvier.training.loop.loop import Training
from ranvier.training.run.folder import RunFolder

pytestmark = pytest.mark.usefixtures(one_step_a_call.__name__)


@pytest.mark.parametrize("steps", range(1, 3 * EPOCHS + 1))
def test_a_resumed_run_ends_with_the_same_bytes(tmp_path: Path, steps: int) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    fit(dropped(), whole)
    with pytest.raises(Killed):
        fit(dropped(), broken, callbacks=[KillAfter(steps)])
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
    broken = [*callbacks(), KillAfter(3 * len(whole) - 4)]
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
    monkeypatch.setattr("ranvier.training.loop.loop._SAVING_SHARE", 1e9)
    epochs, save = [], RunFolder.save

    def noted(run: RunFolder, checkpoint: Any) -> None:
        epochs.append(checkpoint.epoch)
        save(run, checkpoint)

    monkeypatch.setattr(RunFolder, "save", noted)
    fit(dropped(), tmp_path / "rare")
    assert epochs == [0, EPOCHS]
    with pytest.raises(Killed):
        fit(dropped(), tmp_path / "broken", callbacks=[KillAfter(3 * EPOCHS - 1)])
    assert epochs[2:] == [0]
    fit(dropped(), tmp_path / "broken", resume=True)
    for folder in ("rare", "broken"):
        assert contents(tmp_path / folder) == contents(tmp_path / "whole")
        assert [each["epoch"] for each in RunFolder(tmp_path / folder).timings()] == [1, 2, 3, 4, 5]


def test_damaged_timings_are_left_out(tmp_path: Path) -> None:
    fit(dropped(), tmp_path / "run", epochs=2)
    good = (tmp_path / "run" / "timings.jsonl").read_text()
    bad = '{"epoch": 1}\n[1]\nnull\n{"epoch": 9, "seconds": "a", "samples": 1}\n\xff\n{"epo\n'
    for key, value in (("date", '"soon"'), ("date", "7"), ("processor", "[]"), ("threads", '"2"')):
        bad = f'{{"epoch": 1, "seconds": 1, "samples": 1, "{key}": {value}}}\n' + bad
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
from pathlib import Path
from problems import dropped
from small_runs import fit
import ranvier.training.loop.loop as loop
loop.CHECKPOINT_SECONDS = 0.0
loop._SAVING_SHARE = 0.0
from ranvier.training.loop.pace import Pace
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
