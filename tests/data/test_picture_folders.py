"""Folders of pictures, a subfolder for each class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from data_files import images, says, write_picture

from ranvier.data import from_path


def write_classes(root: Path, classes: str = "ab", n: int = 5, seed: int = 0) -> Path:
    """n grey pictures of 4x3 in each class's folder; the first pixel says which class."""
    for number, name in enumerate(classes):
        for count, pixels in enumerate(images(n, seed=seed + number)):
            pixels[0, 0] = number
            write_picture(root / name / f"{count}.png", pixels)
    return root


def test_one_part_is_divided(tmp_path: Path) -> None:
    dataset = from_path(write_classes(tmp_path / "things"))
    parts = (dataset.train, dataset.validation, dataset.test)
    assert dataset.name == "things"
    assert dataset.classes == ("a", "b")
    assert [len(part) for part in parts] == [8, 1, 1]
    for part in parts:
        pixels, targets = np.asarray(part.inputs), np.asarray(part.targets)
        assert pixels.shape[1:] == (4, 3, 1)
        assert pixels.dtype == np.uint8
        assert targets.dtype == np.int32
        assert np.array_equal(pixels[:, 0, 0, 0], targets)
    assert set(dataset.preprocess) == {"scale", "mean", "std"}


def test_parts_are_kept(tmp_path: Path) -> None:
    write_classes(tmp_path / "train")
    write_classes(tmp_path / "test", n=2, seed=7)
    dataset = from_path(tmp_path)
    assert [len(p) for p in (dataset.train, dataset.validation, dataset.test)] == [9, 1, 4]
    expected = np.concatenate([images(2, seed=7), images(2, seed=8)])
    expected[:, 0, 0] = 0, 0, 1, 1
    assert np.array_equal(np.asarray(dataset.test.inputs)[..., 0], expected)
    write_classes(tmp_path / "validation", "b", n=3)
    dataset = from_path(tmp_path)
    assert [len(p) for p in (dataset.train, dataset.validation, dataset.test)] == [10, 3, 4]
    assert np.asarray(dataset.validation.targets).tolist() == [1, 1, 1]


def test_grey_among_colour(tmp_path: Path) -> None:
    write_classes(tmp_path)
    colour = np.stack([*images(3)], axis=-1)
    colour[0, 0] = 1
    write_picture(tmp_path / "b" / "colour.png", colour)
    dataset = from_path(tmp_path)
    whole = np.concatenate(
        [np.asarray(p.inputs) for p in (dataset.train, dataset.validation, dataset.test)]
    )
    assert whole.shape == (11, 4, 3, 3)
    assert (whole == whole[..., :1]).all(axis=(1, 2, 3)).sum() == 10
    assert len(dataset.preprocess["mean"]) == 3


def test_hidden_files_are_passed_over(tmp_path: Path) -> None:
    write_classes(tmp_path)
    (tmp_path / ".git").mkdir()
    (tmp_path / "a" / ".DS_Store").write_text("")
    assert from_path(tmp_path).classes == ("a", "b")


def test_pictures_of_different_sizes(tmp_path: Path) -> None:
    write_classes(tmp_path)
    other = write_picture(tmp_path / "b" / "2.png", images(1, 9, 8)[0])
    first = tmp_path / "a" / "0.png"
    text = f"{first} is 3x4 pixels, {other} 8x9; bring all pictures to one size"
    with says(text):
        from_path(tmp_path)


def test_one_class_only(tmp_path: Path) -> None:
    write_classes(tmp_path, "a")
    with says(f"{tmp_path}: every label is 'a'; a classifier needs at least two classes"):
        from_path(tmp_path)


def test_an_empty_class(tmp_path: Path) -> None:
    write_classes(tmp_path)
    (tmp_path / "c").mkdir()
    with says(f"{tmp_path / 'c'}: the folder is empty; put pictures there or remove it"):
        from_path(tmp_path)


def test_an_empty_part(tmp_path: Path) -> None:
    write_classes(tmp_path / "train")
    (tmp_path / "test").mkdir()
    text = "the folder has no subfolders; put the pictures of each class into one"
    with says(f"{tmp_path / 'test'}: {text}"):
        from_path(tmp_path)


def test_a_class_that_training_lacks(tmp_path: Path) -> None:
    write_classes(tmp_path / "train")
    write_classes(tmp_path / "test", "abc")
    text = (
        f"{tmp_path / 'test' / 'c'}: the training part has no class 'c'; "
        "rename the folder, or add pictures of it to train"
    )
    with says(text):
        from_path(tmp_path)


@pytest.mark.parametrize("name", ["notes.txt", "0.png/inner"])
def test_a_file_that_is_no_picture(tmp_path: Path, name: str) -> None:
    write_classes(tmp_path)
    path = tmp_path / "a" / name.split("/")[0]
    path.unlink(missing_ok=True)
    if "/" in name:
        path.mkdir()
        text = f"{path}: is a folder; put the pictures of a class into its folder itself"
    else:
        path.write_text("x")
        text = f"{path}: not a picture; move it elsewhere or save it as PNG"
    with says(text):
        from_path(tmp_path)


def test_a_picture_that_is_text(tmp_path: Path) -> None:
    write_classes(tmp_path)
    path = tmp_path / "b" / "1.png"
    path.write_text("text")
    with says(f"{path}: not a picture that can be read; use PNG or JPEG"):
        from_path(tmp_path)
