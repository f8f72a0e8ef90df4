"""First programs of Keras and PyTorch users run, or are told in one sentence what to change."""

from __future__ import annotations

import pytest

from ranvier.errors import RanvierError
from tests.first_programs.keras import KERAS
from tests.first_programs.tables import Program
from tests.first_programs.torch import TORCH

PROGRAMS = {
    **{f"keras: {name}": program for name, program in KERAS.items()},
    **{f"torch: {name}": program for name, program in TORCH.items()},
}


def test_there_are_enough() -> None:
    assert len(KERAS) >= 20
    assert len(TORCH) >= 20


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_it_runs_or_says_the_mend(program: Program) -> None:
    if not program.phrases:
        program.run()
        return
    with pytest.raises(RanvierError) as caught:
        program.run()
    sentence = str(caught.value)
    for phrase in program.phrases:
        assert phrase in sentence
    assert "\n" not in sentence
    assert len(sentence) < 400
