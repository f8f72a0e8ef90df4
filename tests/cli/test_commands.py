"""Every command on good input, in one process; some as processes of their own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import TINY, call, digits, table, trained

import ranvier as rv
from ranvier import __version__, models
from ranvier.cli.main import _COMMANDS
from ranvier.data import registry
from ranvier.training.run.files import load_json

ROOT = Path(__file__).parents[2]
FILES = ("config.json", "history.jsonl", "state.safetensors", "weights.safetensors")

Capture = pytest.CaptureFixture[str]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


# ---------------------------------------------------------------- training and its results


def test_from_training_to_prediction(tmp_path: Path, capsys: Capture) -> None:
    data, out = digits(tmp_path / "squares"), tmp_path / "run"
    done = call(
        capsys, "train", "lenet5", "--data", data, "--epochs", "12", "--batch-size", "8",
        "--learning-rate", "0.05", "--out", out, "--json",
    )  # fmt: skip
    assert done.status == 0
    assert {"test_loss", "test_accuracy", "test_error", "epochs", "seconds"} <= set(done.json)
    assert (done.json["run"], done.json["report"]) == (str(out), str(out / "report.html"))
    assert done.json["test_accuracy"] == 1.0
    assert "epoch 12/12" in done.err
    for name in (*FILES, "timings.jsonl", "report.html"):
        assert (out / name).stat().st_size > 0
    assert "ranvier train lenet5 --data" in (out / "report.html").read_text()

    evaluated = call(capsys, "evaluate", out, "--json").json
    assert evaluated["samples"] == 20
    assert evaluated["accuracy"] == done.json["test_accuracy"]
    assert evaluated["loss"] == pytest.approx(done.json["test_loss"])
    assert call(capsys, "evaluate", out, "--part", "train", "--json").json["samples"] == 54

    from PIL import Image

    for label in range(3):
        picture = np.full((120, 120, 3), 255, np.uint8)  # dark on light, in colour, ten times
        picture[20:90, 10 + 30 * label : 50 + 30 * label] = (10, 20, 90)
        Image.fromarray(picture).resize((12, 12)).save(tmp_path / f"{label}.png")
    pictures = [tmp_path / f"{label}.png" for label in range(3)]
    found = call(capsys, "predict", out, *pictures, "--json").json["predictions"]
    assert [each["label"] for each in found] == ["0", "1", "2"]
    assert found[0]["input"] == str(pictures[0])
    assert all(0.34 < each["probability"] <= 1 for each in found)
    shown = call(capsys, "predict", out, pictures[1]).out
    assert shown.split()[1] == "1"
    assert call(capsys, "summary", out, "--json").json["layers"][0]["path"] == "conv1"


def test_several_labels_are_not_one_answer(tmp_path: Path, capsys: Capture) -> None:
    x = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
    net = rv.nn.Sequential(rv.nn.Linear(2))
    model = rv.Model(net, "binary_cross_entropy", classes=("a", "b"), engine="reference")
    model.fit(x, x > 0, progress=False)
    model.save(tmp_path / "run")
    (tmp_path / "new.csv").write_text("a,b\n3,-3\n")
    asked = ("predict", tmp_path / "run", tmp_path / "new.csv", "--engine", "reference", "--json")
    (found,) = call(capsys, *asked).json["predictions"]
    assert found["values"] == pytest.approx(model.predict(np.float32([[3, -3]]))[0].tolist())


def test_tables_of_classes_and_of_numbers(tmp_path: Path, capsys: Capture) -> None:
    run = trained(capsys, tmp_path)
    (tmp_path / "new.csv").write_text("a,b\n3,-3\n-3,3\n")
    found = call(capsys, "predict", run, tmp_path / "new.csv", "--json").json["predictions"]
    assert [each["input"] for each in found] == [f"{tmp_path}/new.csv:{n}" for n in (2, 3)]
    assert {each["label"] for each in found} <= {"yes", "no"}
    assert len(call(capsys, "predict", run, tmp_path / "t.csv", "--json").json["predictions"]) == 60
    numbers = table(tmp_path / "n.csv", [(a, b, a - b) for a, b in np.eye(60, 2).tolist()])
    out = tmp_path / "numbers"
    done = call(
        capsys, "train", "mlp", "--data", numbers, "--regression", "--out", out, "--json", *TINY
    )
    assert {"test_loss", "test_mean_absolute_error", "test_r2"} <= set(done.json)
    one = call(capsys, "predict", out, numbers, "--json").json["predictions"][0]
    assert set(one) == {"input", "value"}


@pytest.mark.parametrize("model", ["small", "mlp"])
def test_prices_are_learnt_by_default(tmp_path: Path, capsys: Capture, model: str) -> None:
    rng = np.random.default_rng(0)
    size, rooms = rng.uniform(50, 250, 300).round(1), rng.integers(1, 7, 300)
    prices = (60_000 + 900 * size + 8_000 * rooms + rng.normal(0, 5_000, 300)).round()
    data, out = table(tmp_path / "t.csv", [*zip(size, rooms, prices, strict=True)]), tmp_path / "r"
    given = ("train", model, "--data", data, "--regression", "--out", out, "--quiet")
    shown = call(capsys, *given)
    assert "(of standardized targets)" in shown.out
    found = call(capsys, "evaluate", out, "--json").json
    assert found["r2"] > 0.9
    assert 1_000 < found["mean_absolute_error"] < 15_000  # in the label's unit
    assert found["loss"] < 0.2  # and this in none
    rows = call(capsys, "predict", out, data, "--json").json["predictions"]
    errors = np.abs(np.array([each["value"] for each in rows]) - prices)
    assert errors.mean() < 15_000


def test_other_tables_are_read_as_the_training_s_was(tmp_path: Path, capsys: Capture) -> None:
    """Columns in another order, some more, and the label among them."""
    numbers = np.random.default_rng(0).normal(size=(60, 2)).round(3)
    data, out = table(tmp_path / "t.csv", [(a, b, a - b) for a, b in numbers]), tmp_path / "run"
    given = ("train", "small", "--data", data, "--regression", "--out", out, "--quiet")
    assert call(capsys, *given, "--epochs", "60", "--batch-size", "8").status == 0
    lines = [f"{a - b},7,{b},{a}" for a, b in numbers]
    other = tmp_path / "other.csv"
    other.write_text("\n".join(["label,id,b,a", *lines]) + "\n")
    found = call(capsys, "evaluate", out, "--data", other, "--json").json
    assert found["samples"] == 60  # not a tenth of them
    assert found["r2"] > 0.95
    for part, count in (("test", 6), ("all", 60)):
        chosen = call(capsys, "evaluate", out, "--data", other, "--part", part, "--json").json
        assert chosen["samples"] == count
    predictions = call(capsys, "predict", out, other, "--json").json["predictions"]
    wanted = numbers[:, 0] - numbers[:, 1]
    assert np.abs(np.array([each["value"] for each in predictions]) - wanted).mean() < 0.2


def test_a_run_from_python_finds_the_columns_of_tables_by_name(
    tmp_path: Path, capsys: Capture
) -> None:
    data, out = table(tmp_path / "t.csv"), tmp_path / "run"
    model = rv.Model(rv.nn.Linear(2), "cross_entropy", rv.optim.Adam(0.05), ["accuracy"])
    model.fit(rv.data.from_path(data), epochs=20, out=out)
    rows = [line.split(",") for line in data.read_text().splitlines()]
    other = tmp_path / "other.csv"
    other.write_text("\n".join(f"{c},{b},{a}" for a, b, c in rows) + "\n")
    wanted = call(capsys, "predict", out, data, "--json").json["predictions"]
    found = call(capsys, "predict", out, other, "--json").json["predictions"]
    assert [each["probability"] for each in found] == [each["probability"] for each in wanted]
    assert [each["label"] for each in found] == [each["label"] for each in wanted]
    measured = call(capsys, "evaluate", out, "--data", other, "--label", "label", "--json").json
    assert measured["accuracy"] > 0.9
    lost = table(tmp_path / "lost.csv", [])
    lost.write_text("a,c,label\n1,2,yes\n2,1,no\n")
    refused = call(capsys, "predict", out, lost)
    assert refused.status == 2
    assert "lost.csv: there is no column 'b'; the network takes a, b" in refused.err


def test_resuming_finds_columns_by_name(tmp_path: Path, capsys: Capture) -> None:
    run = trained(capsys, tmp_path)
    before = (run / "weights.safetensors").read_bytes()
    data = tmp_path / "t.csv"
    rows = [line.split(",") for line in data.read_text().splitlines()]
    data.write_text("\n".join(f"{b},{a},{c}" for a, b, c in rows) + "\n")
    again = ("train", "mlp", "--data", data, "--out", run, *TINY, "--resume")
    assert call(capsys, *again).status == 0
    assert (run / "weights.safetensors").read_bytes() == before
    data.write_text("\n".join(f"{b},{c}" for a, b, c in rows) + "\n")
    refused = call(capsys, *again)
    assert refused.status == 2
    assert "there is no column 'a'; the network takes a, b" in refused.err


def test_a_table_without_a_header_is_read_whole(tmp_path: Path, capsys: Capture) -> None:
    data = table(tmp_path / "t.csv")
    lines = data.read_text().splitlines()[1:]
    data.write_text("\n".join(lines) + "\n")
    out = tmp_path / "run"
    done = call(capsys, "train", "mlp", "--data", data, "--out", out, *TINY)
    note = f"ranvier: note: {data}: line 1 is a row like those below it, and no header; "
    assert done.err.splitlines() == [f"{note}the columns are called column1 to column3"]
    found = call(capsys, "evaluate", out, "--part", "all", "--json")
    assert found.json["samples"] == len(lines)
    (tmp_path / "new.csv").write_text("3,-3\n-3,3\n")
    found = call(capsys, "predict", out, tmp_path / "new.csv", "--json")
    assert len(found.json["predictions"]) == 2
    (tmp_path / "headed").mkdir()
    headed = trained(capsys, tmp_path / "headed")
    refused = call(capsys, "predict", headed, tmp_path / "new.csv")
    assert refused.status == 2
    assert "new.csv: there is no column 'a', 'b'" in refused.err


def test_the_label_of_the_training_is_that_of_other_tables(tmp_path: Path, capsys: Capture) -> None:
    rows = [(n % 2, "yes" if n % 2 else "no", n) for n in range(60)]
    data, out = table(tmp_path / "t.csv", rows), tmp_path / "run"
    given = ("train", "mlp", "--data", data, "--label", "b", "--out", out, *TINY)
    assert call(capsys, *given).status == 0
    assert call(capsys, "evaluate", out, "--data", data, "--json").json["samples"] == 60


def test_other_data_may_lack_classes(tmp_path: Path, capsys: Capture) -> None:
    names = ("big", "middle", "small")
    rows = [(n % 3, 1, names[n % 3]) for n in range(60)]
    data, out = table(tmp_path / "t.csv", rows), tmp_path / "run"
    given = ("--epochs", "30", "--batch-size", "8", "--set", "hidden=[16]", "--quiet", "--json")
    done = call(capsys, "train", "mlp", "--data", data, "--out", out, *given)
    assert done.json["test_accuracy"] == 1
    few = table(tmp_path / "few.csv", [row for row in rows[:30] if row[2] != "big"])
    found = call(capsys, "evaluate", out, "--data", few, "--json").json
    assert (found["samples"], found["accuracy"]) == (20, 1)


def test_pictures_of_dark_ink_are_predicted_as_they_were_learnt(
    tmp_path: Path, capsys: Capture
) -> None:
    """A folder's pictures are neither inverted nor centred in training, so neither later."""
    from PIL import Image

    data, out = tmp_path / "squares", tmp_path / "run"
    for label in range(3):
        (data / f"at{label}").mkdir(parents=True)
        for number in range(12):
            pixels = np.full((12, 12), 250 - number, np.uint8)
            pixels[2:9, 1 + 3 * label : 5 + 3 * label] = 3 * number
            Image.fromarray(pixels).save(data / f"at{label}" / f"{number}.png")
    given = ("--epochs", "20", "--batch-size", "4", "--set", "hidden=[16]", "--quiet", "--json")
    call(capsys, "train", "mlp", "--data", data, "--out", out, *given)

    def said(*files: Path) -> list[str]:
        found = call(capsys, "predict", out, *files, "--json").json["predictions"]
        return [each["label"] for each in found]

    for label in range(3):
        folder = data / f"at{label}"
        assert set(said(*sorted(folder.iterdir()))) == {folder.name}
        picture = Image.open(folder / "3.png")
        picture.resize((36, 36), Image.Resampling.NEAREST).save(tmp_path / "large.png")
        Image.fromarray(255 - np.asarray(picture)).save(tmp_path / "light.png")
        assert said(tmp_path / "large.png", tmp_path / "light.png") == [folder.name] * 2


