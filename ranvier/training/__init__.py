"""Training: callbacks, histories, the search for a learning rate. `rv.Model` is the face."""

from typing import TYPE_CHECKING

from ranvier.guidance.names import missing_names
from ranvier.training.loop.callbacks import (
    BestWeights,
    Callback,
    Convergence,
    EarlyStopping,
    TimeBudget,
)
from ranvier.training.loop.finder import RateSearch, find_learning_rate
from ranvier.training.loop.history import History
from ranvier.training.run.files import RunError

__all__ = [
    "BestWeights",
    "Callback",
    "Convergence",
    "EarlyStopping",
    "History",
    "RateSearch",
    "RunError",
    "TimeBudget",
    "find_learning_rate",
]

if not TYPE_CHECKING:  # checkers would let any name pass
    __getattr__ = missing_names(__name__)
