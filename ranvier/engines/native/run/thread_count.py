"""On how many threads a program runs next: fewer while its barriers starve.

On a busy machine the system takes a core from one thread for milliseconds, and all others wait
for it at the next barrier: a short step then takes many times longer than on one thread. So each
program watches how its threads wait. Where they sleep in barriers for much of the time, it tries
half as many, and keeps to what is faster; on fewer threads it tries more of them now and then.
Undisturbed threads hardly sleep, so nothing is tried. The number of threads changes no result.

The class has no clock of its own: its decisions follow from the times that it is told.
"""

from __future__ import annotations

import math

WINDOW_SECONDS = 0.1
"""What a decision is based on, and the length of the pieces in which a call runs.

On a crowded machine a thread runs for some milliseconds and then waits while all others have
their turn; a shorter window would see only one of the two.
"""

TRIAL_PIECES = 8
"""Pieces of a trial, by the time known so far; if it is that much slower, one piece is enough."""

RARELY = 100
"""A trial may begin when this many times the length of the last one has passed since."""

SLEEP_SECONDS = 5e-5
"""The least that a sleep in a barrier takes, on Linux."""

STARVED = 0.02
"""Threads that sleep for this part of the time, on average, show that barriers starve."""

GAIN = 0.9
"""Fewer threads must be faster by this factor, since others may leave the machine soon."""


class ThreadCount:
    """The number of threads of one program's next piece of work, by how the last ones went.

    `threads` is that number, `most` the largest that may be used.
    """

    def __init__(self, most: int, seconds: float) -> None:
        """Begin with `most` threads and a step that is expected to take so many `seconds`."""
        self.threads = self.most = most
        self._usual = most  # where a trial that fails returns to
        self._pace = seconds  # of one step on the usual number of threads, as measured last
        self._since = 0.0  # seconds measured since the last trial
        self._pause = 0.0  # seconds from the last trial to the next
        self._trial = 0.0  # seconds of the trial in hand
        self._former, self._former_pace = most, math.inf  # what the usual number was before
        self._clear()

    def _clear(self) -> None:
        """Begin a window."""
        self._steps, self._seconds, self._sleeps = 0, 0.0, 0

    def piece(self, left: int) -> int:
        """How many of the `left` steps to run before the next look, at least 1.

        Few while their time is not known, lest a trial that goes wrong hold up a call.
        """
        known = self._since > 0 and self.threads == self._usual
        seconds = WINDOW_SECONDS / (1 if known else TRIAL_PIECES)
        return max(1, min(left, int(seconds / max(self._pace, 1e-9))))

    def took(self, steps: int, seconds: float, sleeps: int) -> None:
        """Learn from a piece: its seconds, and how many times a thread slept in its barriers."""
        self._steps += steps
        self._seconds += seconds
        self._sleeps += sleeps
        if self._seconds < WINDOW_SECONDS:
            return
        if self.threads == self._usual:
            self._settle()
        else:
            self._judge()
        self._clear()

    def _settle(self) -> None:
        """After a window on the usual number of threads: stay, or begin a trial.

        Worth a trial are fewer threads if these starve, else more, if there are any. If the
        trial that led here was too favourable, its outcome is taken back.
        """
        self._pace = self._seconds / self._steps
        self._since += self._seconds
        if self._pace > self._former_pace:
            self.threads = self._usual = self._former
            self._pace, self._former_pace = self._former_pace, math.inf
            return
        if self._since < self._pause:
            return
        self.threads = self._neighbour(fewer=self._starving())

    def _judge(self) -> None:
        """After a window of a trial: note whether it helped; go on, or end it.

        It goes on to fewer threads while these starve too, and to more as long as that helps.
        """
        pace, fewer = self._seconds / self._steps, self.threads < self._usual
        self._trial += self._seconds
        helped = pace < self._pace * (GAIN if fewer else 1)
        if helped:
            self._former, self._former_pace = self._usual, self._pace
            self._usual, self._pace = self.threads, pace
        elif self.threads == self._former:
            self._former_pace = pace
        if self._starving() if fewer else helped and self.threads < self.most:
            self.threads = self._neighbour(fewer)
            return
        self.threads = self._usual
        # Neighbours may come back as soon as more threads have helped.
        self._pause = 0.0 if helped and not fewer else RARELY * self._trial
        self._since = self._trial = 0.0

    def _neighbour(self, fewer: bool) -> int:
        """The next number of threads to try, if there is one: half as many, or twice."""
        numbers = [self.most >> halvings for halvings in range(self.most.bit_length())]
        at = numbers.index(self.threads) + (1 if fewer else -1)
        return numbers[min(max(at, 0), len(numbers) - 1)]

    def _starving(self) -> bool:
        """Whether threads wait for others that do not run; one thread waits for nobody."""
        others = self.threads - 1
        slept = self._sleeps * SLEEP_SECONDS
        return others > 0 and slept > STARVED * others * self._seconds
