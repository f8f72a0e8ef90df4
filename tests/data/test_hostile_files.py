"""Files made to hang, to fill memory or to start programs: one error each, quickly and cheaply."""

from __future__ import annotations

import gzip
import io
import os
import signal
import struct
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from costs import cost

from ranvier.data import from_path, picture
from ranvier.data.csvfile import read_columns, read_csv
from ranvier.data.errors import DataError
from ranvier.data.folders import read_picture_folder
from ranvier.data.idx import read_idx
from ranvier.data.images import read_image
from ranvier.data.npz import read_npz

MB = 1 << 20
OVER = 500
"""Megabytes beyond the data's own size that a read may take."""

posix = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are POSIX")


@pytest.fixture(autouse=True)
def no_waiting() -> Iterator[None]:
    """A read that waits for ever fails its test, even on a busy machine."""

    def late(*_: object) -> None:
        raise TimeoutError("more than a minute")

    if hasattr(signal, "setitimer"):
        before = signal.signal(signal.SIGALRM, late)
        signal.setitimer(signal.ITIMER_REAL, 60)
        yield
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    else:
        yield


# ---------------------------------------------------------------- what is no plain file

READERS: dict[str, Callable[[Path], Any]] = {
    "a.csv": lambda path: read_csv(path, None, False),
    "header.csv": read_columns,
    "a.npz": read_npz,
    "a-idx3-ubyte": lambda path: read_idx(path, 3),
    "a-idx3-ubyte.gz": lambda path: read_idx(path, 3),
    "a.png": read_image,
    "b.png": lambda path: picture(path, (28, 28, 1)),
    "b.npz": from_path,
    "b.csv": from_path,
}


