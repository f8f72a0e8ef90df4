"""Every experiment: its short form holds, its control does not, and its page says so."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from ranvier import experiments
from ranvier.cli.main import run as command
from ranvier.errors import InputError
from ranvier.experiments import NAMES, Result
from ranvier.experiments.experiment import Finding, Trial, experiment
from ranvier.experiments.page import _measurements, gallery, page
from ranvier.experiments.run import execute, own_seeds, predicted
from ranvier.report.chart import Bars, Cells, Chart, Dots, Line, Rule


@pytest.mark.parametrize("control", [False, True], ids=["", "control"])
@pytest.mark.parametrize("name", NAMES)
def test_the_short_form(name: str, control: bool, tmp_path: Path) -> None:
    shares: list[float] = []
    found = experiments.run(name, quick=True, control=control, advance=shares.append)
    assert found.holds is not control, found.verdict
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    written = found.write(tmp_path / name)
    assert found.verdict.split(": ", 1)[1][:30] in written.read_text("utf-8")
    stored = json.loads((tmp_path / name / "result.json").read_text("utf-8"))
    assert stored["holds"] is found.holds
    assert stored["measurements"]


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [None, (101, 102, 103)], ids=["own seeds", "other seeds"])
@pytest.mark.parametrize("name", NAMES)
def test_the_full_form(name: str, seeds: tuple[int, ...] | None) -> None:
    found = experiments.run(name, seeds=seeds)
    assert found.holds, found.verdict
    assert not experiments.run(name, seeds=seeds, control=True).holds


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_says_all_of_itself(name: str) -> None:
    found = experiments.get(name)
    assert found.name == name
    for text in (found.claim, found.source, found.threshold, found.sabotage, found.method):
        assert len(text) > 10
    assert found.claim.endswith(".")
    assert found.claim.count(".") == 1
    assert 0 < found.quick_seconds <= 90
    assert found.seconds <= 3600
    assert set(found.quick_seeds) <= set(range(100))


# ------------------------------------------------------------ the frame


@experiment(
    "coin",
    claim="A coin falls.",
    source="gravity",
    threshold="It has fallen.",
    sabotage="It is held.",
    seeds=(1, 2, 3),
    quick_seeds=(1,),
    seconds=3,
    quick_seconds=1,
)
def COIN(trial: Trial) -> Finding:  # noqa: N802 (it becomes an experiment)
    heights = list(trial.track(trial.seeds))
    marks = [
        Line([1, 2, 3], [1.0, float("nan"), 3.0], "a </figure> & b", low=[0, 0, 0], high=[2, 2, 4]),
        Dots([1, 2], [3, 4], labels=["x", "y"]),
        Rule(y=2.0, label="two"),
        Cells(np.arange(6).reshape(2, 3)),
    ]
    return Finding(
        holds=not trial.control,
        because=f"of {len(heights)} coins all fell",
        measurements={"heights": heights, "best": float("inf"), "seen": True},
        charts=[Chart("coins", marks, x="t", y="h"), Chart("bars", [Bars(["a", "b"], [1, 2])])],
    )


def coin(**options: object) -> Result:
    chosen = {"seeds": None, "quick": False, "control": False, "advance": None, **options}
    return execute(COIN, **chosen)  # type: ignore[arg-type]


def test_seeds_are_the_experiments_own_or_those_asked_for() -> None:
    assert coin().seeds == (1, 2, 3)
    assert coin(quick=True).seeds == (1,)
    found = coin(seeds=[101, 102], quick=True)
    assert found.seeds == (101, 102)
    assert found.command == "ranvier experiment coin --seeds 101,102 --quick"
    assert own_seeds(COIN, True) == (1,)


def test_the_time_goes_with_the_seeds() -> None:
    one, nine = predicted(COIN, 1, False), predicted(COIN, 9, False)
    assert one == pytest.approx(nine / 9, rel=0.9)


@pytest.mark.parametrize(
    ("seeds", "message"),
    [([], "seeds is empty"), ([-1], "a seed is -1"), (["x"], "a seed is 'x'")],
)
def test_bad_seeds_are_refused(seeds: list[int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        coin(seeds=seeds)


def test_an_unknown_experiment_is_refused() -> None:
    with pytest.raises(InputError, match="there is no experiment 'sdg'; there are sgd"):
        experiments.run("sdg")


def test_long_lists_are_summed_up_and_names_have_rows() -> None:
    found = {"by_rate": {"0.1": [1.0, 2.0], "1": list(range(1, 10))}, "seen": True}
    shown = _measurements(found)
    assert "by rate: 0.1</td>" in shown.replace(".<wbr>", ".")
    assert ">1, 2<" in shown
    assert ">1 to 9, median 5 of 9<" in shown
    assert ">yes<" in shown


class _Figures(HTMLParser):
    """The specs of the charts of a page, and its headings."""

    def __init__(self) -> None:
        super().__init__()
        self.charts: list[dict[str, object]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        spec = dict(attrs).get("data-chart")
        if spec is not None:
            self.charts.append(json.loads(spec))


def test_a_page_holds_its_charts_as_data_and_nothing_from_elsewhere() -> None:
    text = page(coin())
    parser = _Figures()
    parser.feed(text)
    assert [chart["title"] for chart in parser.charts] == ["coins", "bars"]
    line = parser.charts[0]["marks"][0]  # type: ignore[index]
    assert line["y"] == [1.0, None, 3.0]
    assert line["label"] == "a </figure> & b"
    own = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert "http" not in own
    assert len(text) < 2_000_000


def test_the_gallery_shows_each_once() -> None:
    text = gallery([coin(), coin(control=True)])
    assert "1 of 2 claims holds" in text
    assert text.count("<script>") == 3
    parser = _Figures()
    parser.feed(text)
    assert len(parser.charts) == 2


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        (Line([1, 2], [1]), "2 x and 1 y"),
        (Bars(["a"], [1, 2]), "1 names for 2 bars"),
        (Rule(), "needs one of x and y"),
    ],
)
def test_a_mark_that_does_not_fit_is_refused(mark: Line | Bars | Rule, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Chart("odd", [mark])


def test_long_lines_are_thinned_out() -> None:
    chart = Chart("long", [Line(np.arange(100_000), np.arange(100_000))])
    line = chart.spec()["marks"][0]
    assert len(line["x"]) == 4000
    assert line["x"][0] == 0
    assert line["x"][-1] == 99_999


def test_matplotlib_draws_every_mark() -> None:
    matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    matplotlib.use("agg")
    axes = coin().plot()
    assert [axis.get_title() for axis in axes] == ["coins", "bars"]


# ------------------------------------------------------------ the command line


def test_one_experiment(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    call = ["experiment", "backprop-check", "--quick", "--seeds", "7", "--json"]
    assert command([*call, "--out", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out.splitlines()[-1])
    assert found["holds"] is True
    assert found["name"] == "backprop-check"
    assert Path(found["page"]).exists()
    assert {"claim", "measurements", "seconds", "predicted_seconds"} <= set(found)
    assert "this will take about" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "there is no experiment 'nothing'"),
        (["sgd", "--seeds", "1,x"], "'1,x' is no list of seeds"),
    ],
)
def test_bad_arguments(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(["experiment", *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["experiments", "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])["experiments"]
    assert [each["name"] for each in found] == list(NAMES)