def test_what_a_folder_of_pictures_lacks_is_said_and_kept(tmp_path: Path, capsys: Capture) -> None:
    from PIL import Image

    data, out = tmp_path / "squares", tmp_path / "run"
    for label in range(2):
        (data / f"at{label}").mkdir(parents=True)
        for number in range(6):
            side = 12 if number else 16
            Image.fromarray(np.full((side, side), 99 * label, np.uint8)).save(
                data / f"at{label}" / f"{number}.png"
            )
    (data / "at0" / "notes.txt").write_text("mine")
    done = call(capsys, "train", "mlp", "--data", data, "--out", out, *TINY)
    assert done.status == 0
    assert done.err.splitlines() == [
        f"{data}: skipped 1 file that is no picture, such as at0/notes.txt",
        f"{data}: fitted 2 pictures of other sizes into 12x12 pixels",
    ]
    about = load_json(out / "config.json")["training"]["about"]
    assert (about["skipped"], about["resized"]) == (1, 2)


def test_an_autoencoder(tmp_path: Path, capsys: Capture) -> None:
    data, out = digits(tmp_path / "squares"), tmp_path / "run"
    settings = ("--epochs", "1", "--set", "hidden=[16]", "--set", "code=4", "--quiet", "--json")
    done = call(capsys, "train", "autoencoder", "--data", data, "--out", out, *settings)
    assert set(done.json) == {"test_loss", "epochs", "seconds", "run", "report"}
    assert "Reconstructions" in (out / "report.html").read_text()
    assert call(capsys, "evaluate", out, "--json").json["loss"] == done.json["test_loss"]


