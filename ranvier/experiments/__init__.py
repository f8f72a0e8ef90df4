"""Experiments: claims of the field's introductory lecture, run, measured, drawn and judged.

```python
from ranvier import experiments

found = experiments.run("sgd", quick=True)
found.holds          # the verdict
found.plot()         # matplotlib axes, where matplotlib is installed
```
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from importlib import import_module

from ranvier.errors import InputError
from ranvier.experiments.experiment import Experiment, Finding, Trial
from ranvier.experiments.run import Result, execute

__all__ = ["NAMES", "Experiment", "Finding", "Result", "Trial", "get", "run"]

NAMES = (
    "perceptron-xor",
    "hopfield-recall",
    "universal",
    "backprop-check",
    "sgd",
    "activations",
    "optimizers",
    "batch-size",
    "regularization",
    "autoencoder",
)
"""The experiments, in the order of the lecture; each has a file of its own."""


def get(name: str) -> Experiment:
    """Return an experiment by name; raises InputError for an unknown one."""
    if name not in NAMES:
        near = get_close_matches(name, NAMES, n=3, cutoff=0.4) or NAMES
        raise InputError(f"there is no experiment {name!r}; there are {', '.join(near)}")
    found: Experiment = import_module(f"ranvier.experiments.{name.replace('-', '_')}").EXPERIMENT
    return found


def run(
    name: str,
    *,
    seeds: Sequence[int] | None = None,
    quick: bool = False,
    control: bool = False,
    advance: Callable[[float], None] | None = None,
) -> Result:
    """Run an experiment and return what it found.

    seeds: those to repeat the measurement with; by default the experiment's own. quick: the
    short form. control: the sabotaged run, whose verdict must be that the claim does not hold.
    advance: is told the share of the work that is done, 0 to 1.
    """
    return execute(get(name), seeds, quick, control, advance)
