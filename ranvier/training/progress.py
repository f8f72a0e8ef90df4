"""Progress bars: epoch, ETA, loss, metrics and samples per second, in terminal and notebook."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from time import perf_counter
from types import TracebackType
from typing import Any, Self

from ranvier.training.feeds import Feed


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

    def advance(self, steps: int, samples: int, measured: Mapping[str, float]) -> None:
        """Told after each call: what it did, and the epoch's averages so far."""

    def finish_epoch(self, record: Mapping[str, Any]) -> None:
        """Told after each epoch."""


class Bar(Progress):
    """A bar over all epochs on stderr, by rich, with a line for each epoch above it."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
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

    def advance(self, steps: int, samples: int, measured: Mapping[str, float]) -> None:
        self._samples += samples
        rate = self._samples / max(perf_counter() - self._since, 1e-9)
        shown = f"{_text(measured)}  {_thousands(rate)} samples/s"
        self._bar.update(self._task, advance=steps, shown=shown)

    def finish_epoch(self, record: Mapping[str, Any]) -> None:
        epoch = int(record["epoch"])
        self._bar.console.print(f"{self._title(epoch - 1)}  {_text(record)}", highlight=False)
        self._bar.update(self._task, description=self._title(min(epoch, self._epochs - 1)))

    def _title(self, finished: int) -> str:
        return f"epoch {finished + 1}/{self._epochs}"


class Lines(Progress):
    """One line on stderr for each epoch: for logs, where a bar would be noise."""

    def begin(self, feed: Feed, epochs: int, epoch: int, position: int) -> None:
        self._epochs = epochs
        self._since = perf_counter()

    def finish_epoch(self, record: Mapping[str, Any]) -> None:
        seconds, self._since = perf_counter() - self._since, perf_counter()
        text = f"epoch {record['epoch']}/{self._epochs}  {_text(record)}  {seconds:.1f} s"
        print(text, file=sys.stderr, flush=True)


def progress(wanted: bool | None) -> Progress:
    """Return what shows progress: a bar where one can be seen, lines, or nothing.

    `None` means a bar in a terminal or notebook and nothing elsewhere; `True` means lines
    where there is neither.
    """
    if wanted is False:
        return Progress()
    if sys.stderr.isatty() or _in_notebook():
        return Bar()
    return Lines() if wanted else Progress()


def _in_notebook() -> bool:
    shell = sys.modules.get("IPython")
    made = shell.get_ipython() if shell is not None else None
    return made is not None and "IPKernelApp" in getattr(made, "config", {})


def _text(values: Mapping[str, Any]) -> str:
    shown = {
        key: value
        for key, value in values.items()
        if isinstance(value, float) and key != "learning_rate"
    }
    return "  ".join(f"{key} {value:.4f}" for key, value in shown.items())


def _thousands(rate: float) -> str:
    return f"{rate:,.0f}"
