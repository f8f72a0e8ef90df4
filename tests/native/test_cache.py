"""The cache of compiled objects: what is damaged or foreign is never used."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ranvier.engines.native.host import example_host
from ranvier.engines.native.run import cache as cache_module
from ranvier.engines.native.run.cache import Cache, default_cache, emission_key, ir_key

KEY = "ab" * 32
OTHER = "cd" * 32
PAYLOAD = bytes(range(256)) * 8


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path)


def entry(cache: Cache) -> Path:
    assert cache.folder is not None
    (found,) = cache.folder.glob("*.object")
    return found


def never() -> bytes:
    raise AssertionError("compiled although the cache has it")


def test_makes_once_then_reads(cache: Cache) -> None:
    assert cache.read(KEY) is None
    assert cache.get(KEY, lambda: PAYLOAD) == PAYLOAD
    assert cache.get(KEY, never) == PAYLOAD
    assert cache.read(OTHER) is None


def flip(position: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:position] + bytes([data[position] ^ 1]) + data[position:][1:]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "magic": flip(0),
    "key": flip(8),
    "digest": flip(40),
    "payload": flip(100),
    "last bit": flip(-1),
    "header only": lambda data: data[:72],
    "half": lambda data: data[: len(data) // 2],
    "one byte short": lambda data: data[:-1],
    "one byte long": lambda data: data + b"\0",
    "garbage": lambda data: b"\x7fELF" + b"x" * 500,
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_entries_are_deleted_and_made_anew(cache: Cache, kind: str) -> None:
    cache.write(KEY, PAYLOAD)
    path = entry(cache)
    path.write_bytes(DAMAGE[kind](path.read_bytes()))
    assert cache.read(KEY) is None
    assert not path.exists()
    assert cache.get(KEY, lambda: PAYLOAD) == PAYLOAD
    assert cache.read(KEY) == PAYLOAD


def test_another_programs_entry_is_refused(cache: Cache) -> None:
    cache.write(OTHER, PAYLOAD)
    path = entry(cache)
    path.rename(path.with_name(path.name.replace(OTHER, KEY)))
    assert cache.read(KEY) is None


def test_unreadable_entries_are_made_anew(cache: Cache) -> None:
    cache.write(KEY, PAYLOAD)
    path = entry(cache)
    path.unlink()
    path.mkdir()  # a folder cannot be read, even by root
    assert cache.get(KEY, lambda: PAYLOAD) == PAYLOAD


def test_a_folder_that_cannot_be_written_keeps_nothing(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "missing")
    assert cache.get(KEY, lambda: PAYLOAD) == PAYLOAD
    assert cache.read(KEY) is None
    if os.name == "posix" and os.geteuid() != 0:
        tmp_path.chmod(0o500)
        cache = Cache(tmp_path)
        assert cache.get(KEY, lambda: PAYLOAD) == PAYLOAD
        assert cache.read(KEY) is None


def test_no_folder_keeps_nothing() -> None:
    cache = Cache(None)
    assert cache.get(KEY, lambda: PAYLOAD) == PAYLOAD
    assert cache.read(KEY) is None


def test_size_is_capped_by_last_use(cache: Cache, tmp_path: Path) -> None:
    small = Cache(tmp_path, limit=3 * (len(PAYLOAD) + 72))
    keys = [f"{i:02x}" * 32 for i in range(4)]
    for age, key in enumerate(keys[:3]):
        small.write(key, PAYLOAD)
        os.utime(tmp_path / f"{key}.object", (1000 + age, 1000 + age))
    assert small.read(keys[0]) == PAYLOAD  # used just now
    small.write(keys[3], PAYLOAD)
    assert [small.read(key) is not None for key in keys] == [True, False, True, True]


def test_a_payload_that_would_drive_the_others_out_is_not_kept(tmp_path: Path) -> None:
    small = Cache(tmp_path, limit=2 * len(PAYLOAD) - 1)
    assert small.get(KEY, lambda: PAYLOAD) == PAYLOAD
    assert list(tmp_path.iterdir()) == []


def test_the_number_of_entries_is_capped(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "_MOST", 3)
    for i in range(5):
        cache.write(f"{i:064x}", PAYLOAD)
        path = tmp_path / f"{i:064x}.object"
        os.utime(path, (i, i))
    assert sorted(path.name[63] for path in tmp_path.glob("*.object")) == ["2", "3", "4"]


def test_abandoned_files_are_swept(cache: Cache, tmp_path: Path) -> None:
    old, young = tmp_path / "tmpold.part", tmp_path / "tmpyoung.part"
    for path in (old, young):
        path.write_bytes(b"x")
    os.utime(old, (1000, 1000))
    cache.write(KEY, PAYLOAD)
    assert not old.exists()
    assert young.exists()


def test_threads_wait_for_one_of_them(cache: Cache) -> None:
    made, go = [], threading.Event()

    def make() -> bytes:
        made.append(1)
        go.wait(10)
        return PAYLOAD

    results: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: results.append(cache.get(KEY, make))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    go.set()
    for thread in threads:
        thread.join()
    assert results == [PAYLOAD] * 8
    assert len(made) == 1


def test_a_failure_is_not_shared(cache: Cache) -> None:
    def fail() -> bytes:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        cache.get(KEY, fail)
    assert cache.get(KEY, lambda: PAYLOAD) == PAYLOAD


WRITER = """
import sys
from pathlib import Path
from ranvier.engines.native.run.cache import Cache
cache = Cache(Path(sys.argv[1]), limit=40_000)
bad = 0
for i in range(200):
    key = f"{i % 8:02x}" * 32
    payload = bytes([i % 8]) * 10_000
    bad += cache.read(key) not in (None, payload)
    cache.write(key, payload)
print(bad, len(list(Path(sys.argv[1]).glob("*.part"))))
"""


def test_processes_write_at_once(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    outputs = [writer.communicate(timeout=60)[0].split() for writer in writers]
    assert [output[0] for output in outputs] == ["0"] * 4
    assert not list(tmp_path.glob("*.part"))


def test_keys_tell_programs_and_machines_apart() -> None:
    one, two = example_host("avx512"), example_host("avx2")
    keys = {make(text, machine) for make in (ir_key, emission_key) for text in ("a", "b")
            for machine in (one, two)}  # fmt: skip
    assert len(keys) == 8
    assert ir_key("a", one) == ir_key("a", example_host("avx512"))


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
def test_the_folder_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANVIER_CACHE", str(tmp_path))
    (tmp_path / "objects").mkdir(mode=0o777)
    folder = default_cache().folder
    assert folder == tmp_path / "objects"
    assert folder.stat().st_mode & 0o777 == 0o700


def test_unusable_folders_mean_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANVIER_CACHE", "")
    assert default_cache().folder is None
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("RANVIER_CACHE", str(tmp_path / "file"))
    assert default_cache().folder is None
    monkeypatch.setenv("RANVIER_CACHE", str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "objects").symlink_to(tmp_path / "elsewhere")
    assert default_cache().folder is None


def test_a_folder_of_someone_else_means_no_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not hasattr(os, "geteuid"):
        pytest.skip("file owners are POSIX")
    monkeypatch.setenv("RANVIER_CACHE", str(tmp_path))
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    assert default_cache().folder is None
