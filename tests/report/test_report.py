"""The report: self-contained, well formed, safe, the same bytes for the same data."""

from __future__ import annotations

import json
import math
import re
from dataclasses import fields, replace
from html import unescape
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any

import numpy as np
import pytest

from ranvier.nn.module import TIMES
from ranvier.report import Mistake, Report, render
from ranvier.report.chart import Chart, Dots, Line, Rule
from ranvier.report.charts import scripts
from ranvier.report.classes import STRONGEST
from ranvier.report.curves import learning_curves, scatter
from ranvier.report.pictures import filter_pictures

VOID = {"meta", "img", "br", "col", "wbr"}
STYLE = (files("ranvier.report") / "style.css").read_text("utf-8")
SERIES_COLOURS = ["--first", "--second", "--third", "--fourth", "--fifth", "--sixth"]
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
        facts={"Trained": "1 May 2026, 12:00 UTC", "Machine": "Abacus 9000, 2 threads"},
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
    assert scripts() in page
    assert page.count("<script") == 3
    assert "http" not in page.replace(scripts(), "")
    assert len(page) < 1e6


def test_what_it_says() -> None:
    page = render(report())
    for text in ("0.89 %", "0.03", "test error", "41,234", "41 %", "61,706", "416,520"):
        assert text in page, text
    assert "1 May 2026, 12:00 UTC" in page
    assert "Abacus 9000, 2 threads" in page
    shape = TIMES.join(("28", "28", "6"))
    for text in (shape, "optimizer.<wbr>name", "ranvier train lenet5", "98.0&nbsp;%", "class 9"):
        assert text in page, text
    assert "50.00 %" not in page  # a mean squared error is no share
    assert "label" not in page.split("<h2>Settings</h2>")[1].split("<footer>")[0]


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
    assert evil not in page
    assert page.count("<script") == 3
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
    assert page.count("<td style") == classes**2


def test_of_many_classes_the_most_mistaken_are_drawn() -> None:
    matrix = np.eye(1000)
    matrix[500, 900] = 7
    names = [f"class {n}" for n in range(1000)]
    page = render(replace(Report("x"), confusion=matrix, classes=names))
    assert page.count("<td style") == 100**2
    assert len(page) < 2e6
    assert "Of 1000 classes, the 100 with the most mistakes." in page
    assert "class 500 taken for class 900: 7" in page
    assert "class 999" not in page


# ---------------------------------------------------------------- charts


def charts(page: str) -> list[dict[str, Any]]:
    """The charts of a page as the data that its script draws."""
    return [json.loads(unescape(spec)) for spec in re.findall(r'data-chart="([^"]*)"', page)]


def lines(chart: Chart) -> dict[str, Line]:
    return {mark.label: mark for mark in chart.marks if isinstance(mark, Line)}


@pytest.mark.parametrize("count", [1, 2, 40])
def test_curves_of_any_length(count: int) -> None:
    page = render(replace(Report("x"), history=epochs(count)))
    parsed(page)
    drawn = charts(page)
    assert [chart["title"] for chart in drawn] == ["loss", "accuracy", "learning rate"]
    training, validation, *_ = drawn[0]["marks"]
    assert training["x"] == validation["x"] == list(range(1, count + 1))
    assert training["y"] == pytest.approx([1 / n for n in range(1, count + 1)], rel=1e-5)
    assert validation["y"][1:2] == [None] * (count > 1)


def test_a_page_without_charts_has_no_scripts() -> None:
    assert "<script" not in render(Report("x", headline={"test_loss": 1.0}))


def test_a_series_has_one_colour_in_every_chart() -> None:
    both, alone = learning_curves(
        [{"epoch": n, "loss": 1.0, "validation_loss": 0.5, "validation_f1": 0.5} for n in (1, 2)]
    )
    for chart in (both, alone):
        assert chart.spec()["colours"] == {"training": 0, "validation": 1}
    assert list(lines(both)) == ["training", "validation"]
    assert list(lines(alone)) == ["validation"]


def test_labels_have_colours_as_they_come() -> None:
    marks = [Line([1], [1], "b"), Dots([1, 2], [1, 2], labels=["a", "b"]), Line([1], [1])]
    assert Chart("x", marks).colours() == {"b": 0, "a": 1}
    assert Chart("x", marks, series=["a"]).colours() == {"a": 0, "b": 1}


