"""The table of figures: `python benchmarks/run.py --peer-python PATH --markdown FILE`.

Sections: matmul and convolutions (share of the measured peak), steps (training steps beside
PyTorch), start (import and compilation in fresh processes), memory (growth of the resident
size), losses (the first 20 of each step beside the reference engine and PyTorch).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its bytecode

import data  # noqa: E402
from rounds import ROUNDS, Contender, Entry, Figure, compare, ratios  # noqa: E402

from ranvier.engines.native.host import host  # noqa: E402

OURS = "ours.py"
TORCH = "peer_torch.py"
NUMPY = "peer_numpy.py"
COMPILES = 1000


@dataclass
class Report:
    """Markdown, printed as it grows."""

    lines: list[str] = field(default_factory=list)

    def add(self, line: str = "") -> None:
        self.lines.append(line)
        print(line, flush=True)

    def table(self, title: str, columns: Sequence[str]) -> None:
        self.add()
        self.add(f"### {title}")
        self.add()
        self.row(columns)
        self.row(["---"] * len(columns))

    def row(self, cells: Sequence[str]) -> None:
        self.add(f"| {' | '.join(cells)} |")


@dataclass(frozen=True)
class Settings:
    """What the command line asks for."""

    peer: str | None
    rounds: int
    only: Sequence[str]

    def wants(self, name: str) -> bool:
        """Whether a row is to be measured; no names mean all rows."""
        return not self.only or name in self.only


def matmul(report: Report, settings: Settings) -> None:
    """Products beside the peak loop and NumPy's, which run in processes of their own."""
    import ours

    columns = ["product", "ms", "GFLOP/s", "peak GFLOP/s", "share of peak", "NumPy's share"]
    report.table("Matrix products, float32", columns)
    with ExitStack() as open_:
        scripts = (OURS, OURS, NUMPY)
        own, other, peer = (open_.enter_context(Contender(sys.executable, s)) for s in scripts)
        for name, (m, k, n, left, right) in ours.MATMULS.items():
            if not settings.wants(name):
                continue
            entries = {
                "ours": Entry(own, f"matmul-{name}"),
                "peak": Entry(other, "peak"),
                "NumPy": Entry(peer, f"matmul-{name}"),
            }
            times = compare(entries, settings.rounds)
            rates, theirs = (_rates(times[key], 2 * m * k * n) for key in ("ours", "NumPy"))
            peaks = _rates(times["peak"], ours.peak_flops())
            turned = " A transposed" * left + " B transposed" * right
            report.row(
                [
                    f"{m}x{k}x{n}{turned}",
                    Figure(tuple(times["ours"])).text(),
                    Figure(rates).text(".0f"),
                    Figure(peaks).text(".0f"),
                    ratios(rates, peaks).text(".0%"),
                    ratios(theirs, peaks).text(".0%"),
                ]
            )


def convolutions(report: Report, settings: Settings) -> None:
    """Every distinct convolution of two residual networks, and their sums weighted by FLOPs."""
    import ours

    columns = ["layer", "pass", "ms", "share of peak", "PyTorch ms", "÷ PyTorch"]
    report.table("Convolutions, float32", columns)
    sums: dict[tuple[str, str], list[list[float]]] = {}
    with ExitStack() as open_:
        own, other = (open_.enter_context(Contender(sys.executable, OURS)) for _ in range(2))
        peer = open_.enter_context(Contender(settings.peer, TORCH)) if settings.peer else None
        for name in filter(settings.wants, data.LAYERS):
            for kind in data.passes(name):
                case, layer = f"{name}-{kind}", data.LAYERS[name]
                entries = {"ours": Entry(own, case), "peak": Entry(other, "peak")}
                if peer:
                    entries["torch"] = Entry(peer, case)
                times = compare(entries, settings.rounds)
                peaks = _rates(times["peak"], ours.peak_flops())
                floor = [layer.flops / peak / 1e6 for peak in peaks]
                theirs = times.get("torch", [float("nan")] * len(floor))
                _layer_row(report, [name, kind], times["ours"], floor, theirs)
                weighted = [[t * layer.count for t in ts] for ts in (times["ours"], floor, theirs)]
                sums.setdefault((name.partition("-")[0], kind), []).append(weighted)
    for (network, kind), layers in sums.items():
        totals = [
            [sum(round_) for round_ in zip(*t, strict=True)] for t in zip(*layers, strict=True)
        ]
        _layer_row(report, [f"**{network}, all**", kind], *totals)


def _layer_row(
    report: Report,
    head: list[str],
    ours: Sequence[float],
    floor: Sequence[float],
    theirs: Sequence[float],
) -> None:
    """One row: our time, the time at the measured peak, and PyTorch's."""
    share, ratio = ratios(floor, ours).text(".0%"), ratios(ours, theirs).text(".2f")
    report.row([*head, Figure(tuple(ours)).text(), share, Figure(tuple(theirs)).text(), ratio])


def training_steps(report: Report, settings: Settings) -> None:
    """Training steps, many in a call and one by one, beside PyTorch."""
    import ours

    columns = ["step", "contender", "ms", "share of peak", "÷ PyTorch's best"]
    report.table("Training steps", columns)
    with ExitStack() as open_:
        own, other = (open_.enter_context(Contender(sys.executable, OURS)) for _ in range(2))
        peer = open_.enter_context(Contender(settings.peer, TORCH)) if settings.peer else None
        for name in filter(settings.wants, data.STEPS):
            entries = {"ours, many steps a call": Entry(own, f"{name}-many")}
            if peer:
                entries["PyTorch eager"] = Entry(peer, f"{name}-eager")
            entries["ours, one step a call"] = Entry(own, f"{name}-single")
            if peer:
                entries["PyTorch compiled"] = Entry(peer, f"{name}-compiled")
            entries["peak"] = Entry(other, "peak")
            times = compare(entries, settings.rounds)
            peaks = _rates(times.pop("peak"), ours.peak_flops())
            _step_rows(report, name, times, peaks)


