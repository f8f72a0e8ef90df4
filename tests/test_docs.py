"""Documentation runs: every Python block of README.md and docs/, and every example.

The blocks of one file share a namespace and an empty working folder, and run in order. A block of
`text` that follows a Python block is what the Python block prints, word for word. A `console`
block holds commands after `$`, each with what it prints; there `…` stands for what is left out,
and on a line of its own for any number of lines.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import shlex
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import ranvier as rv
from ranvier.cli.main import run as run_command

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)|src=\"([^\"]+)\"")
PLACE = re.compile(r"\]\(([^)#\s]*)#([^)\s]+)\)")
COMMAND = "bash .ci/run"


@dataclass(frozen=True)
class Block:
    """A fenced block: where it begins, its language and its text."""

    line: int
    language: str
    text: str


def blocks(text: str) -> list[Block]:
    return [Block(text.count("\n", 0, m.start()) + 1, m[1], m[2]) for m in FENCED.finditer(text)]


def run(page: Path, text: str) -> list[tuple[Block, str]]:
    """Run the Python and console blocks in order; return each with what it printed."""
    namespace: dict[str, object] = {"__name__": f"docs.{page.stem}"}
    printed = []
    for block in blocks(text):
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            if block.language == "python":
                lines = "\n" * block.line + block.text  # so that a traceback names the page's line
                exec(compile(lines, str(page), "exec"), namespace)
            elif block.language == "console":
                run_commands(block.text)
        if block.language in ("python", "console"):
            printed.append((block, out.getvalue()))
    return printed


def run_commands(text: str) -> None:
    """Print each command of a console block and what it prints, `echo $?` being the status."""
    status = 0
    for line in text.splitlines():
        if not line.startswith("$ "):
            continue
        print(line)
        name, *arguments = shlex.split(line[2:])
        if name == "echo":
            print(status)
        else:
            assert name == "ranvier", f"{line}: only ranvier is run"
            status = run_command(arguments)


def expectations(text: str) -> dict[int, str]:
    """What the block that begins at a line must print, where the page says so."""
    found = blocks(text)
    pairs = pairwise(found)
    expected = {a.line: b.text for a, b in pairs if (a.language, b.language) == ("python", "text")}
    return expected | {block.line: block.text for block in found if block.language == "console"}


def fits(printed: str, expected: str, block: Block) -> bool:
    """Whether a block printed what the page says."""
    if block.language != "console":
        return printed == expected
    lines = [
        "(?s:.*)" if line == "…" else ".*".join(re.escape(part) for part in line.split("…"))
        for line in expected.split("\n")
    ]
    return re.fullmatch("\n".join(lines), printed) is not None


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANVIER_CACHE", str(tmp_path / "cache"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_python_blocks_run_and_print_what_the_page_says(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    expected = expectations(text)
    for block, printed in run(page, text):
        if block.line in expected and not fits(printed, expected[block.line], block):
            assert printed == expected[block.line], f"{page.name}, line {block.line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_to_files(page: Path) -> None:
    for match in LINK.finditer(page.read_text(encoding="utf-8")):
        target = match[1] or match[2]
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def places(page: Path) -> set[str]:
    """The names by which links reach the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_to_headings(page: Path) -> None:
    for name, place in PLACE.findall(page.read_text(encoding="utf-8")):
        target = page.parent / name if name else page
        if "://" not in name:
            assert place in places(target), f"{page.name} links to {name}#{place}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_named_files_exist(page: Path) -> None:
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    for name in re.findall(r"`((?:ranvier|tests|docs|examples|benchmarks)/[\w./]+)`", text):
        assert (ROOT / name).exists(), f"{page.name} names {name}"


PLAIN = {
    "one's own": "your own",
    "how often": "how many times",
    "need not be said": "inferred",
    "samples a second": "samples per second",
    "samples a step": "samples in each step",
    "training part": "training set",
    "validation part": "validation set",
    "test part": "test set",
}
"""Phrases that readers stumble over, and what to write."""


def public_docstrings() -> str:
    """What `help` shows of the public names and their methods."""
    rooms = (rv, rv.nn, rv.data, rv.datasets, rv.optim, rv.losses, rv.metrics, rv.training)
    found = [getattr(room, name) for room in rooms for name in getattr(room, "__all__", ())]
    found += [each for owner in found if isinstance(owner, type) for each in vars(owner).values()]
    return " ".join(doc for each in found if isinstance(doc := getattr(each, "__doc__", None), str))


READ = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in PAGES} | {
    "the command line": " ".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "ranvier/cli").glob("*.py")
    ),
    "the public docstrings": public_docstrings(),
}
"""What users read."""


@pytest.mark.parametrize("where", READ)
def test_prose_is_plain(where: str) -> None:
    text = " ".join(READ[where].lower().split())
    for phrase, mend in PLAIN.items():
        at = text.find(phrase)
        assert at < 0, f"{where}, {text[max(at - 30, 0) : at + 40]!r}: write {mend!r}"


