"""Documentation runs: every Python block of README.md and docs/, and every example.

The blocks of one file share a namespace and run in order. A block of `text` that follows a
Python block is what the Python block prints, word for word.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import ranvier as rv

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)|src=\"([^\"]+)\"")
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
    """Run the Python blocks in order; return each with what it printed."""
    namespace: dict[str, object] = {"__name__": f"docs.{page.stem}"}
    printed = []
    for block in blocks(text):
        if block.language != "python":
            continue
        lines = "\n" * block.line + block.text  # so that a traceback names the page's line
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(lines, str(page), "exec"), namespace)
        printed.append((block, out.getvalue()))
    return printed


def expectations(text: str) -> dict[int, str]:
    """What the Python block that begins at a line must print, where a text block follows it."""
    found = blocks(text)
    pairs = pairwise(found)
    return {a.line: b.text for a, b in pairs if (a.language, b.language) == ("python", "text")}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANVIER_CACHE", str(tmp_path))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_python_blocks_run_and_print_what_the_page_says(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    expected = expectations(text)
    for block, printed in run(page, text):
        if block.line in expected:
            assert printed == expected[block.line], f"{page.name}, line {block.line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_to_files(page: Path) -> None:
    for match in LINK.finditer(page.read_text(encoding="utf-8")):
        target = match[1] or match[2]
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_named_files_exist(page: Path) -> None:
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    for name in re.findall(r"`((?:ranvier|tests|docs|examples|benchmarks)/[\w./]+)`", text):
        assert (ROOT / name).exists(), f"{page.name} names {name}"


def test_readme_gives_the_one_command() -> None:
    shell = [b.text for b in blocks((ROOT / "README.md").read_text()) if b.language == "sh"]
    assert any(COMMAND in text.splitlines() for text in shell)
    assert (ROOT / ".ci/run").read_text().startswith("#!/usr/bin/env bash\n")


def test_a_wrong_block_is_noticed() -> None:
    page = "```python\nx = 1\n```\n\n```python\nprint(x + 1)\n```\n```text\n3\n```\n"
    (_, _), (block, printed) = run(Path("page.md"), page)
    assert printed == "2\n"
    assert expectations(page) == {block.line: "3\n"}


def test_the_public_names_are_all_on_the_pages_for_users() -> None:
    pages = [(ROOT / f"docs/{name}.md").read_text("utf-8") for name in ("engine", "networks")]
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
    assert [path.stem for path in (ROOT / "examples").glob("*.py")] == ["xor"]


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_xor_is_learnt(engine: str) -> None:
    xor = example("xor")
    losses, outputs = xor.train(engine=engine)
    assert losses[-1] < 0.01 < losses[0]
    np.testing.assert_array_equal(outputs.round(), xor.TARGETS)


def test_xor_prints_its_result(capsys: pytest.CaptureFixture[str]) -> None:
    example("xor").main()
    assert "0 xor 1 = " in capsys.readouterr().out