@posix
@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_only_plain_files_are_read(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / name
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(DataError, match="a device; copy what it gives to a plain file") as error:
        READERS[name](path)
    assert str(error.value).startswith(f"{path}: ")


@posix
def test_a_pipe_among_pictures_is_named(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        os.mkfifo(tmp_path / name / "a.png")
    with pytest.raises(DataError, match=r"cat/a\.png: cannot be read: it is a pipe"):
        read_picture_folder(tmp_path)


# ---------------------------------------------------------------- bombs


def zeros(write: Callable[[bytes], object], megabytes: int) -> None:
    for _ in range(megabytes):
        write(bytes(MB))


def npy_header(shape: tuple[int, ...], descr: str = "|u1") -> bytes:
    file = io.BytesIO()
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue()


def npz_bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("inputs.npy", "w") as file:
            file.write(npy_header((600 * MB,)))
            zeros(file.write, 600)
        archive.writestr("targets.npy", npy_header((0,)))


def gz_bomb(path: Path) -> None:
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(struct.pack(">BBBB3I", 0, 0, 8, 3, 600, 1024, 1024))
        zeros(file.write, 600)


@pytest.mark.parametrize(
    ("make", "read"),
    [
        (npz_bomb, "from ranvier.data.npz import read_npz; read_npz(path)"),
        (gz_bomb, "from ranvier.data.idx import read_idx; read_idx(path, 3)"),
    ],
)
def test_bombs_are_refused_before_they_unpack(
    tmp_path: Path, make: Callable[[Path], None], read: str
) -> None:
    path = tmp_path / "bomb.gz"
    make(path)
    found = cost(read, path)
    assert found.error.startswith(f"DataError: {path}: unpacks to more than ")
    assert "unpack it yourself if you trust it" in found.error
    assert found.megabytes < OVER


@pytest.mark.parametrize(
    ("shape", "descr"),
    [
        ((1 << 40,), "|u1"),
        ((1 << 40, 1 << 40), "<f4"),
        ((0, 1 << 62), "<f8"),
        ((5,), "<f4"),
        ((-1,), "|u1"),
        ((1,) * 60, "|u1"),
        ((1,), "<U100000000"),
        ((4,), "<U0"),
    ],
)
def test_a_forged_shape_is_refused_before_memory_is_spent(
    tmp_path: Path, shape: tuple[int, ...], descr: str
) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("inputs.npy", "targets.npy"):
            archive.writestr(name, npy_header(shape, descr) + b"\0\0\0\0")
    with pytest.raises(DataError, match=r"a\.npz: not an \.npz archive, or damaged"):
        read_npz(path)


def test_what_numpy_writes_is_read(tmp_path: Path) -> None:
    """In its order of columns too, in another byte order, and compressed."""
    by_columns = np.asfortranarray(np.arange(24, dtype=np.float32).reshape(4, 6))
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", inputs=by_columns, targets=np.arange(4, dtype=">i8") % 2)
        parts, classes = read_npz(tmp_path / "a.npz")
        assert np.array_equal(np.asarray(parts["train"].inputs), by_columns)
        assert classes == ("0", "1")


def test_pictures_are_counted_without_large_copies(tmp_path: Path) -> None:
    size = 150
    rows = size * MB // 784
    np.savez(
        tmp_path / "a.npz",
        inputs=np.zeros((rows, 28, 28), np.uint8),
        targets=np.arange(rows) % 10,
    )
    code = (
        "from ranvier.cli.data import description\n"
        "description(str(path), from_path(path), None, False)"
    )
    found = cost(code, tmp_path / "a.npz")
    assert found.error == ""
    assert found.megabytes < size + OVER


# ---------------------------------------------------------------- pictures


def png(width: int, height: int) -> bytes:
    """A white picture of one bit a pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    packer = zlib.compressobj(1)
    line = b"\0" + b"\xff" * (-(-width // 8))
    rows = b"".join(packer.compress(line) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", rows), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize(("width", "height"), [(8001, 8001), (10_000, 10_000), (20_000, 20_000)])
def test_too_many_pixels_are_refused(tmp_path: Path, width: int, height: int) -> None:
    (tmp_path / "a.png").write_bytes(png(width, height))
    with pytest.raises(DataError, match=r"a\.png: the picture has too many pixels"):
        read_image(tmp_path / "a.png")


def test_large_pictures_of_small_files_are_refused_together(tmp_path: Path) -> None:
    """Each alone would do; all together they would need gigabytes."""
    content = png(4000, 4000)
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(100):
            (tmp_path / name / f"{number:03d}.png").write_bytes(content)
    found = cost("from_path(path)", tmp_path)
    assert found.error.startswith(f"DataError: {tmp_path}: 200 pictures of 4000x4000 pixels need")
    assert found.megabytes < OVER


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_no_decoder_starts_a_program(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import EpsImagePlugin

    def started(*_: object, **__: object) -> None:
        raise AssertionError("Ghostscript was called")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", started)
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(EPS)
    with pytest.raises(DataError, match="not a picture that can be read; use PNG or JPEG"):
        read_image(path)


def test_a_picture_that_is_cut_off_gives_an_error_and_no_warnings(tmp_path: Path) -> None:
    from PIL import Image

    path = tmp_path / "a.tif"
    Image.fromarray(np.zeros((9, 9, 4), np.uint8)).save(path)
    content = path.read_bytes()
    for length in range(0, len(content) - 1, 5):
        path.write_bytes(content[:length])
        with pytest.raises(DataError, match=r"a\.tif: "):
            read_image(path)


def test_large_pictures_are_converted_in_bands(tmp_path: Path) -> None:
    """The bands meet, of every kind of pixel, and a palette of greys is seen in all of them."""
    from PIL import Image

    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (600, 5, 4), np.uint8)
    for mode in ("L", "RGB", "RGBA", "P", "LA", "1"):
        image = Image.fromarray(pixels).convert(mode)
        image.save(tmp_path / "a.png")
        paper = Image.new("RGBA", image.size, "white")
        whole = Image.alpha_composite(paper, image.convert("RGBA")).convert("RGB")
        grey = mode in ("L", "LA", "1")
        expected = np.asarray(whole.convert("L") if grey else whole).reshape(600, 5, -1)
        assert np.array_equal(read_image(tmp_path / "a.png"), expected), mode


# ---------------------------------------------------------------- tables


def test_columns_cost_no_more_than_linear_time(tmp_path: Path) -> None:
    path, count = tmp_path / "wide.csv", 40_000
    names = [f"column{number}" for number in range(count)]
    rows = [",".join([*["1"] * (count - 1), label]) for label in "ab"]
    path.write_text("\n".join([",".join(names), *rows, ""]))
    began = time.process_time()
    split, classes = read_csv(path, None, False, names[:-1])
    assert time.process_time() - began < 5
    assert np.asarray(split.inputs).shape == (2, count - 1)
    assert classes == ("a", "b")
    with pytest.raises(DataError, match="there is no column 'nothing'") as error:
        read_csv(path, "nothing", False)
    assert len(str(error.value)) < 1100


def test_a_label_of_thousands_of_digits_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,label\n" + "".join(f"{n},{'9' * (5000 + n % 2)}\n" for n in range(6)))
    with pytest.raises(DataError, match="or whole numbers as classes") as error:
        read_csv(path, None, False)
    assert len(str(error.value)) < 1100
