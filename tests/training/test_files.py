"""Files that are whole or not there: round trips, damage, and a system that refuses."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from problems import dropped, spirals

import ranvier as rv
from ranvier.training.run.files import (
    RunError,
    load_json,
    new_folder,
    save_json,
    sweep,
    write_atomically,
)
from ranvier.training.run.folder import RunFolder
from ranvier.training.run.tensors import load_arrays, save_arrays

DTYPES = [np.float32, np.float64, np.int32, np.int64, np.uint8, np.bool_, ml_dtypes.bfloat16]
X, Y = spirals()


def equal(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return set(a) == set(b) and all(
        a[k].dtype == b[k].dtype and a[k].shape == b[k].shape and a[k].tobytes() == b[k].tobytes()
        for k in a
    )


# ---------------------------------------------------------------- round trips


@given(
    st.dictionaries(
        st.text(max_size=8),
        st.sampled_from(DTYPES[:-1]).flatmap(
            lambda d: hnp.arrays(d, hnp.array_shapes(min_dims=0, min_side=0, max_side=4))
        ),
        max_size=4,
    )
)
def test_arrays_come_back(tmp_path_factory: pytest.TempPathFactory, arrays: Any) -> None:
    path = tmp_path_factory.mktemp("arrays") / "a.safetensors"
    save_arrays(path, arrays, {"n": len(arrays)})
    found, info = load_arrays(path)
    assert equal(found, arrays)
    assert info == {"n": len(arrays)}
    assert all(array.flags.writeable for array in found.values())


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_and_any_layout(tmp_path: Path, dtype: Any) -> None:
    plain = np.arange(12).reshape(3, 4).astype(dtype)
    arrays = {"turned": plain.T, "part": plain[::2, ::3], "none": plain[:0], "one": plain[1, 1]}
    arrays = {name: np.asarray(a) for name, a in arrays.items()}
    save_arrays(tmp_path / "a", arrays)
    assert equal(load_arrays(tmp_path / "a")[0], arrays)


def test_equal_contents_are_equal_bytes_in_every_process(tmp_path: Path) -> None:
    script = (
        "import sys, numpy as np; from pathlib import Path\n"
        "from ranvier.training.run.tensors import save_arrays\n"
        "names = sorted({'a', 'b', 'c', 'd', 'e'}, key=hash)\n"
        "info = {name: 1.5 for name in sorted(names)}\n"
        "save_arrays(Path(sys.argv[1]), {n: np.ones(3, 'f4') for n in names}, info)\n"
    )
    for seed in ("0", "1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", script, tmp_path / seed], check=True, env=environment)
    assert len({(tmp_path / seed).read_bytes() for seed in ("0", "1", "2")}) == 1


def test_json_comes_back(tmp_path: Path) -> None:
    value = {"b": [1, 2.5, None, True], "a": {"é": "ü"}}
    save_json(tmp_path / "c.json", value)
    assert load_json(tmp_path / "c.json") == value
    assert "sha256" in json.loads((tmp_path / "c.json").read_text())


# ---------------------------------------------------------------- damage


def damaged(path: Path, load: Callable[[Path], Any]) -> None:
    """Every truncation and a flip of every byte is found, with the file's name."""
    content = path.read_bytes()
    cases = [content[:n] for n in range(len(content))]
    for n in range(len(content)):
        changed = bytearray(content)
        changed[n] ^= 1 << n % 8
        cases.append(bytes(changed))
    for case in cases:
        path.write_bytes(case)
        with pytest.raises(RunError, match=path.name):
            load(path)
    path.write_bytes(content)
    load(path)


def test_damaged_arrays_are_found(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_arrays(
        path, {"a": np.arange(3, dtype=np.float32), "b": np.ones((2, 2), np.uint8)}, {"n": 1}
    )
    damaged(path, load_arrays)


def test_damaged_json_is_found(tmp_path: Path) -> None:
    """A change of white space alone changes nothing that is said, so the text has none."""
    path = tmp_path / "c.json"
    save_json(path, {"net": {"class": "Linear"}, "n": 12})
    path.write_text(json.dumps(json.loads(path.read_text()), separators=(",", ":")))
    damaged(path, load_json)


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[1]", b"[" * 100_000, b'{"sha256": 3}', b"\xff\xfe", b'"x"', b"null"],
)
@pytest.mark.parametrize("load", [load_json, load_arrays])
def test_what_is_no_such_file(tmp_path: Path, content: bytes, load: Any) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"file: the file (was altered or|is) damaged"):
        load(path)
    path.write_bytes(b"\xff\xff\xff\xff\xff\xff\xff\x7f" + content)  # a header of exabytes
    with pytest.raises(RunError):
        load(path)


