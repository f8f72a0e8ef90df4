"""`RunFolder`: the files of one training run.

`config.json` says what the run is, `weights.safetensors` holds the network's state,
`state.safetensors` a whole checkpoint: weights, optimizer, callbacks, history, and the position
inside the epoch. `history.jsonl` and `timings.jsonl` have one line for each epoch. Every file
is replaced atomically, and a checkpoint is one file, so that whatever happens at any moment,
the newest checkpoint is whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from ranvier.reading import parse_json, read_plain
from ranvier.training.loop.history import History, Record
from ranvier.training.run.files import (
    RunError,
    as_json,
    load_json,
    new_folder,
    save_json,
    sweep,
    write_atomically,
)
from ranvier.training.run.fingerprints import difference
from ranvier.training.run.locks import LOCK, Lock
from ranvier.training.run.tensors import load_arrays, save_arrays

CONFIG = "config.json"
WEIGHTS = "weights.safetensors"
STATE = "state.safetensors"
HISTORY = "history.jsonl"
TIMINGS = "timings.jsonl"
REPORT = "report.html"
FILES = frozenset((CONFIG, WEIGHTS, STATE, HISTORY, TIMINGS, REPORT))

_FREE = ("epochs", "version")
"""Settings in which a resumed run may differ from its beginning."""
_ASKED = ("training", "about")
"""Where the settings stand that others follow from."""


@dataclass
class Checkpoint:
    """What a run needs to go on: arrays by kind and path, and what is not an array.

    epoch: finished epochs. position: finished steps of the next one, whose sums so far are
    `sums`, and whose last learning rate is `learning_rate`. stopped: why training ended early,
    if it did. callbacks: their states, in order. data: fingerprints of the arrays trained on.
    """

    weights: dict[str, np.ndarray]
    optimizer: dict[str, np.ndarray]
    epoch: int = 0
    position: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    learning_rate: float = 0.0
    history: list[Record] = field(default_factory=list)
    stopped: str = ""
    callbacks: list[dict[str, Any]] = field(default_factory=list)
    callback_arrays: list[dict[str, np.ndarray]] = field(default_factory=list)
    data: dict[str, str] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write the checkpoint to one file."""
        kinds = {"weights": self.weights, "optimizer": self.optimizer}
        kinds |= {f"callback{i}": arrays for i, arrays in enumerate(self.callback_arrays)}
        flat = {f"{kind}/{p}": a for kind, arrays in kinds.items() for p, a in arrays.items()}
        info = {
            "epoch": self.epoch,
            "position": self.position,
            "sums": self.sums,
            "learning_rate": self.learning_rate,
            "history": self.history,
            "stopped": self.stopped,
            "callbacks": self.callbacks,
            "data": self.data,
        }
        save_arrays(path, flat, as_json(info, "the state of training or of a callback"))

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """Read a checkpoint; RunError for a damaged one."""
        flat, info = load_arrays(path)
        if not all(key in _FACTS and _FACTS[key](value) for key, value in info.items()):
            raise _no_checkpoint(path)
        kinds: dict[str, dict[str, np.ndarray]] = {}
        for name, array in flat.items():
            kind, _, rest = name.partition("/")
            kinds.setdefault(kind, {})[rest] = array
        try:
            own = [kinds.get(f"callback{i}", {}) for i in range(len(info["callbacks"]))]
            weights, optimizer = kinds.get("weights", {}), kinds["optimizer"]
            return cls(weights, optimizer, callback_arrays=own, **info)
        except (KeyError, TypeError):
            raise _no_checkpoint(path) from None


def _no_checkpoint(path: Path) -> RunError:
    return RunError(f"{path}: not a checkpoint of this version; train again")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_callback(value: Any) -> bool:
    known = isinstance(value, Mapping) and set(value) == {"kind", "state"}
    return known and isinstance(value["kind"], str) and isinstance(value["state"], Mapping)


_FACTS: dict[str, Callable[[Any], bool]] = {
    "epoch": _is_count,
    "position": _is_count,
    "sums": lambda x: isinstance(x, Mapping) and all(map(_is_number, x.values())),
    "learning_rate": _is_number,
    "history": lambda x: (
        isinstance(x, list)
        and all(isinstance(each, Mapping) and _is_count(each.get("epoch")) for each in x)
    ),
    "stopped": lambda x: isinstance(x, str),
    "callbacks": lambda x: isinstance(x, list) and all(map(_is_callback, x)),
    "data": lambda x: isinstance(x, Mapping) and all(isinstance(v, str) for v in x.values()),
}
"""What a checkpoint holds beside arrays, and whether a value is of that kind."""