def test_threads_and_engines_write_the_same(tmp_path: Path, capsys: Capture) -> None:
    data = table(tmp_path / "t.csv")
    for name, threads in (("a", "1"), ("b", "2"), ("c", "2")):
        out = tmp_path / name
        call(capsys, "train", "mlp", "--data", data, "--out", out, "--threads", threads, *TINY)
    for name in FILES:
        contents = {(tmp_path / run / name).read_bytes() for run in "abc"}
        assert len(contents) == 1, name
    out = tmp_path / "reference"
    engine = ("--engine", "reference")
    assert call(capsys, "train", "mlp", "--data", data, "--out", out, *engine, *TINY).status == 0


def test_resuming_and_going_further(tmp_path: Path, capsys: Capture) -> None:
    run = trained(capsys, tmp_path)
    before = {name: (run / name).read_bytes() for name in FILES}
    again = ("train", "mlp", "--data", tmp_path / "t.csv", "--out", run, *TINY, "--resume")
    assert call(capsys, *again).status == 0
    assert before == {name: (run / name).read_bytes() for name in FILES}


def test_resuming_what_is_finished_says_so(tmp_path: Path, capsys: Capture) -> None:
    run = trained(capsys, tmp_path)
    again = ("train", "mlp", "--data", tmp_path / "t.csv", "--out", run, *TINY[:-1], "--resume")
    said = call(capsys, *again).err.splitlines()
    assert said[1:] == [
        "the run has its 2 epochs already; nothing is left to train but with more epochs"
    ]
    stopped = ("train", "mlp", "--data", tmp_path / "t.csv", "--out", tmp_path / "stopped")
    stopped += ("--epochs", "9", "--tolerance", "10")
    assert "nothing is left" not in call(capsys, *stopped).err
    assert "the run ended after 2 epochs: converged" in call(capsys, *stopped, "--resume").err


