"""What a run knows of its data: a fingerprint of each array, by which others are noticed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from ranvier.training.feed.feeds import Feed

WHOLE = 32 << 20
"""Bytes of an array that are looked at: all of them, or rows spread evenly over a larger one."""

_VALIDATION = "validation "


def fingerprints(feed: Feed, held: Feed | None) -> dict[str, str]:
    """Return the fingerprint of each array of the training data, and of the validation data.

    Batches that come one by one have none: an iterable may shuffle them anew each time.
    """
    found = {name: fingerprint(array) for name, array in feed.resident.items()}
    for name, array in held.resident.items() if held is not None else ():
        found[_VALIDATION + name] = fingerprint(array)
    return found


def fingerprint(array: np.ndarray) -> str:
    """Return dtype, shape and a digest of an array, such as `int64[90] 5c0e…`."""
    shape = ", ".join(map(str, array.shape))
    if array.nbytes > WHOLE:
        count = max(2, WHOLE * len(array) // array.nbytes)
        array = array[np.linspace(0, len(array) - 1, count).astype(np.int64)]
    content = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    digest = hashlib.blake2b(content.data, digest_size=8).hexdigest()
    return f"{array.dtype.name}[{shape}] {digest}"


def difference(before: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    """Return which part of the data is another than before, in words; None where none is.

    Validation data may be added or left out, and nothing is known where nothing was kept.
    """
    if not before:
        return None
    for name in [*before, *(name for name in now if name not in before)]:
        old, new = before.get(name), now.get(name)
        if old == new or (name.startswith(_VALIDATION) and None in (old, new)):
            continue
        if old is None or new is None:
            return f"{'with' if new is None else 'without'} {name} as arrays"
        old_form, new_form = old.rpartition(" ")[0], new.rpartition(" ")[0]
        how = "the shape is the same" if old_form == new_form else f"{old_form}, not {new_form}"
        return f"with other {name} ({how})"
    return None