def test_what_training_alone_has_needs_no_legend() -> None:
    (chart,) = learning_curves([{"epoch": 1, "learning_rate": 0.1}])
    assert chart.title == "learning rate"
    assert list(lines(chart)) == [""]


@pytest.mark.parametrize(
    ("key", "ends", "log"),
    [
        ("loss", (1.0, 0.0099), True),
        ("digit_loss", (1.0, 0.0099), True),
        ("loss", (1.0, 0.0101), False),
        ("loss", (1.0, 0.0), False),
        ("loss", (1.0, math.nan), False),
        ("learning_rate", (1.0, 0.0001), False),
    ],
)
def test_a_loss_over_two_powers_of_ten_is_drawn_by_them(
    key: str, ends: tuple[float, float], log: bool
) -> None:
    history = [{"epoch": n, key: value} for n, value in enumerate(ends, 1)]
    (chart,) = learning_curves(history)
    assert chart.log_y is log


def test_the_best_epoch_is_marked() -> None:
    losses = [3.0, math.nan, 1.0, 1.0, None, 2.0]
    history = [
        {"epoch": n, "loss": 1.0, "validation_loss": v, "rate": 0.1}
        for n, v in enumerate(losses, 1)
    ]
    loss, rate = learning_curves(history)
    assert [mark for mark in loss.marks if isinstance(mark, Rule)] == [Rule(3, label="best epoch")]
    assert not any(isinstance(mark, Rule) for mark in rate.marks)
    assert not any(isinstance(mark, Rule) for mark in learning_curves(history[:1])[0].marks)
    assert loss.note == "Last: 1 (training), 2 (validation)."


def test_without_javascript_the_last_and_the_best_epoch_are_a_table() -> None:
    history = [
        {"epoch": n, "loss": 1 / n, "validation_loss": v} for n, v in enumerate((0.9, 0.5, 0.7), 1)
    ]
    (shown,) = re.findall("<noscript>(.*?)</noscript>", render(Report("x", history=history)))
    assert re.findall("<th(?: [^>]*)?>([^<]*)<", shown) == ["", "last epoch, 3", "best epoch, 2"]
    cells = re.findall("<td(?: [^>]*)?>([^<]*)<", shown)
    assert cells == ["loss, training", "0.3333", "0.5", "loss, validation", "0.7", "0.5"]
    (only,) = re.findall("<noscript>(.*?)</noscript>", render(Report("x", history=history[:2])))
    assert "last epoch, 2" in only
    assert "best epoch" not in only  # the same once more


def test_the_scatter_names_what_it_draws() -> None:
    chart = scatter(np.array([1.0, 2.0]), np.array([1.0, 2.5]))
    dots, agreed = chart.marks
    assert isinstance(dots, Dots)
    assert isinstance(agreed, Line)
    assert (chart.x, chart.y) == ("true", "predicted")
    assert (list(dots.x), list(dots.y)) == ([1.0, 2.5], [1.0, 2.0])
    assert agreed.x == agreed.y == [1.0, 2.5]
    assert list(chart.colours()) == ["a test sample", "both agree"]


def test_one_is_no_plural() -> None:
    one = Report("x", seconds=[1.0], filters={"c": np.ones((2, 2, 1, 1))})
    page = render(one)
    assert "for 1 epoch<" in page
    assert f"c: 1 filter of 2{TIMES}2 over 1 input<" in page
    two = render(Report("x", seconds=[1.0, 3.0], filters={"c": np.ones((2, 2, 3, 4))}))
    assert "for 2 epochs, 2.0 s each (median)<" in two
    assert f"c: 4 filters of 2{TIMES}2 over 3 inputs<" in two


def test_at_most_64_filters_are_drawn_and_the_rest_is_counted() -> None:
    page = render(Report("x", filters={"c": RNG.normal(size=(3, 3, 7, 65))}))
    assert page.count("<img") == 64
    assert f"c: 65 filters of 3{TIMES}3 over 7 inputs; the first 64 filters" in page
    assert "and the first 6 inputs of each are drawn" in page
    whole = render(Report("x", filters={"c": RNG.normal(size=(3, 3, 6, 64))}))
    assert whole.count("<img") == 64
    assert "are drawn" not in whole


def test_a_filter_is_its_inputs_one_below_the_other() -> None:
    weights = np.zeros((2, 3, 2, 1))
    weights[0, 0, 0], weights[1, 2, 1] = 1.0, -1.0
    (picture,) = filter_pictures(weights)
    assert picture.shape == (2 + 1 + 2, 3, 3)
    assert picture[0, 0].tolist() == [220, 50, 32]
    assert picture[4, 2].tolist() == [0, 90, 181]
    assert picture[0, 1].tolist() == [247, 247, 247]


