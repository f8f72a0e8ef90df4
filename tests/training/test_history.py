"""`History.plot`: learning curves as matplotlib draws them."""

from __future__ import annotations

import sys

import pytest

from ranvier.errors import InputError
from ranvier.training import History

MEASURED = [
    {"epoch": n, "step": 10 * n, "loss": 10.0**-n, "validation_loss": loss, "learning_rate": 0.1}
    for n, loss in enumerate([0.9, 0.1, 0.5, 0.7], 1)
]


def test_learning_curves_are_drawn_one_quantity_to_an_axis() -> None:
    matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    matplotlib.use("agg")
    loss, rate = History(MEASURED).plot()
    assert [loss.get_title(), rate.get_title()] == ["loss", "learning rate"]
    assert (loss.get_yscale(), rate.get_yscale()) == ("log", "linear")
    training, validation, best = loss.get_lines()
    assert training.get_ydata().tolist() == [10.0**-n for n in range(1, 5)]
    assert validation.get_ydata().tolist() == [0.9, 0.1, 0.5, 0.7]
    assert set(best.get_xdata()) == {2}
    names = [text.get_text() for text in loss.get_legend().get_texts()]
    assert names == ["training", "validation", "best epoch"]
    loss.figure.canvas.draw()
    matplotlib.pyplot.close(loss.figure)


def test_a_series_has_the_same_colour_in_every_frame() -> None:
    matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    matplotlib.use("agg")
    both, alone = History([{**record, "validation_f1": 0.5} for record in MEASURED]).plot()[[0, 2]]
    assert both.get_lines()[1].get_color() == alone.get_lines()[0].get_color() == "C1"
    matplotlib.pyplot.close(both.figure)


def test_without_matplotlib_a_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match=r"pip install 'ranvier\[plot\]'"):
        History(MEASURED).plot()


def test_a_history_without_epochs_is_not_drawn() -> None:
    with pytest.raises(InputError, match="no epochs to draw"):
        History().plot()
