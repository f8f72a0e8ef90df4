"""How far a few training steps in PyTorch raise the resident size: `python peer_memory.py NAME`.

Counted from before the first step, when the network, its data and its optimizer are there: what
comes on top are activations, gradients, momentum and the libraries' own room.
"""

from __future__ import annotations

import json
import resource
import sys

import peer_torch
import torch


def peak() -> int:
    """The largest resident size so far, in kilobytes (Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    torch.set_num_threads(peer_torch.CORES or 1)
    case = peer_torch.step_case(sys.argv[1], "eager")
    before = peak()
    case(3)
    print(json.dumps({"kilobytes": peak() - before}))
