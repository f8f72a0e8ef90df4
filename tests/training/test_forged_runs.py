"""Run folders made to hang, to fill memory or to confuse: one RunError each."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from costs import cost
from problems import classifier
from small_runs import KillAfter, Killed, fit, one_step_a_call

import ranvier as rv
from ranvier import nn, schedules
from ranvier.errors import InputError
from ranvier.nn.config import from_config, to_config
from ranvier.reading import parse_json
from ranvier.training import BestWeights, RunError
from ranvier.training.run.files import load_json, save_json
from ranvier.training.run.tensors import load_arrays, save_arrays

Config = dict[str, Any]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "run"
    fit(classifier(), folder)
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A finished run, to be forged."""
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def forge(run: Path, change: Callable[[Config], object]) -> None:
    """Change the configuration as one who knows its checksum does."""
    config = load_json(run / "config.json")
    change(config)
    save_json(run / "config.json", config)


# ---------------------------------------------------------------- what is no plain file


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are POSIX")
@pytest.mark.parametrize("name", ["config.json", "state.safetensors", "weights.safetensors"])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_only_plain_files_are_read(run: Path, name: str, kind: str) -> None:
    (run / name).unlink()
    if kind == "pipe":
        os.mkfifo(run / name)
    else:
        (run / name).symlink_to("/dev/zero")
    found = cost("rv.load(path)", run, seconds=30)
    assert found.error.startswith(f"RunError: cannot read {run / name}: it is a pipe, a socket")
    assert found.megabytes < 500


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are POSIX")
def test_a_lock_that_is_a_pipe_is_not_waited_for(run: Path) -> None:
    os.mkfifo(run / ".lock")
    code = (
        "from ranvier.training.run.folder import RunFolder\n"
        "RunFolder(path).begin({'format': 1}, resume=True)"
    )
    assert "RunError: cannot write" in cost(code, run, seconds=30).error


# ---------------------------------------------------------------- configurations


def wider(config: Config) -> None:
    config["net"]["arguments"]["modules"][0]["arguments"]["features"] = 1 << 29


def too_wide(config: Config) -> None:
    config["net"]["arguments"]["modules"][0]["arguments"]["features"] = 10**15


def doubled(config: Config) -> None:
    """Each module calls the one before twice: forty lines, a trillion calls."""
    modules = [{"class": "ReLU", "arguments": {}}]
    for number in range(40):
        twice = [{"same": number}, {"same": number}]
        modules.append({"class": "Sequential", "arguments": {"modules": twice}})
    config["net"]["arguments"]["modules"] = modules


def nested(levels: int) -> Config | float:
    schedule: Config | float = 0.1
    for _ in range(levels):
        schedule = {"name": "warm_up", "steps": 1, "then": schedule}
    return schedule


def deep_schedule(config: Config) -> None:
    config["optimizer"]["learning_rate"] = nested(150)


def very_deep_schedule(config: Config) -> None:
    config["optimizer"]["learning_rate"] = nested(900)


def many_penalties(config: Config) -> None:
    config["penalties"] = [{"name": "l2", "strength": 0.1}] * 200_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (wider, r"weights\.safetensors: does not fit config\.json: linear1\.weight has shape"),
        (too_wide, r"config\.json: linear1: weight would hold .* more than there is memory for"),
        (doubled, r"config\.json: the network's configuration calls more than 10,000 modules"),
        (deep_schedule, r"config\.json: the optimizer is nested deeper than 16; use fewer levels"),
        (very_deep_schedule, r"config\.json: the file was altered or damaged"),
        (many_penalties, r"config\.json: the file was altered or damaged"),
    ],
)
def test_what_a_small_configuration_may_cost(
    run: Path, change: Callable[[Config], object], message: str
) -> None:
    forge(run, change)
    found = cost("rv.load(path)", run)
    assert found.error.startswith("RunError: ")
    with pytest.raises(RunError, match=message):
        raise RunError(found.error)
    assert found.megabytes < 500


def test_a_network_that_did_not_load_keeps_no_state(run: Path) -> None:
    """State is made without values while a run is loaded; none of it may stay."""
    net = nn.Sequential(nn.Linear(17), nn.Tanh(), nn.Linear(3))
    with pytest.raises(RunError, match="differs from the saved one"):
        rv.load(run, net=net)
    assert not net.states()


def test_a_deep_network_that_repeats_layers_comes_back() -> None:
    shared = nn.Linear(4)
    net = nn.Sequential(*[nn.Sequential(shared, nn.ReLU()) for _ in range(1500)])
    net.build((1, 4))
    assert len(from_config(to_config(net)).modules()) == len(net.modules())