def _step_rows(
    report: Report, name: str, times: dict[str, list[float]], peaks: Sequence[float]
) -> None:
    """One row a contender; PyTorch's best is the better of its two ways in each round."""
    peers = [times[key] for key in times if key.startswith("PyTorch")]
    best = [min(together) for together in zip(*peers, strict=True)]
    for label, found in times.items():
        share = ratios(_rates(found, data.flops(name)), peaks).text(".1%")
        ratio = ratios(found, best).text(".2f") if best else ""
        report.row([name, label, Figure(tuple(found)).text(), share, ratio])
    report.row([name, "peak, GFLOP/s", Figure(tuple(peaks)).text(".0f"), "", ""])


def start(report: Report, settings: Settings) -> None:
    """Import and compilation, each in a fresh process; the cache is fresh where it says cold.

    Modules are bytecode already, as after an installation: a first process sees to that.
    """
    _child("start.py", "small")
    report.table("Start, seconds", ["step", "import", "compile, cold", "compile, from the cache"])
    for name in filter(settings.wants, data.STEPS):
        cold, warm = [], []
        for _ in range(settings.rounds):
            with tempfile.TemporaryDirectory() as cache:
                cold.append(_child("start.py", name, cache=cache))
                warm.append(_child("start.py", name, cache=cache))
        imports = Figure(tuple(child["import"] for child in cold + warm))
        colds, warms = (Figure(tuple(c["compile"] for c in found)) for found in (cold, warm))
        report.row([name, imports.text(), colds.text(), warms.text()])


def memory(report: Report, settings: Settings) -> None:
    """Growth of the resident size."""
    report.table("Growth of the resident size", ["over", "kB"])
    for name in filter(settings.wants, ("small", "mlp")):
        grown = _child("memory.py", "steps", name)
        report.row([f"10,000 steps of {name}, in all", f"{grown['kilobytes']:.0f}"])
    if settings.wants("resnet34"):
        report.row(
            [
                "arena of a step of resnet34",
                f"{_child('memory.py', 'arena', 'resnet34')['kilobytes']:.0f}",
            ]
        )
        if settings.peer:
            grown = _child("peer_memory.py", "resnet34", python=settings.peer)
            report.row(["the same step in PyTorch, at its peak", f"{grown['kilobytes']:.0f}"])
    if settings.wants("compiles"):
        grown = _child("memory.py", "compiles", str(COMPILES), cache="")
        report.row(
            [f"{COMPILES} compiled and released programs, each", f"{grown['kilobytes']:.1f}"]
        )


def losses(report: Report, settings: Settings) -> None:
    """The first 20 losses of ours, of the reference engine and of PyTorch."""
    import numpy as np
    import steps

    report.table("Losses of steps 1, 10 and 20", ["step", "engine", "losses", "largest difference"])
    peer = _torch_losses(settings.peer) if settings.peer else {}
    for name in filter(settings.wants, (*data.SIZES, "lenet5", "residual")):
        found = {}
        for engine in ("reference", "native"):
            step = steps.STEPS[name]()
            program = step.compile(engine=engine)
            found[engine] = program(steps=20, index=step.index(20), **step.arrays)["loss"]
        if name in peer:
            found["PyTorch"] = np.array(peer[name])
        for engine, values in found.items():
            error = np.abs(values / found["reference"] - 1).max()
            shown = ", ".join(f"{values[i]:.5f}" for i in (0, 9, 19))
            report.row([name, engine, shown, f"{error:.1e}"])


def _torch_losses(python: str) -> dict[str, list[float]]:
    command = [python, str(HERE / TORCH), "--losses"]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rows = (line.split() for line in out.splitlines())
    return {name: [float(v) for v in values] for name, *values in rows}


def _rates(milliseconds: Sequence[float], flops: int) -> tuple[float, ...]:
    """GFLOP/s in each round."""
    return tuple(flops / ms / 1e6 for ms in milliseconds)


def _child(
    script: str, *arguments: str, cache: str | None = None, python: str = sys.executable
) -> dict[str, float]:
    """Run a script in a fresh process and return the JSON object that it prints."""
    environment = dict(os.environ)
    if cache is not None:
        environment["RANVIER_CACHE"] = cache
    command = [python, str(HERE / script), *arguments]
    out = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    found: dict[str, float] = json.loads(out.stdout)
    return found


SECTIONS: dict[str, Callable[[Report, Settings], None]] = {
    "losses": losses,
    "matmul": matmul,
    "convolutions": convolutions,
    "steps": training_steps,
    "start": start,
    "memory": memory,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sections", nargs="*", default=list(SECTIONS), metavar="SECTION")
    parser.add_argument("--peer-python", help="an interpreter that has torch")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", nargs="+", default=[], help="the rows to measure, by name")
    parser.add_argument("--markdown", type=Path, help="also write the tables to this file")
    chosen = parser.parse_args()
    for name in chosen.sections:
        if name not in SECTIONS:
            parser.error(f"there is no section {name!r}; there are {', '.join(SECTIONS)}")
    machine, report = host(), Report()
    report.add(f"{machine.cores} cores of {machine.cpu}, {8 * machine.vector_bytes}-bit vectors.")
    settings = Settings(chosen.peer_python, chosen.rounds, chosen.only)
    for name in chosen.sections:
        SECTIONS[name](report, settings)
    if chosen.markdown:
        chosen.markdown.write_text("\n".join(report.lines) + "\n")


if __name__ == "__main__":
    main()
