"""The datasets by name: those that come with Ranvier, and those that are fetched once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ranvier.data import corpora
from ranvier.data.archives import unpack
from ranvier.data.cifar import CIFAR10, CIFAR100, Cifar
from ranvier.data.download import Checksum, Progress, data_folder, download, verify
from ranvier.data.errors import DataError
from ranvier.data.folders import read_picture_folder
from ranvier.data.idx import idx_file, read_part
from ranvier.data.known import FASHION_CLASSES
from ranvier.data.source import Dataset, Split, split_off
from ranvier.guidance.calls import explained
from ranvier.guidance.names import missing_names
from ranvier.guidance.values import meant
from ranvier.records import dataclass

_SEED = 0
_VALIDATION = 5000


@dataclass(frozen=True)
class Description:
    """A line of the list of datasets: `available` without a network, and `where` it comes from."""

    name: str
    summary: str
    available: bool
    where: str


class Source(ABC):
    """A named dataset: what it is, whether it is here, how it is loaded."""

    name: str
    summary: str

    @abstractmethod
    def where(self, root: Path) -> tuple[bool, str]:
        """Whether it is on this machine, with the data folder `root`, and where it comes from."""

    @abstractmethod
    def load(self, root: Path, allowed: bool, progress: Progress | None) -> Dataset:
        """Load it; where it is missing, download it into `root` if that is allowed."""


@dataclass(frozen=True)
class Bundled(Source):
    """A dataset that comes with Ranvier."""

    name: str
    summary: str
    make: Callable[[], Dataset]

    def where(self, root: Path) -> tuple[bool, str]:
        return True, "bundled"

    def load(self, root: Path, allowed: bool, progress: Progress | None) -> Dataset:
        return self.make()


@dataclass(frozen=True)
class FashionMnist(Source):
    """Fashion-MNIST (Xiao et al., 2017): the system's copy, the user's, or the publisher's."""

    address: str = (
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion"
    )
    system: Path = Path("/usr/share/datasets/fashion-mnist")
    files: tuple[tuple[str, str], ...] = (
        (
            "train-images-idx3-ubyte.gz",
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        ),
        (
            "train-labels-idx1-ubyte.gz",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        ),
        (
            "t10k-images-idx3-ubyte.gz",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        ),
        (
            "t10k-labels-idx1-ubyte.gz",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    )
    validation: int = _VALIDATION
    name: str = "fashion-mnist"
    summary: str = "articles of clothing, 10 classes, 28x28x1, 60,000 + 10,000"
    classes: tuple[str, ...] = FASHION_CLASSES

    def where(self, root: Path) -> tuple[bool, str]:
        folder = self._folder(root)
        return (True, str(folder)) if folder else (False, "download, 31 MB")

    def load(self, root: Path, allowed: bool, progress: Progress | None) -> Dataset:
        folder = self._folder(root)
        if folder is None:
            folder = root / self.name
            _require(allowed, self.name, [name for name, _ in self.files], self.address, folder)
            for name, digest in self.files:
                if not (folder / name).is_file():
                    checksum = Checksum("sha256", digest)
                    download(f"{self.address}/{name}", folder / name, checksum, progress=progress)
        train, validation = split_off(read_part(folder, "train"), self.validation, _SEED)
        preprocess = {"scale": 1 / 255, "mean": [0.2860], "std": [0.3530]}
        test = read_part(folder, "test")
        return Dataset(self.name, train, validation, test, self.classes, preprocess)

    def _folder(self, root: Path) -> Path | None:
        """The first folder that holds all four files."""
        needed = [(part, kind) for part in ("train", "test") for kind in ("images", "labels")]
        for folder in (root / self.name, self.system):
            if all(idx_file(folder, part, kind) for part, kind in needed):
                return folder
        return None


@dataclass(frozen=True)
class CifarSource(Source):
    """CIFAR: a folder of pictures, the unpacked archive, the archive, or a download."""

    cifar: Cifar
    validation: int = _VALIDATION

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.cifar.name

    @property
    def summary(self) -> str:  # type: ignore[override]
        return self.cifar.summary

    def where(self, root: Path) -> tuple[bool, str]:
        folder = root / self.name
        pictures, archive = folder / "train", folder / self.cifar.archive
        for found in (pictures, self._unpacked(folder), archive):
            if found is not None and found.exists():
                return True, str(found if found is archive else folder)
        return False, "download, 170 MB"

    def load(self, root: Path, allowed: bool, progress: Progress | None) -> Dataset:
        train, test, classes = self._parts(root / self.name, allowed, progress)
        train, validation = split_off(train, self.validation, _SEED)
        mean, std = list(self.cifar.mean), list(self.cifar.std)
        preprocess = {"scale": 1 / 255, "mean": mean, "std": std}
        return Dataset(self.name, train, validation, test, classes, preprocess)

    def _parts(
        self, folder: Path, allowed: bool, progress: Progress | None
    ) -> tuple[Split, Split, tuple[str, ...]]:
        if (folder / "train").is_dir():
            return _pictures(folder)
        unpacked = self._unpacked(folder)
        return self.cifar.read(unpacked or self._fetched(folder, allowed, progress))

    def _unpacked(self, folder: Path) -> Path | None:
        return self.cifar.unpacked_in(folder) or self.cifar.unpacked_in(folder / "unpacked")

    def _fetched(self, folder: Path, allowed: bool, progress: Progress | None) -> Path:
        """Unpack the archive, downloaded if it is not there, and return the files' folder."""
        cifar, archive = self.cifar, folder / self.cifar.archive
        fetch = not archive.is_file()
        if fetch:
            _require(allowed, self.name, [cifar.archive], cifar.url, folder)
            download(cifar.url, archive, cifar.checksum, progress=progress)
        else:
            verify(archive, cifar.checksum, cifar.url)
        unpack(archive, folder / "unpacked")
        if fetch:  # the user's own archive stays
            archive.unlink(missing_ok=True)
        unpacked = self._unpacked(folder)
        if unpacked is None:
            raise DataError(
                f"{archive}: the archive lacks files of {self.name}; delete it and "
                f"{folder / 'unpacked'}, and fetch it anew from {cifar.url}"
            )
        return unpacked


SOURCES: tuple[Source, ...] = (
    Bundled("mnist", "handwritten digits, 10 classes, 28x28x1, 60,000 + 10,000", corpora.mnist),
    Bundled(
        "tiny-shakespeare", "plays, 1.1 million characters, 65 distinct", corpora.tiny_shakespeare
    ),
    Bundled("cmudict", "English words and their phones, 135,166 pairs", corpora.cmudict),
    Bundled("verses", "English and French sentences, 4,336 pairs", corpora.verses),
    Bundled("teacher", "ten functions of ten numbers, made by a fixed network", corpora.teacher),
    FashionMnist(),
    CifarSource(CIFAR10),
    CifarSource(CIFAR100),
)


@explained
def names() -> tuple[str, ...]:
    """Return the names that `load` knows."""
    return tuple(source.name for source in SOURCES)


@explained
def describe(folder: Path | None = None) -> tuple[Description, ...]:
    """Return a line for each dataset; nothing is read or downloaded."""
    root = data_folder() if folder is None else folder
    return tuple(Description(s.name, s.summary, *s.where(root)) for s in SOURCES)


@explained
def load(
    name: str,
    *,
    folder: Path | None = None,
    allow_download: bool = True,
    progress: Progress | None = None,
) -> Dataset:
    """Load a dataset by name, in its fixed division into training, validation and test.

    What is not bundled is looked for in `folder` (without it `RANVIER_DATA`, or the platform's
    folder for caches), in a subfolder of that name, and else downloaded to there once;
    `progress` is told how far that is. Raises DataError, which says what to put where if the
    network does not help.
    """
    for source in SOURCES:
        if source.name == name:
            return source.load(
                data_folder() if folder is None else folder, allow_download, progress
            )
    mend = meant(name, names()) or f"use one of {', '.join(names())}, or a path"
    raise DataError(f"there is no dataset {name!r}; {mend}")


def _pictures(folder: Path) -> tuple[Split, Split, tuple[str, ...]]:
    found = read_picture_folder(folder)
    if "test" not in found.parts:
        raise DataError(f"{folder}: there is no test folder; put the test pictures there")
    return found.parts["train"], found.parts["test"], found.classes


def _require(allowed: bool, name: str, files: list[str], address: str, folder: Path) -> None:
    if not allowed:
        raise DataError(
            f"{name} is not on this machine; allow the download, "
            f"or put {', '.join(files)} from {address} into {folder}"
        )


__all__ = ["Description", "describe", "load", "names"]

if not TYPE_CHECKING:  # checkers would let any name pass
    __getattr__ = missing_names(__name__)
