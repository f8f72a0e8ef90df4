"""`Model`: a network with what it is judged by and how it learns; fit, evaluate, predict, save."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ranvier import optim
from ranvier.data.errors import DataError
from ranvier.data.source import Dataset
from ranvier.engines.compile import check_options
from ranvier.engines.program import Program
from ranvier.errors import InputError
from ranvier.graph.tensor import Shape
from ranvier.guidance.calls import explain_class
from ranvier.guidance.names import Guided
from ranvier.nn.module import Module
from ranvier.nn.summary import Summary, summarize
from ranvier.nn.weights import Weights
from ranvier.optim import Optimizer
from ranvier.regularization import Penalty
from ranvier.training import programs
from ranvier.training.evaluation import evaluated, predicted
from ranvier.training.feed import preprocess as pre
from ranvier.training.feed.arrays import NAMELESS, Array, whole_split
from ranvier.training.feed.binding import (
    EVALUATION_BATCH,
    evaluation_feed,
    feed_for,
    training_feeds,
)
from ranvier.training.feed.feeds import Feed, InOrder
from ranvier.training.feed.lookups import Tables
from ranvier.training.feed.validation import check_counts, check_optimizer
from ranvier.training.loop.callbacks import (
    CallbackLike,
    EarlyStopping,
    as_callbacks,
    as_early_stopping,
)
from ranvier.training.loop.history import History
from ranvier.training.loop.loop import Training
from ranvier.training.loop.progress import progress as shown_progress
from ranvier.training.objective import ONE, LossLike, MetricLike, objective
from ranvier.training.run import saving
from ranvier.training.run.files import as_json
from ranvier.training.run.fingerprints import fingerprints
from ranvier.training.run.folder import RunFolder
from ranvier.training.run.machine import stamp
from ranvier.training.run.settings import Settings
from ranvier.training.weight_rules import RuleLike, check_decay, weight_rules
from ranvier.training.weight_rules import penalties as more_penalties
from ranvier.wording import counted

if TYPE_CHECKING:
    from ranvier.explain.explanation import Explanation

BATCH_SIZE = 32

_LEARNT = ("settings", "objective", "preprocess", "classes", "output_shapes", "tables")
"""What a model learns of its first data."""


class Model(Guided):
    """A network together with loss, optimizer and metrics.

    net: the network. Several inputs by name are passed as keywords; several outputs are a dict.
    loss: the name of a loss, a function of (predictions, targets) that returns [batch], or a
        dict of these by output.
    optimizer: an object or a name.
    metrics: names, or functions of (predictions, targets) that return [batch]; a dict by output
        where there are several.
    l1, l2: strengths of penalties, or `L1`, `L2` of `rv.regularization`; added to the loss and
        reported apart. penalties: any number of them, for different parameters.
    weight_decay, max_norm, dilution, dropconnect: what is done to weights beside the optimizer's
        step: the first argument of `WeightDecay`, `MaxNorm`, `Dilution` or `DropConnect` of
        `rv.regularization`, or such an object, which may be for some layers only.
    early_stopping: how many epochs without a better validation loss end a training, or
        `rv.training.EarlyStopping`; every `fit` has it.
    loss_weights: how much each output's loss counts, 1 by default.
    class_weights: how much each class counts in the loss.
    standardize_targets: True to learn from targets of mean 0 and deviation 1, those of the first
        `fit`, where losses are on numbers such as prices; or {"mean": …, "std": …}; by output
        where there are several. The loss is then that of standardized targets; predictions and
        metrics are in the targets' own unit.
    preprocess: what is done to raw inputs inside the program, see `Dataset`; by default what
        the data says at the first `fit`.
    engine, options: see `rv.compile` (`threads=1`, `check_finite=True`, …).
    """

    def __init__(
        self,
        net: Module,
        loss: LossLike | Mapping[str, LossLike] = "mean_squared_error",
        optimizer: str | Optimizer | Mapping[str, Any] = "adam",
        metrics: Sequence[MetricLike] | Mapping[str, Sequence[MetricLike]] = (),
        *,
        penalties: Sequence[Penalty] = (),
        l1: RuleLike = None,
        l2: RuleLike = None,
        weight_decay: RuleLike = None,
        max_norm: RuleLike = None,
        dilution: RuleLike = None,
        dropconnect: RuleLike = None,
        early_stopping: int | EarlyStopping | None = None,
        loss_weights: Mapping[str, float] | None = None,
        class_weights: Sequence[float] | Array | None = None,
        standardize_targets: bool | Mapping[str, Any] = False,
        preprocess: Mapping[str, Any] | None = None,
        classes: Sequence[str] = (),
        engine: str = "native",
        **options: Any,
    ) -> None:
        if not isinstance(net, Module):
            raise InputError(f"net is a {type(net).__name__}; pass an nn.Module")
        check_options("Model", options, signature(Model).parameters)
        self.net = net
        penalties = (*penalties, *more_penalties(l1, l2))
        self.objective = objective(
            loss, metrics, penalties, loss_weights, class_weights, standardize_targets
        )
        self.optimizer = optim.get(optimizer)
        check_optimizer(self.optimizer, net)
        self.rules = weight_rules(
            weight_decay=weight_decay,
            max_norm=max_norm,
            dilution=dilution,
            dropconnect=dropconnect,
        )
        check_decay(self.rules, self.optimizer)
        self.early_stopping = as_early_stopping(early_stopping)
        self.preprocess = None if preprocess is None else pre.check(preprocess)
        self.classes = tuple(classes)
        self.engine = engine
        self.options = options
        self.settings = Settings()
        self.epochs_done = 0
        """How many epochs the network has been trained for, in all calls of `fit`."""
        self.history = History()
        """What the last call of `fit` measured; of a loaded run, its history."""
        self.timings: list[dict[str, Any]] = []
        """When, how fast and on what machine each epoch of `history` was run."""
        self.output_shapes: dict[str, Shape] = {}
        """The shape of each output for a batch of one, once the network is built."""
        self.tables: Tables | None = None
        """The tables in which the network looks ids up, once it is built."""
        self._programs: dict[tuple[Any, ...], Program] = {}

    def __repr__(self) -> str:
        parts = self.objective.in_words()
        trained = f"trained for {counted(self.epochs_done, 'epoch')}"
        parts += [f"optimizer {self.optimizer.name}", trained if self.epochs_done else "untrained"]
        return f"Model: {'; '.join(parts)}\n{self.net!r}"

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise InputError(
            "a model can be neither pickled nor copied; write it with model.save(path) and read "
            "it with rv.load(path)"
        )

    # ------------------------------------------------------------ learning

    def fit(
        self,
        data: Any,
        targets: Any = None,
        *,
        epochs: int = 1,
        batch_size: int = BATCH_SIZE,
        validation: Any = None,
        weights: Any = None,
        seed: int = 0,
        callbacks: CallbackLike | Sequence[CallbackLike] = (),
        out: str | Path | None = None,
        resume: bool = False,
        progress: bool | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> History:
        """Train for `epochs` epochs and return their history.

        data, targets: arrays; or a `Split`, a `Dataset` (which brings its validation set), or
            an iterable of batches (inputs, targets[, weights]), begun anew each epoch. Several
            inputs or targets are dicts. Without targets the network learns to give back its
            inputs.
        validation: a pair of arrays, a split, an iterable of batches, or the share of the data
            that is set apart, by `seed`. It is measured after each epoch.
        weights: how much each sample counts, [n], 0 or more.
        seed: decides initial weights (where the network is not built yet), the order of visits,
            and dropout.
        callbacks: one or several, see `rv.training`; functions of (training, record) are called
            each epoch.
        out: a run folder for checkpoints; it must not hold anything, unless `resume` is set,
            which goes on from its last checkpoint, with the same data, or starts anew where none
            was ever written.
        progress: True, False, or None: a bar in a terminal or notebook.
        about: more settings to keep in the run's `config.json`, as JSON.

        A second call goes on where the first one ended. Raises NonFiniteError where the loss
        becomes NaN, KeyboardInterrupt after Ctrl-C (a checkpoint is saved first), DataError or
        InputError for what does not fit, and RunError for a folder that holds something else or
        that another run writes to.
        """
        check_counts(epochs=epochs, batch_size=batch_size, seed=seed)
        check_optimizer(self.optimizer, self.net)
        beside = as_callbacks(callbacks)
        if self.early_stopping is not None:
            beside.append(self.early_stopping)
        with RunFolder(out) if out is not None else nullcontext() as run:
            with self.undone():
                saved_columns = saving.known_columns(run) if run and resume else NAMELESS
                columns = self.settings.columns or saved_columns
                split = whole_split(data, targets, weights, columns=columns)
                feed, held = training_feeds(self, data, split, validation, batch_size, seed)
                self.settings = replace(
                    self.settings,
                    epochs=epochs,
                    batch_size=feed.batch_size,
                    seed=int(seed),
                    about=as_json(dict(about or {}), "about"),
                )
                measured = None if held is None else (self._program("evaluate", held), held)
                program = self._program("train", feed)
                saved = None
                if run is not None:
                    known = fingerprints(feed, held)
                    saved = run.begin(saving.config_of(self), resume, known)
            training = Training(
                net=self.net,
                objective=self.objective,
                optimizer=self.optimizer,
                program=program,
                feed=feed,
                validation=measured,
                epochs=epochs + (self.epochs_done if saved is None else 0),
                seed=seed,
                callbacks=beside,
                run=run,
                progress=shown_progress(progress),
                stamp=lambda: stamp(self.engine, self.options),
            )
            training.begin(self.epochs_done, saved)
            try:
                return training.execute()
            finally:
                self.epochs_done = training.epoch
                self.history, self.timings = training.history, training.all_timings()

    def evaluate(
        self,
        data: Any,
        targets: Any = None,
        *,
        weights: Any = None,
        batch_size: int = EVALUATION_BATCH,
    ) -> dict[str, Any]:
        """Return the loss and metrics, by name; of a `Dataset` those of its test set.

        See `fit` for what data may be.
        """
        check_counts(batch_size=batch_size)
        with self.undone():
            feed = evaluation_feed(self, data, targets, weights, batch_size)
            program = self._program("evaluate", feed)
        return evaluated(program, feed, self.objective)[0]

    def predict(
        self, inputs: Any, *, batch_size: int = EVALUATION_BATCH, logits: bool = False
    ) -> Any:
        """Return the predictions for inputs [n, ...]: an array, or a dict by output.

        inputs: arrays; or a `Split` or a `Dataset`, of which it takes the test set. Of a loss on
        logits these are probabilities; `logits=True` gives what the network returns.
        """
        check_counts(batch_size=batch_size)
        given = inputs.test if isinstance(inputs, Dataset) else inputs
        split = whole_split(given, what="predict", columns=self.settings.columns)
        if split is None:
            raise DataError("predict takes arrays; for batches, call it once for each")
        alone = replace(split, targets=None, weights=None)
        with self.undone():
            feed = feed_for(self, given, alone, 0, lambda s: InOrder(s, batch_size), learning=False)
            program = self._program("logits" if logits else "predict", feed)
        found = predicted(program, feed)
        return found[ONE] if list(found) == [ONE] else found

    # ------------------------------------------------------------ state

    @property
    def weights(self) -> Weights:
        """The arrays of the network by path, to read and to write."""
        return self.net.weights

    def load_weights(self, arrays: Any, partial: bool = False) -> list[str]:
        """Write arrays by path and return the paths written; see `Weights.load`."""
        return self.net.load_weights(arrays, partial)

    def freeze(self, pattern: str = "*") -> list[str]:
        """Leave the parameters whose path matches out of training; returns their paths."""
        return self.net.freeze(pattern)

    def unfreeze(self, pattern: str = "*") -> list[str]:
        """Train the parameters whose path matches again; returns their paths."""
        return self.net.unfreeze(pattern)

    def save(self, path: str | Path) -> None:
        """Write a run folder: configuration, weights, and the optimizer's state.

        A run that the folder holds is replaced, file by file and each atomically; a folder with
        other files is refused with RunError.
        """
        saving.save(self, Path(path))

    def write_report(self, path: str | Path, data: Any, *, title: str | None = None) -> Path:
        """Write a report of the last training as one HTML file, and return its path.

        path: the file, or a folder, which then holds `report.html`. data: a `Dataset`, or the
        test set as a `Split` or a pair of arrays. title: the page's heading. What it shows: the
        learning curves of the last `fit` (of a loaded run, its own), results on the test set,
        the confusion matrix and the worst mistakes of a classifier, filters, speed, settings.
        """
        from ranvier.training.run.reporting import write_report

        return write_report(self, data, path, title=title)

    def explain(self, inputs: Any, target: Any = None) -> Explanation:
        """Return every number of one sample's way through the network, forward and backward.

        inputs: one sample, without a batch axis; target: its target, or None where the network
        gives back its inputs. See `ranvier.explain.Explanation`; `.write("page.html")` draws it.
        """
        from ranvier.explain.explanation import explain

        return explain(self, inputs, target)

    def summary(self, *shapes: Sequence[int]) -> Summary:
        """Return layers, shapes, parameters, multiply-adds and memory; print it to read it.

        shapes: those of the inputs without the batch; needed where the model has seen no data.
        """
        if shapes:
            return summarize(self.net, *[(1, *shape) for shape in shapes])
        if not self.settings.inputs:
            raise InputError(
                "the shape of the inputs is not known yet; pass it: summary((28, 28, 1))"
            )
        example = pre.preprocessed(self.settings.example(), self.preprocess or {})
        return summarize(self.net, *(example.values() if isinstance(example, dict) else [example]))

    # ------------------------------------------------------------ within

    def learner(self) -> programs.Learner:
        """What the programs of this model are made of."""
        return programs.Learner(
            self.net,
            self.objective,
            self.optimizer,
            self.preprocess or {},
            self.rules,
            self.engine,
            self.options,
        )

    def training_program(self, feed: Feed) -> Program:
        """Return the program of a training step for a feed, compiled if it was not yet."""
        return self._program("train", feed)

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Forget what the block has learnt of data, and the state it has made, where it fails."""
        before = {key: getattr(self, key) for key in _LEARNT}
        compiled, states = dict(self._programs), set(self.net.states().values())
        try:
            yield
        except BaseException:
            vars(self).update(before, _programs=compiled)
            self.optimizer.forget(programs.drop_states(self.net, states))
            raise

    def _program(self, kind: str, feed: Feed) -> Program:
        """Compile the program of a kind for a feed, or return the one that there is."""
        trained = tuple(self.net.parameters()) if kind == "train" else ()
        scales = tuple(self.objective.scales.values())
        key = (kind, feed.key, trained, id(self.optimizer), repr(self.preprocess), scales)
        if key not in self._programs:
            self._programs[key] = programs.make(kind, self.learner(), feed)
        return self._programs[key]


explain_class(Model)
