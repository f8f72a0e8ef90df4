"""The report: self-contained, well formed, safe, the same bytes for the same data."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from ranvier.nn.module import TIMES
from ranvier.report import Mistake, Report, render
from ranvier.report.figures import ticks

VOID = {"meta", "img", "br"}
RNG = np.random.default_rng(0)


def epochs(count: int) -> list[dict[str, Any]]:
    return [
        {
            "epoch": n + 1,
            "step": 10 * (n + 1),
            "loss": 1 / (n + 1),
            "accuracy": 1 - 0.5 / (n + 1),
            "validation_loss": None if n == 1 else 1.1 / (n + 1),
            "validation_accuracy": 0.9,
            "learning_rate": 0.1,
        }
        for n in range(count)
    ]


def report(classes: int = 10) -> Report:
    names = [f"class {n}" for n in range(classes)]
    picture = RNG.integers(0, 256, (28, 28, 1)).astype(np.uint8)
    pictures = RNG.integers(0, 256, (5, 28, 28, 1)).astype(np.uint8)
    return Report(
        title="LeNet-5 on mnist",
        headline={"test_error": 0.0089, "test_loss": 0.03, "test_mean_squared_error": 0.5},
        history=epochs(4),
        seconds=[1.0, 1.25, 1.0, 2.0],
        samples_per_second=41234.5,
        share_of_peak=0.41,
        summary=[
            {
                "path": "conv1",
                "kind": "Conv",
                "shape": [28, 28, 6],
                "parameters": 156,
                "multiply_adds": 117600,
            }
        ],
        totals={"parameters": 61706, "multiply_adds": 416520},
        settings={"seed": 0, "optimizer": {"name": "sgd", "rate": 0.1}, "label": None},
        command="ranvier train lenet5",
        confusion=RNG.integers(0, 50, (classes, classes)).astype(float),
        classes=names,
        mistakes=[
            Mistake(3, names[0], names[1], 0.98, picture=picture),
            Mistake(4, names[0], names[1], 0.97, values=np.array([0.25, -1.5])),
        ],
        filters={"conv1.weight": RNG.normal(size=(5, 5, 1, 6))},
        reconstructions=(pictures, pictures),
        scatter=(RNG.normal(size=50), RNG.normal(size=50)),
    )


class _Balanced(HTMLParser):
    """Raises where a tag is closed that is not the last one opened; collects what it meets."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "xlink:href"):
                self.references.append(value or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def parsed(page: str) -> _Balanced:
    found = _Balanced()
    found.feed(page)
    assert found.open == []
    return found


def test_the_page_is_well_formed_and_needs_nothing_else() -> None:
    page = render(report())
    found = parsed(page)
    assert len(set(found.ids)) == len(found.ids)
    local = [ref for ref in found.references if ref.startswith("#")]
    assert all(ref[1:] in found.ids for ref in local)
    assert all(ref.startswith(("#", "data:image/png;base64,")) for ref in found.references)
    assert "@import" not in page
    assert "<script" not in page
    addresses = set(re.findall(r"https?://[^\s\"'<]+", page))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def test_what_it_says() -> None:
    page = render(report())
    for text in ("0.89 %", "0.03", "test error", "41,234", "41 %", "61,706", "416,520"):
        assert text in page, text
    shape = TIMES.join(("28", "28", "6"))
    for text in (shape, "optimizer.name", "ranvier train lenet5", "98.0 %", "class 9"):
        assert text in page, text
    assert "50.00 %" not in page  # a mean squared error is no share
    assert "label" not in page.split("<h2>Settings</h2>")[1]


def test_equal_reports_are_equal_bytes() -> None:
    made = report()
    assert render(made) == render(made)


def test_names_of_classes_are_text() -> None:
    evil = '<script>alert("x")</script>'
    made = replace(
        report(2),
        title=evil,
        classes=[evil, "b"],
        mistakes=[Mistake(0, evil, evil, 0.5, values=[1.0])],
        settings={evil: evil},
        command=evil,
    )
    page = render(made)
    assert "<script" not in page
    parsed(page)


@pytest.mark.parametrize("name", [f.name for f in fields(Report) if f.name != "title"])
def test_every_part_may_be_absent(name: str) -> None:
    empty = {f.name: getattr(Report("x"), f.name) for f in fields(Report)}
    parsed(render(replace(report(), **{name: empty[name]})))
    parsed(render(replace(Report("x"), **{name: getattr(report(), name)})))


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_confusion_matrices_of_any_size(classes: int) -> None:
    page = render(replace(Report("x"), confusion=np.eye(classes), classes=["a"] * classes))
    parsed(page)
    assert page.count("<td ") == classes**2


def test_of_many_classes_the_most_mistaken_are_drawn() -> None:
    matrix = np.eye(1000)
    matrix[500, 900] = 7
    names = [f"class {n}" for n in range(1000)]
    page = render(replace(Report("x"), confusion=matrix, classes=names))
    assert page.count("<td ") == 100**2
    assert len(page) < 2e6
    assert "Of 1000 classes, the 100 with the most mistakes." in page
    assert "class 500 taken for class 900: 7" in page
    assert "class 999" not in page


@pytest.mark.parametrize("count", [1, 2, 40])
def test_curves_of_any_length(count: int) -> None:
    page = render(replace(Report("x"), history=epochs(count)))
    parsed(page)
    assert page.count("<svg") == 3


def test_figures_follow_the_colours_of_the_page() -> None:
    page = render(report())
    drawings = "".join(re.findall(r"<svg.*?</svg>", page, re.DOTALL))
    assert "var(--first)" in drawings
    assert not re.search(r"(fill|stroke)=\"(?!none|var)", drawings)


def test_ticks_are_round_numbers_inside() -> None:
    assert ticks(0.003, 0.31) == pytest.approx([0.1, 0.2, 0.3])
    assert ticks(0, 10) == [0, 2, 4, 6, 8, 10]
    assert ticks(-1.0, 1.0) == [-1, -0.5, 0, 0.5, 1]