def test_more_than_the_peak_is_explained() -> None:
    shares = {
        share: render(Report("x", seconds=[1.0], share_of_peak=share)) for share in (0.9, 1.2)
    }
    assert "120 %" in shares[1.2]
    assert "It can pass 100 %" in shares[1.2]
    assert "It can pass 100 %" not in shares[0.9]


def test_each_class_has_precision_and_recall() -> None:
    matrix = np.array([[8.0, 2, 0], [1, 4, 0], [0, 0, 0]])
    page = render(Report("x", confusion=matrix, classes=["a", "b", "c"]))
    rows = re.findall(r"<tr><td>(\w)</td>(.*?)</tr>", page.split("Each class")[1])
    found = {name: re.findall(r">([^<]+)</td>", cells) for name, cells in rows}
    assert found == {
        "a": ["10", "88.89 %", "80.00 %"],
        "b": ["5", "66.67 %", "80.00 %"],
        "c": ["0", "none", "none"],
    }


@pytest.mark.parametrize("classes", [2, 10, 20, 100])
def test_the_axes_of_the_confusion_matrix_are_named(classes: int) -> None:
    page = render(replace(Report("x"), confusion=np.eye(classes), classes=["a"] * classes))
    assert f'colspan="{classes}">predicted class</th>' in page
    assert f'rowspan="{classes}"><span>true class</span></th>' in page


# ---------------------------------------------------------------- colours


def palettes() -> dict[str, dict[str, str]]:
    """The variables of the style, light and dark."""
    light, dark = STYLE.split("@media (prefers-color-scheme: dark)")
    names = re.compile(r"(--\w+): ([^;]+);")
    first = dict(names.findall(light))
    return {"light": first, "dark": first | dict(names.findall(dark.split("* {")[0]))}


def rgb(colour: str) -> np.ndarray:
    if colour.startswith("#"):
        return np.array([int(colour[n : n + 2], 16) for n in (1, 3, 5)], float)
    return np.array([float(part) for part in colour.split(",")])


def luminance(colour: np.ndarray) -> float:
    """That of WCAG 2.1."""
    share = colour / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def contrast(one: np.ndarray, other: np.ndarray) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_formula_of_contrast() -> None:
    black, white, grey = (np.full(3, float(n)) for n in (0, 255, 0x76))
    assert contrast(black, white) == pytest.approx(21)
    assert contrast(grey, white) == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("text", ["--ink", "--soft", "--first", "--second"])
@pytest.mark.parametrize("ground", ["--page", "--card"])
def test_texts_can_be_read(mode: str, text: str, ground: str) -> None:
    palette = palettes()[mode]
    assert contrast(rgb(palette[text]), rgb(palette[ground])) >= 4.5


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("mark", SERIES_COLOURS)
def test_marks_stand_out_from_the_card(mode: str, mark: str) -> None:
    palette = palettes()[mode]
    assert contrast(rgb(palette[mark]), rgb(palette["--card"])) >= 3


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("cell", ["--hit", "--miss"])
def test_numbers_in_the_confusion_matrix_can_be_read(mode: str, cell: str) -> None:
    palette = palettes()[mode]
    page = render(replace(Report("x"), confusion=np.array([[1.0, 0], [3, 0]]), classes=["a", "b"]))
    strongest = max(float(s) for s in re.findall(r"rgba\(var\(--\w+\),([\d.]+)\)", page))
    assert strongest == STRONGEST
    ground = strongest * rgb(palette[cell]) + (1 - strongest) * rgb(palette["--page"])
    assert contrast(rgb(palette["--ink"]), ground) >= 4.5


def test_colours_are_variables() -> None:
    rules = STYLE.split("* { box-sizing")[1]
    assert not re.search(r"#[0-9a-fA-F]{3,6}\b|rgba?\(", rules)


def test_charts_follow_the_colours_of_the_page() -> None:
    script = (files("ranvier.report") / "chart.js").read_text("utf-8")
    assert set(re.findall(r"var\((--\w+)\)", script)) <= set(palettes()["light"])
    assert [f"var({name})" in script for name in SERIES_COLOURS] == [True] * 6
    assert not re.search(r"#[0-9a-fA-F]{6}\b|rgba?\(\d", script)
