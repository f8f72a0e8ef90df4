"""Folders of pictures: one subfolder for each class, named after it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ranvier.data.errors import DataError, NoPictureError
from ranvier.data.images import SUFFIXES, fitted, image_size, read_image
from ranvier.data.labels import check_classes, class_names, class_numbers
from ranvier.data.source import Array, Split
from ranvier.records import dataclass

Size: TypeAlias = "tuple[int, int]"

PARTS = ("train", "validation", "test")

_HARMLESS = 256 << 20
_MOST_GROWTH = 1000
"""Pictures may take so many bytes in memory, or so many times those of their files."""


_LARGEST = 256
"""Pictures of different sizes are brought to at most so many pixels a side."""


@dataclass(frozen=True, eq=False)
class PictureFolder:
    """Parts and class names of a folder of pictures, and what was done to read it.

    notes: `skipped`, the files that are no pictures; `resized`, how many pictures had another
    size than `size`, [height, width]. It is empty where there is nothing to say.
    """

    parts: dict[str, Split]
    classes: tuple[str, ...]
    notes: dict[str, Any]


def read_picture_folder(folder: Path) -> PictureFolder:
    """Read a folder of pictures.

    Either the folder holds a subfolder for each class, or it holds `train` and perhaps
    `validation` and `test`, which do. The classes are those of the training set, by name.
    Inputs are uint8[n, h, w, c], c = 1 if all pictures are grey, else 3; files are read in the
    order of their names.

    Pictures of different sizes are brought to one: the medians of the heights and of the widths
    in the training part, made smaller in proportion where a side has more than 256 pixels. A
    picture of another size is fitted in, its sides in proportion, in the middle of its own border's
    colour. Files that are no pictures are skipped.

    Raises DataError for a damaged picture, for a class without any, for folders inside those of
    the classes, and for fewer than two classes.
    """
    if not (folder / "train").is_dir():
        roots = {"train": folder}
    else:
        roots = {part: folder / part for part in PARTS if (folder / part).is_dir()}
    classes = class_names([path.name for path in _subfolders(roots["train"])])
    check_classes(classes, f"{folder}")
    skipped: list[Path] = []
    files = {part: _files(root, classes, skipped) for part, root in roots.items()}
    sizes = {path: size for listed in files.values() for path, _, size in listed}
    size = _common_size([each for _, _, each in files["train"]], set(sizes.values()))
    arrays = _read_all(list(sizes), size)
    parts, start = {}, 0
    for part, listed in files.items():
        labels = class_numbers([name for _, name, _ in listed], classes, str(roots[part]))
        parts[part] = Split(arrays[start : start + len(listed)], labels)
        start += len(listed)
    resized = sum(each != size for each in sizes.values())
    notes: dict[str, Any] = {"resized": resized, "size": list(size)} if resized else {}
    if skipped:
        notes["skipped"] = [path.relative_to(folder).as_posix() for path in skipped]
    return PictureFolder(parts, classes, notes)


def _subfolders(root: Path) -> list[Path]:
    found = sorted(path for path in root.iterdir() if path.is_dir() and path.name[0] != ".")
    if not found:
        raise DataError(
            f"{root}: the folder has no subfolders; put the pictures of each class into one"
        )
    return found


def _files(
    root: Path, classes: tuple[str, ...], skipped: list[Path]
) -> list[tuple[Path, str, Size]]:
    """Every picture of a part with the name of its class and its size."""
    listed = []
    for folder in _subfolders(root):
        if folder.name not in classes:
            raise DataError(
                f"{folder}: the training set has no class {folder.name!r}; "
                "rename the folder, or add pictures of it to train"
            )
        paths = sorted(path for path in folder.iterdir() if path.name[0] != ".")
        if not paths:
            raise DataError(f"{folder}: the folder is empty; put pictures there or remove it")
        found = [(path, folder.name, size) for path in paths if (size := _size(path)) is not None]
        if not found:
            raise DataError(
                f"{folder}: holds no pictures ({paths[0].name} is none); put some there, or remove "
                "the folder"
            )
        known = {path for path, _, _ in found}
        skipped += [path for path in paths if path not in known]
        listed += found
    return listed


def _size(path: Path) -> Size | None:
    """The height and width of a picture; None for a file that is none."""
    if path.is_dir():
        raise DataError(f"{path}: is a folder; put the pictures of a class into its folder itself")
    if path.suffix.lower() not in SUFFIXES:
        return None
    try:
        return image_size(path)
    except NoPictureError:
        return None


def _common_size(training: list[Size], every: set[Size]) -> Size:
    """The size that all pictures have, or else are brought to."""
    if len(every) == 1:
        return training[0]
    height, width = (sorted(side)[(len(side) - 1) // 2] for side in zip(*training, strict=True))
    scale = min(1.0, _LARGEST / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _read_all(paths: list[Path], size: Size) -> Array:
    pictures: list[Array] = []
    for path in paths:
        pictures.append(fitted(read_image(path), *size))
        if len(pictures) == 1:
            _check_memory(paths, pictures[0])
    channels = max(pixels.shape[2] for pixels in pictures)
    images = np.empty((len(pictures), *size, channels), np.uint8)
    for number, pixels in enumerate(pictures):
        images[number] = pixels  # a grey picture among coloured ones is repeated by channel
    return images


def _check_memory(paths: list[Path], first: Array) -> None:
    """Refuse files so small that their pictures, all like the first, cannot be photographs."""
    needed, packed = first.size * len(paths), sum(path.stat().st_size for path in paths)
    if needed > _HARMLESS and needed > _MOST_GROWTH * packed:
        raise DataError(
            f"{paths[0].parent.parent}: {len(paths)} pictures of {first.shape[1]}x{first.shape[0]} "
            f"pixels need {needed >> 20} MB, over {_MOST_GROWTH} times their files; make them "
            "smaller"
        )
