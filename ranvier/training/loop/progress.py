"""Progress: epoch, time left, loss, metrics and samples per second, in terminal and notebook."""

from __future__ import annotations

import importlib
import itertools
import sys
from collections.abc import Mapping, Sequence
from time import perf_counter
from types import TracebackType
from typing import Any, Self, TypeAlias

from ranvier.training.feed.feeds import Feed
from ranvier.training.programs import LEARNING_RATE, PENALTY
from ranvier.wording import counted, duration

_Quantity: TypeAlias = "tuple[str, ...]"
"""The texts of a quantity, the fullest first: "loss 0.27 (val. 0.10)", "loss (val. 0.10)"."""

_VALIDATION = "validation_"
_COLUMNS, _NOTEBOOK_COLUMNS = 80, 110
_BAR = 20
"""The columns of a bar."""
_PERCENT_AND_TIME = 19
"""The columns of what rich's bar shows beside it, with the spaces between."""
_BETWEEN_SECONDS = 0.1
"""A notebook is told no sooner again."""
_MOST_LINES = 20
"""So many epochs are shown in a notebook, the last ones."""


class Progress:
    """Shows nothing; the base of what shows something."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    def begin(self, feed: Feed, epochs: int, epoch: int, position: int) -> None:
        """Told once: the feed, how many epochs there will be, and where training starts."""

    def nothing_left(self, text: str) -> None:
        """Told after `begin` where a resumed run is finished, with a sentence that says so."""

    def advance(self, steps: int, samples: int, measured: Mapping[str, float]) -> None:
        """Told after each call: what it did, and the epoch's averages so far."""

    def finish_epoch(self, record: Mapping[str, Any]) -> None:
        """Told after each epoch."""


