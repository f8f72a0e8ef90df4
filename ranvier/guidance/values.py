"""Texts that name something of ours, such as a loss: what is told where there is none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ranvier.guidance.names import nearest


def instead(given: object, known: Iterable[str], title: str = "there are") -> str:
    """The end of a sentence on an unknown name: the one that is meant, or all that there are."""
    names = list(known)
    return meant(given, names) or f"{title} {', '.join(names)}"


def meant(given: object, known: Iterable[str]) -> str:
    """The end of a sentence that says which name is meant; "" where none is near."""
    from ranvier.guidance import words

    if not isinstance(given, str):
        return ""
    names = list(known)
    plain = given.replace(" ", "_").replace("-", "_").casefold()
    for each in _spellings(plain, words.VALUES):
        if each in names:
            return f"use {each!r}"
    if plain in words.ADVICE:
        return words.ADVICE[plain]
    near = nearest(plain, names)
    return f"use {near!r}" if near else ""


def _spellings(plain: str, known: Mapping[str, str]) -> Iterator[str]:
    """What a word may stand for here, the likeliest first."""
    yield known.get(plain, plain)
    yield plain
    if plain.startswith("val_"):
        rest = plain.removeprefix("val_")
        yield f"validation_{known.get(rest, rest)}"
