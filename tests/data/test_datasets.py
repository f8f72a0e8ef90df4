"""The registry: every dataset of it, and those that are not bundled from fixtures."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from data_files import idx, images, labels, says, write_idx_folder, write_picture

from ranvier.data import Dataset, describe, load, names, registry
from ranvier.data.cifar import CIFAR10, CIFAR100, Cifar
from ranvier.data.download import Checksum
from ranvier.data.registry import Bundled, CifarSource, FashionMnist

BUNDLED = [source.name for source in registry.SOURCES if isinstance(source, Bundled)]


def sizes(dataset: Dataset) -> list[int]:
    return [len(dataset.train), len(dataset.validation), len(dataset.test)]


# ------------------------------------------------------------ contracts of all


def test_the_names() -> None:
    assert names() == (
        "mnist", "tiny-shakespeare", "cmudict", "verses", "teacher", "fashion-mnist", "cifar10",
        "cifar100",
    )  # fmt: skip
    assert BUNDLED == ["mnist", "tiny-shakespeare", "cmudict", "verses", "teacher"]


def test_the_list_needs_one_line_each(tmp_path: Path) -> None:
    for description in describe(tmp_path):
        assert description.available == (description.name in BUNDLED)
        assert description.where.startswith("bundled" if description.available else "download, ")
        line = f"{description.name} {description.summary} {description.where}"
        assert len(line) < 100
        assert "\n" not in line


@pytest.mark.parametrize("name", BUNDLED)
def test_a_bundled_dataset_keeps_the_contract(name: str, tmp_path: Path) -> None:
    dataset = load(name, folder=tmp_path, allow_download=False)
    assert dataset.name == name
    assert json.loads(json.dumps(dataset.preprocess)) == dataset.preprocess
    assert min(sizes(dataset)) > 0
    if dataset.classes:
        for part in (dataset.train, dataset.validation, dataset.test):
            targets = np.asarray(part.targets)
            assert targets.dtype == np.int32
            assert 0 <= targets.min() <= targets.max() < len(dataset.classes)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_name() -> None:
    text = (
        "there is no dataset 'nonesuch'; use one of mnist, tiny-shakespeare, cmudict, verses, "
        "teacher, fashion-mnist, cifar10, cifar100, or a path"
    )
    with says(text):
        load("nonesuch")
    with says("there is no dataset 'minst'; use 'mnist'"):
        load("minst")


@pytest.mark.parametrize(
    ("name", "files"),
    [
        (
            "fashion-mnist",
            "train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, "
            "t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz from "
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
        ),
        (
            "cifar10",
            "cifar-10-binary.tar.gz from https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        ),
        (
            "cifar100",
            "cifar-100-binary.tar.gz from https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
        ),
    ],
)
def test_without_download_it_says_what_to_put_where(
    name: str, files: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = FashionMnist(system=tmp_path / "no")
    sources = [nowhere if source.name == nowhere.name else source for source in registry.SOURCES]
    monkeypatch.setattr(registry, "SOURCES", tuple(sources))
    monkeypatch.setenv("RANVIER_DATA", str(tmp_path))
    text = (
        f"{name} is not on this machine; allow the download, or put {files} into {tmp_path / name}"
    )
    with says(text):
        load(name, allow_download=False)


# ------------------------------------------------------------ Fashion-MNIST


def fashion(tmp_path: Path) -> FashionMnist:
    """Fashion-MNIST in small: its publisher is a folder, the system has none."""
    published = write_idx_folder(tmp_path / "published")
    sums = tuple(
        (name, hashlib.sha256((published / name).read_bytes()).hexdigest())
        for name, _ in FashionMnist().files
    )
    return FashionMnist(published.as_uri(), tmp_path / "system", sums, validation=4)


def test_fashion_is_downloaded_once(tmp_path: Path) -> None:
    source, root = fashion(tmp_path), tmp_path / "root"
    assert source.where(root) == (False, "download, 31 MB")
    told: set[str] = set()
    first = source.load(root, True, lambda name, done, total: told.add(name))
    assert told == {name for name, _ in source.files}
    assert sizes(first) == [16, 4, 6]
    assert len(first.classes) == 10
    assert source.where(root) == (True, str(root / "fashion-mnist"))
    again = source.load(root, False, None)
    assert np.array_equal(np.asarray(first.train.inputs), np.asarray(again.train.inputs))


def test_fashion_of_the_system_or_the_user(tmp_path: Path) -> None:
    source, root = fashion(tmp_path), tmp_path / "root"
    write_idx_folder(source.system, train=30)
    assert source.where(root) == (True, str(source.system))
    assert sizes(source.load(root, False, None)) == [26, 4, 6]
    write_idx_folder(root / "fashion-mnist", train=40)
    assert sizes(source.load(root, False, None)) == [36, 4, 6]


def test_fashion_goes_on_where_it_was_broken_off(tmp_path: Path) -> None:
    source, root = fashion(tmp_path), tmp_path / "root"
    source.load(root, True, None)
    (root / "fashion-mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    told: set[str] = set()
    source.load(root, True, lambda name, done, total: told.add(name))
    assert told == {"t10k-labels-idx1-ubyte.gz"}


def test_fashion_altered_on_the_way(tmp_path: Path) -> None:
    source = fashion(tmp_path)
    name, right = source.files[1]
    url = f"{source.address}/{name}"
    content = gzip.compress(idx(labels(20) + 1))
    (tmp_path / "published" / name).write_bytes(content)
    found = hashlib.sha256(content).hexdigest()
    text = f"{url}: the download has the sha256 {found}, not {right}; try again, and tell us if it"
    with says(f"{text} stays so"):
        source.load(tmp_path / "root", True, None)
    assert not (tmp_path / "root" / "fashion-mnist" / name).exists()


# ------------------------------------------------------------ CIFAR


def test_downloads_are_known_by_their_sha256() -> None:
    """CIFAR's archives are those of the binary version, which is the one that is read."""
    sums = {cifar.archive: cifar.checksum for cifar in (CIFAR10, CIFAR100)}
    sums |= {name: Checksum("sha256", digest) for name, digest in FashionMnist().files}
    assert {(each.kind, len(each.digest)) for each in sums.values()} == {("sha256", 64)}
    assert len({each.digest for each in sums.values()}) == 6
    assert sums["cifar-10-binary.tar.gz"].digest.startswith("c4a38c50a1bc5f3a")
    assert FashionMnist().address.startswith("https://")
    assert CIFAR10.url.startswith("https://")