class TakenError(RunError):
    """A run folder that is to be new holds something already."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"{folder} exists already; resume it, choose another folder, or delete it")
        self.folder = folder


class OtherSettingsError(RunError):
    """A run cannot be resumed with another value of the setting `key`, such as training.seed."""

    def __init__(self, folder: Path, key: str, old: Any, new: Any) -> None:
        super().__init__(
            f"{folder} was begun with {key} = {json.dumps(old)}, not {json.dumps(new)}; "
            "resume with the same settings, or choose another folder"
        )
        self.folder, self.key, self.old, self.new = folder, key, old, new


class RunFolder:
    """A folder that one run writes to; see the module.

    `begin` and `replace` lock it, until `close` or the end of a `with` block: no two runs write
    to one folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock: Lock | None = None
        self._data: dict[str, str] = {}

    def __str__(self) -> str:
        return str(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let other runs write to the folder."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def check(self, resume: bool) -> None:
        """Raise RunError where the folder holds something that a run would overwrite."""
        if self.path.exists() and not self.path.is_dir():
            raise RunError(f"{self.path} is a file, no folder; choose another path")
        if not self._taken():
            return
        if not resume:
            raise TakenError(self.path)
        if not (self.path / STATE).exists():
            self._require_run()
            self._require_untrained()

    def begin(
        self, config: Mapping[str, Any], resume: bool, data: Mapping[str, str] | None = None
    ) -> Checkpoint | None:
        """Make the folder ready; return the checkpoint to go on from, or None to start anew.

        data: the fingerprints of what is trained on, which checkpoints keep.
        Raises RunError where the folder holds something and `resume` is not set, where it holds
        a run with other settings or data, or one that has lost its checkpoint, and where another
        run writes to it; nothing is changed then.
        """
        self._data = dict(data or {})
        self._hold(lambda: self.check(resume))
        checkpoint = None
        if (self.path / STATE).exists():
            self._compare(load_json(self.path / CONFIG), config)
            checkpoint = Checkpoint.load(self.path / STATE)
            self._compare_data(checkpoint)
        sweep(self.path)
        save_json(self.path / CONFIG, config)
        return checkpoint

    def replace(self, config: Mapping[str, Any]) -> None:
        """Make the folder ready for another model, in the place of a run or of nothing."""
        self._hold(self._require_run)
        sweep(self.path)
        save_json(self.path / CONFIG, config)

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint and the history in it, which resuming would write again."""
        replace(checkpoint, data=self._data).save(self.path / STATE)
        lines = History(checkpoint.history).to_lines()
        write_atomically(self.path / HISTORY, lines, durable=False)

    def save_weights(self, weights: Mapping[str, np.ndarray], epoch: int, position: int) -> None:
        """Write the network's state, and how far it has been trained."""
        save_arrays(self.path / WEIGHTS, weights, {"epoch": epoch, "position": position})

    def load_weights(self, checkpoint: Checkpoint | None) -> tuple[Path, dict[str, np.ndarray]]:
        """Return the network's state and where it comes from; the checkpoint's if that is newer.

        Raises RunError where there is none.
        """
        path = self.path / WEIGHTS
        if path.exists():
            weights, info = load_arrays(path)
            end = (info.get("epoch"), info.get("position"))
            if checkpoint is None or end == (checkpoint.epoch, checkpoint.position):
                return path, weights
        if checkpoint is None:
            raise RunError(f"{self.path}: holds no weights yet; train it first")
        return self.path / STATE, checkpoint.weights

    def timings(self) -> list[dict[str, Any]]:
        """Return what is known of the times of earlier epochs, without damaged lines."""
        try:
            lines = read_plain(self.path / TIMINGS).splitlines()
        except OSError:
            return []
        return [found for line in lines if (found := _timing(line)) is not None]

    def save_timings(self, timings: Iterable[Mapping[str, Any]]) -> None:
        """Write the time of each epoch, the one thing that no two runs share."""
        lines = "".join(f"{json.dumps(dict(each))}\n" for each in timings)
        write_atomically(self.path / TIMINGS, lines.encode(), durable=False)

    def _hold(self, check: Callable[[], None]) -> None:
        """Make the folder and lock it, where `check` does not refuse what it holds.

        That is checked twice: before anything is made, and when nobody else can write any more.
        """
        check()
        new_folder(self.path)
        self._lock = Lock(self.path)
        check()

    def _names(self) -> set[str]:
        """The names in the folder, without what killed runs may have left."""
        if not self.path.is_dir():
            return {self.path.name} if self.path.exists() or self.path.is_symlink() else set()
        return {each.name for each in self.path.iterdir() if not _left_behind(each.name)}

    def _taken(self) -> bool:
        return bool(self._names())

    def _require_run(self) -> None:
        """Raise RunError where there is anything but the files of a run."""
        names = self._names()
        if others := sorted(names - FILES):
            raise RunError(
                f"{self.path} holds no run, or other files beside it, such as {others[0]}; "
                "choose another folder"
            )
        if names and not self._is_run():
            raise RunError(f"{self.path} holds no run of ours, see {CONFIG}; choose another folder")

    def _require_untrained(self) -> None:
        """Raise RunError where a run has trained and its checkpoint is gone."""
        if trained := sorted(self._names() & {WEIGHTS, HISTORY}):
            raise RunError(
                f"{self.path} holds {' and '.join(trained)}, but {STATE} is gone, so training "
                "would begin anew and write over them; put that file back, choose another folder, "
                "or delete this one"
            )

    def _compare_data(self, checkpoint: Checkpoint) -> None:
        if found := difference(checkpoint.data, self._data):
            raise RunError(
                f"{self.path} was begun {found}; resume with the same data, or train a model that "
                f"rv.load({str(self.path)!r}) returns on the new data, in another folder"
            )

    def _is_run(self) -> bool:
        """Whether `config.json` is one that a run has written."""
        try:
            return "format" in load_json(self.path / CONFIG)
        except RunError:
            return False

    def _compare(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        found = _difference("", before, now)
        if found is not None:
            raise OtherSettingsError(self.path, *found)


def _timing(line: bytes) -> dict[str, Any] | None:
    """The time of an epoch; None for a line that does not tell it."""
    try:
        found = dict(parse_json(line))
    except (ValueError, TypeError):
        return None
    numbers = (found.get(key) for key in ("epoch", "seconds", "samples"))
    known = all(isinstance(each, int | float) for each in numbers)
    return found if known and _is_stamped(found) else None


def _is_stamped(timing: Mapping[str, Any]) -> bool:
    """Whether date, machine and threads are what they should be, where there are any."""
    from datetime import datetime

    try:
        datetime.fromisoformat(timing.get("date", "2000-01-01").replace("Z", "+00:00"))
    except (ValueError, TypeError, AttributeError):
        return False
    texts = (timing.get(key, "") for key in ("version", "processor"))
    threads = timing.get("threads", 1)
    return all(isinstance(each, str) for each in texts) and isinstance(threads, int)


def _left_behind(name: str) -> bool:
    """Whether a killed run leaves such a name: its lock, or a file of its own half written."""
    begun = any(name.startswith(f".{file}.") for file in FILES)
    return name == LOCK or (begun and name.endswith(".tmp"))


def _are_parts(value: Any) -> bool:
    """Whether a setting is a list of others, and no list of numbers that is one setting."""
    return isinstance(value, list | tuple) and any(isinstance(each, Mapping) for each in value)


def _difference(path: str, old: Any, new: Any) -> tuple[str, Any, Any] | None:
    """The first place where two settings differ in what a resumed run must keep.

    What was asked for comes before what has been made of it.
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = sorted({**old, **new}, key=lambda key: key not in _ASKED)
        pairs = [(key, old.get(key), new.get(key)) for key in keys if key not in _FREE]
    elif _are_parts(old) and _are_parts(new) and len(old) == len(new):
        pairs = [(str(i), a, b) for i, (a, b) in enumerate(zip(old, new, strict=True))]
    else:
        return None if old == new else (path, old, new)
    found = (_difference(f"{path}.{key}" if path else key, a, b) for key, a, b in pairs)
    return next((each for each in found if each is not None), None)
