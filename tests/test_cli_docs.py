"""The page on the command line says what the program's own tables say."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

import ranvier as rv
from ranvier import nn
from ranvier.bench.measure import Result
from ranvier.cli.main import ranvier, run

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/cli.md").read_text(encoding="utf-8")
CONTEXT = click.Context(ranvier)
COMMANDS = ranvier.list_commands(CONTEXT)  # type: ignore[attr-defined]
ROW = re.compile(r"^\| `(--[\w-]+)` \| (.*?) \| (.*) \|$", re.MULTILINE)


def command(name: str) -> click.Command:
    found = ranvier.get_command(CONTEXT, name)  # type: ignore[attr-defined]
    assert isinstance(found, click.Command)
    return found


def section(name: str) -> str:
    """The text below the heading of a command, up to the next heading."""
    start = PAGE.index(f"\n## `ranvier {name}`\n")
    return PAGE[start : PAGE.index("\n## ", start + 1) + 1]


def options(name: str) -> dict[str, click.Option]:
    found = [p for p in command(name).params if isinstance(p, click.Option)]
    return {option.opts[0]: option for option in found}


def test_every_command_has_a_section_and_a_row() -> None:
    assert re.findall(r"^## `ranvier (\w+)`$", PAGE, re.MULTILINE) == COMMANDS
    assert re.findall(r"^\| \[`(\w+)`\]", PAGE, re.MULTILINE) == COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_options_are_those_of_the_program_in_its_order(name: str) -> None:
    assert [row[0] for row in ROW.findall(section(name))] == list(options(name))


@pytest.mark.parametrize("name", COMMANDS)
def test_defaults_and_choices_are_those_of_the_program(name: str) -> None:
    known = options(name)
    for option, default, says in ROW.findall(section(name)):
        found = known[option]
        if found.show_default:
            assert default == f"`{found.default}`", option
        if found.is_flag:
            assert default in ("off", "that of the training"), option
        if isinstance(found.type, click.Choice):
            for choice in found.type.choices:
                assert f"`{choice}`" in says, option
        if found.multiple:
            assert "may be repeated" in says, option


@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_of_use_names_the_arguments(name: str) -> None:
    arguments = [p for p in command(name).params if isinstance(p, click.Argument)]
    shown = [p.metavar or f"{(p.name or '').upper()}{'...' * (p.nargs < 0)}" for p in arguments]
    assert section(name).splitlines()[3] == f"`{' '.join(['ranvier', name, *shown])} [OPTIONS]`"


def shell_lines() -> list[str]:
    """The commands that the pages give but do not run."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    blocks = [b for p in pages for b in re.findall(r"```sh\n(.*?)```", p.read_text("utf-8"), re.S)]
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("ranvier ")]


def test_commands_that_are_not_run_have_valid_options() -> None:
    assert len(shell_lines()) > 5
    for line in shell_lines():
        name, *arguments = shlex.split(line, comments=True)[1:]
        if not name.startswith("-"):
            command(name).make_context(name, arguments)


def test_an_option_that_does_not_exist_is_noticed() -> None:
    with pytest.raises(click.NoSuchOption):
        command("train").make_context("train", ["mlp", "--speed", "9"])


# ---------------------------------------------------------------- keys of --json


def keys(name: str) -> set[str]:
    """The names in backticks of the paragraph on keys."""
    found = re.search(r"\*\*Keys of `--json`:\*\*(.*?)\n\n", section(name), re.DOTALL)
    assert found is not None
    return set(re.findall(r"`([\w]+)`", found[1]))


def nested(value: Any) -> set[str]:
    """All keys of objects in a list under each key, and those of the object itself."""
    found = set(value)
    for items in value.values():
        if isinstance(items, list):
            found |= {key for item in items if isinstance(item, dict) for key in item}
    return found


def printed(
    arguments: list[str], capsys: pytest.CaptureFixture[str], status: int = 0
) -> dict[str, Any]:
    assert run([*arguments, "--json"]) == status
    found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


@pytest.mark.parametrize("name", ["models", "datasets", "summary"])
def test_the_keys_of_lists(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [name, "mlp"] if name == "summary" else [name]
    assert nested(printed(arguments, capsys)) == keys(name)


def test_the_keys_of_measurements() -> None:
    assert keys("bench") == {"results"} | {field.name for field in fields(Result)}


@pytest.fixture
def runs(tmp_path: Path) -> dict[str, Path]:
    """A run that tells two classes apart, one that gives a number, and one that gives two."""
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    table = tmp_path / "table.csv"
    lines = [",".join(f"{value:.3f}" for value in row) for row in x]
    table.write_text("a,b,c\n" + "\n".join(lines) + "\n")
    np.savez(tmp_path / "data.npz", inputs=x, targets=(x[:, 0] > 0).astype(int))
    data = rv.data.from_path(tmp_path / "data.npz")
    net = nn.Sequential(nn.Linear(2))
    about = {"data": str(tmp_path / "data.npz")}
    classifier = rv.Model(net, "cross_entropy", "adam", ["accuracy"])
    classifier.fit(data, out=tmp_path / "classes", about=about)
    for name, width in (("number", 1), ("numbers", 2)):
        rv.Model(nn.Sequential(nn.Linear(width))).fit(x, x[:, :width], out=tmp_path / name)
    return {path.stem: path for path in tmp_path.iterdir()}


def test_the_keys_of_evaluate(runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    found = printed(["evaluate", str(runs["classes"])], capsys)
    assert set(found) == keys("evaluate") | {"accuracy"}


def test_the_keys_of_predict(runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    found: set[str] = set()
    for name in ("classes", "number", "numbers"):
        found |= nested(printed(["predict", str(runs[name]), str(runs["table"])], capsys))
    given = ["predict", str(runs["classes"]), str(runs["table"]), "nothing.csv"]
    found |= nested(printed(given, capsys, status=1))
    assert found == keys("predict")


# ---------------------------------------------------------------- what installation.md says


def test_figures_bars_and_pictures_are_imported_when_needed() -> None:
    code = "import sys, ranvier; sys.exit(bool({'matplotlib', 'rich', 'PIL'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_the_packages_are_those_that_are_installed() -> None:
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    wanted = re.search(r"^dependencies = \[(.*?)\]", project, re.MULTILINE | re.DOTALL)
    assert wanted is not None
    page = (ROOT / "docs/installation.md").read_text("utf-8")
    part = page.partition("\n## What is installed\n")[2].partition("\n## ")[0]
    header, *listed = re.findall(r"^\| (\w+) \| \S", part, re.MULTILINE)
    assert header == "package"
    assert sorted(map(str.lower, listed)) == sorted(re.findall(r"\"(\w+)[<>=]", wanted[1]))


def test_the_size_is_the_same_wherever_it_stands() -> None:
    pages = [(ROOT / name).read_text("utf-8") for name in ("README.md", "docs/installation.md")]
    sizes = {re.search(r"environment\b[^.]*? (?:takes|came to) (\d+) MB", page) for page in pages}
    assert len({size and size[1] for size in sizes}) == 1
    assert None not in sizes