def test_ways_to_stop(tmp_path: Path, capsys: Capture) -> None:
    data = table(tmp_path / "t.csv")
    given = ("train", "mlp", "--data", data, "--set", "hidden=[8]", "--quiet", "--json")
    stops = {
        "tolerance": ("--tolerance", "10"),
        "patience": ("--patience", "1", "--learning-rate", "0"),
        "minutes": ("--max-minutes", "1e-9"),
    }
    for name, option in stops.items():
        done = call(capsys, *given, "--epochs", "50", "--out", tmp_path / name, *option)
        assert done.json["epochs"] <= 2, name


def test_new_runs_get_new_names(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = table(tmp_path / "t.csv")
    given = ("train", "mlp", "--data", data, *TINY, "--json")
    runs = [call(capsys, *given).json["run"] for _ in range(2)]
    assert runs == [str(Path("runs/mlp")), str(Path("runs/mlp-2"))]
    assert call(capsys, *given, "--resume").json["run"] == runs[1]
    shutil.rmtree("runs/mlp")
    Path("runs/mlp-x").mkdir()
    assert call(capsys, *given, "--resume").json["run"] == runs[1]
    assert call(capsys, *given).json["run"] == str(Path("runs/mlp-3"))


def test_interrupted_before_there_is_a_checkpoint(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit(self: Any, *arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ranvier.training.model.Model.fit", fit)
    data = table(tmp_path / "t.csv")
    given = ("train", "mlp", "--data", data, *TINY, "--out", tmp_path / "run", "--json")
    done = call(capsys, *given)
    assert (done.status, done.json) == (130, {"error": "interrupted"})
    assert done.err.strip() == "ranvier: interrupted"


# ---------------------------------------------------------------- lists and descriptions


def test_lists(capsys: Capture) -> None:
    found = call(capsys, "models", "--json").json["models"]
    assert [each["name"] for each in found] == list(models.RECIPES)
    found = call(capsys, "datasets", "--json").json["datasets"]
    assert [each["name"] for each in found] == list(registry.names())
    assert len(call(capsys, "models").out.splitlines()) == len(models.RECIPES)
    assert len(call(capsys, "datasets").out.splitlines()) == len(registry.names())


def test_summary(capsys: Capture) -> None:
    found = call(capsys, "summary", "lenet5", "--json").json
    assert found["parameters"] == 61_706
    assert found["multiply_adds"] == 416_520
    assert {"activation_bytes", "layers"} <= set(found)
    chosen = ("--input", "8x8x3", "--outputs", "5", "--set", "hidden=[7]")
    wide = call(capsys, "summary", "mlp", *chosen, "--json").json
    assert wide["parameters"] == 193 * 7 + 8 * 5
    assert "61,706 parameters" in call(capsys, "summary", "lenet5").out


@pytest.mark.parametrize("name", _COMMANDS)
def test_every_command_has_help(name: str, capsys: Capture) -> None:
    done = call(capsys, name, "--help")
    assert done.status == 0
    assert "--json" in done.out


def test_the_version(capsys: Capture) -> None:
    assert call(capsys, "--version").out == f"ranvier {__version__}\n"


def test_bench(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ranvier.bench.measure.TURN_SECONDS", 0.005)
    done = call(capsys, "bench", "small", "--batch-size", "8", "--rounds", "1", "--json")
    (result,) = done.json["results"]
    assert result["model"] == "small"
    assert result["peers"] == {}
    assert "ms/step" in call(capsys, "bench", "small", "--rounds", "1").out


# ---------------------------------------------------------------- as processes


def test_as_a_process(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ranvier", "models", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment())
    assert (done.returncode, done.stderr) == (0, "")
    wrong = [sys.executable, "-m", "ranvier", "train", "lenet"]
    done = subprocess.run(wrong, capture_output=True, text=True, env=environment())
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("ranvier: there is no model 'lenet'")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [("models",), ("train", "--help"), ("train", "x", "--json")])
def test_a_reader_that_has_had_enough(arguments: tuple[str, ...], unbuffered: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "ranvier", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**environment(), "PYTHONUNBUFFERED": unbuffered},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process:
        process.stdout.close()
        said = process.stderr.read()
    wrong = "x" in arguments
    assert process.returncode == (2 if wrong else 0)
    assert said.startswith("ranvier: there is no model 'x'") if wrong else said == ""
    assert len(said.splitlines()) == wrong


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is no signal there")
def test_ctrl_c_saves_and_exits_with_130(tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [
        sys.executable,
        "-m",
        "ranvier",
        "train",
        "small",
        "--epochs",
        "100000",
        "--out",
        out,
    ]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        # A shell's background job ignores the signal, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    while not (out / "history.jsonl").exists() or not (out / "history.jsonl").stat().st_size:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "repeat the command with --resume" in said
    assert "Traceback" not in said
    assert (out / "state.safetensors").exists()
