"""Charts as a browser draws them: ticks, legends, bars and values on touch, at 390 pixels."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ranvier.report.chart import Bars, Cells, Chart, Dots, Line, Mark, Rule
from ranvier.report.charts import figures, scripts

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
LONG = "scaled exponential linear unit, with a really long name"
ERROR = [3.0, 0.2, 0.004]

CHARTS = {
    "log": Chart("log", [Line([1, 20, 3000], ERROR)], x="n", y="error", log_x=True, log_y=True),
    "powers": Chart("powers", [Line([1, 2], [1e-7, 1.0])], log_y=True),
    "narrow": Chart("narrow", [Line([1, 2, 3], [0.2, 0.3, 0.5])], log_y=True),
    "large": Chart("large", [Line([1, 2], [-2e6, 5e6])], y="multiply-adds"),
    "order": Chart("order", [Bars(["b", "10", "a", "2"], [3, 1, 2, 4]), Rule(y=2.5, label="bar")]),
    "long": Chart("long", [Bars([LONG, "tanh"], [3.0, 1.0], [2.0, 0.5], [4.0, 2.0])], y="seconds"),
    "bars": Chart("bars", [Bars(["a", "b"], [3000, 0.02])], log_y=True),
    "series": Chart(
        "series",
        [Line([1, 2], [n, n + 1], f"learning rate 0.{n} with momentum") for n in range(8)],
    ),
    "late": Chart("late", [Line([1, 9], [1, 2]), Rule(x=9, label="best epoch")], x="epoch"),
    "cells": Chart(
        "cells", [Cells(np.eye(4), top=0.5), Dots([0.5], [0.2], "here")], x="a", y="b", square=True
    ),
    "empty": Chart("empty", [Line([1, 2], [np.nan, np.nan])]),
    "bare": Chart("bare", list[Mark]()),
}

ASK = """<script>addEventListener("load", () => {
  const find = (root, what) => [...root.querySelectorAll(what)];
  const found = find(document, "figure").map((figure) => {
    const edge = figure.getBoundingClientRect();
    const svg = figure.querySelector("svg");
    const box = svg.getBoundingClientRect();
    const point = { clientX: box.left + box.width * 0.9, clientY: box.top + box.height * 0.4 };
    const pointer = { pointerType: "touch", bubbles: true, ...point };
    for (const name of ["pointerenter", "pointerdown", "pointerleave"])
      svg.dispatchEvent(new PointerEvent(name, pointer));
    return { edge, svg, figure };
  });
  requestAnimationFrame(() => requestAnimationFrame(() => {
    const all = found.map(({ edge, svg, figure }) => ({
      x: find(svg, "[aria-label='x-axis tick label'] text").map((t) => t.textContent),
      y: find(svg, "[aria-label='y-axis tick label'] text").map((t) => t.textContent),
      tip: find(svg, "[aria-label='tip'] tspan").map((t) => t.textContent.replace("\\u200b", "")),
      legend: find(figure, ".legend span").map((t) => t.textContent),
      bars: find(svg, "[aria-label='bar'] rect").length,
      outside: find(figure, "text, .legend span").map((t) => [t, t.getBoundingClientRect()])
        .filter(([t, b]) => b.width && (b.left < edge.left - 1 || b.right > edge.right + 1))
        .map(([t]) => t.textContent),
      images: find(svg, "image").map((i) => +i.getAttribute("width") / i.getAttribute("height")),
    }));
    document.body.replaceChildren(Object.assign(document.createElement("pre"),
      { id: "found", textContent: JSON.stringify(all) }));
  }));
});</script>"""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each chart shows in a browser, on a screen of 390 pixels."""
    if BROWSER is None:
        pytest.skip("there is no Chromium")
    folder: Path = tmp_path_factory.mktemp("browser")
    style = (files("ranvier.report") / "style.css").read_text("utf-8")
    body = figures(list(CHARTS.values())) + scripts() + ASK
    page = folder / "page.html"
    page.write_text(
        f'<!DOCTYPE html><meta charset="utf-8"><style>{style}</style>'
        f'<body style="width: 390px; margin: 0">{body}'
    )
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=3000"]
    command = [BROWSER, *options, f"--user-data-dir={folder / 'profile'}", "--dump-dom"]
    text = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=300)
    (found,) = re.findall(r'<pre id="found">(.*?)</pre>', text.stdout, re.DOTALL)
    return dict(zip(CHARTS, json.loads(unescape(found)), strict=True))


def test_logarithmic_axes_have_few_round_numbers(drawn: dict[str, Any]) -> None:
    assert drawn["log"]["x"] == ["1", "10", "100", "1000"]
    assert drawn["log"]["y"] == ["0.01", "0.03", "0.1", "0.3", "1", "3"]
    assert drawn["narrow"]["y"] == ["0.2", "0.25", "0.3", "0.35", "0.4", "0.45", "0.5"]
    assert drawn["powers"]["y"][0] == "10⁻⁷"
    assert len(drawn["powers"]["y"]) <= 8


def test_large_numbers_are_short(drawn: dict[str, Any]) -> None:
    assert drawn["large"]["y"][0] == "\u22122·10⁶"


def test_bars_stand_in_the_order_given(drawn: dict[str, Any]) -> None:
    assert drawn["order"]["x"] == ["b", "10", "a", "2"]


def test_long_names_stand_beside_bars_that_lie(drawn: dict[str, Any]) -> None:
    name, other = drawn["long"]["y"]
    assert LONG.startswith(name.removesuffix("…"))
    assert name.endswith("…")
    assert other == "tanh"
    assert " ".join(drawn["long"]["tip"]) == f"{LONG} seconds: 3 (2 to 4)"


def test_bars_stand_on_a_power_of_ten_where_there_is_no_zero(drawn: dict[str, Any]) -> None:
    assert drawn["bars"]["bars"] == 2
    assert drawn["bars"]["y"][0] == "0.01"


def test_a_legend_tells_more_series_apart_than_there_are_colours(drawn: dict[str, Any]) -> None:
    signs = [text[0] for text in drawn["series"]["legend"]]
    assert signs == ["●"] * 6 + ["■"] * 2


def test_a_touch_shows_the_values_of_one_point(drawn: dict[str, Any]) -> None:
    assert drawn["log"]["tip"] == ["n: 3000", "error: 0.004"]
    assert drawn["late"]["tip"] == ["epoch: 9", "y: 2"]
    assert len([line for line in drawn["series"]["tip"] if line.startswith("x: ")]) == 1


def test_nothing_is_cut_off(drawn: dict[str, Any]) -> None:
    assert [name for name, found in drawn.items() if found["outside"]] == []


def test_squares_have_equal_scales(drawn: dict[str, Any]) -> None:
    assert drawn["cells"]["images"] == [pytest.approx(2, rel=0.02)]  # one wide, a half high


def test_a_chart_without_numbers_is_an_empty_frame(drawn: dict[str, Any]) -> None:
    assert drawn["empty"]["y"] == drawn["bare"]["y"] == []
