"""Sections on a classifier's test: the confusion matrix, each class, the worst mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from ranvier.records import dataclass
from ranvier.report.markup import section, shortened, table
from ranvier.report.pictures import data_uri
from ranvier.report.report import Mistake, Report

_NUMBERED = 20
"""Confusion matrices of up to so many classes show their names and numbers."""
_WIDE = 10
"""Those of more classes than this have no room for numbers on a narrow screen."""
_MOST_CLASSES = 100
"""Of more classes, those with the most mistakes are drawn: the page grows with the square."""
_LONGEST_NAME = 18
STRONGEST = 0.5
"""The opacity of the fullest cell; text on it can be read up to there."""


@dataclass(frozen=True, eq=False)
class _Matrix:
    """The classes that are drawn: counts [true, predicted], their shares of the rows, names."""

    counts: np.ndarray
    shares: np.ndarray
    names: Sequence[str]

    @property
    def numbered(self) -> bool:
        return len(self.names) <= _NUMBERED


def confusion(report: Report) -> str:
    """Return the confusion matrix."""
    if report.confusion is None or not len(report.classes):
        return ""
    rows = _most_mistaken(report.confusion)
    counts = report.confusion[np.ix_(rows, rows)]
    totals = np.maximum(report.confusion.sum(1, keepdims=True), 1e-12)
    names = [str(report.classes[row]) for row in rows]
    note = (
        "On the test set: blue on the diagonal where the prediction is right, orange where it is "
        "wrong; the deeper, the larger the share of the row."
    )
    if len(rows) < len(report.classes):
        note += f" Of {len(report.classes)} classes, the {len(rows)} with the most mistakes."
    return section("Confusion matrix", _drawn(_Matrix(counts, counts / totals[rows], names)), note)


def _most_mistaken(matrix: np.ndarray) -> np.ndarray:
    """The classes to draw, in their order."""
    mistakes = matrix.sum(0) + matrix.sum(1) - 2 * np.diagonal(matrix)
    return np.sort(np.argsort(-mistakes, kind="stable")[:_MOST_CLASSES])


def _drawn(matrix: _Matrix) -> str:
    count = len(matrix.names)
    named = [shortened(name, _LONGEST_NAME) if matrix.numbered else "" for name in matrix.names]
    longest = max(len(name) for name in matrix.names) if matrix.numbered else 0
    width = min(longest, _LONGEST_NAME) * 0.55 + 0.8 if matrix.numbered else 0.2
    upright = ' class="upright"' if longest > 2 else ""
    across = "".join(f"<th{upright}><span>{name}</span></th>" for name in named)
    head = (
        f'<tr><th></th><th></th><th class="axis" colspan="{count}">predicted class</th></tr>'
        f"<tr><th></th><th></th>{across}</tr>"
    )
    down = f'<th class="axis upright" rowspan="{count}"><span>true class</span></th>'
    lines = "".join(
        f"<tr>{down if row == 0 else ''}<th><span>{named[row]}</span></th>"
        f"{''.join(_cell(matrix, row, column) for column in range(count))}</tr>"
        for row in range(count)
    )
    kind = "" if matrix.numbered else " dense"
    kind += " many" if count > _WIDE else ""
    columns = '<col class="axis"><col class="names">'
    return (
        f'<div class="matrix" style="--classes:{count};--names:{width:.1f}rem">'
        f'<table class="confusion{kind}"><colgroup>{columns}</colgroup>'
        f"<thead>{head}</thead><tbody>{lines}</tbody></table></div>"
    )


def _cell(matrix: _Matrix, row: int, column: int) -> str:
    count, share = float(matrix.counts[row, column]), float(matrix.shares[row, column])
    colour = "--hit" if row == column else "--miss"
    # Mistakes are few: their square root can be seen.
    strength = STRONGEST * (share if row == column else float(np.sqrt(share)))
    title = escape(f"{matrix.names[row]} taken for {matrix.names[column]}: {count:g}")
    text = _short(count) if matrix.numbered and count else ""
    return f'<td style="background:rgba(var({colour}),{strength:.3f})" title="{title}">{text}</td>'


def _short(count: float) -> str:
    """A count in at most four characters, if it is no fraction."""
    return f"{count:.4g}" if count < 10_000 else f"{count / 1000:.0f}k"


def each_class(report: Report) -> str:
    """Return precision, recall and number of test samples of each class."""
    if report.confusion is None or not len(report.classes):
        return ""
    matrix = report.confusion
    right, present, predicted = matrix.diagonal(), matrix.sum(1), matrix.sum(0)
    rows = [
        (
            str(report.classes[n]),
            f"{present[n]:,g}",
            _share(right[n], predicted[n]),
            _share(right[n], present[n]),
        )
        for n in _most_mistaken(matrix)
    ]
    note = (
        "Precision: of the test samples that are said to be of the class, how many are. Recall: "
        "of those that are of the class, how many are said to be."
    )
    head = ("class", "test samples", "precision", "recall")
    return section("Each class", table(head, rows), note)


def _share(right: float, of: float) -> str:
    return f"{100 * right / of:.2f} %" if of else "none"


def mistakes(report: Report) -> str:
    """Return the worst mistakes."""
    if not report.mistakes:
        return ""
    shown = "".join(_mistake(mistake) for mistake in report.mistakes)
    note = "Test samples that the network was surest of and wrong about."
    return section("The worst mistakes", f'<div class="mistakes">{shown}</div>', note)


def _mistake(mistake: Mistake) -> str:
    if mistake.picture is not None:
        sample = f'<img alt="test sample {mistake.row}" src="{data_uri(mistake.picture)}">'
    else:
        numbers = ", ".join(
            f"{float(v):.4g}" for v in (() if mistake.values is None else mistake.values)
        )
        sample = f'<div class="values">row {mistake.row}: {numbers} …</div>'
    return (
        f'<div class="mistake">{sample}said <b>{escape(mistake.predicted)}</b>, '
        f"{100 * mistake.probability:.1f}&nbsp;%<br>is <b>{escape(mistake.true)}</b></div>"
    )
