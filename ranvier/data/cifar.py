"""CIFAR-10 and CIFAR-100 (Krizhevsky, 2009) in their binary version.

A file is a row of records: one label byte (CIFAR-10) or two (CIFAR-100: the coarse label, then
the fine one), then 32 × 32 bytes of red, of green and of blue. The version for Python consists
of pickles, which can run code when they are read, and is never touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ranvier.data.download import Checksum
from ranvier.data.errors import DataError
from ranvier.data.idx import read_bytes
from ranvier.data.labels import check_range
from ranvier.data.source import Split
from ranvier.records import dataclass

_PIXELS = 3 * 32 * 32
_LIMIT = 1 << 30


@dataclass(frozen=True)
class Cifar:
    """One of the two datasets: where it comes from, what its files and records are.

    `train` and `test` give the number of records in each file, `label_bytes` the number before
    each image, of which the last counts; `mean` and `std` are those of the training images.
    """

    name: str
    summary: str
    archive: str
    checksum: Checksum
    folder: str
    train: Mapping[str, int]
    test: Mapping[str, int]
    label_bytes: int
    names_file: str
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def url(self) -> str:
        """Where the archive is published."""
        return f"https://www.cs.toronto.edu/~kriz/{self.archive}"

    def unpacked_in(self, root: Path) -> Path | None:
        """Return the folder below `root` that holds all the files, or None."""
        for folder in (root / self.folder, root):
            if all(
                (folder / file).is_file() for file in (*self.train, *self.test, self.names_file)
            ):
                return folder
        return None

    def read(self, folder: Path) -> tuple[Split, Split, tuple[str, ...]]:
        """Read the training set, the test set and the class names from a folder."""
        names = read_bytes(folder / self.names_file, _LIMIT).decode("utf-8", "replace").split()
        if len(names) != self.classes:
            raise DataError(
                f"{folder / self.names_file}: {len(names)} class names, not {self.classes}; "
                "fetch the archive anew"
            )
        return self._part(folder, self.train), self._part(folder, self.test), tuple(names)

    def _part(self, folder: Path, files: Mapping[str, int]) -> Split:
        splits = [self._records(folder / file, count) for file, count in files.items()]
        images = np.concatenate([images for images, _ in splits])
        return Split(images, np.concatenate([labels for _, labels in splits]))

    def _records(self, path: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
        content = read_bytes(path, _LIMIT)
        width = self.label_bytes + _PIXELS
        if len(content) != count * width:
            raise DataError(
                f"{path}: {len(content)} bytes, not {count * width}; fetch the archive anew"
            )
        rows = np.frombuffer(content, np.uint8).reshape(count, width)
        labels = rows[:, self.label_bytes - 1].astype(np.int32)
        check_range(labels, self.classes, str(path))
        planes = rows[:, self.label_bytes :].reshape(count, 3, 32, 32)
        return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels


CIFAR10 = Cifar(
    name="cifar10",
    summary="colour photographs, 10 classes, 32x32x3, 50,000 + 10,000",
    archive="cifar-10-binary.tar.gz",
    checksum=Checksum("sha256", "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"),
    folder="cifar-10-batches-bin",
    train={f"data_batch_{number}.bin": 10_000 for number in range(1, 6)},
    test={"test_batch.bin": 10_000},
    label_bytes=1,
    names_file="batches.meta.txt",
    classes=10,
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2470, 0.2435, 0.2616),
)

CIFAR100 = Cifar(
    name="cifar100",
    summary="colour photographs, 100 classes, 32x32x3, 50,000 + 10,000",
    archive="cifar-100-binary.tar.gz",
    checksum=Checksum("sha256", "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"),
    folder="cifar-100-binary",
    train={"train.bin": 50_000},
    test={"test.bin": 10_000},
    label_bytes=2,
    names_file="fine_label_names.txt",
    classes=100,
    mean=(0.5071, 0.4865, 0.4409),
    std=(0.2673, 0.2564, 0.2762),
)
