"""`prefetch`: take items from an iterator in the background, a few ahead."""

from __future__ import annotations

from collections.abc import Iterator
from queue import Full, Queue
from threading import Event, Thread
from typing import Any

_AHEAD = 2
_LOOK = 0.1
"""Seconds after which a full queue is looked at again, in case nobody wants more."""


def prefetch(items: Iterator[Any], ahead: int = _AHEAD) -> Iterator[Any]:
    """Yield the items in order; a thread fetches up to `ahead` of them in advance.

    An error of the iterator is raised where its item would have come. Leaving the loop early
    ends the thread after the item in hand.
    """
    queue: Queue[tuple[str, Any]] = Queue(ahead)
    done = Event()

    def put(kind: str, item: Any) -> None:
        while not done.is_set():
            try:
                queue.put((kind, item), timeout=_LOOK)
                return
            except Full:
                continue

    def fetch() -> None:
        try:
            for item in items:
                put("item", item)
                if done.is_set():
                    return
            put("end", None)
        except BaseException as error:  # the consumer raises it
            put("error", error)

    Thread(target=fetch, name="ranvier-prefetch", daemon=True).start()
    try:
        while True:
            kind, item = queue.get()
            if kind == "error":
                raise item
            if kind == "end":
                return
            yield item
    finally:
        done.set()
