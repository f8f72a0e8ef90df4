"""Compiling IR and loading objects."""

import ctypes
import os
import subprocess
import sys
import threading

import pytest

from ranvier.engines.native.host import example_host, host
from ranvier.engines.native.run.jit import assembly, compile_object, load
from ranvier.errors import CompileError

ADD_SINE = """
declare double @sin(double)
define double @f(double %x) {
  %y = call double @sin(double %x)
  %z = fadd double %y, 1.5
  ret double %z
}
"""
UNDEFINED = ADD_SINE.replace("@sin", "@no_such_function")


def call(address: int, x: float) -> float:
    return float(ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(address)(x))


def test_compiled_code_runs_and_finds_the_maths_library() -> None:
    with load(compile_object(ADD_SINE, host()), ["f"]) as program:
        assert call(program.address("f"), 0.0) == 1.5
        assert call(program.address("f"), 1.0) == pytest.approx(2.3414709848078967, rel=1e-15)


def test_objects_link_with_each_other() -> None:
    caller = "declare double @f(double) define double @g(double %x) {\n"
    caller += " %y = call double @f(double %x)\n ret double %y }"
    objects = [compile_object(text, host()) for text in (ADD_SINE, caller)]
    with load(objects, ["f", "g"]) as program:
        assert call(program.address("g"), 0.0) == 1.5


def test_same_ir_gives_same_object() -> None:
    assert compile_object(ADD_SINE, host()) == compile_object(ADD_SINE, host())


def test_two_programs_may_use_the_same_names() -> None:
    other = ADD_SINE.replace("1.5", "2.5")
    with load(compile_object(ADD_SINE, host()), ["f"]) as one:
        with load(compile_object(other, host()), ["f"]) as two:
            assert call(two.address("f"), 0.0) == 2.5
        assert call(one.address("f"), 0.0) == 1.5


def test_a_closed_program_has_no_addresses() -> None:
    program = load(compile_object(ADD_SINE, host()), ["f"])
    program.close()
    program.close()
    with pytest.raises(CompileError, match="closed"):
        program.address("f")


def test_undefined_symbol(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CompileError, match="cannot be loaded"):
        load(compile_object(UNDEFINED, host()), ["f"])
    assert capfd.readouterr().err == ""


def test_symbol_that_is_not_exported() -> None:
    with pytest.raises(CompileError, match="nothing"):
        load(compile_object(ADD_SINE, host()), ["nothing"])


@pytest.mark.parametrize("length", [0, 10, 64, 300])
def test_truncated_object(length: int) -> None:
    with pytest.raises(CompileError, match="cannot be loaded"):
        load(compile_object(ADD_SINE, host())[:length], ["f"])


def test_bad_ir() -> None:
    with pytest.raises(CompileError, match="cannot read"):
        compile_object("this is no IR", host())
    with pytest.raises(CompileError, match="rules"):
        compile_object("define i32 @f() {\n a:\n br label %b\n b:\n %x = add i32 %y, 1\n"
                       " %y = add i32 %x, 1\n ret i32 %x }", host())  # fmt: skip


WIDE = """
define void @f(ptr %p) {
  %x = load <64 x float>, ptr %p, align 64
  %y = fadd <64 x float> %x, %x
  store <64 x float> %y, ptr %p, align 64
  ret void
}
"""


@pytest.mark.parametrize(("name", "register"), [("avx512", "zmm"), ("avx2", "ymm"), ("neon", "q")])
def test_other_machines(name: str, register: str) -> None:
    machine = example_host(name)
    assert register in assembly(WIDE, machine)
    assert compile_object(WIDE, machine)[:4] == b"\x7fELF"


def test_many_threads_compile() -> None:
    results: list[float] = []

    def work(number: int) -> None:
        text = ADD_SINE.replace("1.5", f"{number}.5")
        with load(compile_object(text, host()), ["f"]) as program:
            results.append(call(program.address("f"), 0.0))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [i + 0.5 for i in range(16)]


LEAK = """
import sys
sys.path.insert(0, {folder!r})
from test_jit import *
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
def cycle(i):
    with load(compile_object(ADD_SINE.replace("1.5", f"{{i}}.5"), host()), ["f"]) as program:
        assert call(program.address("f"), 0.0) == i + 0.5
for i in range(100):
    cycle(i)
before = resident()
for i in range({count}):
    cycle(i)
print((resident() - before) / {count})
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_closing_returns_the_memory() -> None:
    script = LEAK.format(folder=os.path.dirname(__file__), count=400)
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert float(result.stdout) < 20_000  # bytes a program


FORK = """
import sys
sys.path.insert(0, {folder!r})
from test_jit import *
kept = load(compile_object(ADD_SINE, host()), ["f"])
stop = threading.Event()
def busy():
    while not stop.is_set():
        compile_object(ADD_SINE, host())
thread = threading.Thread(target=busy)
thread.start()
codes = []
for _ in range(10):
    child = os.fork()
    if child == 0:
        good = call(kept.address("f"), 0.0) == 1.5
        with load(compile_object(ADD_SINE.replace("1.5", "7.5"), host()), ["f"]) as program:
            good = good and call(program.address("f"), 0.0) == 7.5
        os._exit(0 if good else 1)
    codes.append(os.waitpid(child, 0)[1])
stop.set()
thread.join()
print(codes)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="has no fork")
def test_forked_children_run_and_compile_while_the_parent_compiles() -> None:
    script = FORK.format(folder=os.path.dirname(__file__))
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout.strip() == str([0] * 10)
