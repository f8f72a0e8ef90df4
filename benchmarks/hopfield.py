"""1,000 corrupted patterns through 100 synchronous sweeps of a Hopfield network of 784 units.

`python hopfield.py` prints milliseconds per 100 sweeps and ratios to NumPy, medians over
interleaved rounds with their range. All sweeps are run, though states settle after a few. The
weights are Hebbian, made of 50 patterns, so that Ranvier uses their factors; NumPy is shown
both ways, and with the product alone.
"""

from __future__ import annotations

import argparse
import sys

import hopfield_data as data
from rounds import Contender, Entry, Figure, compare, ratios


def main() -> None:
    """Time all cases in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    with (
        Contender(sys.executable, "hopfield_ours.py") as ours,
        Contender(sys.executable, "hopfield_numpy.py") as numpy,
    ):
        entries = {f"ranvier, {name}": Entry(ours, name) for name in data.CASES[:2]}
        entries |= {f"numpy, {name}": Entry(numpy, name) for name in data.CASES}
        found = compare(entries, rounds)
    for name, times in found.items():
        print(f"{name:18}  {Figure(tuple(times)).text('.4g')} ms")
    for above in list(found)[:2]:
        for below in list(found)[2:]:
            figure = ratios(found[above], found[below])
            print(f"{above} / {below}: {figure.text('.2f')}")


if __name__ == "__main__":
    main()
