"""Bad input ends with status 2 and one line that says what, where and how to mend it."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import TINY, Done, call, digits, idx, table, trained

from ranvier.training.run.files import load_json, save_json

Capture = pytest.CaptureFixture[str]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def refused(done: Done, *words: str) -> None:
    """One line on stderr, with these words in it, and status 2."""
    assert done.status == 2, done
    lines = done.err.splitlines()
    assert len(lines) == 1, done.err
    assert lines[0].startswith("ranvier: ")
    for word in words:
        assert word in lines[0], lines[0]


# ---------------------------------------------------------------- data


def missing(folder: Path) -> tuple[Path, str]:
    return folder / "nowhere.csv", "no dataset and no file"


def wrong_magic(folder: Path) -> tuple[Path, str]:
    data = digits(folder / "data")
    broken = gzip.decompress((data / "train-images-idx3-ubyte.gz").read_bytes())
    (data / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"\1\1" + broken[2:]))
    return data, "train-images-idx3-ubyte.gz"


def truncated_gz(folder: Path) -> tuple[Path, str]:
    data = digits(folder / "data")
    path = data / "train-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-10])
    return data, "train-labels-idx1-ubyte.gz"


def nan_in_a_table(folder: Path) -> tuple[Path, str]:
    return table(folder / "t.csv", [(1, 2, "x"), (1, "nan", "y"), (3, 4, "x")]), "line 3"


def text_in_a_table(folder: Path) -> tuple[Path, str]:
    return table(folder / "t.csv", [(1, 2, "x"), ("many", 1, "y"), (3, 4, "x")]), "'many'"


def one_class(folder: Path) -> tuple[Path, str]:
    return table(folder / "t.csv", [(n, 2, "x") for n in range(9)]), "class"


def empty_folder(folder: Path) -> tuple[Path, str]:
    (folder / "data").mkdir()
    return folder / "data", "empty"


def labels_out_of_range(folder: Path) -> tuple[Path, str]:
    data = digits(folder / "data")
    path = data / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(idx(np.full(20, 9))))
    return data, "t10k-labels-idx1-ubyte.gz"


def damaged_npz(folder: Path) -> tuple[Path, str]:
    (folder / "a.npz").write_bytes(b"PK\3\4 nothing")
    return folder / "a.npz", "not an .npz archive"


def no_picture(folder: Path) -> tuple[Path, str]:
    for name in ("cat", "dog"):
        (folder / "data" / name).mkdir(parents=True)
        (folder / "data" / name / "a.png").write_text("not a picture")
    return folder / "data", "a.png"


def pickled(folder: Path) -> tuple[Path, str]:
    np.savez(folder / "a.npz", inputs=np.array([{}, []], object), targets=np.arange(2))
    return folder / "a.npz", "never loaded"


@pytest.mark.parametrize(
    "make",
    [
        missing, wrong_magic, truncated_gz, nan_in_a_table, text_in_a_table, one_class,
        empty_folder, labels_out_of_range, damaged_npz, no_picture, pickled,
    ],
)  # fmt: skip
def test_data(tmp_path: Path, capsys: Capture, make: Callable[[Path], tuple[Path, str]]) -> None:
    data, word = make(tmp_path)
    before = contents(tmp_path)
    done = call(capsys, "train", "mlp", "--data", data, "--out", tmp_path / "run", *TINY)
    refused(done, str(data), word, ";")
    assert contents(tmp_path) == before
    assert not (tmp_path / "run").exists()


# ---------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--batch-size", "0"), ("--batch-size", "0")),
        (("--epochs", "-1"), ("--epochs", "-1")),
        (("--epochs", "many"), ("--epochs", "many")),
        (("--optimizer", "adamm"), ("'adamm'", "use 'adam'")),
        (("--learning-rate", "-1"), ("-1",)),
        (("--learning-rate", "nan"), ("nan",)),
        (("--set", "depth=3"), ("'depth'", "hidden")),
        (("--set", "depth"), ("--set depth", "KEY=VALUE")),
        (("--set", "dropout=2"), ("2",)),
        (("--set", 'hidden="x"'), ("hidden",)),
        (("--set", "hidden=[8.5]"), ("hidden is [8.5]", "whole numbers")),
        (("--set", "hidden=[true]"), ("hidden is [True]", "whole numbers")),
        (("--set", "l2=1" + "0" * 400), ("--set l2 is 1000", "use a finite number")),
        (("--set", "optimizer.beta1=[1]"), ("beta1 is [1]", "a number")),
        (("--set", "optimizer.beta1=null"), ("beta1 is None", "a number")),
        (("--set", "optimizer.momentum=0.5"), ("adam has no argument 'momentum'", "beta1")),
        (("--set", 'optimizer.learning_rate="x"'), ("learning_rate is 'x'", "number")),
        (
            ("--set", 'optimizer.learning_rate={"name":"cosine","value":1e50,"steps":3}'),
            ("cosine schedule: value is 1e+50", "float32"),
        ),
        (("--learning-rate", "1e39"), ("1e+39", "float32")),
        (("--threads", "100000"), ("--threads", "1024")),
        (("--data", ""), ("(nothing)", "no dataset and no file")),
        (("--engine", "cuda"), ("--engine", "cuda")),
        (("--threads", "0"), ("--threads", "0")),
        (("--seed", "-3"), ("--seed", "-3")),
        (("--label", "nothing"), ("'nothing'", "the columns are")),
        (("--max-minutes", "0"), ("use more than 0",)),
        (("--tolerance", "-1"), ("use 0 or more",)),
        (("--frobnicate",), ("--frobnicate", "--help")),
    ],
)
def test_options(
    tmp_path: Path, capsys: Capture, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    data = table(tmp_path / "t.csv")
    given = ("train", "mlp", "--data", data, "--out", tmp_path / "run", "--quiet", *arguments)
    refused(call(capsys, *given), *words)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("train", "lenet6"), ("there is no model 'lenet6'", "lenet5")),
        (("train",), ("MODEL", "--help")),
        (("frobnicate",), ("frobnicate", "--help")),
        (("summary", "lenet5", "--input", "0x3"), ("--input 0x3", "224x224x3")),
        (("summary", "lenet5", "--input", "28"), ("conv1",)),
        (("summary", "nothing"), ("'nothing'",)),
        (("summary", "mlp", "--outputs", "9" * 24), ("9" * 24, "2**31")),
        (("summary", "mlp", "--input", f"{'9' * 20}x3"), ("numbers a sample", "2**31")),
        (("summary", "autoencoder", "--set", "code=1.5"), ("code is 1.5", "whole number")),
        (("bench", "small", "--batch-size", "9" * 24), ("--batch-size", "2147483647")),
        (("evaluate", "nowhere"), ("nowhere", "run folder")),
        (("predict", "nowhere", "a.png"), ("nowhere", "run folder")),
        (("bench", "small", "--against", "theano", "--rounds", "1"), ("'theano'", "torch")),
    ],
)
def test_commands(capsys: Capture, arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    done = call(capsys, *arguments)
    said = [line for line in done.err.splitlines() if line.startswith("ranvier: ")]
    assert done.status == 2
    assert len(said) == 1
    assert all(word in said[0] for word in words), said


def test_an_error_is_an_object_with_json(capsys: Capture) -> None:
    done = call(capsys, "train", "lenet6", "--json")
    assert done.json == {"error": done.err.removeprefix("ranvier: ").strip()}


# ---------------------------------------------------------------- run folders


def test_out_that_is_taken(tmp_path: Path, capsys: Capture) -> None:
    run = trained(capsys, tmp_path)
    (tmp_path / "file").write_text("mine")
    before = contents(tmp_path)
    for out in (run, tmp_path / "file", tmp_path / "file" / "below"):
        given = ("train", "mlp", "--data", tmp_path / "t.csv", "--out", out, *TINY)
        refused(call(capsys, *given), str(out))
    given = ("train", "mlp", "--data", tmp_path / "t.csv", "--out", tmp_path / "file", *TINY)
    refused(call(capsys, *given, "--resume"), str(tmp_path / "file"), "choose another path")
    assert contents(tmp_path) == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_out_without_permission(tmp_path: Path, capsys: Capture) -> None:
    data = table(tmp_path / "t.csv")
    (tmp_path / "locked").mkdir(mode=0o500)
    out = tmp_path / "locked" / "run"
    refused(call(capsys, "train", "mlp", "--data", data, "--out", out, *TINY), str(out))


def test_resuming_with_other_settings(tmp_path: Path, capsys: Capture) -> None:
    run = trained(capsys, tmp_path)
    before = contents(run)
    given = ("train", "mlp", "--data", tmp_path / "t.csv", "--out", run, *TINY, "--resume")
    refused(call(capsys, *given, "--seed", "5"), str(run), "--seed 0, not 5")
    refused(call(capsys, *given, "--set", "l2=0.5"), str(run), "l2")
    table(tmp_path / "t.csv", [(n, -n, n % 2) for n in range(60)])
    refused(call(capsys, *given), str(run))
    assert contents(run) == before


@pytest.mark.parametrize("name", ["config.json", "weights.safetensors", "state.safetensors"])
def test_a_flipped_byte(tmp_path: Path, capsys: Capture, name: str) -> None:
    path = trained(capsys, tmp_path) / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(bytes(content))
    row = table(tmp_path / "new.csv")
    before = contents(path.parent)
    refused(call(capsys, "predict", path.parent, row), str(path), "damaged")
    refused(call(capsys, "evaluate", path.parent), str(path), "damaged")
    if name != "weights.safetensors":  # which resuming writes anew
        given = ("--data", tmp_path / "t.csv", "--out", path.parent, *TINY, "--resume")
        refused(call(capsys, "train", "mlp", *given), str(path), "damaged")
    assert contents(path.parent) == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["net"].update({"class": "Subprocess"}), ("'Subprocess'",)),
        (lambda c: c["net"]["arguments"].update(modules=3), ("config.json",)),
        (lambda c: c["optimizer"].update(name="os.system"), ("'os.system'",)),
        (lambda c: c["heads"][""]["loss"].update(name="eval"), ("'eval'",)),
        (lambda c: c.update(format=99), ("99",)),
        (lambda c: c["training"].update(seed="x"), ("malformed",)),
        (lambda c: c.pop("heads"), ("config.json",)),
        (lambda c: c["preprocess"].update(exec="x"), ("'exec'",)),
    ],
)
def test_configurations_that_nobody_wrote(
    tmp_path: Path, capsys: Capture, change: Callable[[Any], Any], words: tuple[str, ...]
) -> None:
    path = trained(capsys, tmp_path) / "config.json"
    config = load_json(path)
    change(config)
    save_json(path, config)
    refused(call(capsys, "evaluate", path.parent), str(path), *words)


# ---------------------------------------------------------------- using a run


def test_predicting_what_does_not_fit(tmp_path: Path, capsys: Capture) -> None:
    run = trained(capsys, tmp_path)
    (tmp_path / "other.csv").write_text("a,c,d\n1,2,3\n")
    words = ("other.csv", "there is no column 'b'", "the network takes a, b")
    refused(call(capsys, "predict", run, tmp_path / "other.csv"), *words)
    refused(call(capsys, "evaluate", run, "--data", tmp_path / "other.csv", "--label", "d"), *words)
    (tmp_path / "notes.txt").write_text("hello")
    refused(call(capsys, "predict", run, tmp_path / "notes.txt"), "notes.txt", ".csv")
    refused(call(capsys, "predict", run, tmp_path / "nothing.csv"), "nothing.csv")


def test_predicting_what_is_no_picture(tmp_path: Path, capsys: Capture) -> None:
    data, run = digits(tmp_path / "data"), tmp_path / "run"
    call(capsys, "train", "mlp", "--data", data, "--out", run, *TINY)
    (tmp_path / "notes.png").write_text("hello")
    refused(call(capsys, "predict", run, tmp_path / "notes.png"), "notes.png", "not a picture")
    refused(call(capsys, "predict", run, tmp_path / "no.png"), "no.png", "no such file")


def test_predicting_all_that_can_be_read(tmp_path: Path, capsys: Capture) -> None:
    from PIL import Image

    data, run = digits(tmp_path / "data"), tmp_path / "run"
    call(capsys, "train", "mlp", "--data", data, "--out", run, *TINY)
    folder = tmp_path / "pictures"
    (folder / "more").mkdir(parents=True)
    good = [folder / "a.png", folder / "more" / "b.png"]
    for path in good:
        Image.fromarray(np.eye(12, dtype=np.uint8) * 255).save(path)
    (folder / "notes.txt").write_text("hello")
    (folder / "bad.png").write_text("hello")
    done = call(capsys, "predict", run, tmp_path / "no.png", folder, "--json")
    assert done.status == 1
    assert [each["input"] for each in done.json["predictions"]] == [str(path) for path in good]
    assert [each["input"] for each in done.json["errors"]] == [
        str(tmp_path / "no.png"),
        str(folder / "bad.png"),
    ]
    lines = done.err.splitlines()
    assert lines[0] == f"{folder}: skipped 1 file that is no picture"
    assert lines[1].startswith(f"ranvier: {tmp_path / 'no.png'}: there is no such file")
    assert lines[2].startswith(f"ranvier: {folder / 'bad.png'}: not a picture")
    assert len(lines) == 3
    shown = call(capsys, "predict", run, *good, folder / "bad.png")
    assert shown.status == 1
    assert len(shown.out.splitlines()) == 2
    none = call(capsys, "predict", run, folder / "bad.png", tmp_path / "no.png")
    assert (none.status, none.out) == (2, "")
    assert len(none.err.splitlines()) == 2
    assert call(capsys, "predict", run, folder / "more").status == 0
    (tmp_path / "empty").mkdir()
    refused(call(capsys, "predict", run, tmp_path / "empty"), "holds no pictures")


def test_evaluating_on_data_that_have_changed(tmp_path: Path, capsys: Capture) -> None:
    run = trained(capsys, tmp_path)
    rows = (tmp_path / "t.csv").read_text().splitlines()
    (tmp_path / "t.csv").write_text("\n".join([*rows[:-1], "0.5,0.25,yes"]) + "\n")
    refused(call(capsys, "evaluate", run), "t.csv has changed since", str(run), "--data")
    found = call(capsys, "evaluate", run, "--data", tmp_path / "t.csv", "--json").json
    assert found["samples"] == 60


def test_evaluating_on_other_classes(tmp_path: Path, capsys: Capture) -> None:
    run = trained(capsys, tmp_path)
    other = table(tmp_path / "o.csv", [(n, -n, "maybe" if n % 2 else "never") for n in range(20)])
    refused(call(capsys, "evaluate", run, "--data", other), "maybe", "yes")
    some = [(n, -n, "yes" if n % 2 else "maybe") for n in range(20)]
    refused(call(capsys, "evaluate", run, "--data", table(tmp_path / "o.csv", some)), "maybe")


# ---------------------------------------------------------------- in the words of the options


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--tolerance", "-1"), "--tolerance is -1.0; use 0 or more"),
        (("--max-minutes", "0"), "--max-minutes is 0.0; use more than 0"),
        (("--learning-rate", "-1"), "--learning-rate is -1.0; use a finite number, 0 or more"),
        (("--optimizer", "adamm"), "--optimizer: there is no 'adamm' here; "),
        (("--set", "l2=-1"), "--set l2 is -1; use a finite number, 0 or more"),
        (("--set", "dilution=2"), "--set dilution is 2; use a number in [0, 0.998]"),
        (("--set", "dropout=2"), "--set dropout is 2; use a number in [0, 0.998]"),
        (("--set", "hidden=[0]"), "--set hidden is [0]; use a list of whole numbers"),
        (("--set", "optimizer.beta1=3"), "--set optimizer.beta1 is 3; use a number"),
        (
            ("--optimizer", "adam", "--set", "optimizer.epsilon=1e-8", "--set", "optimizer.beta=1"),
            "--set optimizer.beta: adam has no argument 'beta'; it has learning_rate",
        ),
        (("--seed", str(1 << 63)), "Invalid value for '--seed'"),
        (("--epochs", str(1 << 40)), "Invalid value for '--epochs'"),
        (("--batch-size", str(1 << 70)), "Invalid value for '--batch-size'"),
    ],
)
def test_errors_speak_of_options(
    tmp_path: Path, capsys: Capture, arguments: tuple[str, ...], said: str
) -> None:
    data = table(tmp_path / "t.csv")
    given = ("train", "mlp", "--data", data, "--out", tmp_path / "run", "--quiet", *arguments)
    done = call(capsys, *given)
    refused(done)
    assert done.err.startswith(f"ranvier: {said}"), done.err


@pytest.mark.parametrize("command", ["train", "evaluate"])
@pytest.mark.parametrize("option", [("--label", "a"), ("--regression",)])
def test_options_for_tables_and_other_data(
    tmp_path: Path, capsys: Capture, command: str, option: tuple[str, ...]
) -> None:
    run, data = trained(capsys, tmp_path), digits(tmp_path / "data")
    first = ("train", "mlp", "--out", tmp_path / "new") if command == "train" else (command, run)
    done = call(capsys, *first, "--data", data, *option)
    refused(done, f"--label and --regression are for tables; {data} is none")


def test_a_run_that_differs_says_which_option_does(tmp_path: Path, capsys: Capture) -> None:
    run, data = trained(capsys, tmp_path), tmp_path / "t.csv"
    end = "; resume with the same options, or pass another --out"
    given = ("train", "mlp", "--data", data, "--out", run, *TINY, "--resume")
    for options, said in (
        (("--seed", "5"), f"--seed 0, not 5{end}"),
        (("--batch-size", "7"), f"--batch-size 16, not 7{end}"),
        (("--learning-rate", "7"), f"--learning-rate 0.0005, not 7.0{end}"),
        (("--optimizer", "sgd"), f"--optimizer adam, not sgd{end}"),
        (("--engine", "reference"), f"--engine native, not reference{end}"),
        (("--set", "l2=0.5"), f"--set l2 none, not 0.5{end}"),
        (("--set", "hidden=[9]"), f"--set hidden [8], not [9]{end}"),
    ):
        done = call(capsys, *given, *options)
        refused(done, f"{run} was begun with {said}")
    refused(call(capsys, "train", "small", *given[2:]), f"MODEL mlp, not small{end}")
    refused(call(capsys, *given[:-1]), f"{run} exists already; pass --resume or another --out")
    table(data, [(n, -n, "yes" if n % 2 else "no") for n in range(60)])
    refused(call(capsys, *given), "the data have changed since", "another --out")


def test_a_schedule_that_was_made_for_other_epochs(tmp_path: Path, capsys: Capture) -> None:
    """The steps of a schedule follow from three things that are options."""
    data, run = digits(tmp_path / "data", train=6000), tmp_path / "run"
    given = ("train", "mlp", "--data", data, "--out", run, *TINY)
    assert call(capsys, *given).status == 0
    done = call(capsys, *given, "--epochs", "3", "--resume")
    steps = -(-5400 // 16)
    said = "a schedule for as many steps as --epochs, --batch-size and the data then gave"
    refused(done, f"{run} was begun with {said}, {2 * steps}, not {3 * steps}; give the same")


def test_a_loss_that_becomes_infinite(tmp_path: Path, capsys: Capture) -> None:
    data = table(tmp_path / "t.csv")
    given = ("train", "mlp", "--data", data, "--out", tmp_path / "run", *TINY)
    done = call(capsys, *given, "--learning-rate", "1e30")
    assert done.status == 1
    assert "see --learning-rate and --set optimizer.clip_norm=1" in done.err


def test_settings_of_a_summary(capsys: Capture) -> None:
    refused(call(capsys, "summary", "lenet5", "--set", "dropout=3"), "--set dropout is 3; use")
    refused(call(capsys, "summary", "mlp", "--set", "l2=3"), "mlp has no setting 'l2'")
