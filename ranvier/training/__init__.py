"""Training: callbacks, histories, the search for a learning rate. `rv.Model` is the face."""

from ranvier.training.callbacks import (
    BestWeights,
    Callback,
    Convergence,
    EarlyStopping,
    TimeBudget,
)
from ranvier.training.files import RunError
from ranvier.training.finder import RateSearch, find_learning_rate
from ranvier.training.history import History

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
