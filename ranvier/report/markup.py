"""Pieces of HTML that sections of the page share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def section(title: str, content: str, note: str = "") -> str:
    """Return a section: a heading, perhaps a note, and the content; all but `title` is HTML."""
    shown = f'<p class="note">{note}</p>\n' if note else ""
    return f"<section>\n<h2>{escape(title)}</h2>\n{shown}{content}\n</section>"


def cards(figures: Iterable[tuple[str, str]]) -> str:
    """Return numbers that are shown large, each with the words below it."""
    shown = "".join(
        f'<div class="figure"><b>{escape(number)}</b><span>{escape(words)}</span></div>'
        for number, words in figures
    )
    return f'<div class="headline">{shown}</div>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], foot: Sequence[str] = ()) -> str:
    """Return a table of texts: the first column says what a row is of, the others are numbers."""
    body = "".join(_row(row, "td") for row in rows)
    last = f"<tfoot>{_row(foot, 'td')}</tfoot>" if foot else ""
    return (
        f'<table class="rows"><thead>{_row(head, "th")}</thead><tbody>{body}</tbody>{last}</table>'
    )


def _row(cells: Sequence[str], tag: str) -> str:
    first, *numbers = cells
    shown = "".join(f'<{tag} class="number">{escape(cell)}</{tag}>' for cell in numbers)
    return f"<tr><{tag}>{dotted(first)}</{tag}>{shown}</tr>"


def dotted(path: str) -> str:
    """Return a path such as "blocks.0.conv1" as HTML that may be broken after its dots."""
    return escape(path).replace(".", ".<wbr>")


def shortened(text: str, most: int) -> str:
    """Return a text of at most so many characters, as HTML."""
    return escape(text if len(text) <= most else f"{text[: most - 1]}…")