class Bar(Progress):
    """A bar over all epochs on stderr, by rich, with a line for each epoch above it.

    For terminals: in a notebook rich needs ipywidgets, and shows nothing where they are missing.
    """

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(_BAR),
            TextColumn("{task.percentage:3.0f} %"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[shown]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._task: Any = None
        self._epochs = 0
        self._steps: int | None = None
        self._since, self._samples = perf_counter(), 0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def begin(self, feed: Feed, epochs: int, epoch: int, position: int) -> None:
        self._epochs, self._steps = epochs, feed.steps
        total = None if feed.steps is None else feed.steps * epochs
        done = position + epoch * (feed.steps or 0)
        self._task = self._bar.add_task(
            self._title(epoch), total=total, completed=done, shown="compiling"
        )
        self._since = perf_counter()

    def nothing_left(self, text: str) -> None:
        self._bar.console.print(text, highlight=False)

    def advance(self, steps: int, samples: int, measured: Mapping[str, float]) -> None:
        self._samples += samples
        rate = self._samples / max(perf_counter() - self._since, 1e-9)
        room = self._bar.console.width - len(self._title(self._epochs)) - _BAR - _PERCENT_AND_TIME
        shown = _fitting("", _spread(measured), f"  {rate:,.0f} samples/s", room)
        self._bar.update(self._task, advance=steps, shown=shown.strip())

    def finish_epoch(self, record: Mapping[str, Any]) -> None:
        epoch = int(record["epoch"])
        self._bar.console.print(_epoch_line(record, self._epochs), highlight=False)
        self._bar.update(self._task, description=self._title(min(epoch, self._epochs - 1)))

    def _title(self, finished: int) -> str:
        return f"epoch {finished + 1}/{self._epochs}"


class Notebook(Progress):
    """A text below the cell that is written anew: the last epochs, and a bar over all of them.

    It needs nothing but the IPython that runs the notebook, and no widgets.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._handle: Any = None
        self._epochs = self._epoch = 0
        self._total: int | None = None
        self._done = self._samples = 0
        self._since = self._shown = perf_counter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._show()

    def begin(self, feed: Feed, epochs: int, epoch: int, position: int) -> None:
        self._epochs, self._epoch = epochs, epoch
        self._total = None if feed.steps is None else feed.steps * (epochs - epoch) - position
        self._since = perf_counter()
        self._show("compiling")

    def nothing_left(self, text: str) -> None:
        self._lines.append(text)

    def advance(self, steps: int, samples: int, measured: Mapping[str, float]) -> None:
        self._done += steps
        self._samples += samples
        now = perf_counter()
        if now - self._shown < _BETWEEN_SECONDS:
            return
        end = f"  {self._samples / max(now - self._since, 1e-9):,.0f} samples/s"
        start = f"epoch {self._epoch + 1}/{self._epochs}"
        if self._total:
            share = min(self._done / self._total, 1.0)
            full = round(_BAR * share)
            start = f"[{'#' * full}{'.' * (_BAR - full)}] {100 * share:3.0f} %  {start}"
            end += f"  {duration((now - self._since) * (1 / share - 1))} left"
        self._show(_fitting(start, _spread(measured), end, _NOTEBOOK_COLUMNS))

    def finish_epoch(self, record: Mapping[str, Any]) -> None:
        self._epoch = int(record["epoch"])
        self._lines.append(_epoch_line(record, self._epochs))
        if perf_counter() - self._shown >= _BETWEEN_SECONDS:
            self._show()

    def _show(self, now: str = "") -> None:
        """Write the text anew; `now` is its last line."""
        lines = self._lines[-_MOST_LINES:]
        if len(lines) < len(self._lines):
            lines.insert(0, f"… {counted(len(self._lines) - len(lines), 'earlier epoch')}")
        text = "\n".join([*lines, now] if now else lines)
        self._shown = perf_counter()
        if self._handle is None:
            display = importlib.import_module("IPython.display").display
            self._handle = display({"text/plain": text}, raw=True, display_id=True)
        else:
            self._handle.update({"text/plain": text}, raw=True)


class Lines(Progress):
    """One line on stderr for each epoch: for logs, where a bar would be noise."""

    def begin(self, feed: Feed, epochs: int, epoch: int, position: int) -> None:
        self._epochs = epochs
        self._since = perf_counter()

    def nothing_left(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def finish_epoch(self, record: Mapping[str, Any]) -> None:
        seconds, self._since = perf_counter() - self._since, perf_counter()
        print(_epoch_line(record, self._epochs, seconds), file=sys.stderr, flush=True)


def progress(wanted: bool | None) -> Progress:
    """Return what shows progress: a bar where one can be seen, lines, or nothing.

    `None` means a bar in a terminal or notebook and nothing elsewhere; `True` means lines
    where there is neither.
    """
    if wanted is False:
        return Progress()
    if _in_notebook():
        return Notebook()
    if sys.stderr.isatty():
        return Bar()
    return Lines() if wanted else Progress()


def _in_notebook() -> bool:
    shell = sys.modules.get("IPython")
    made = shell.get_ipython() if shell is not None else None
    return made is not None and "IPKernelApp" in getattr(made, "config", {})


def _epoch_line(record: Mapping[str, Any], epochs: int, seconds: float | None = None) -> str:
    """The line of a finished epoch."""
    end = "" if seconds is None else f"  {duration(seconds)}"
    return _fitting(f"epoch {record['epoch']}/{epochs}", _spread(record), end)


def _fitting(start: str, parts: Sequence[_Quantity], end: str, width: int = _COLUMNS) -> str:
    """A line of at most so many columns; quantities that do not fit are left out, as dots show.

    The shorter texts are taken where more quantities fit with them.
    """
    room = width - len(start) - len(end)
    full, short = ([part[which] for part in parts] for which in (0, -1))
    shown = max(_first(full, room), _first(short, room), key=len)
    dots = " …" if len(shown) < len(parts) else ""
    return "  ".join([start, *shown]) + dots + end


def _first(texts: Sequence[str], room: int) -> list[str]:
    """The first texts, as many as fit into a room with two spaces before each, and dots."""
    ends = itertools.accumulate(len("  ") + len(text) for text in texts)
    return list(texts[: sum(end + len(" …") <= room for end in ends)])


def _spread(values: Mapping[str, Any]) -> list[_Quantity]:
    """Losses and metrics, each with its value on the validation set behind it."""
    numbers = {
        key: value
        for key, value in values.items()
        if isinstance(value, float) and key not in (LEARNING_RATE, PENALTY)
    }
    found: dict[str, _Quantity] = {}
    for key, value in numbers.items():
        name = key.removeprefix(_VALIDATION)
        alone, beside = f"{name} {_number(value)}", numbers.get(_VALIDATION + key)
        if name != key:
            found.setdefault(name, (f"{name} (val. {_number(value)})",))
        elif beside is None:
            found[name] = (alone,)
        else:
            validation = f"(val. {_number(beside)})"
            found[name] = (f"{alone} {validation}", f"{name} {validation}")
    return list(found.values())


def _number(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 100 else f"{value:.6g}"
