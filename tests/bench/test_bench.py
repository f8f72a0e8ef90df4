"""`ranvier bench`: what it reports; never how fast anything is."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ranvier import models
from ranvier.bench import peer_main, peers
from ranvier.bench.measure import FIRST_STEPS, Request, measure
from ranvier.bench.step import BenchStep, rows
from ranvier.errors import InputError
from ranvier.nn.config import to_config

KEYS = {
    "model", "batch_size", "threads", "ms_per_step", "first_step_seconds", "gflop_per_step",
    "share_of_peak", "peak_gflops", "peers",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ranvier.bench.measure.TURN_SECONDS", 0.005)


@pytest.mark.parametrize("name", models.RECIPES)
def test_a_step_is_what_the_reference_computes(name: str) -> None:
    recipe = models.get(name)
    losses = BenchStep(recipe, 8, None).first_losses(3, np.inf)
    wanted = BenchStep(recipe, 8, None, engine="reference").first_losses(3, np.inf)
    np.testing.assert_allclose(losses, wanted, rtol=1e-4)
    assert losses[0] != losses[1]


def test_results() -> None:
    result = measure(models.get("small"), Request(batch_size=16, threads=1, rounds=2)).to_json()
    assert set(result) >= KEYS
    assert result["threads"] == 1
    assert len(result["losses"]) == FIRST_STEPS
    assert result["loss_difference"] < 1e-4
    assert result["gflop_per_step"] == pytest.approx(
        # forward and weight gradients, and the gradients of all inputs but the first
        (2 * 2925 + (2925 - 450)) * 2 * 16 / 1e9
    )
    assert 0 < result["share_of_peak"] < 1


def test_each_step_gathers_other_rows() -> None:
    step = BenchStep(models.get("small"), 16, None)
    assert sorted(step.index.reshape(-1)) == list(range(len(step.inputs)))
    inputs, targets = rows(models.get("autoencoder"), 4)
    assert np.array_equal(inputs, targets)


def test_layers_of_nested_networks_have_our_paths() -> None:
    recipe = models.get("autoencoder")
    net = recipe.network((784,), 784)
    net.build((1, 784))
    paths = [path for path, kind, _ in peer_main.layers(to_config(net)) if kind == "Linear"]
    assert [f"{path}.{name}" for path in paths for name in ("weight", "bias")] == list(net.weights)


@pytest.mark.parametrize("peer", ["torch", "jax"])
def test_peers(peer: str) -> None:
    if importlib.util.find_spec(peer) is None:
        pytest.skip(f"{peer} is not installed beside Ranvier")
    request = Request(batch_size=16, rounds=1, peers=(peer,), peer_python=sys.executable)
    found: Any = measure(models.get("lenet5"), request).peers[peer]
    assert found["ms_per_step"] > 0
    assert found["ratio"] > 0


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("pass", "the peer torch failed: it ended without a word, status 0"),
        ("print('hello')", "the peer torch answers 'hello', no JSON"),
        ('print(\'{"modes": ["eager"]}\')', "the peer torch failed: it ended without a word"),
        (
            'import sys; print(\'{"modes": ["eager"]}\'); sys.stdout.close(); '
            "input(); raise SystemExit('no memory')",
            "the peer torch failed: no memory; see that its Python can run it",
        ),
    ],
)
def test_a_peer_that_dies(
    script: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "peer.py").write_text(script)
    monkeypatch.setitem(peers._SCRIPTS, "torch", str(tmp_path / "peer.py"))
    with pytest.raises(InputError, match=re.escape(message)):
        measure(models.get("small"), Request(batch_size=8, rounds=1, peers=("torch",)))


def test_peers_that_there_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="there is no peer 'theano'; there are torch, jax"):
        measure(models.get("small"), Request(rounds=1, peers=("theano",)))
    monkeypatch.setitem(peers._SCRIPTS, "torch", "nowhere.py")
    with pytest.raises(InputError, match=r"the peer torch failed: .*No such file"):
        measure(models.get("small"), Request(rounds=1, peers=("torch",)))