@pytest.mark.parametrize("load", [load_json, load_arrays])
def test_a_missing_file(tmp_path: Path, load: Any) -> None:
    with pytest.raises(RunError, match=r"cannot read .*nowhere: No such file"):
        load(tmp_path / "nowhere")


def test_files_from_elsewhere_are_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"a": np.ones(3, np.float32)}, tmp_path / "a.safetensors")
    with pytest.raises(RunError, match="is damaged"):
        load_arrays(tmp_path / "a.safetensors")


# ---------------------------------------------------------------- a system that refuses


class Broken:
    """Makes the k-th call of the system's functions that a save uses fail."""

    NAMES = ("open", "write", "fsync", "replace", "chmod", "close")

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
        self.left = -1
        self.number = number
        self.failed = ""
        for name in self.NAMES:
            monkeypatch.setattr(os, name, self._wrapped(name, getattr(os, name)))

    def arm(self, after: int) -> None:
        """Let the call after so many others fail."""
        self.left, self.failed = after, ""

    def _wrapped(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.left -= 1
            if self.left == -1:
                self.failed = name
                if name == "close":
                    call(*args, **kwargs)
                raise OSError(self.number, os.strerror(self.number))
            return call(*args, **kwargs)

        return wrapped


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_save_that_fails_anywhere_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    path = tmp_path / "a.safetensors"
    old, new = {"a": np.zeros(3)}, {"a": np.ones(3)}
    save_arrays(path, old)
    broken = Broken(monkeypatch, number)
    failures = set()
    for call in range(20):
        broken.arm(call)
        said = ""
        try:
            save_arrays(path, new)
        except RunError as error:
            said = str(error)
        if said:
            assert said.startswith(f"cannot write {path}: {os.strerror(number)}; ")
            assert equal(load_arrays(path)[0], old)
        if not broken.failed:
            break
        failures.add(broken.failed)
        broken.arm(-1)
        left = [each.name for each in tmp_path.iterdir()]
        assert left == [path.name], f"{left} after a failing {broken.failed}"
        save_arrays(path, old)
    assert failures >= {"open", "write", "fsync", "replace"}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_checkpoint_that_fails_anywhere_leaves_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Each system call of the checkpoints of an epoch fails once; the run can be resumed."""
    monkeypatch.setattr("ranvier.training.loop.loop._SAVING_SHARE", 0.0)  # one after each epoch
    whole = tmp_path / "whole"
    dropped().fit(X, Y, epochs=3, out=whole)
    broken = Broken(monkeypatch, number)
    real = RunFolder.save
    for call in range(0, 60, 3):
        out = tmp_path / f"run{call}"
        saves = [0]

        def save(run: RunFolder, checkpoint: Any, call: int = call, saves: Any = saves) -> None:
            saves[0] += 1
            if saves[0] == 3:
                broken.arm(call)
            real(run, checkpoint)

        monkeypatch.setattr(RunFolder, "save", save)
        try:
            dropped().fit(X, Y, epochs=3, out=out)
        except RunError:
            assert broken.failed
        broken.arm(-1)
        monkeypatch.setattr(RunFolder, "save", real)
        rv.load(out)
        dropped().fit(X, Y, epochs=3, out=out, resume=True)
        for name in ("weights.safetensors", "state.safetensors", "history.jsonl"):
            assert (out / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on file sizes there")
def test_a_disk_that_is_full(tmp_path: Path) -> None:
    script = (
        "import resource, signal, sys, numpy as np; from pathlib import Path\n"
        "from ranvier.training.run.files import RunError\n"
        "from ranvier.training.run.tensors import save_arrays\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "path = Path(sys.argv[1])\n"
        "save_arrays(path, {'a': np.zeros(100)})\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "try:\n    save_arrays(path, {'a': np.zeros(100_000)})\n"
        "except RunError as error:\n    print(error)\n"
    )
    path = tmp_path / "a.safetensors"
    done = subprocess.run(
        [sys.executable, "-c", script, path], check=True, capture_output=True, text=True
    )
    assert f"cannot write {path}: File too large" in done.stdout
    assert load_arrays(path)[0]["a"].shape == (100,)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for call in (
        lambda: new_folder(tmp_path / "file"),
        lambda: new_folder(tmp_path / "file" / "below"),
        lambda: write_atomically(tmp_path / "file" / "a", b"x"),
    ):
        with pytest.raises(RunError, match=r"cannot (make|write)"):
            call()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(RunError, match="Permission denied"):
        write_atomically(tmp_path / "a", b"x")


def test_leftovers_of_killed_runs_are_swept(tmp_path: Path) -> None:
    (tmp_path / ".state.safetensors.abc.tmp").touch()
    (tmp_path / "kept.tmp").touch()
    sweep(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["kept.tmp"]