def records(n: int, label_bytes: int, seed: int) -> tuple[bytes, np.ndarray, np.ndarray]:
    """A file of n records, and the images [n, 32, 32, 3] and labels that it holds."""
    pixels = np.random.default_rng(seed).integers(0, 256, (n, 32, 32, 3), np.uint8)
    numbers = labels(n, 2)
    rows = [
        bytes([9] * (label_bytes - 1) + [number]) + image.transpose(2, 0, 1).tobytes()
        for image, number in zip(pixels, numbers, strict=True)
    ]
    return b"".join(rows), pixels, numbers


@pytest.fixture(params=[CIFAR10, CIFAR100], ids=["cifar10", "cifar100"])
def small(request: pytest.FixtureRequest) -> tuple[Cifar, bytes]:
    """A CIFAR with few records and two classes, and its archive."""
    full: Cifar = request.param
    cifar = dataclasses.replace(
        full, train=dict.fromkeys(full.train, 6), test=dict.fromkeys(full.test, 4), classes=2
    )
    files = {cifar.names_file: b"apple\nbear\n\n"}
    for seed, (name, n) in enumerate([*cifar.train.items(), *cifar.test.items()]):
        files[name] = records(n, cifar.label_bytes, seed)[0]
    archive = tar({f"{cifar.folder}/{name}": content for name, content in files.items()})
    digest = hashlib.sha256(archive).hexdigest()
    return dataclasses.replace(cifar, checksum=Checksum("sha256", digest)), archive


def tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def put(root: Path, cifar: Cifar, archive: bytes) -> Path:
    folder = root / cifar.name
    folder.mkdir(parents=True)
    (folder / cifar.archive).write_bytes(archive)
    return folder


def test_cifar_from_its_archive(small: tuple[Cifar, bytes], tmp_path: Path) -> None:
    cifar, archive = small
    folder = put(tmp_path, cifar, archive)
    source = CifarSource(cifar, validation=2)
    assert source.where(tmp_path) == (True, str(folder / cifar.archive))
    dataset = source.load(tmp_path, False, None)
    n = 6 * len(cifar.train)
    assert sizes(dataset) == [n - 2, 2, 4]
    assert dataset.classes == ("apple", "bear")
    _, pixels, numbers = records(4, cifar.label_bytes, len(cifar.train))
    assert np.array_equal(np.asarray(dataset.test.inputs), pixels)
    assert np.array_equal(np.asarray(dataset.test.targets), numbers)
    (folder / cifar.archive).unlink()  # once unpacked, it is not needed
    assert source.where(tmp_path) == (True, str(folder))
    assert sizes(source.load(tmp_path, False, None)) == [n - 2, 2, 4]


