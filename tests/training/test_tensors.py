"""Array files under attack: any array comes back, and no other bytes are ever taken for one."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ranvier.errors import RanvierError
from ranvier.training.run.files import RunError, canonical
from ranvier.training.run.folder import Checkpoint
from ranvier.training.run.tensors import load_arrays, save_arrays

DTYPES = {
    "F32": np.float32, "F64": np.float64, "BF16": ml_dtypes.bfloat16, "I32": np.int32,
    "I64": np.int64, "U8": np.uint8, "BOOL": np.bool_,
}  # fmt: skip
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)  # fmt: skip


@st.composite
def any_array(draw: st.DrawFn) -> np.ndarray:
    """An array of any dtype, of any bits, 0-d and empty too, and in any layout of memory."""
    dtype = np.dtype(draw(st.sampled_from(list(DTYPES.values()))))
    shape = draw(hnp.array_shapes(min_dims=0, min_side=0, max_side=4))
    count = int(np.prod(shape)) * dtype.itemsize
    highest = 1 if dtype == np.bool_ else 255
    raw = draw(st.lists(st.integers(0, highest), min_size=count, max_size=count))
    array = np.array(raw, np.uint8).view(dtype).reshape(shape)
    match draw(st.integers(0, 4)):
        case 1:
            return array.T
        case 2 if array.ndim:
            return array[::-2]
        case 3:
            return np.broadcast_to(array, (2, *array.shape))
        case 4:
            return np.asfortranarray(array)
    return array


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays agree in dtype, shape and every bit."""
    return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())


def save_to(path: Path) -> bytes:
    """Write a small file and return its bytes."""
    save_arrays(path, {"a": np.arange(2, dtype=np.float32), "b": np.ones(1, bool)}, {"n": 1})
    return path.read_bytes()


# ---------------------------------------------------------------- what comes back


@settings(max_examples=150)
@given(
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), any_array()),
    st.dictionaries(st.text(max_size=4), PLAIN, max_size=3),
)
def test_any_array_comes_back_to_the_bit(
    tmp_path_factory: pytest.TempPathFactory, arrays: dict[str, np.ndarray], info: dict[str, Any]
) -> None:
    path = tmp_path_factory.mktemp("arrays") / "a.safetensors"
    save_arrays(path, arrays, info)
    found, known = load_arrays(path)
    assert known == info
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        assert same(found[name], array), name
        assert found[name].flags.writeable


def test_saving_leaves_the_arrays_alone(tmp_path: Path) -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    array.flags.writeable = False
    save_arrays(tmp_path / "a", {"a": array})
    load_arrays(tmp_path / "a")[0]["a"][:] = 7
    assert array.tolist() == [[0, 3], [1, 4], [2, 5]]
    assert not array.flags.writeable


def test_loaded_arrays_share_no_memory(tmp_path: Path) -> None:
    one = np.ones(4, np.float32)
    save_arrays(tmp_path / "a", {"a": one, "b": one, "c": one[:2]})
    found, _ = load_arrays(tmp_path / "a")
    found["a"][:] = 0
    assert found["b"].tolist() == [1, 1, 1, 1]
    assert found["c"].tolist() == [1, 1]


def test_the_other_byte_order_comes_back_as_numbers(tmp_path: Path) -> None:
    array = np.array([1.0, 2.0], np.dtype(np.float32).newbyteorder(">"))
    save_arrays(tmp_path / "a", {"a": array})
    assert load_arrays(tmp_path / "a")[0]["a"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize("dtype", ["f2", "i1", "i2", "u2", "u4", "u8", "c8", "U3", "O", "M8[s]"])
def test_what_cannot_be_read_is_not_written(tmp_path: Path, dtype: str) -> None:
    """A dtype that no file has is refused at once, and the old file stays."""
    path = tmp_path / "a.safetensors"
    before = save_to(path)
    with pytest.raises(RanvierError, match=np.dtype(dtype).name.rstrip("0123456789[]s")):
        save_arrays(path, {"a": np.zeros(3, dtype)})
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["__metadata__", "\ud800"])
def test_a_name_that_no_file_can_have_is_not_written(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.safetensors"
    before = save_to(path)
    with pytest.raises(RanvierError):
        save_arrays(path, {name: np.zeros(3, np.float32)})
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "info", [{"x": float("nan")}, {"x": float("inf")}, {"x": {1, 2}}, {"x": b"bytes"}]
)
def test_facts_that_json_lacks_keep_the_old_file(tmp_path: Path, info: dict[str, Any]) -> None:
    path = tmp_path / "a.safetensors"
    before = save_to(path)
    with pytest.raises((RanvierError, TypeError, ValueError)):
        save_arrays(path, {"a": np.zeros(3, np.float32)}, info)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_facts_by_number_can_be_read_again(tmp_path: Path) -> None:
    """2 < 10, but "10" < "2": the checksum must not depend on which of them was meant."""
    save_arrays(tmp_path / "a", {}, {"best": {2: 0.5, 10: 0.25}})
    assert load_arrays(tmp_path / "a")[1] == {"best": {"2": 0.5, "10": 0.25}}


