"""Ranvier's Hopfield network as a contender: `python hopfield_ours.py`, then lines on stdin."""

from __future__ import annotations

import functools

import hopfield_data as data
import worker

from ranvier.models.hopfield import Hopfield, Stored, hebbian


def sweeps(factored: bool) -> worker.Case:
    """Synchronous sweeps over all states, by the factors of the weights or by the weights."""
    stored = hebbian(data.patterns())
    network = Hopfield(stored if factored else Stored(stored.weights))
    states = data.states()

    def run(count: int) -> None:
        for _ in range(count):
            network.recall(states, data.SWEEPS, synchronous=True, until_settled=False)

    run(1)
    return run


if __name__ == "__main__":
    worker.serve({name: functools.partial(sweeps, name == "factored") for name in data.CASES[:2]})