def test_schedules_in_schedules_have_a_depth() -> None:
    schedule: Any = 0.1
    for _ in range(15):
        schedule = schedules.WarmUp(1, schedule)
    with pytest.raises(InputError, match="nested deeper than 16"):
        schedules.WarmUp(1, schedule)
    with pytest.raises(InputError, match="nested deeper than 16"):
        schedules.as_schedule(nested(2000))
    assert schedules.as_schedule(schedule.config()) == schedule


@pytest.mark.parametrize("text", ["[" * 300 + "]" * 300, "[" * 10**6, "[" + "[]," * 10**7 + "[]]"])
def test_json_has_a_depth_and_a_length(text: str) -> None:
    with pytest.raises(ValueError, match="JSON"):
        parse_json(text)


# ---------------------------------------------------------------- checkpoints


@pytest.fixture
def broken_off(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A run that was killed in the middle of its second epoch."""
    request.getfixturevalue(one_step_a_call.__name__)
    with pytest.raises(Killed):
        fit(classifier(), tmp_path / "run", callbacks=[BestWeights(), KillAfter(5)])
    return tmp_path / "run"


def facts(run: Path) -> Config:
    return load_arrays(run / "state.safetensors")[1]


def test_the_run_is_in_the_middle_of_an_epoch(broken_off: Path) -> None:
    assert facts(broken_off)["position"]
    fit(classifier(), broken_off, resume=True, callbacks=[BestWeights()])


WRONG: list[Config] = [
    {"epoch": "1"}, {"epoch": -1}, {"epoch": 1.5}, {"epoch": True}, {"epoch": None},
    {"position": "2"}, {"position": 10**6}, {"position": []},
    {"sums": 3}, {"sums": {}}, {"sums": {"loss": 1.0}}, {"sums": {"loss": "much"}}, {"sums": []},
    {"learning_rate": "fast"}, {"learning_rate": None},
    {"history": {}}, {"history": [1]}, {"history": [{}]}, {"history": [{"epoch": "one"}]},
    {"stopped": 1}, {"stopped": None},
    {"callbacks": [1]}, {"callbacks": {}}, {"callbacks": [{}]}, {"callbacks": [{"kind": 1}]},
    {"callbacks": [{"kind": "BestWeights", "state": 1}]},
    {"callbacks": [{"kind": "BestWeights", "state": {}}]},
    {"callbacks": [{"kind": "BestWeights", "state": {"best": "x", "best_epoch": 1}}]},
    {"callbacks": [{"kind": "BestWeights", "state": {"best": 1, "best_epoch": None}}]},
    {"callbacks": [{"kind": ["BestWeights"], "state": {}}]},
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG, ids=json.dumps)
def test_facts_of_wrong_types_are_refused(broken_off: Path, wrong: Config) -> None:
    arrays, info = load_arrays(broken_off / "state.safetensors")
    save_arrays(broken_off / "state.safetensors", arrays, {**info, **wrong})
    with pytest.raises(RunError) as error:
        fit(classifier(), broken_off, resume=True, callbacks=[BestWeights()])
    assert str(broken_off) in str(error.value)
    assert "train again" in str(error.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: arrays.pop("weights/linear1.weight"),
        lambda arrays: arrays.update({"weights/linear1.weight": np.zeros((3, 16), np.float32)}),
        lambda arrays: arrays.update({"optimizer/step": np.zeros(3, np.int64)}),
        lambda arrays: arrays.update({"optimizer/unknown": np.zeros(3, np.float32)}),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    broken_off: Path, change: Callable[[dict[str, np.ndarray]], object]
) -> None:
    arrays, info = load_arrays(broken_off / "state.safetensors")
    change(arrays)
    save_arrays(broken_off / "state.safetensors", arrays, info)
    with pytest.raises(RunError) as error:
        fit(classifier(), broken_off, resume=True, callbacks=[BestWeights()])
    assert str(broken_off) in str(error.value)


def test_a_shape_of_very_many_axes_is_refused_at_once(run: Path) -> None:
    header = {
        "__metadata__": {"ranvier": json.dumps({"sha256": "", "info": {}})},
        "a": {"dtype": "F32", "shape": [2**62] * 100_000, "data_offsets": [0, 4]},
    }
    text = json.dumps(header).encode()
    content = len(text).to_bytes(8, "little") + text + b"\0" * 4
    (run / "weights.safetensors").write_bytes(content)
    with pytest.raises(RunError, match=r"weights\.safetensors: the file is damaged"):
        load_arrays(run / "weights.safetensors")


# ---------------------------------------------------------------- messages


def test_messages_are_bounded() -> None:
    name = "x" * 10**6
    for error in (RunError(f"{name}: choose another"), InputError(f"{name}; mend it")):
        assert len(str(error)) < 1100
        assert str(error).endswith(("choose another", "mend it"))
