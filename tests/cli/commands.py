"""The command line as the tests call it, and files for it to read."""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ranvier.cli.main import run


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The object in the last line of stdout."""
        found: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return found


def call(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> Done:
    """Run a command in this process."""
    status = run([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return Done(status, out, err)


def idx(array: np.ndarray) -> bytes:
    """The IDX file of an array of bytes."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def digits(folder: Path, train: int = 60, test: int = 20) -> Path:
    """A folder of IDX files: squares at one of three places, and which."""
    folder.mkdir(parents=True)
    for part, count in (("train", train), ("t10k", test)):
        labels = np.arange(count) % 3
        pictures = np.zeros((count, 12, 12), np.uint8)
        for picture, label in zip(pictures, labels, strict=True):
            picture[2:9, 1 + 3 * label : 5 + 3 * label] = 250
        for kind, array in (("images-idx3", pictures), ("labels-idx1", labels)):
            (folder / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(idx(array), mtime=0))
    return folder


def table(path: Path, rows: Sequence[Sequence[Any]] | None = None) -> Path:
    """A CSV file with columns a, b and label."""
    if rows is None:
        numbers = np.random.default_rng(0).normal(size=(60, 2)).round(3)
        rows = [(a, b, "yes" if a > b else "no") for a, b in numbers]
    text = "\n".join(",".join(map(str, row)) for row in [("a", "b", "label"), *rows])
    path.write_text(text + "\n")
    return path


TINY = ("--epochs", "2", "--batch-size", "16", "--set", "hidden=[8]", "--quiet")
"""Settings that train an mlp in a moment."""


def trained(capsys: pytest.CaptureFixture[str], folder: Path) -> Path:
    """The run folder of an mlp on the table."""
    data, out = table(folder / "t.csv"), folder / "run"
    assert call(capsys, "train", "mlp", "--data", data, "--out", out, *TINY).status == 0
    return out
