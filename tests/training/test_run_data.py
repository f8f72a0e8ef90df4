"""A run knows its data, and that it has trained: it goes on with the same, or says why not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from problems import classifier, spirals
from small_runs import KillAfter, Killed, contents, one_step_a_call

from ranvier.training import RunError
from ranvier.training.run.fingerprints import WHOLE, difference, fingerprint

pytestmark = pytest.mark.usefixtures(one_step_a_call.__name__)

X, Y = spirals()
WEIGHTS = np.ones(len(X), np.float32)
HELD = spirals(60, 1)
Data = dict[str, Any]


def fit(out: Path, epochs: int = 3, resume: bool = False, **changed: Any) -> None:
    given: Data = {"data": X, "targets": Y, "weights": WEIGHTS, "validation": HELD, **changed}
    classifier().fit(**given, out=out, epochs=epochs, seed=3, resume=resume)


def other(array: np.ndarray) -> np.ndarray:
    """The array with one number changed."""
    changed = array.copy()
    changed.flat[7] += 1 if changed.flat[7] == 0 else -changed.flat[7]
    return changed


CHANGES: list[tuple[Data, str]] = [
    ({"data": other(X)}, "with other inputs (the shape is the same)"),
    ({"targets": other(Y)}, "with other targets (the shape is the same)"),
    ({"weights": other(WEIGHTS)}, "with other weights (the shape is the same)"),
    ({"weights": None}, "with weights as arrays"),
    (
        {"data": X[:80], "targets": Y[:80], "weights": WEIGHTS[:80]},
        "with other inputs (float32[90, 2], not float32[80, 2])",
    ),
    ({"data": X[::-1]}, "with other inputs (the shape is the same)"),
    (
        {"validation": (HELD[0], other(HELD[1]))},
        "with other validation targets (the shape is the same)",
    ),
]


@pytest.mark.parametrize("killed_after", [3, 5], ids=["between epochs", "within an epoch"])
@pytest.mark.parametrize(("change", "part"), CHANGES)
def test_other_data_are_noticed(tmp_path: Path, change: Data, part: str, killed_after: int) -> None:
    run = tmp_path / "run"
    with pytest.raises(Killed):
        fit(run, callbacks=[KillAfter(killed_after)])
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    with pytest.raises(RunError) as error:
        fit(run, resume=True, **change)
    assert str(error.value) == (
        f"{run} was begun {part}; resume with the same data, or train a model that "
        f"rv.load({str(run)!r}) returns on the new data, in another folder"
    )
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before
    fit(run, resume=True)
    fit(tmp_path / "whole")
    assert contents(run) == contents(tmp_path / "whole")


def test_validation_may_come_and_go(tmp_path: Path) -> None:
    fit(tmp_path / "run", epochs=1, validation=None)
    fit(tmp_path / "run", epochs=2, resume=True)
    fit(tmp_path / "run", epochs=3, resume=True, validation=None)


class Stream:
    """Batches in another order at each visit, as people shuffle them."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(0)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        order = self._rng.permutation(len(X))
        return iter([(X[part], Y[part]) for part in np.split(order, 3)])


def test_of_batches_only_the_form_is_compared(tmp_path: Path) -> None:
    stream: Data = {"data": Stream(), "targets": None, "weights": None}
    fit(tmp_path / "run", epochs=1, **stream)
    fit(tmp_path / "run", epochs=2, resume=True, **stream)


def test_a_run_without_fingerprints_goes_on() -> None:
    assert difference({}, {"inputs": "float32[2] 00"}) is None
    assert difference({"inputs": "float32[2] 00"}, {}) == "with inputs as arrays"


def test_rows_of_large_arrays_are_spread_from_the_first_to_the_last() -> None:
    large = np.zeros((WHOLE // 1024 + 4096, 1024), np.uint8)
    known = fingerprint(large)
    assert known.startswith(f"uint8[{len(large)}, 1024] ")
    for row in (0, len(large) - 1):
        large[row, 5] = 1
        assert fingerprint(large) != known
        large[row, 5] = 0
    large[len(large) // 3 : len(large) // 3 + 2] = 1
    assert fingerprint(large) != known


def test_every_row_of_other_arrays_counts() -> None:
    array = np.zeros((100, 3), np.float32)
    seen = {fingerprint(array), fingerprint(array[:, :2]), fingerprint(array.astype(np.int32))}
    for row in range(100):
        array[row, 2] = 1
        seen.add(fingerprint(array))
    assert len(seen) == 103
    assert fingerprint(array[::2]) == fingerprint(array[::2].copy())


# ---------------------------------------------------------------- a checkpoint that is gone


def lose(run: Path, names: tuple[str, ...]) -> None:
    for name in names:
        (run / name).unlink()


@pytest.mark.parametrize(
    ("names", "left"),
    [
        (("state.safetensors",), "history.jsonl and weights.safetensors"),
        (("state.safetensors", "history.jsonl"), "weights.safetensors"),
        (("state.safetensors", "weights.safetensors"), "history.jsonl"),
    ],
)
def test_finished_weights_are_not_trained_over(
    tmp_path: Path, names: tuple[str, ...], left: str
) -> None:
    run = tmp_path / "run"
    fit(run)
    lose(run, names)
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    with pytest.raises(RunError) as error:
        fit(run, epochs=4, resume=True)
    assert str(error.value) == (
        f"{run} holds {left}, but state.safetensors is gone, so training would begin anew and "
        "write over them; put that file back, choose another folder, or delete this one"
    )
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_anew(tmp_path: Path) -> None:
    fit(tmp_path / "run")
    lose(tmp_path / "run", ("state.safetensors", "history.jsonl", "weights.safetensors"))
    fit(tmp_path / "run", resume=True)
    fit(tmp_path / "whole")
    assert contents(tmp_path / "run") == contents(tmp_path / "whole")
