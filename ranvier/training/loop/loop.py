"""`Training`: the loop over epochs, calls and steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any

import numpy as np

from ranvier.engines.program import Program
from ranvier.errors import InputError, NonFiniteError, RanvierError
from ranvier.nn.module import Module
from ranvier.optim import Optimizer
from ranvier.training.evaluation import add_up, evaluated
from ranvier.training.feed.feeds import Feed
from ranvier.training.loop.callbacks import Callback
from ranvier.training.loop.history import History, Record, plain
from ranvier.training.loop.interrupts import Interrupts
from ranvier.training.loop.pace import Pace
from ranvier.training.loop.progress import Progress
from ranvier.training.objective import Objective
from ranvier.training.programs import LEARNING_RATE, PENALTY
from ranvier.training.run.files import RunError, as_json
from ranvier.training.run.folder import Checkpoint, RunFolder
from ranvier.wording import counted

CHECKPOINT_SECONDS = 10.0
"""A checkpoint is written after each epoch, and after so many seconds within one."""

_SAVING_SHARE = 20
"""Saving takes one part in so many of the time at most, so that after a short epoch, or with a
large network, it may have to wait."""


class Training:
    """One run of `fit`. Callbacks get it, and may read everything and call `stop`."""

    def __init__(
        self,
        net: Module,
        objective: Objective,
        optimizer: Optimizer,
        program: Program,
        feed: Feed,
        validation: tuple[Program, Feed] | None,
        epochs: int,
        seed: int,
        callbacks: Sequence[Callback],
        run: RunFolder | None,
        progress: Progress,
        stamp: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        self.net = net
        self.objective = objective
        self.optimizer = optimizer
        self.feed = feed
        self.epochs = epochs
        self.seed = seed
        self.epoch = 0
        """How many epochs are finished."""
        self.position = 0
        """How many steps of the next epoch are finished."""
        self.history = History()
        self.timings: list[dict[str, Any]] = []
        self._program = program
        self._validation = validation
        self._callbacks = callbacks
        self._run = run
        self._progress = progress
        self._stamp = stamp
        self._sums: dict[str, float] = {}
        self._rate = 0.0
        self._pace = Pace()
        self._stopping = self._final = False
        self._started = self._saved = perf_counter()
        self._saving = 0.0
        self._samples = 0

    # ------------------------------------------------------------ what callbacks use

    def stop(self, reason: str, final: bool = True) -> None:
        """End training after the call in hand; a resumed run goes on only if not `final`."""
        self._stopping, self._final = True, final
        self.history.stopped = reason

    @property
    def elapsed(self) -> float:
        """Seconds since this call of `fit` began to train."""
        return perf_counter() - self._started

    # ------------------------------------------------------------ the loop

    def begin(self, epoch: int, saved: Checkpoint | None) -> None:
        """Start after so many epochs, or go on from a checkpoint."""
        self.epoch = epoch if saved is None else saved.epoch
        for callback in self._callbacks:
            callback.reset(self)
        if saved is not None:
            self._restore(saved)

    def _restore(self, saved: Checkpoint) -> None:
        """Take over a checkpoint; RunError where it is not one of this network and training."""
        try:
            self._check_place(saved)
            self.net.load_weights(saved.weights)
            self.optimizer.load(saved.optimizer, self.net.parameters(frozen=True))
        except RanvierError as error:
            raise RunError(f"{self._run}: the checkpoint does not fit: {error}") from None
        self.position, self._sums = saved.position, dict(saved.sums)
        self._rate = saved.learning_rate
        self.history = History(saved.history, saved.stopped)
        known = list(zip(saved.callbacks, saved.callback_arrays, strict=True))
        for callback in self._callbacks:
            kind = type(callback).__name__
            mine = next((each for each in known if each[0]["kind"] == kind), None)
            if mine is not None:  # else it is new, and begins here
                known.remove(mine)
                self._restore_callback(callback, mine[0]["state"], mine[1])
        self._stopping = self._final = bool(saved.stopped)

    def _check_place(self, saved: Checkpoint) -> None:
        """Refuse a place that no epoch has, and sums of other losses and metrics than ours."""
        if self.feed.steps is not None and saved.position > self.feed.steps:
            raise InputError(
                f"it is {saved.position} steps into an epoch of {self.feed.steps}; train again"
            )
        measured = {*self._program.signature.outputs} - {LEARNING_RATE}
        if set(saved.sums) != (measured if saved.position else set()):
            raise InputError(f"its sums are not of {', '.join(sorted(measured))}; train again")

    def _restore_callback(
        self, callback: Callback, state: dict[str, Any], arrays: dict[str, np.ndarray]
    ) -> None:
        try:
            callback.restore(state, arrays)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RunError(
                f"{self._run}: {type(callback).__name__} cannot go on from what the checkpoint "
                f"holds ({type(error).__name__}: {error}); train again, or without it"
            ) from error

    def execute(self) -> History:
        """Train until the last epoch or a stop, and return the history.

        Ctrl-C saves a checkpoint, where there is a run folder, and then raises
        KeyboardInterrupt. Raises NonFiniteError where the loss is no number any more; the last
        checkpoint is then from before.
        """
        with Interrupts() as interrupts, self._progress:
            self._progress.begin(self.feed, self.epochs, self.epoch, self.position)
            if self._stopping or self.epoch >= self.epochs:
                self._progress.nothing_left(self._why_finished())
            for callback in self._callbacks:
                callback.on_start(self)
            if self._run is not None and not self.history and not self.position:
                self._save()
            while self.epoch < self.epochs and not self._stopping:
                self._run_epoch(interrupts)
            if self._run is not None:
                self._save()
            for callback in self._callbacks:
                callback.on_end(self)
            if self._run is not None:
                self._run.save_weights(self.net.weights, self.epoch, self.position)
        return self.history

    def _why_finished(self) -> str:
        """A sentence on a resumed run that has nothing left to do."""
        done = counted(self.epoch, "epoch")
        if self.history.stopped:
            return f"the run ended after {done}: {self.history.stopped}; nothing is left to train"
        return f"the run has its {done} already; nothing is left to train but with more epochs"

    def _run_epoch(self, interrupts: Interrupts) -> None:
        started, done = perf_counter(), 0
        for call in self.feed.calls(self.epoch, self.position, self._pace):
            began = perf_counter()
            outputs = self._program(steps=call.steps, seed=self.seed, **call.arrays)
            self._pace.took(call.steps, perf_counter() - began)
            self._count(call.steps, outputs)
            done += call.samples
            self._progress.advance(call.steps, call.samples, self._measured())
            for callback in self._callbacks:
                callback.on_steps(self)
            if interrupts.asked:
                self._save()
                raise KeyboardInterrupt
            if self._stopping and not self._at_end():
                return
            if self._due(CHECKPOINT_SECONDS):
                self._save()
        self._finish_epoch(perf_counter() - started, done)

    def _count(self, steps: int, outputs: dict[str, np.ndarray]) -> None:
        """Add a call's steps to the sums of the epoch."""
        self._rate = float(str(outputs.pop(LEARNING_RATE)[-1]))  # 0.001, not 0.0010000000475
        bad = [name for name, values in outputs.items() if not np.isfinite(values).all()]
        if bad:
            first = min(int(np.flatnonzero(~np.isfinite(outputs[name]))[0]) for name in bad)
            raise NonFiniteError(
                f"{bad[0]} became NaN or infinite in epoch {self.epoch + 1}, step "
                f"{self.position + first + 1}; lower the learning rate, clip gradients, or look "
                "for NaN in the data"
            )
        add_up(self._sums, outputs)
        self.position += steps

    def _measured(self) -> dict[str, float]:
        found = self.objective.averages(self._sums)
        if PENALTY in self._sums:
            found[PENALTY] = self._sums[PENALTY] / self.position
        return found

    def _at_end(self) -> bool:
        return self.feed.steps is not None and self.position >= self.feed.steps

    def _finish_epoch(self, seconds: float, samples: int) -> None:
        record: Record = {"epoch": self.epoch + 1, "step": int(self.optimizer.step.value)}
        record |= self._measured()
        record[LEARNING_RATE] = self._rate
        if self._validation is not None:
            found, _ = evaluated(*self._validation, self.objective)
            record |= {f"validation_{key}": value for key, value in found.items()}
        record = {key: plain(value) for key, value in record.items()}
        for callback in self._callbacks:
            callback.on_epoch(self, record)
        record = as_json(plain(record), "what callbacks have added to the record")
        self.epoch, self.position, self._sums = self.epoch + 1, 0, {}
        self.history.append(record)
        took = {"epoch": self.epoch, "seconds": seconds, "samples": samples}
        self.timings.append({**took, **self._stamp()})
        self._progress.finish_epoch(record)
        if self._due(0.0):
            self._save()

    def all_timings(self) -> list[dict[str, Any]]:
        """Return the times of all epochs of the history, those of earlier processes included."""
        if self._run is None:
            return self.timings
        mine = {each["epoch"] for each in self.timings}
        earlier = [each for each in self._run.timings() if each.get("epoch") not in mine]
        return [*earlier, *self.timings]

    # ------------------------------------------------------------ checkpoints

    def _due(self, seconds: float) -> bool:
        """Whether the last checkpoint is older than that, and than its share allows."""
        wait = max(seconds, _SAVING_SHARE * self._saving)
        return self._run is not None and perf_counter() - self._saved > wait

    def _save(self) -> None:
        if self._run is None:
            return
        began = perf_counter()
        self._run.save(self._checkpoint())
        if self.timings:
            self._run.save_timings(self.all_timings())
        self._saved = perf_counter()
        self._saving = self._saved - began

    def _checkpoint(self) -> Checkpoint:
        return Checkpoint(
            weights=dict(self.net.weights),
            optimizer={path: buffer.value for path, buffer in self.optimizer.state().items()},
            epoch=self.epoch,
            position=self.position,
            sums=self._sums,
            learning_rate=self._rate,
            history=self.history.records,
            stopped=self.history.stopped if self._final else "",
            callbacks=[{"kind": type(c).__name__, "state": c.state()} for c in self._callbacks],
            callback_arrays=[callback.arrays() for callback in self._callbacks],
        )
