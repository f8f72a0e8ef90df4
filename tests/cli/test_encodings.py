"""No result is lost to an encoding: names that are no UTF-8, and streams of ASCII alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import TINY, table

from ranvier.cli.streams import mend_streams

STREAMS = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "latin-1": {"PYTHONIOENCODING": "latin-1:strict"},
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "utf-8": {"PYTHONIOENCODING": "utf-8:strict"},
}


def ranvier(
    folder: Path, streams: str, *arguments: bytes | str
) -> subprocess.CompletedProcess[bytes]:
    """Run the real command in a folder."""
    root = Path(__file__).parents[2]
    paths = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": paths, **STREAMS[streams]}
    return subprocess.run(
        [sys.executable, "-m", "ranvier", *arguments],
        cwd=folder, env=environment, capture_output=True, timeout=120, check=False,
    )  # fmt: skip


def named_badly(folder: Path) -> bytes:
    """A table whose name is no UTF-8."""
    path = os.fsencode(folder) + b"/t\xff\xe9.csv"
    try:
        os.rename(table(folder / "t.csv"), path)
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    return path


@pytest.mark.parametrize("streams", STREAMS)
def test_a_run_from_start_to_report(tmp_path: Path, streams: str) -> None:
    data, run = named_badly(tmp_path), os.fsencode(tmp_path) + b"/run\xfe"
    done = ranvier(tmp_path, streams, "train", "mlp", "--data", data, "--out", run, *TINY)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    assert rb"run\udcfe" in done.stdout
    page = Path(os.fsdecode(run), "report.html").read_text("utf-8")
    assert r"t\udcff\udce9" in page
    found = ranvier(tmp_path, streams, "predict", run, data, "--json")
    assert found.returncode == 0, found.stderr
    first = json.loads(found.stdout)["predictions"][0]
    assert os.fsencode(first["input"]) == data + b":2"
    shown = ranvier(tmp_path, streams, "predict", run, data)
    assert rb"t\udcff\udce9.csv:2" in shown.stdout


def test_a_missing_file_that_is_named_badly(tmp_path: Path) -> None:
    done = ranvier(tmp_path, "ascii", "train", "mlp", "--data", b"\xff.csv", "--json")
    assert done.returncode == 2
    assert done.stderr.startswith(rb"ranvier: \udcff.csv: no dataset")
    assert json.loads(done.stdout)["error"].startswith("\udcff.csv: no dataset")


@pytest.mark.parametrize("streams", ["ascii", "latin-1", "C"])
def test_letters_that_a_stream_lacks_are_replaced(tmp_path: Path, streams: str) -> None:
    """Of the multiplication sign, which latin-1 has, and of letters without a likeness."""
    done = ranvier(tmp_path, streams, "summary", "lenet5")
    assert done.returncode == 0, done.stderr
    sign = b"\xd7" if streams == "latin-1" else b"x"
    assert b"28" + sign + b"28" + sign + b"6" in done.stdout
    refused = ranvier(tmp_path, streams, "summary", "lenet5", "--input", "\u2026\u5b57".encode())
    assert refused.returncode == 2
    assert refused.stderr.startswith(b"ranvier: ")


def test_streams_that_are_no_files_are_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    mend_streams()
    print("\N{MULTIPLICATION SIGN}")
    assert capsys.readouterr().out == "\N{MULTIPLICATION SIGN}\n"
