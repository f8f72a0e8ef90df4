"""Which folders a run is refused, and that one run at a time writes to one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import classifier, dropped
from small_runs import contents, fit, one_step_a_call

import ranvier as rv
from ranvier.training import RunError
from ranvier.training.loop.loop import Training
from ranvier.training.run.folder import RunFolder

pytestmark = pytest.mark.usefixtures(one_step_a_call.__name__)


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
        "from problems import classifier\nfrom small_runs import fit\n"
        "from ranvier.training import RunError\n"
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

    monkeypatch.setattr("ranvier.training.run.folder.new_folder", overtaken)
    message = "exists already" if ended else "another run is writing"
    with first, second, pytest.raises(RunError, match=message):
        second.begin({"format": 1}, False)
    with second:
        second.begin({"format": 1}, True)
