"""One's own data: IDX folders, archives of arrays, tables; each mistake is one clear sentence."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_files import idx, images, labels, says, write_idx_folder

from ranvier.data import Dataset, Split, from_path
from ranvier.data.source import joined

FORMATS = (
    "a folder of IDX files, a folder with a subfolder of pictures for each class, "
    "a .npz archive or a .csv table"
)


def parts(dataset: Dataset) -> list[Split]:
    return [dataset.train, dataset.validation, dataset.test]


def sizes(dataset: Dataset) -> list[int]:
    return [len(part) for part in parts(dataset)]


def inputs(dataset: Dataset) -> np.ndarray:
    """The inputs of all parts, one after the other."""
    return np.concatenate([np.asarray(part.inputs) for part in parts(dataset)])


def targets(dataset: Dataset) -> np.ndarray:
    return np.concatenate([np.asarray(part.targets) for part in parts(dataset)])


# ------------------------------------------------------------ what is none of them


def test_paths_that_hold_no_data(tmp_path: Path) -> None:
    with says(f"{tmp_path / 'no'}: there is no such file or folder; check the path"):
        from_path(tmp_path / "no")
    with says(f"{tmp_path}: the folder is empty; use {FORMATS}"):
        from_path(tmp_path)
    (tmp_path / "notes.txt").write_text("notes")
    with says(f"{tmp_path / 'notes.txt'}: not a format that can be read; use {FORMATS}"):
        from_path(tmp_path / "notes.txt")
    with says(f"{tmp_path}: neither IDX files nor subfolders of pictures; use {FORMATS}"):
        from_path(tmp_path)
    with says(f"{tmp_path}: label, regression and features are for tables; leave them out"):
        from_path(tmp_path, label="y")


# ------------------------------------------------------------ IDX


def test_an_idx_folder(tmp_path: Path) -> None:
    dataset = from_path(write_idx_folder(tmp_path / "shapes"))
    assert dataset.name == "shapes"
    assert sizes(dataset) == [18, 2, 6]
    assert dataset.classes == ("0", "1", "2")
    assert dataset.train.inputs.shape == (18, 4, 3, 1)  # type: ignore[union-attr]
    assert np.array_equal(np.asarray(dataset.test.inputs)[..., 0], images(6))
    assert set(dataset.preprocess) == {"scale", "mean", "std"}


def test_an_idx_folder_without_a_test_part(tmp_path: Path) -> None:
    write_idx_folder(tmp_path)
    for path in tmp_path.glob("t10k*"):
        path.unlink()
    first, again, other = (from_path(tmp_path, seed=seed) for seed in (0, 0, 1))
    assert sizes(first) == [16, 2, 2]
    assert np.array_equal(inputs(first), inputs(again))
    assert not np.array_equal(inputs(first), inputs(other))
    assert sorted(inputs(first).sum(axis=(1, 2, 3))) == sorted(images(20).sum(axis=(1, 2)))


def write_labels(folder: Path, part: str, values: np.ndarray) -> Path:
    path = folder / f"{part}-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(idx(values)))
    return path


def test_idx_labels_out_of_range(tmp_path: Path) -> None:
    write_idx_folder(tmp_path)
    path = write_labels(tmp_path, "t10k", np.array([0, 1, 2, 7, 0, 1]))
    with says(f"{path}: the label of row 3 is 7; 3 classes are numbered 0 to 2"):
        from_path(tmp_path)


def test_idx_labels_of_one_class(tmp_path: Path) -> None:
    write_idx_folder(tmp_path)
    path = write_labels(tmp_path, "train", np.full(20, 3))
    with says(f"{path}: every label is '3'; a classifier needs at least two classes"):
        from_path(tmp_path)


def test_an_idx_folder_without_a_training_part_or_rows(tmp_path: Path) -> None:
    path = write_idx_folder(tmp_path) / "train-images-idx3-ubyte.gz"
    path.unlink()
    with says(f"{tmp_path}: there is no train-images-idx3-ubyte.gz; put that file there"):
        from_path(tmp_path)
    path.write_bytes(gzip.compress(idx(images(0))))
    path = write_labels(tmp_path, "train", labels(0))
    with says(f"{path}: there are no labels; add some"):
        from_path(tmp_path)


# ------------------------------------------------------------ .npz


def write_npz(folder: Path, **arrays: Any) -> Path:
    path = folder / "data.npz"
    np.savez(path, **arrays)
    return path


def test_an_npz_of_one_part(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(5, 3, (40, 6))
    dataset = from_path(write_npz(tmp_path, inputs=x, targets=labels(40)))
    assert sizes(dataset) == [32, 4, 4]
    assert inputs(dataset).dtype == np.float32
    assert targets(dataset).dtype == np.int32
    assert dataset.classes == ("0", "1", "2")
    assert dataset.name == "data"
    train = np.asarray(dataset.train.inputs, np.float64)
    assert np.allclose(dataset.preprocess["mean"], train.mean(axis=0), rtol=1e-5)
    assert np.allclose(dataset.preprocess["std"], train.std(axis=0), rtol=1e-5)


def test_an_npz_of_two_or_three_parts(tmp_path: Path) -> None:
    arrays = {
        "x_train": images(20), "y_train": labels(20), "x_test": images(5), "y_test": labels(5)
    }  # fmt: skip
    dataset = from_path(write_npz(tmp_path, **arrays))
    assert sizes(dataset) == [18, 2, 5]
    assert dataset.train.inputs.shape[1:] == (4, 3, 1)  # type: ignore[union-attr]
    arrays |= {"x_validation": images(7), "y_validation": labels(7)}
    dataset = from_path(write_npz(tmp_path, **arrays))
    assert sizes(dataset) == [20, 7, 5]
    assert np.array_equal(np.asarray(dataset.validation.inputs)[..., 0], images(7))


def test_kinds_of_npz_targets(tmp_path: Path) -> None:
    x = np.arange(20)
    numbers = from_path(write_npz(tmp_path, inputs=x, targets=np.linspace(0, 1, 20)))
    assert targets(numbers).dtype == np.float32
    assert targets(numbers).shape == (20, 1)
    assert numbers.classes == ()
    assert inputs(numbers).dtype == np.int32
    assert numbers.preprocess == {}
    named = from_path(write_npz(tmp_path, inputs=x, targets=np.array(["b", "a"] * 10)))
    assert named.classes == ("a", "b")
    assert np.array_equal(targets(named), 1 - inputs(named) % 2)
    given = from_path(
        write_npz(tmp_path, inputs=x, targets=x % 2, classes=np.array(["no", "yes", "maybe"]))
    )
    assert given.classes == ("no", "yes", "maybe")
    truth = from_path(write_npz(tmp_path, inputs=x, targets=x % 2 == 0))
    assert truth.classes == ("0", "1")
    column = from_path(write_npz(tmp_path, inputs=x, targets=(x % 2)[:, np.newaxis]))
    assert targets(column).shape == (20,)


X, Y = np.zeros((4, 2), np.float32), np.array([0, 1, 0, 1])
ONE_EACH = "use an array with one for each observation"
BAD_NPZ: dict[str, tuple[dict[str, Any], str]] = {
    "other keys": (
        {"a": X, "b": Y},
        ": the keys are a, b; use inputs and targets, or x_train, y_train, x_test and y_test",
    ),
    "no keys": (
        {},
        ": the keys are none; use inputs and targets, or x_train, y_train, x_test and y_test",
    ),
    "half a pair": ({"inputs": X}, ": has 'inputs' but no 'targets'; add it"),
    "half a test part": (
        {"x_train": X, "y_train": Y, "y_test": Y},
        ": has 'y_test' but no 'x_test'; add it",
    ),
    "lengths": (
        {"inputs": X, "targets": Y[:3]},
        ": 'inputs' has 4 rows, 'targets' 3; pair them row by row",
    ),
    "objects": (
        {"inputs": np.array([{}, [], 1, None], object), "targets": Y},
        ": holds Python objects, which are never loaded; save arrays of numbers or strings",
    ),
    "nan": (
        {"inputs": np.array([[1.0], [2.0], [np.nan], [3.0]]), "targets": Y},
        ", 'inputs': row 2 holds NaN, infinity or a number beyond float32; "
        "replace it or leave the row out",
    ),
    "beyond float32": (
        {"inputs": X, "targets": np.array([1.0, 1e300, 0, 0])},
        ", 'targets': row 1 holds NaN, infinity or a number beyond float32; "
        "replace it or leave the row out",
    ),
    "negative label": (
        {"inputs": X, "targets": np.array([0, 1, -1, 0])},
        ", 'targets': the label of row 2 is -1; number the classes from 0",
    ),
    "absurd label": (
        {"inputs": X, "targets": np.array([0, 10**9, 1, 0])},
        ", 'targets': the label of row 1 is 1000000000; number the classes from 0",
    ),
    "label beyond the names": (
        {"inputs": X, "targets": np.array([0, 1, 2, 0]), "classes": np.array(["a", "b"])},
        ", 'targets': the label of row 2 is 2; 2 classes are numbered 0 to 1",
    ),
    "label beyond training": (
        {"x_train": X, "y_train": Y, "x_test": X, "y_test": Y + 1},
        ", 'y_test': the label of row 1 is 2; 2 classes are numbered 0 to 1",
    ),
    "name beyond training": (
        {
            "x_train": X, "y_train": np.array(list("abab")),
            "x_test": X, "y_test": np.array(list("abca")),
        },
        ", 'y_test': the label 'c' is none of the 2 classes of the training set; "
        "mend the label, or add training rows that have it",
    ),
    "classes and numbers": (
        {"x_train": X, "y_train": Y * 0.5, "x_test": X, "y_test": Y},
        ", 'y_test': class numbers, but the training targets are floats; use one kind for both",
    ),
    "numbers and classes": (
        {"x_train": X, "y_train": Y, "x_test": X, "y_test": Y * 0.5},
        ", 'y_test': floats, but the training targets are classes; use one kind for both",
    ),
    "one class": (
        {"inputs": X, "targets": np.array([2, 2, 2, 2])},
        ", 'targets': every label is '2'; a classifier needs at least two classes",
    ),
    "one name": (
        {"inputs": X, "targets": np.array(["a"] * 4)},
        ", 'targets': every label is 'a'; a classifier needs at least two classes",
    ),
    "names of another type": (
        {"inputs": X, "targets": Y, "classes": np.array([1, 2])},
        ", 'classes': int64 of shape (2,); use names",
    ),
    "no rows": ({"inputs": X[:0], "targets": Y[:0]}, f", 'targets': there are no rows; {ONE_EACH}"),
    "no axes": ({"inputs": 1.0, "targets": Y}, f", 'inputs': there are no rows; {ONE_EACH}"),
    "complex": (
        {"inputs": X.astype(complex), "targets": Y},
        ", 'inputs': the dtype is complex128; use numbers",
    ),
    "complex targets": (
        {"inputs": X, "targets": Y.astype(complex)},
        ", 'targets': the dtype is complex128; use class numbers, names or floats",
    ),
    "whole one-hot": (
        {"inputs": X, "targets": np.eye(4, dtype=int)},
        ", 'targets': classes of shape (4, 4); use one for each row, or floats to predict",
    ),
    "large ids": (
        {"inputs": np.array([0, 1, 2**40, 3]), "targets": Y},
        ", 'inputs': row 2 holds 1099511627776, more than int32; use smaller numbers",
    ),
    "too few": (
        {"inputs": X[:2], "targets": Y[:2]},
        ": 2 training rows cannot give training, validation and test; add rows, at least 3 in all",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD_NPZ)
def test_a_bad_npz_is_refused(tmp_path: Path, kind: str) -> None:
    arrays, text = BAD_NPZ[kind]
    path = write_npz(tmp_path, **arrays)
    with says(f"{path}{text}"):
        from_path(path)


def test_an_npz_that_is_none(tmp_path: Path) -> None:
    path = write_npz(tmp_path, inputs=X, targets=Y)
    content = path.read_bytes()
    for other in (content[:-30], b"", b"text", b"\x80\x04K\x01."):
        path.write_bytes(other)
        with says(f"{path}: not an .npz archive, or damaged; write it with numpy.savez"):
            from_path(path)


def test_an_npz_with_a_flipped_bit(tmp_path: Path) -> None:
    path = write_npz(tmp_path, inputs=X, targets=Y)
    content = bytearray(path.read_bytes())
    content[content.index(X.tobytes())] ^= 1
    path.write_bytes(content)
    with says(f"{path}: not an .npz archive, or damaged; write it with numpy.savez"):
        from_path(path)


# ------------------------------------------------------------ .csv


ROWS = [f"{n},{n / 4},{'yes' if n % 3 else 'no'}" for n in range(20)]
TABLE = "\n".join(["width,height,fits", *ROWS]) + "\n"


def write_csv(folder: Path, text: str, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode("utf-8"))
    return path


def test_a_table(tmp_path: Path) -> None:
    dataset = from_path(write_csv(tmp_path, TABLE))
    assert sizes(dataset) == [16, 2, 2]
    assert dataset.classes == ("no", "yes")
    found = inputs(dataset)
    assert found.dtype == np.float32
    assert np.array_equal(found[:, 1], found[:, 0] / 4)
    assert np.array_equal(targets(dataset), (found[:, 0] % 3 != 0).astype(int))
    assert len(dataset.preprocess["mean"]) == 2


@pytest.mark.parametrize(
    "text",
    [
        TABLE.replace("\n", "\r\n"),
        "\ufeff" + TABLE,
        TABLE.replace(",", ";"),
        TABLE.replace(",", "\t"),
        TABLE.replace(",", ", ").replace("no", '"no"').replace("\n", "\n\n"),
    ],
    ids=["windows", "byte order mark", "semicolons", "tabs", "spaces, quotes and blank lines"],
)
def test_spellings_of_a_table(tmp_path: Path, text: str) -> None:
    (tmp_path / "plain").mkdir()
    plain = from_path(write_csv(tmp_path / "plain", TABLE))
    other = from_path(write_csv(tmp_path, text.replace(", ", ",")))
    assert np.array_equal(inputs(plain), inputs(other))
    assert np.array_equal(targets(plain), targets(other))


def test_the_label_s_column_by_name(tmp_path: Path) -> None:
    text = "kind,x\n" + "".join(f"{n % 11},{n}\n" for n in range(22))
    dataset = from_path(write_csv(tmp_path, text, "t.tsv"), label="kind")
    assert dataset.classes == tuple(str(n) for n in range(11))  # by value: 10 comes last
    assert np.array_equal(targets(dataset), inputs(dataset)[:, 0] % 11)


def test_numbers_to_predict(tmp_path: Path) -> None:
    dataset = from_path(write_csv(tmp_path, TABLE.replace(",no", ",0").replace(",yes", ",1.5")),
                        regression=True)  # fmt: skip
    assert dataset.classes == ()
    assert targets(dataset).dtype == np.float32
    assert targets(dataset).shape == (20, 1)
    assert set(targets(dataset).ravel().tolist()) == {0.0, 1.5}


def test_a_column_that_never_changes_keeps_its_scale(tmp_path: Path) -> None:
    text = "a,b,kind\n" + "".join(f"{n},7,{n % 2}\n" for n in range(20))
    dataset = from_path(write_csv(tmp_path, text))
    assert dataset.preprocess["mean"][1] == 7
    assert dataset.preprocess["std"][1] == 1


HOW = "which is no finite float32; replace it or leave the row out"
BAD_CSV: dict[str, tuple[str, str]] = {
    "empty": ("", ": the file is empty; it needs a header and rows"),
    "header only": ("a,b\n", ": there are no rows below the header; add some"),
    "names or numbers": (
        "7,900,3\n1,20,4\n2,30,9\n",
        ", line 1: the numbers may be the names of columns, or a row; put a line with the columns' "
        "names above it, or make a word of one of the names",
    ),
    "no name": ("a,,c\n1,2,3\n", ", line 1: column 2 has no name; name every column"),
    "same names": ("a,b,a\n1,2,3\n", ", line 1: two columns are named 'a'; rename one"),
    "one column": ("a\n1\n2\n", ": 'a' is the only column; add columns of features"),
    "too few fields": (
        "a,b\n1,2\n3\n",
        ", line 3: 1 fields, but the header has 2; mend the line",
    ),
    "too many fields": (
        "a,b\n1,2,\n",
        ", line 2: 3 fields, but the header has 2; mend the line",
    ),
    "nan": ("a,b\n1,0\nNaN,1\n", f", line 3: column 'a' holds 'NaN', {HOW}"),
    "infinity": ("a,b\n1,0\n-inf,1\n", f", line 3: column 'a' holds '-inf', {HOW}"),
    "too large": ("a,b\n1,0\n1e39,1\n", f", line 3: column 'a' holds '1e39', {HOW}"),
    "text": (
        "a,b,c\n1,2,0\n\n1,red,1\n",
        ", line 4: column 'b' holds 'red' where a number belongs; "
        "turn the column into numbers or leave it out",
    ),
    "gap": (
        "a,b,c\n1,,0\n",
        ", line 2: column 'b' is empty; fill it in or leave the row out",
    ),
    "no label": (
        "a,b\n1,x\n2, \n",
        ", line 3: the label 'b' is missing; fill it in or leave the row out",
    ),
    "nan label": (
        "a,b\n1,0\n2,nan\n",
        ", line 3: the label 'b' is missing; fill it in or leave the row out",
    ),
    "fraction": (
        "a,b\n1,0\n2,0.5\n",
        ", line 3: the label 'b' is 0.5, no class; "
        "use regression=True to predict numbers, or whole numbers as classes",
    ),
    "one class": (
        "a,b\n1,x\n2,x\n3,x\n",
        ": every label is 'x'; a classifier needs at least two classes",
    ),
    "open quote": ('a,b\n1,"x\n', ", line 2: unexpected end of data; mend the quotes"),
    "two rows": (
        "a,b\n1,x\n2,y\n",
        ": 2 training rows cannot give training, validation and test; add rows, at least 3 in all",
    ),
}


@pytest.mark.parametrize("kind", BAD_CSV)
def test_a_bad_table_is_refused(tmp_path: Path, kind: str) -> None:
    content, text = BAD_CSV[kind]
    path = write_csv(tmp_path, content)
    with says(f"{path}{text}"):
        from_path(path)


def test_labels_that_tell_rows_apart(tmp_path: Path) -> None:
    rows = [f"{n},{n % 25},{3 * n}" for n in range(60)]
    path = write_csv(tmp_path, "\n".join(["a,kind,price", *rows]) + "\n")
    text = (
        f"{path}: the label 'price' has 60 different values in 60 rows; use regression "
        "(--regression) to predict it as a number, or another column as the label (--label)"
    )
    with says(text):
        from_path(path)
    assert len(from_path(path, label="kind").classes) == 25
    assert from_path(path, regression=True).classes == ()


def test_columns_can_be_chosen(tmp_path: Path) -> None:
    path = write_csv(tmp_path, "c,kind,a,b\n" + "3,x,1,2\n6,y,4,5\n" * 5)
    data = from_path(path, label="kind", features=["a", "b"])
    found = joined([data.train, data.validation, data.test])
    assert len(found) == 10
    assert {tuple(row) for row in np.asarray(found.inputs).tolist()} == {(1, 2), (4, 5)}
    assert not data.own_test
    with says(f"{path}: there is no column 'd'; the network takes a, d"):
        from_path(path, label="kind", features=["a", "d"])


def test_other_mistakes_with_tables(tmp_path: Path) -> None:
    path = write_csv(tmp_path, TABLE)
    with says(f"{path}: there is no column 'depth'; the columns are width, height, fits"):
        from_path(path, label="depth")
    text = (
        f"{path}, line 2: column 'fits' holds 'no' where a number belongs; "
        "turn the column into numbers or leave it out"
    )
    with says(text):
        from_path(path, regression=True)
    path.write_bytes("größe,b\n1,2\n".encode("latin-1"))
    with says(f"{path}: byte 2 is not UTF-8; save the table as UTF-8"):
        from_path(path)
