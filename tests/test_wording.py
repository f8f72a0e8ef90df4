"""Numbers with their nouns, and times."""

from __future__ import annotations

import pytest

from ranvier.wording import counted, duration


def test_one_and_many() -> None:
    assert counted(1, "epoch") == "1 epoch"
    assert counted(0, "epoch") == "0 epochs"
    assert counted(55000, "sample") == "55,000 samples"
    assert counted(2, "class", "classes") == "2 classes"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.0 ms"),
        (0.0123, "12.3 ms"),
        (0.5, "0.5 s"),
        (99.94, "99.9 s"),
        (320.4, "5 min 20 s"),
        (11520.0, "3 h 12 min"),
    ],
)
def test_times(seconds: float, text: str) -> None:
    assert duration(seconds) == text
