"""`Pace`: how many steps a call of a program runs."""

from __future__ import annotations

CALL_SECONDS = 0.25
"""A call takes about this long, so that progress, Ctrl-C and checkpoints need not wait long."""

_GROWTH = 8


class Pace:
    """Chooses the steps of the next call by the time that the last one took.

    How steps are sliced into calls never changes what they compute.
    """

    def __init__(self, seconds: float = CALL_SECONDS) -> None:
        self._seconds = seconds
        self._steps = 1

    def steps(self, left: int) -> int:
        """Return how many of the `left` steps the next call runs, at least 1."""
        return max(1, min(self._steps, left))

    def took(self, steps: int, seconds: float) -> None:
        """Learn from a call."""
        fitting = int(self._seconds * steps / max(seconds, 1e-9))
        self._steps = max(1, min(fitting, _GROWTH * steps))
