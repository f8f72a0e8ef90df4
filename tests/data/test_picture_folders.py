"""Folders of pictures, a subfolder for each class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from data_files import images, says, write_picture
from PIL import Image

from ranvier.data import from_path, picture
from ranvier.data.folders import read_picture_folder


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


def test_pictures_of_different_sizes_are_fitted_into_the_medians(tmp_path: Path) -> None:
    """Heights 4, 4, 9, 9, 9 and widths 3, 3, 8, 8, 20: 9 by 8."""
    for name, shape in zip("abcde", ((4, 3), (4, 3), (9, 8), (9, 8), (9, 20)), strict=True):
        pixels = np.full(shape, 10, np.uint8)
        pixels[1:-1, 1:-1] = 200
        write_picture(tmp_path / "train" / ("x" if name < "c" else "y") / f"{name}.png", pixels)
    write_picture(tmp_path / "test" / "x" / "f.png", np.full((30, 30), 77, np.uint8))
    found = read_picture_folder(tmp_path)
    train, test = (np.asarray(found.parts[part].inputs)[..., 0] for part in ("train", "test"))
    assert train.shape == (5, 9, 8)
    assert found.notes == {"resized": 4, "size": [9, 8]}
    assert np.array_equal(train[2], train[3])  # of that size already, so untouched
    assert (train[2, 1:-1, 1:-1] == 200).all()
    assert (train[4, :2] == 10).all()  # 20 wide is 8 wide and 4 high, on its border's colour
    assert (train[4, -2:] == 10).all()
    assert train[4, 4, 4] > 150
    assert (train[0, :, 0] < 100).all()
    assert (test[0] == 77).all()


def test_a_picture_is_predicted_as_it_was_fitted_in_training(tmp_path: Path) -> None:
    for name, size in (("a", (40, 30)), ("b", (40, 30)), ("c", (33, 60))):
        for number, pixels in enumerate(images(3, *size, seed=len(name))):
            colour = np.stack([pixels, pixels // 2, pixels // 3], axis=-1)
            write_picture(tmp_path / name / f"{number}.png", colour)
    inputs = np.asarray(read_picture_folder(tmp_path).parts["train"].inputs)
    for row, name in ((0, "a"), (6, "c")):
        assert np.array_equal(picture(tmp_path / name / "0.png", (40, 30, 3)), inputs[row])


def test_large_pictures_of_different_sizes_become_smaller(tmp_path: Path) -> None:
    for name, shape in (("a", (300, 512)), ("b", (300, 512)), ("c", (301, 512))):
        write_picture(tmp_path / name / "0.png", np.full(shape, 9, np.uint8))
    assert read_picture_folder(tmp_path).notes == {"resized": 3, "size": [150, 256]}


def test_a_picture_that_was_turned_has_its_size_turned(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in "ab":
        write_picture(tmp_path / name / "0.png", images(1, 7, 4)[0])
    Image.fromarray(images(1, 4, 7)[0]).save(tmp_path / "a" / "1.png", exif=exif)
    found = read_picture_folder(tmp_path)
    assert found.notes == {}
    assert found.parts["train"].inputs.shape == (3, 7, 4, 1)  # type: ignore[union-attr]


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
        f"{tmp_path / 'test' / 'c'}: the training set has no class 'c'; "
        "rename the folder, or add pictures of it to train"
    )
    with says(text):
        from_path(tmp_path)


def test_folders_in_those_of_classes_are_refused(tmp_path: Path) -> None:
    write_classes(tmp_path)
    path = tmp_path / "a" / "more"
    path.mkdir()
    with says(f"{path}: is a folder; put the pictures of a class into its folder itself"):
        from_path(tmp_path)


def test_files_that_are_no_pictures_are_skipped_and_counted(tmp_path: Path) -> None:
    write_classes(tmp_path)
    expected = from_path(tmp_path)
    (tmp_path / "a" / "notes.txt").write_text("x")
    (tmp_path / "b" / "3a.png").write_text("text")  # whatever its name says
    found = from_path(tmp_path)
    assert found.notes == {"skipped": ["a/notes.txt", "b/3a.png"]}
    assert expected.notes == {}
    for part in ("train", "validation", "test"):
        one, other = getattr(expected, part), getattr(found, part)
        assert np.array_equal(one.inputs, other.inputs)
        assert np.array_equal(one.targets, other.targets)


def test_a_class_of_files_that_are_no_pictures(tmp_path: Path) -> None:
    write_classes(tmp_path)
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "1.png").write_text("text")
    text = "holds no pictures (1.png is none); put some there, or remove the folder"
    with says(f"{tmp_path / 'c'}: {text}"):
        from_path(tmp_path)


def test_a_damaged_picture_is_not_skipped(tmp_path: Path) -> None:
    write_classes(tmp_path)
    path = write_picture(tmp_path / "b" / "5.png", images(1, 50, 50)[0])
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(ValueError, match=r"5\.png: the picture is damaged"):
        from_path(tmp_path)
