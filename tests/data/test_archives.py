"""Unpacking: whole or not at all, and nothing outside the folder."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from data_files import says

from ranvier.data.archives import unpack

Writer = Callable[[Path, Mapping[str, bytes]], Path]


def write_tar(path: Path, files: Mapping[str, bytes]) -> Path:
    path.write_bytes(gzip.compress(write_plain_tar(files)))
    return path


def write_plain_tar(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def write_zip(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return path


WRITERS: dict[str, Writer] = {"tar": write_tar, "zip": write_zip}
FILES = {"top.txt": b"one", "a/b/deep.bin": bytes(range(256)) * 99, "a/empty": b""}


@pytest.fixture(params=WRITERS)
def write(request: pytest.FixtureRequest) -> Writer:
    return WRITERS[request.param]


def left_over(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_unpacks_files_and_folders(tmp_path: Path, write: Writer) -> None:
    archive = write(tmp_path / "archive", FILES)
    target = tmp_path / "target"
    unpack(archive, target)
    found = {p.relative_to(target).as_posix(): p for p in target.rglob("*") if p.is_file()}
    assert {name: path.read_bytes() for name, path in found.items()} == FILES
    assert left_over(tmp_path) == ["archive", "target"]


def test_an_existing_folder_is_left_alone(tmp_path: Path, write: Writer) -> None:
    archive = write(tmp_path / "archive", FILES)
    target = tmp_path / "target"
    target.mkdir()
    (target / "mine").write_text("mine")
    unpack(archive, target)
    assert left_over(target) == ["mine"]
    assert left_over(tmp_path) == ["archive", "target"]


@pytest.mark.parametrize("place", ["file", "file/inner"])
def test_a_target_that_cannot_be_a_folder(tmp_path: Path, write: Writer, place: str) -> None:
    archive = write(tmp_path / "archive", FILES)
    (tmp_path / "file").write_text("mine")
    reason = "File exists" if "/" in place else "Not a directory"
    text = (
        f"{archive}: cannot unpack into {tmp_path / place} ({reason}); "
        "make room there, and see that it can be written"
    )
    with says(text):
        unpack(archive, tmp_path / place)
    assert left_over(tmp_path) == ["archive", "file"]


def test_folders_have_entries_of_their_own(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as packed_zip:
        packed_zip.mkdir("empty")
    folder = tarfile.TarInfo("empty")
    folder.type = tarfile.DIRTYPE
    with tarfile.open(tmp_path / "archive.tar", "w") as packed_tar:
        packed_tar.addfile(folder)
    for kind in ("zip", "tar"):
        unpack(tmp_path / f"archive.{kind}", tmp_path / kind)
        assert left_over(tmp_path / kind) == ["empty"]
        assert (tmp_path / kind / "empty").is_dir()


HOSTILE = {
    "/etc/evil": "is an absolute path",
    "../evil": "climbs out of the folder",
    "a/../../evil": "climbs out of the folder",
    "a\\..\\..\\evil": "climbs out of the folder",
    "C:\\evil": "is an absolute path",
    "\\evil": "is an absolute path",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_refuses_the_whole(tmp_path: Path, write: Writer, name: str) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    archive = write(tmp_path / "archive", {"good": b"good", name: b"evil"})
    text = f"the member {name!r} {HOSTILE[name]}; do not trust this archive"
    with says(f"{archive}: {text}"):
        unpack(archive, inside / "target")
    assert left_over(inside) == []
    assert left_over(tmp_path) == ["archive", "inside"]


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
)
def test_a_tar_with_a_link_or_device(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "archive.tar"
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("link")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    text = f"{path}: the member 'link' is a link or a device; do not trust this archive"
    with says(text):
        unpack(path, tmp_path / "target")
    assert left_over(tmp_path) == ["archive.tar"]


def test_a_zip_with_a_link(tmp_path: Path) -> None:
    path = tmp_path / "archive.zip"
    with zipfile.ZipFile(path, "w") as archive:
        entry = zipfile.ZipInfo("link")
        entry.create_system, entry.external_attr = 3, 0o120777 << 16
        archive.writestr(entry, "/etc/passwd")
    text = f"{path}: the member 'link' is a link or a device; do not trust this archive"
    with says(text):
        unpack(path, tmp_path / "target")


def test_a_bomb(tmp_path: Path, write: Writer) -> None:
    archive = write(tmp_path / "archive", {"a": bytes(600_000), "b": bytes(600_000)})
    text = f"{archive}: unpacks to more than 1000000 bytes; unpack it yourself if you trust it"
    with says(text):
        unpack(archive, tmp_path / "target", limit=1_000_000)
    assert left_over(tmp_path) == ["archive"]
    unpack(archive, tmp_path / "target", limit=1_200_000)


def test_a_name_that_stands_twice(tmp_path: Path) -> None:
    path = tmp_path / "archive.tar"
    with tarfile.open(path, "w") as archive:
        for _ in range(2):
            archive.addfile(tarfile.TarInfo("twice"))
    with says(f"{path}: the archive names a file twice; fetch it anew"):
        unpack(path, tmp_path / "target")


def test_a_file_that_is_also_a_folder(tmp_path: Path, write: Writer) -> None:
    archive = write(tmp_path / "archive", {"a": b"1", "a/b": b"2"})
    with says(f"{archive}: the archive names a file twice; fetch it anew"):
        unpack(archive, tmp_path / "target")


@pytest.mark.parametrize("cut", [0, 100, -6])
def test_a_damaged_archive(tmp_path: Path, write: Writer, cut: int) -> None:
    path = tmp_path / "archive"
    content = write(path, {"squares": b",".join(b"%d" % n**2 for n in range(5000))}).read_bytes()
    path.write_bytes(content[:cut])
    with says(f"{path}: not a tar or zip archive, or damaged; fetch it anew"):
        unpack(path, tmp_path / "target")
    assert left_over(tmp_path) == ["archive"]


def test_a_flipped_bit_in_a_stored_file(tmp_path: Path) -> None:
    """Nothing but the checksum at the very end of a gzip stream can find it."""
    content = gzip.compress(write_plain_tar(FILES), compresslevel=0, mtime=0)
    place = content.index(b"one")
    path = tmp_path / "archive.tar.gz"
    path.write_bytes(content[:place] + b"two" + content[place + 3 :])
    with says(f"{path}: not a tar or zip archive, or damaged; fetch it anew"):
        unpack(path, tmp_path / "target")


def test_a_missing_archive(tmp_path: Path) -> None:
    with says(f"{tmp_path / 'no'}: there is no such file; check the path"):
        unpack(tmp_path / "no", tmp_path / "target")
