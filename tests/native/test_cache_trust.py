"""The cache runs only what its user has made: nothing that others planted, whatever its form."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ranvier.engines.native.run.cache import Cache, default_cache
from ranvier.engines.native.run.private import KEY as SECRET

pytestmark = pytest.mark.skipif(os.name != "posix", reason="owners and modes are POSIX")

KEY = "ab" * 32
PAYLOAD = b"code of the user's"
PLANTED = b"code of someone else"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the user's cache, with one entry."""
    monkeypatch.setenv("RANVIER_CACHE", str(tmp_path))
    default_cache().write(KEY, PAYLOAD)
    assert default_cache().read(KEY) == PAYLOAD
    return tmp_path / "objects"


def planted(where: Path) -> Path:
    """An entry that is right in every way, but that another user's cache has made."""
    theirs = where / "theirs"
    theirs.mkdir()
    Cache(theirs).write(KEY, PLANTED)
    return theirs / f"{KEY}.object"


def test_an_entry_of_another_users_cache_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copy2(planted(tmp_path), folder)
    assert (folder / f"{KEY}.object").stat().st_mode & 0o777 == 0o600
    assert default_cache().read(KEY) is None
    assert not (folder / f"{KEY}.object").exists()


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702, 0o755])
def test_a_folder_that_was_open_is_closed_and_emptied(folder: Path, mode: int) -> None:
    (folder / "notes.txt").write_text("not the cache's")
    folder.chmod(mode)
    assert default_cache().read(KEY) is None
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in folder.iterdir() if path.name != SECRET] == ["notes.txt"]
    assert default_cache().get(KEY, lambda: PAYLOAD) == PAYLOAD
    assert default_cache().read(KEY) == PAYLOAD


def test_a_folder_that_cannot_be_closed_is_not_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.chmod(0o777)
    monkeypatch.setattr(Path, "chmod", lambda self, mode: None)  # as on a FAT disk
    assert default_cache().folder is None


def written_by_all(entry: Path) -> None:
    entry.chmod(0o666)


def symbolic_link(entry: Path) -> None:
    entry.rename(entry.parent.parent / "elsewhere")
    entry.symlink_to(entry.parent.parent / "elsewhere")


def pipe(entry: Path) -> None:
    entry.unlink()
    os.mkfifo(entry, 0o600)


def device(entry: Path) -> None:
    entry.unlink()
    entry.symlink_to("/dev/zero")


@pytest.mark.parametrize("change", [written_by_all, symbolic_link, pipe, device])
def test_entries_that_are_not_the_users_alone_are_made_anew(
    folder: Path, change: Callable[[Path], None]
) -> None:
    change(folder / f"{KEY}.object")
    assert default_cache().get(KEY, lambda: b"made anew") == b"made anew"
    assert default_cache().read(KEY) == b"made anew"


def test_an_entry_of_another_owner_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, owner = Cache(tmp_path), os.geteuid()
    cache.write(KEY, PAYLOAD)
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    assert cache.read(KEY) is None


def test_the_secret_is_the_users_alone(folder: Path) -> None:
    assert (folder / SECRET).stat().st_mode & 0o777 == 0o600
    (folder / SECRET).chmod(0o644)  # from now on others may know it
    assert default_cache().read(KEY) is None
    default_cache().write(KEY, PAYLOAD)
    assert (folder / SECRET).stat().st_mode & 0o777 == 0o600
    assert default_cache().read(KEY) == PAYLOAD


def test_a_secret_that_others_chose_is_replaced(folder: Path, tmp_path: Path) -> None:
    entry = planted(tmp_path)
    (folder / SECRET).unlink()
    (folder / SECRET).symlink_to(entry.parent / SECRET)
    shutil.copy2(entry, folder)
    assert default_cache().read(KEY) is None
    assert not (folder / SECRET).is_symlink()


def test_processes_that_start_at_once_share_a_secret(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from ranvier.engines.native.run.cache import Cache\n"
        "Cache(Path(sys.argv[1])).write(sys.argv[2], b'payload')\n"
    )
    keys = [f"{number:064x}" for number in range(4)]
    writers = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), k]) for k in keys]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    assert [Cache(tmp_path).read(key) for key in keys] == [b"payload"] * 4
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *(f"{key}.object" for key in keys),
        SECRET,
    ]
