"""Classes keep their names however a known data set is reached."""

from __future__ import annotations

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest

from ranvier.data import from_path, known
from ranvier.data.known import FASHION_CLASSES, known_classes
from ranvier.data.registry import FashionMnist

COUNT = 200


def labels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 10, COUNT).astype(np.uint8)


@pytest.fixture
def recognized(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take these labels for those of Fashion-MNIST, which is too large to be kept here."""
    digest = hashlib.sha256(labels().tobytes()).hexdigest()
    monkeypatch.setattr(known, "_BY_LABELS", {digest: FASHION_CLASSES})
    monkeypatch.setattr(known, "_COUNTS", {COUNT})


def idx_folder(folder: Path, numbers: np.ndarray, packed: bool) -> Path:
    folder.mkdir()
    for part in ("train", "t10k"):
        for kind, array in (
            ("images-idx3", np.zeros((len(numbers), 4, 4), np.uint8)),
            ("labels-idx1", numbers),
        ):
            head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
            content = head + array.astype(np.uint8).tobytes()
            name = f"{part}-{kind}-ubyte"
            if packed:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / name).write_bytes(content)
    return folder


@pytest.mark.usefixtures("recognized")
@pytest.mark.parametrize("packed", [True, False])
def test_idx_files_packed_or_not(tmp_path: Path, packed: bool) -> None:
    assert from_path(idx_folder(tmp_path / "d", labels(), packed)).classes == FASHION_CLASSES


@pytest.mark.usefixtures("recognized")
def test_arrays(tmp_path: Path) -> None:
    numbers = labels().astype(np.int64)
    np.savez(tmp_path / "a.npz", x_train=np.zeros((COUNT, 3)), y_train=numbers)
    assert from_path(tmp_path / "a.npz").classes == FASHION_CLASSES


@pytest.mark.usefixtures("recognized")
def test_other_labels_stay_numbers(tmp_path: Path) -> None:
    other = labels()
    other[0] = (other[0] + 1) % 10
    found = from_path(idx_folder(tmp_path / "d", other, packed=True))
    assert found.classes == tuple("0123456789")
    assert known_classes(labels()[:-1]) is None
    assert known_classes(labels().astype(np.int32) + 256) is None


def test_by_name_the_classes_are_the_same() -> None:
    assert FashionMnist().classes == FASHION_CLASSES
    assert len(FASHION_CLASSES) == 10


@pytest.mark.skipif(not FashionMnist().system.is_dir(), reason="Fashion-MNIST is not here")
def test_the_copy_of_this_system_is_recognized() -> None:
    assert from_path(FashionMnist().system).classes == FASHION_CLASSES
