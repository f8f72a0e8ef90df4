"""Text as numbers: vocabularies of characters and words, padding, windows of a long text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from ranvier.data.errors import DataError
from ranvier.data.source import Array, Split
from ranvier.guidance.calls import explain
from ranvier.records import dataclass

PADDING, UNKNOWN, START, END = "<pad>", "<unk>", "<s>", "</s>"
SPECIALS = (PADDING, UNKNOWN, START, END)

_WORD = re.compile(r"\w+(?:['\u2019]\w+)*|[^\w\s]")
_NO_SPACE_BEFORE = re.compile(r" (?=[,.;:!?)\]])")
_NO_SPACE_AFTER = re.compile(r"(?<=[(\[]) ")


@dataclass(frozen=True)
class Vocabulary:
    """Symbols in the order of their ids; the symbols are single characters, or words.

    The special symbols `<pad>`, `<unk>`, `<s>` and `</s>` mean padding, a symbol that the
    vocabulary lacks, and the two ends of a sequence; each is optional.
    """

    symbols: tuple[str, ...]
    words: bool = False

    def __post_init__(self) -> None:
        twice = [symbol for symbol, count in Counter(self.symbols).items() if count > 1]
        if twice:
            raise DataError(f"the symbol {twice[0]!r} stands twice in a vocabulary; name it once")

    def __len__(self) -> int:
        return len(self.symbols)

    @cached_property
    def ids(self) -> Mapping[str, int]:
        """The id of each symbol."""
        return {symbol: number for number, symbol in enumerate(self.symbols)}

    def encode(self, text: str) -> Array:
        """Return the ids int32[n] of a text; DataError for a symbol unknown, without `<unk>`."""
        ids, unknown = self.ids, self.ids.get(UNKNOWN)
        symbols = split_words(text) if self.words else text
        if unknown is not None:
            return np.array([ids.get(symbol, unknown) for symbol in symbols], np.int32)
        try:
            return np.array([ids[symbol] for symbol in symbols], np.int32)
        except KeyError as error:
            raise DataError(
                f"the vocabulary has no {error.args[0]!r}; leave it out of the text, "
                f"or build the vocabulary with {UNKNOWN!r}"
            ) from None

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of these ids, without padding, start and end.

        Words are joined by spaces, with none before a closing mark or after an opening bracket,
        so that encoding it again gives the same ids. DataError for an id out of range.
        """
        numbers = [int(number) for number in ids]
        wrong = [number for number in numbers if not 0 <= number < len(self)]
        if wrong:
            raise DataError(
                f"the id {wrong[0]} is outside a vocabulary of {len(self)}; "
                f"use 0 to {len(self) - 1}"
            )
        found = [self.symbols[number] for number in numbers]
        kept = [symbol for symbol in found if symbol not in (PADDING, START, END)]
        if not self.words:
            return "".join(kept)
        return _NO_SPACE_AFTER.sub("", _NO_SPACE_BEFORE.sub("", " ".join(kept)))

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` reads: {"unit": "character" or "word", "symbols": [...]}."""
        return {"unit": "word" if self.words else "character", "symbols": list(self.symbols)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Vocabulary:
        """Return the vocabulary that `to_json` described; DataError for anything else."""
        unit, symbols = content.get("unit"), content.get("symbols")
        is_strings = isinstance(symbols, list | tuple) and all(
            isinstance(symbol, str) for symbol in symbols
        )
        if unit not in ("character", "word") or not is_strings:
            raise DataError(
                'a vocabulary is {"unit": "character" or "word", "symbols": [strings]}; '
                "take it from Vocabulary.to_json"
            )
        return cls(tuple(symbols or ()), words=unit == "word")


def character_vocabulary(texts: Iterable[str], specials: Sequence[str] = ()) -> Vocabulary:
    """Return the special symbols, then every character of the texts by code point."""
    return Vocabulary((*specials, *sorted(set().union(*texts))))


def word_vocabulary(
    texts: Iterable[str], size: int | None = None, specials: Sequence[str] = SPECIALS
) -> Vocabulary:
    """Return the special symbols, then the words of the texts, the most frequent first.

    Words of one frequency stand in the order of their code points. `size` limits the whole
    vocabulary, special symbols included.
    """
    counts = Counter(word for text in texts for word in split_words(text))
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    return Vocabulary((*specials, *ranked)[:size], words=True)


def split_words(text: str) -> list[str]:
    """Split a text into words (letters and digits, apostrophes inside) and single marks."""
    return _WORD.findall(text)


def pad(rows: Sequence[Array], length: int, padding: int = 0) -> tuple[Array, Array]:
    """Return rows of ids as one int32[n, length], filled up with `padding`, and their lengths.

    A row longer than `length` is cut; its length then is `length`. Lengths are int32[n].
    """
    table = np.full((len(rows), length), padding, np.int32)
    lengths = np.array([min(len(row), length) for row in rows], np.int32)
    for target, row, count in zip(table, rows, lengths, strict=True):
        target[:count] = row[:count]
    return table, lengths


def windows(stream: Split, length: int, stride: int | None = None) -> Split:
    """Cut a long sequence, inputs and targets [n], into rows [count, length] of both.

    Rows begin every `stride` positions, `length` without it, so that no position stands in two;
    what is left at the end is dropped. Raises DataError for a sequence that is too short.
    """
    stride = length if stride is None else stride
    if length < 1 or stride < 1 or len(stream) < length:
        raise DataError(
            f"windows of {length} positions, {stride} apart, do not fit a text of {len(stream)}; "
            "use a shorter window, 1 or more"
        )
    starts = np.arange(0, len(stream) - length + 1, stride)
    places = starts[:, np.newaxis] + np.arange(length)
    inputs, targets = np.asarray(stream.inputs), np.asarray(stream.targets)
    return replace(stream, inputs=inputs[places], targets=targets[places], weights=None)


explain(globals())