def test_cifar_is_downloaded(
    small: tuple[Cifar, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cifar, archive = small
    published = tmp_path / "published.tar.gz"
    published.write_bytes(archive)
    monkeypatch.setattr(Cifar, "url", published.as_uri())
    source = CifarSource(cifar, validation=2)
    assert source.where(tmp_path) == (False, "download, 170 MB")
    assert len(source.load(tmp_path, True, None).test) == 4
    assert not (tmp_path / cifar.name / cifar.archive).exists()  # 170 MB, not kept twice
    assert len(source.load(tmp_path, False, None).test) == 4


def test_cifar_from_another_archive(small: tuple[Cifar, bytes], tmp_path: Path) -> None:
    cifar, archive = small
    folder = put(tmp_path, cifar, archive + b"x")
    found = hashlib.sha256(archive + b"x").hexdigest()
    text = (
        f"{folder / cifar.archive}: the sha256 is {found}, not {cifar.checksum.digest}; "
        f"fetch it anew from {cifar.url}"
    )
    with says(text):
        CifarSource(cifar).load(tmp_path, False, None)


def test_cifar_from_an_archive_that_lacks_files(small: tuple[Cifar, bytes], tmp_path: Path) -> None:
    cifar, _ = small
    archive = tar({"readme.html": b"nothing"})
    digest = hashlib.sha256(archive).hexdigest()
    cifar = dataclasses.replace(cifar, checksum=Checksum("sha256", digest))
    folder = put(tmp_path, cifar, archive)
    text = (
        f"{folder / cifar.archive}: the archive lacks files of {cifar.name}; delete it and "
        f"{folder / 'unpacked'}, and fetch it anew from {cifar.url}"
    )
    with says(text):
        CifarSource(cifar).load(tmp_path, False, None)


def unpacked(small: tuple[Cifar, bytes], root: Path) -> tuple[Cifar, Path]:
    cifar, archive = small
    with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
        for member in packed:
            path = root / cifar.name / member.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(packed.extractfile(member).read())  # type: ignore[union-attr]
    return cifar, root / cifar.name / cifar.folder


def test_damaged_cifar_files(small: tuple[Cifar, bytes], tmp_path: Path) -> None:
    cifar, folder = unpacked(small, tmp_path)
    source, width = CifarSource(cifar, validation=2), cifar.label_bytes + 3072
    path = folder / next(iter(cifar.train))
    good = path.read_bytes()
    path.write_bytes(good[:-width])  # a whole record short
    with says(f"{path}: {5 * width} bytes, not {6 * width}; fetch the archive anew"):
        source.load(tmp_path, False, None)
    label = 3 * width + cifar.label_bytes - 1
    path.write_bytes(good[:label] + b"\x07" + good[label + 1 :])
    with says(f"{path}: the label of row 3 is 7; 2 classes are numbered 0 to 1"):
        source.load(tmp_path, False, None)
    path.write_bytes(good)
    (folder / cifar.names_file).write_text("apple\n")
    text = f"{folder / cifar.names_file}: 1 class names, not 2; fetch the archive anew"
    with says(text):
        source.load(tmp_path, False, None)


def test_cifar_from_pictures(tmp_path: Path) -> None:
    for part, n in (("train", 6), ("test", 3)):
        for number, name in enumerate(("cat", "dog")):
            for count in range(n):
                pixels = np.full((32, 32, 3), number, np.uint8)
                write_picture(tmp_path / "cifar10" / part / name / f"{count}.png", pixels)
    source = CifarSource(CIFAR10, validation=2)
    assert source.where(tmp_path) == (True, str(tmp_path / "cifar10"))
    dataset = source.load(tmp_path, False, None)
    assert sizes(dataset) == [10, 2, 6]
    assert dataset.classes == ("cat", "dog")
    assert np.asarray(dataset.test.inputs).shape == (6, 32, 32, 3)
    assert np.array_equal(np.asarray(dataset.test.inputs)[:, 0, 0, 0], dataset.test.targets)
    for path in sorted((tmp_path / "cifar10" / "test").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (tmp_path / "cifar10" / "test").rmdir()
    text = f"{tmp_path / 'cifar10'}: there is no test folder; put the test pictures there"
    with says(text):
        source.load(tmp_path, False, None)


def test_cifar_is_never_unpickled(tmp_path: Path) -> None:
    """The version for Python, put there by mistake, is not read."""
    folder = tmp_path / "cifar10"
    folder.mkdir()
    (folder / "cifar-10-python.tar.gz").write_bytes(b"pickles")
    assert CifarSource(CIFAR10).where(tmp_path) == (False, "download, 170 MB")


def test_the_images_fixture_differs_by_row() -> None:
    """The tests above compare rows; equal ones would hide a mistake in their order."""
    assert len({image.tobytes() for image in images(20)}) == 20
