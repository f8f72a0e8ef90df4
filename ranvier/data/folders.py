"""Folders of pictures: one subfolder for each class, named after it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ranvier.data.errors import DataError
from ranvier.data.images import SUFFIXES, read_image
from ranvier.data.labels import check_classes, class_names, class_numbers
from ranvier.data.source import Array, Split

PARTS = ("train", "validation", "test")

_HARMLESS = 256 << 20
_MOST_GROWTH = 1000
"""Pictures may take so many bytes in memory, or so many times those of their files."""


def read_picture_folder(folder: Path) -> tuple[dict[str, Split], tuple[str, ...]]:
    """Return the parts and the class names of a folder of pictures.

    Either the folder holds a subfolder for each class, or it holds `train` and perhaps
    `validation` and `test`, which do. The classes are those of the training part, by name.
    Inputs are uint8[n, h, w, c], c = 1 if all pictures are grey, else 3; files are read in the
    order of their names. Raises DataError for pictures of different sizes, for a class without
    pictures, for files that are none, and for fewer than two classes.
    """
    if not (folder / "train").is_dir():
        roots = {"train": folder}
    else:
        roots = {part: folder / part for part in PARTS if (folder / part).is_dir()}
    classes = class_names([path.name for path in _subfolders(roots["train"])])
    check_classes(classes, f"{folder}")
    files = {part: _files(root, classes) for part, root in roots.items()}
    arrays = _read_all([path for listed in files.values() for path, _ in listed])
    parts, start = {}, 0
    for part, listed in files.items():
        labels = class_numbers([name for _, name in listed], classes, str(roots[part]))
        parts[part] = Split(arrays[start : start + len(listed)], labels)
        start += len(listed)
    return parts, classes


def _subfolders(root: Path) -> list[Path]:
    found = sorted(path for path in root.iterdir() if path.is_dir() and path.name[0] != ".")
    if not found:
        raise DataError(
            f"{root}: the folder has no subfolders; put the pictures of each class into one"
        )
    return found


def _files(root: Path, classes: tuple[str, ...]) -> list[tuple[Path, str]]:
    """Every picture of a part with the name of its class."""
    listed = []
    for folder in _subfolders(root):
        if folder.name not in classes:
            raise DataError(
                f"{folder}: the training part has no class {folder.name!r}; "
                "rename the folder, or add pictures of it to train"
            )
        paths = sorted(path for path in folder.iterdir() if path.name[0] != ".")
        if not paths:
            raise DataError(f"{folder}: the folder is empty; put pictures there or remove it")
        for path in paths:
            if path.is_dir():
                raise DataError(
                    f"{path}: is a folder; put the pictures of a class into its folder itself"
                )
            if path.suffix.lower() not in SUFFIXES:
                raise DataError(f"{path}: not a picture; move it elsewhere or save it as PNG")
            listed.append((path, folder.name))
    return listed


def _read_all(paths: list[Path]) -> Array:
    pictures = []
    for path in paths:
        pictures.append(read_image(path))
        if len(pictures) == 1:
            _check_memory(paths, pictures[0])
        first, last = pictures[0].shape, pictures[-1].shape
        if first[:2] != last[:2]:
            raise DataError(
                f"{paths[0]} is {first[1]}x{first[0]} pixels, {path} {last[1]}x{last[0]}; "
                "bring all pictures to one size"
            )
    channels = max(pixels.shape[2] for pixels in pictures)
    height, width = pictures[0].shape[:2]
    images = np.empty((len(pictures), height, width, channels), np.uint8)
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
