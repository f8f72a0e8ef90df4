"""The IDX format: exactly the announced bytes, or one clear sentence."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from data_files import idx, images, labels, says, write_idx_folder

from ranvier.data.idx import read_bytes, read_idx, read_part

PIXELS = images(5)
GOOD = idx(PIXELS)
PACKED = gzip.compress(GOOD)


@pytest.mark.parametrize("name", ["plain", "packed.gz"])
def test_reads_what_was_written(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(PACKED if name.endswith(".gz") else GOOD)
    found = read_idx(path, 3)
    assert found.dtype == np.uint8
    assert np.array_equal(found, PIXELS)


def test_reads_a_file_without_rows(tmp_path: Path) -> None:
    path = tmp_path / "none"
    path.write_bytes(idx(np.zeros((0, 4, 3))))
    assert read_idx(path, 3).shape == (0, 4, 3)


MAGIC = "not an IDX file: it begins with 0x{}, not 0x00000803; fetch it anew"
SIZE = "its header announces 60 bytes of data, {} follow; fetch it anew"
BAD: dict[str, tuple[bytes, str]] = {
    "text": (b"label,pixel\n1,2\n3,4,5", MAGIC.format("6c616265")),
    "first byte": (b"\1" + GOOD[1:], MAGIC.format("01000803")),
    "unknown type": (b"\0\0\x07" + GOOD[3:], MAGIC.format("00000703")),
    "gzip inside": (PACKED, MAGIC.format(PACKED[:4].hex())),
    "floats": (
        b"\0\0\x0d" + GOOD[3:],
        "the elements are float32; write them as unsigned bytes (uint8)",
    ),
    "axes": (
        idx(labels(16)),
        "the file has 1 axes, not 3; images have 3 (count, height, width), labels 1",
    ),
    "empty": (
        b"",
        "the file is truncated: 0 bytes are less than an IDX header of 16; fetch it anew",
    ),
    "half a header": (
        GOOD[:15],
        "the file is truncated: 15 bytes are less than an IDX header of 16; fetch it anew",
    ),
    "a byte short": (GOOD[:-1], "the file is truncated: " + SIZE.format(59)),
    "a byte long": (GOOD + b"x", "the file has trailing bytes: " + SIZE.format(61)),
    "a huge size": (
        GOOD[:4] + b"\xff" * 12 + GOOD[16:],
        f"the file is truncated: its header announces {(2**32 - 1) ** 3} bytes of data, "
        "60 follow; fetch it anew",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_refused(tmp_path: Path, kind: str) -> None:
    content, text = BAD[kind]
    path = tmp_path / "train-images"
    path.write_bytes(content)
    with says(f"{path}: {text}"):
        read_idx(path, 3)


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


BAD_GZIP = {
    "truncated": (PACKED[:-9], "truncated"),
    "header only": (PACKED[:8], "truncated"),
    "plain": (GOOD, "none (it does not begin with 1f 8b)"),
    "wrong check sum": (flipped(PACKED, len(PACKED) - 6), "damaged"),
    "wrong method": (flipped(PACKED, 2), "damaged"),
    "more behind it": (PACKED + b"more", "damaged"),
}


@pytest.mark.parametrize("kind", BAD_GZIP)
def test_a_bad_archive_is_refused(tmp_path: Path, kind: str) -> None:
    content, fault = BAD_GZIP[kind]
    path = tmp_path / "images.gz"
    path.write_bytes(content)
    with says(f"{path}: the gzip archive is {fault}; fetch it anew"):
        read_idx(path, 3)


def test_a_missing_file_a_folder_and_a_bomb(tmp_path: Path) -> None:
    with says(f"{tmp_path / 'no'}: there is no such file; check the path"):
        read_idx(tmp_path / "no", 3)
    with says(f"{tmp_path}: cannot be read: Is a directory"):
        read_idx(tmp_path, 3)
    path = tmp_path / "zeros.gz"
    path.write_bytes(gzip.compress(bytes(100_000)))
    with says(f"{path}: holds more than 99999 bytes; split it into smaller files"):
        read_bytes(path, 99_999)
    assert len(read_bytes(path, 100_000)) == 100_000


def test_a_part_pairs_images_with_labels(tmp_path: Path) -> None:
    split = read_part(write_idx_folder(tmp_path), "test")
    assert isinstance(split.inputs, np.ndarray)
    assert isinstance(split.targets, np.ndarray)
    assert split.inputs.dtype == np.uint8
    assert split.targets.dtype == np.int32
    assert np.array_equal(split.inputs[..., 0], images(6))
    assert np.array_equal(split.targets, labels(6))


@pytest.mark.parametrize("name", ["test-labels.idx1-ubyte", "t10k-labels-idx1-ubyte"])
def test_other_spellings_are_known(tmp_path: Path, name: str) -> None:
    write_idx_folder(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    (tmp_path / name).write_bytes(idx(labels(6)))
    assert len(read_part(tmp_path, "test")) == 6


def test_a_missing_half(tmp_path: Path) -> None:
    write_idx_folder(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with says(f"{tmp_path}: there is no t10k-labels-idx1-ubyte.gz; put that file there"):
        read_part(tmp_path, "test")


def test_images_and_labels_of_different_number(tmp_path: Path) -> None:
    write_idx_folder(tmp_path)
    path = tmp_path / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(idx(labels(5))))
    text = (
        f"{tmp_path / 't10k-images-idx3-ubyte.gz'} holds 6 images, {path} 5 labels; "
        "fetch both from the same source"
    )
    with says(text):
        read_part(tmp_path, "test")
