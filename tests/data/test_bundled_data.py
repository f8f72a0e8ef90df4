"""The bundled datasets: complete, verified, divided the same for ever."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_files import says

from ranvier.data import Dataset, Split, Vocabulary, load, windows
from ranvier.data.bundle import FOLDER, read_bundled
from ranvier.data.labels import normalization

NAMES = sorted(json.loads((FOLDER / "checksums.json").read_text()))


@pytest.fixture(scope="module")
def mnist() -> Dataset:
    return load("mnist")


@pytest.fixture(scope="module")
def cmudict() -> Dataset:
    return load("cmudict")


def targets(split: Split) -> Any:
    return split.targets


def inputs(split: Split) -> Any:
    return split.inputs


# ------------------------------------------------------------ the files


def test_every_file_has_its_checksum_and_its_source() -> None:
    assert sorted(path.name for path in FOLDER.glob("*.gz")) == NAMES
    readme = (FOLDER / "README.md").read_text("utf-8")
    for name in NAMES:
        assert f"`{name}`" in readme
    for licence in ("mnist", "tinyshakespeare", "cmudict", "verses"):
        assert (FOLDER / f"{licence}.LICENSE").stat().st_size > 100
        assert f"`{licence}.LICENSE`" in readme


def test_the_whole_fits_into_the_wheel() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 17_000_000


@pytest.mark.parametrize(
    ("name", "md5"),
    [
        ("train-images-idx3-ubyte.gz", "6bbc9ace898e44ae57da46a324031adb"),
        ("train-labels-idx1-ubyte.gz", "a25bea736e30d166cdddb491f175f624"),
        ("t10k-images-idx3-ubyte.gz", "2646ac647ad5339dbf082846283269ea"),
        ("t10k-labels-idx1-ubyte.gz", "27ae3e4e09519cfbb04c329615203637"),
    ],
)
def test_mnist_is_the_published_one(name: str, md5: str) -> None:
    content = read_bundled(name)
    assert hashlib.md5(content, usedforsecurity=False).hexdigest() == md5


@pytest.mark.parametrize("name", ["tinyshakespeare", "cmudict", "verses"])
def test_our_archives_carry_no_time(name: str) -> None:
    (path,) = FOLDER.glob(f"{name}.*gz")
    assert path.read_bytes()[:8] == b"\x1f\x8b\x08\0\0\0\0\0"


def test_damage_is_found(tmp_path: Path) -> None:
    packed = gzip.compress(b"content", mtime=0)
    path = tmp_path / "a.gz"
    sums = {"a.gz": hashlib.sha256(packed).hexdigest(), "b.gz": hashlib.sha256(b"x").hexdigest()}
    (tmp_path / "checksums.json").write_text(json.dumps(sums))
    path.write_bytes(packed)
    assert read_bundled("a.gz", tmp_path) == b"content"
    for place in (0, 4, 12, len(packed) - 1):  # byte 4 is the time stamp, which gzip ignores
        path.write_bytes(packed[:place] + bytes([packed[place] ^ 1]) + packed[place + 1 :])
        with says(f"{path}: the bundled file is damaged; install ranvier anew"):
            read_bundled("a.gz", tmp_path)
    other = tmp_path / "b.gz"
    other.write_bytes(b"x")
    with says(f"{other}: the bundled file is not gzip; install ranvier anew"):
        read_bundled("b.gz", tmp_path)


@pytest.mark.parametrize("missing", ["a.gz", "checksums.json"])
def test_a_missing_file_or_checksum(tmp_path: Path, missing: str) -> None:
    present = {"a.gz": b"x", "checksums.json": b"{}"}
    for name, content in present.items():
        if name != missing:
            (tmp_path / name).write_bytes(content)
    text = "the bundled file or its checksum is missing; install ranvier anew"
    with says(f"{tmp_path / 'a.gz'}: {text}"):
        read_bundled("a.gz", tmp_path)


# ------------------------------------------------------------ the datasets


def test_mnist(mnist: Dataset) -> None:
    sizes = [55_000, 5_000, 10_000]
    for split, n in zip((mnist.train, mnist.validation, mnist.test), sizes, strict=True):
        assert inputs(split).shape == (n, 28, 28, 1)
        assert inputs(split).dtype == np.uint8
        assert targets(split).dtype == np.int32
        assert set(targets(split).tolist()) == set(range(10))
    assert mnist.classes == tuple("0123456789")
    assert targets(mnist.test)[:5].tolist() == [7, 2, 1, 0, 4]


def test_mnist_is_divided_without_loss(mnist: Dataset) -> None:
    labels = np.concatenate([targets(mnist.train), targets(mnist.validation)])
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(labels).tolist() == counts
    kept = inputs(mnist.validation)
    assert hashlib.sha256(kept.tobytes()).hexdigest() == VALIDATION


VALIDATION = "31021aa033d50de3bedbb1fff5d0d04ef4019ebd97fd9ee68f1950e045921bf7"


def test_mnist_is_normalized_by_its_own_statistics(mnist: Dataset) -> None:
    whole = np.concatenate([inputs(mnist.train), inputs(mnist.validation)])
    exact = normalization(whole)
    assert mnist.preprocess["scale"] == exact["scale"] == 1 / 255
    assert mnist.preprocess["mean"] == [round(exact["mean"][0], 4)]
    assert mnist.preprocess["std"] == [round(exact["std"][0], 4)]


def test_tiny_shakespeare() -> None:
    dataset = load("tiny-shakespeare")
    vocabulary = Vocabulary.from_json(dataset.preprocess["vocabulary"])
    assert vocabulary.symbols == dataset.classes
    assert len(dataset.classes) == 65
    parts = (dataset.train, dataset.validation, dataset.test)
    assert [len(part) + 1 for part in parts] == [1_003_854, 55_770, 55_770]
    streams = [np.append(inputs(part), targets(part)[-1]) for part in parts]
    assert all(np.array_equal(inputs(part)[1:], targets(part)[:-1]) for part in parts)
    text = "".join(vocabulary.decode(stream) for stream in streams)
    assert text.encode() == read_bundled("tinyshakespeare.txt.gz")
    rows = windows(dataset.test, 100)
    assert inputs(rows).shape == targets(rows).shape == (557, 100)


def test_cmudict(cmudict: Dataset) -> None:
    parts = (cmudict.train, cmudict.validation, cmudict.test)
    assert sum(len(part) for part in parts) == 135_166
    words = [set(inputs(part).tolist()) for part in parts]
    assert sum(map(len, words)) == len(set.union(*words)) == 126_052  # no word in two parts
    assert [len(part) for part in words[1:]] == [6_303, 6_303]
    phones = {phone for part in parts for entry in targets(part) for phone in entry.split(" ")}
    assert len(phones) == 69
    assert not any(character in word for word in words[0] for character in "()# ")
    spoken = {w: p for part in parts for w, p in zip(inputs(part), targets(part), strict=True)}
    assert spoken["aalborg"] == "AA1 L B AO0 R G"  # the second one; its comment is gone


def test_verses() -> None:
    dataset = load("verses")
    parts = (dataset.train, dataset.validation, dataset.test)
    assert sum(len(part) for part in parts) == 4_336
    english = [set(inputs(part).tolist()) for part in parts]
    assert sum(map(len, english)) == len(set.union(*english))
    assert [len(part) for part in english[1:]] == [206, 206]
    for part in parts:
        for sentence in (*inputs(part), *targets(part)):
            assert 1 <= len(sentence.split()) <= 14
    assert inputs(dataset.train)[0] == "In the beginning God created the heavens and the earth."
    assert targets(dataset.train)[0] == "Au commencement, Dieu créa les cieux et la terre."