# ---------------------------------------------------------------- equal bytes


def test_the_order_of_arrays_and_facts_is_not_seen(tmp_path: Path) -> None:
    arrays = {name: np.full(3, n, np.float32) for n, name in enumerate("dbeac")}
    save_arrays(tmp_path / "a", arrays, {"x": 1, "y": 2})
    save_arrays(tmp_path / "b", dict(sorted(arrays.items())), {"x": 1, "y": 2})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_every_process_writes_the_same_bytes(tmp_path: Path) -> None:
    """The same mix of dtypes and sizes, under three seeds of hashing and two orders."""
    script = (
        "import sys, ml_dtypes, numpy as np; from pathlib import Path\n"
        "from ranvier.training.run.tensors import save_arrays\n"
        "names = list({f'layer{i}.weight' for i in range(20)})\n"
        "kinds = [np.float32, np.int64, np.uint8, np.bool_, ml_dtypes.bfloat16]\n"
        "made = {n: np.full(len(n), 1).astype(kinds[hash_free(n)]) for n in names}\n"
        "save_arrays(Path(sys.argv[1]), made, {'epoch': 3, 'sums': {'loss': 0.1}})\n"
    ).replace("hash_free(n)", "int(n[5:-7]) % 5")
    for seed in ("0", "1", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", script, tmp_path / seed], check=True, env=environment)
    assert len({each.read_bytes() for each in tmp_path.iterdir()}) == 1


# ---------------------------------------------------------------- damage


def test_every_flip_of_a_bit_and_every_length_is_found(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    content = save_to(path)
    cases = [content[:n] for n in range(len(content))]
    cases += [content + b"\0", content + content, content[1:], content[::-1]]
    for bit in range(8 * len(content)):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        cases.append(bytes(changed))
    for case in cases:
        path.write_bytes(case)
        with pytest.raises(RunError, match=path.name) as error:
            load_arrays(path)
        assert type(error.value) is RunError
        assert error.value.__cause__ is None
    path.write_bytes(content)
    load_arrays(path)


def forged(header: Any, data: bytes = b"") -> bytes:
    """A safetensors file with this header, padded as the format asks."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data


def honest(arrays: dict[str, Any], data: bytes, digest: Any = None, info: Any = None) -> bytes:
    """A forged file whose metadata look right: checksum of one array "a" unless given."""
    if digest is None:
        flat = np.frombuffer(data, np.float32)
        whole = canonical({}) + f"a {flat.shape} float32;".encode() + data
        digest = hashlib.sha256(whole).hexdigest()
    known = json.dumps({"sha256": digest, "info": {} if info is None else info})
    return forged({"__metadata__": {"ranvier": known}, **arrays}, data)


DATA = np.ones(2, np.float32).tobytes()
A = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def test_the_forger_is_able(tmp_path: Path) -> None:
    """Else the cases below would be refused for the wrong reason."""
    path = tmp_path / "a"
    path.write_bytes(honest({"a": A}, DATA))
    assert load_arrays(path)[0]["a"].tolist() == [1, 1]


@pytest.mark.parametrize(
    "content",
    [
        honest({"a": {**A, "shape": [3]}}, DATA),
        honest({"a": {**A, "shape": [-2]}}, DATA),
        honest({"a": {**A, "shape": [2**40, 2**40]}}, DATA),
        honest({"a": {**A, "shape": [[2]]}}, DATA),
        honest({"a": {**A, "shape": [1, 2]}}, DATA),
        honest({"a": {**A, "dtype": "F16", "shape": [4]}}, DATA),
        honest({"a": {**A, "dtype": "I32"}}, DATA),
        honest({"a": {**A, "dtype": "PICKLE"}}, DATA),
        honest({"a": {**A, "data_offsets": [8, 0]}}, DATA),
        honest({"a": {**A, "data_offsets": [4, 12]}}, DATA),
        honest({"a": {**A, "data_offsets": [0, 2**63]}}, DATA),
        honest({"a": {**A, "data_offsets": [0]}}, DATA),
        honest({"a": A, "b": A}, DATA),
        honest({"b": A}, DATA),
        honest({}, DATA),
        honest({"a": None}, DATA),
        honest({"a": A}, DATA, digest=3),
        honest({"a": A}, DATA, digest=[]),
        honest({"a": A}, DATA, digest=""),
        honest({"a": A}, DATA, info=[]),
        honest({"a": A}, DATA, info={"epoch": 9}),
        honest({"a": A}, DATA, info=float("nan")),
        forged({"__metadata__": {"ranvier": "[" * 100_000}}),
        forged({"__metadata__": {"ranvier": "9" * 10_000}}),
        forged({"__metadata__": {"ranvier": "{}"}}),
        forged({"__metadata__": {"ranvier": 3}}),
        forged({"__metadata__": {"ranvier": {}}}),
        forged({"__metadata__": []}),
        forged({"__metadata__": None}),
        forged([]),
        forged(b"[" * 200_000),
        forged(b'{"__metadata__":' * 20_000),
        forged(b'{"a":' + b"9" * 10_000 + b"}"),
        forged(b"\xff" * 64),
        b"\0" * 7, b"\0" * 8, b"\0" * 64, b"\xff" * 8, b"\x80\x04.", b"PK\3\4" + b"\0" * 60,
    ],
)  # fmt: skip
def test_forged_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "forged.safetensors"
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"forged.safetensors: the file is damaged"):
        load_arrays(path)


@settings(max_examples=200)
@given(st.binary(max_size=60), st.integers(0, 400), st.integers(0, 60))
def test_bytes_from_elsewhere_are_refused(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int, cut: int
) -> None:
    """Noise in place of some bytes of a whole file, anywhere, of any length."""
    path = tmp_path_factory.mktemp("noise") / "w.safetensors"
    content = save_to(path)
    changed = content[:at] + noise + content[at + cut :]
    if changed == content:
        return
    path.write_bytes(changed)
    with pytest.raises(RunError, match=r"w\.safetensors"):
        load_arrays(path)


# ---------------------------------------------------------------- checkpoints


@pytest.mark.parametrize(
    ("arrays", "info"),
    [
        ({}, {}),
        ({"weights/a": np.zeros(1)}, {"callbacks": []}),
        ({"weights/a": np.zeros(1), "optimizer/a": np.zeros(1)}, {"callbacks": 3}),
        ({"weights/a": np.zeros(1), "optimizer/a": np.zeros(1)}, {}),
        ({"weights/a": np.zeros(1), "optimizer/a": np.zeros(1)}, {"callbacks": [], "exec": 1}),
    ],
)
def test_whole_files_that_are_no_checkpoints(tmp_path: Path, arrays: Any, info: Any) -> None:
    path = tmp_path / "state.safetensors"
    save_arrays(path, arrays, info)
    with pytest.raises(RunError, match=r"state\.safetensors: not a checkpoint"):
        Checkpoint.load(path)


@pytest.mark.parametrize("weights", [{}, {"a/b/c": np.ones(2)}, {"": np.ones(2)}])
def test_a_checkpoint_comes_back(tmp_path: Path, weights: dict[str, np.ndarray]) -> None:
    """Also of a network without state, such as one of nothing but pooling."""
    saved = Checkpoint(
        weights,
        {"step": np.int64(3) + np.zeros((), np.int64)},
        epoch=2,
        position=5,
        sums={"loss": 0.1},
        learning_rate=0.001,
        history=[{"epoch": 1, "loss": 0.5}],
        callbacks=[{"kind": "A", "state": {}}, {"kind": "B", "state": {"best": None}}],
        callback_arrays=[{}, {"w": np.zeros((0, 2), np.float32)}],
    )
    saved.save(tmp_path / "state.safetensors")
    found = Checkpoint.load(tmp_path / "state.safetensors")
    for kind in ("weights", "optimizer"):
        before, after = getattr(saved, kind), getattr(found, kind)
        assert set(before) == set(after)
        assert all(same(before[name], after[name]) for name in before)
    assert same(found.callback_arrays[1]["w"], saved.callback_arrays[1]["w"])
    for name in ("epoch", "position", "sums", "learning_rate", "history", "stopped", "callbacks"):
        assert getattr(found, name) == getattr(saved, name), name