TERMS = (
    *("training set", "validation set", "test set", "logits", "loss"),
    *("batch", "step", "epoch", "overfitting"),
)


@pytest.mark.parametrize("term", TERMS)
def test_the_tutorial_defines_its_terms_at_first_use(term: str) -> None:
    """A term stands in italics where it is defined, and nowhere in the prose before."""
    prose = FENCED.sub("", (ROOT / "docs/tutorial.md").read_text(encoding="utf-8"))
    prose = re.sub(r"`[^`]*`|^#.*$", "", prose, flags=re.MULTILINE)
    first = re.search(rf"\b{term}(es|s)?\b", " ".join(prose.split()), re.IGNORECASE)
    assert first is not None
    before, after = first.string[first.start() - 1], first.string[first.end()]
    assert before == after == "*", first.string[first.start() - 40 : first.end() + 40]


def test_readme_gives_the_one_command() -> None:
    shell = [b.text for b in blocks((ROOT / "README.md").read_text()) if b.language == "sh"]
    assert any(COMMAND in text.splitlines() for text in shell)
    assert (ROOT / ".ci/run").read_text().startswith("#!/usr/bin/env bash\n")


def test_a_wrong_block_is_noticed() -> None:
    page = "```python\nx = 1\n```\n\n```python\nprint(x + 1)\n```\n```text\n3\n```\n"
    (_, _), (block, printed) = run(Path("page.md"), page)
    assert printed == "2\n"
    assert expectations(page) == {block.line: "3\n"}
    assert not fits(printed, "3\n", block)


def test_a_wrong_console_block_is_noticed() -> None:
    page = "```console\n$ ranvier --version\nranvier …\n$ ranvier no\n…\n$ echo $?\n2\n```\n"
    ((block, printed),) = run(Path("page.md"), page)
    expected = expectations(page)[block.line]
    assert fits(printed, expected, block)
    assert not fits(printed, expected.replace("\n2\n", "\n1\n"), block)
    assert not fits(printed, expected.replace("ranvier …", "other …"), block)


def test_the_public_names_are_all_on_the_pages_for_users() -> None:
    names = ("engine", "networks", "tutorial", "training")
    pages = [(ROOT / f"docs/{name}.md").read_text("utf-8") for name in names]
    words = set(re.findall(r"\w+", " ".join(pages)))
    assert [name for name in rv.__all__ if name not in words | {"__version__"}] == []


# ---------------------------------------------------------------- examples


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / f"examples/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_example_has_a_test_here() -> None:
    names = {path.stem for path in (ROOT / "examples").glob("*.py")}
    assert names == {
        "xor",
        "train_by_hand",
        "fit_your_own",
        "csv_table",
        "fine_tune",
        "pretrain_encoder",
    }


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_xor_is_learnt(engine: str) -> None:
    xor = example("xor")
    losses, outputs = xor.train(engine=engine)
    assert losses[-1] < 0.01 < losses[0]
    np.testing.assert_array_equal(outputs.round(), xor.TARGETS)


def test_xor_prints_its_result(capsys: pytest.CaptureFixture[str]) -> None:
    example("xor").main()
    assert "0 xor 1 = " in capsys.readouterr().out


def test_a_loop_written_by_hand_learns_digits(capsys: pytest.CaptureFixture[str]) -> None:
    shares = example("train_by_hand").main()
    assert len(shares) == 3
    assert max(shares) > 0.85
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_a_module_and_a_loss_of_ones_own_are_learnt(capsys: pytest.CaptureFixture[str]) -> None:
    history, spread = example("fit_your_own").main()
    assert history[-1]["loss"] < -0.7 < history[0]["loss"]
    assert history[-1]["validation_within"] > 0.9
    assert spread[0] < 0.25 < spread[1]
    assert "noise at -0.8" in capsys.readouterr().out


def test_a_table_is_learnt(capsys: pytest.CaptureFixture[str]) -> None:
    found = example("csv_table").main()
    assert found["accuracy"] > 0.9
    assert "58 g, 4.4 cm, 13 % sugar: plum" in capsys.readouterr().out


def test_an_encoder_is_used_again(capsys: pytest.CaptureFixture[str]) -> None:
    found = example("fine_tune").main()
    assert 0.65 < found["head alone"] < found["fine-tuned"]
    printed = capsys.readouterr().out
    assert "taken over: encoder.linear1.weight" in printed
    assert "decoder" not in printed


def test_an_encoder_is_pretrained_frozen_and_fine_tuned(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = example("pretrain_encoder").main()
    assert 0.6 < found["head alone"] < found["fine-tuned"]
    assert found["from scratch"] > 0.7
    printed = capsys.readouterr().out
    assert "codes: (3, 24)" in printed
    assert "frozen: encoder.conv1.weight" in printed
