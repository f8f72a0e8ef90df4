"""Whole programs of toy kernels: barriers, stopping, signals, forks, modes and clocks."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llvmlite import ir

from ranvier.engines.native.emit.ir import builder as e
from ranvier.engines.native.emit.runtime import Call, emit_main
from ranvier.engines.native.host import Host, example_host, host
from ranvier.engines.native.run import thread_pool as thread_pool_module
from ranvier.engines.native.run.context import ENTRY, Slot, new_context
from ranvier.engines.native.run.jit import Loaded, compile_object, load
from ranvier.engines.native.run.thread_pool import ThreadPool, thread_pool
from ranvier.errors import InputError

SIZE = 64


def kernel(module: ir.Module, name: str) -> tuple[ir.IRBuilder, ir.Function]:
    function = ir.Function(module, e.KERNEL_TYPE, name)
    function.linkage = "internal"
    return ir.IRBuilder(function.append_basic_block("entry")), function


def pull(module: ir.Module, name: str, source: int, target: int, add: int) -> ir.Function:
    """target[i] = source[SIZE - 1 - i] + add, for the thread's own share of i."""
    b, function = kernel(module, name)
    table, thread, threads = function.args
    start, stop = e.share(b, SIZE, thread, threads)
    read, write = e.buffer(b, table, source), e.buffer(b, table, target)
    with e.loop(b, start, stop) as i:
        mirror = b.sub(e.i64(SIZE - 1), i)
        value = e.load(b, e.element(b, read, mirror, e.I64), e.I64, 8)
        b.store(e.add(b, value, add), e.element(b, write, i, e.I64), align=8)
    b.ret_void()
    return function


def mirror_text(machine: Host) -> str:
    """Buffer 0 to buffer 1, mirrored and plus one, and back: every value crosses threads."""
    module = ir.Module("mirror")
    mirrored = pull(module, "mirrored", 0, 1, 1)
    emit_main(module, machine, [Call(mirrored, (0, 1)), Call(mirrored, (1, 0), barrier=True)])
    return str(module)


@pytest.fixture(scope="module")
def mirror() -> Loaded:
    return load(compile_object(mirror_text(host()), host()), [ENTRY])


def arrays(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A context over two buffers of `count` elements, and the buffers."""
    first, second = np.arange(count, dtype=np.int64), np.zeros(count, np.int64)
    context = new_context(2)
    context[Slot.BUFFERS] = first.ctypes.data
    context[Slot.BUFFERS + 2] = second.ctypes.data
    return context, first, second


@pytest.mark.parametrize("threads", [1, 2, 3, 4])
def test_threads_see_what_others_wrote(mirror: Loaded, threads: int) -> None:
    context, first, _ = arrays(SIZE)
    work = np.zeros(threads, np.int64)
    context[Slot.STEPS], context[Slot.WORK] = 2000, work.ctypes.data
    for turn in range(1, 3):
        thread_pool().run(mirror.address(ENTRY), context, threads)
        assert context[Slot.DONE] == 2000
        np.testing.assert_array_equal(first, np.arange(SIZE) + 4000 * turn)
        np.testing.assert_array_equal(work, 2000 * turn)


def test_inline_runs_on_the_callers_thread(mirror: Loaded) -> None:
    context, first, _ = arrays(SIZE)
    context[Slot.STEPS] = 5
    thread_pool().run(mirror.address(ENTRY), context, 1, inline=True)
    np.testing.assert_array_equal(first, np.arange(SIZE) + 10)
    with pytest.raises(ValueError, match="inline"):
        thread_pool().run(mirror.address(ENTRY), context, 2, inline=True)


def test_no_steps(mirror: Loaded) -> None:
    context, first, _ = arrays(SIZE)
    thread_pool().run(mirror.address(ENTRY), context, 2)
    np.testing.assert_array_equal(first, np.arange(SIZE))


@pytest.mark.parametrize("threads", [1, 3])
def test_strides_advance_each_step(threads: int) -> None:
    module = ir.Module("strides")
    copy = pull(module, "copy", 0, 1, 0)
    emit_main(module, host(), [Call(copy, (0, 1))])
    steps = 7
    source = np.arange(steps * SIZE, dtype=np.int64)
    target = np.zeros(steps * SIZE, np.int64)
    context = new_context(2)
    context[Slot.STEPS] = steps
    context[Slot.BUFFERS :] = source.ctypes.data, 8 * SIZE, target.ctypes.data, 8 * SIZE
    with load(compile_object(str(module), host()), [ENTRY]) as program:
        thread_pool().run(program.address(ENTRY), context, threads)
    expected = source.reshape(steps, SIZE)[:, ::-1].ravel()
    np.testing.assert_array_equal(target, expected)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_stop_flag_ends_all_threads_after_the_same_step(mirror: Loaded, threads: int) -> None:
    context, first, _ = arrays(SIZE)
    work = np.zeros(threads, np.int64)
    context[Slot.STEPS], context[Slot.WORK] = 1 << 60, work.ctypes.data

    def stop() -> None:
        while context[Slot.DONE] < 10:
            pass
        context[Slot.STOP] = 1

    stopper = threading.Thread(target=stop)
    stopper.start()
    thread_pool().run(mirror.address(ENTRY), context, threads)
    stopper.join()
    done = int(context[Slot.DONE])
    assert 10 <= done < 1 << 60
    np.testing.assert_array_equal(work, done)
    np.testing.assert_array_equal(first, np.arange(SIZE) + 2 * done)


def test_sixteen_callers_at_once(mirror: Loaded) -> None:
    failures: list[str] = []

    def call() -> None:
        context, first, _ = arrays(SIZE)
        context[Slot.STEPS] = 50
        for turn in range(1, 6):
            thread_pool().run(mirror.address(ENTRY), context, 2)
            if not np.array_equal(first, np.arange(SIZE) + 100 * turn):
                failures.append(f"turn {turn}")

    callers = [threading.Thread(target=call) for _ in range(16)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not failures


def test_workers_are_kept_for_later_calls(mirror: Loaded) -> None:
    context, _, _ = arrays(SIZE)
    context[Slot.STEPS] = 1
    thread_pool().run(mirror.address(ENTRY), context, 4)
    before = threading.active_count()
    for _ in range(20):
        thread_pool().run(mirror.address(ENTRY), context, 4)
    assert threading.active_count() == before


def test_threads_that_the_system_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are kept for later calls."""
    workers = ThreadPool()
    workers._give_back(*workers._borrow(2))
    real, left = thread_pool_module._Worker, iter([True])

    def worker(give_back: Any) -> Any:
        if next(left, False):
            return real(give_back)
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(thread_pool_module, "_Worker", worker)
    with pytest.raises(InputError, match="does not start 4 threads; compile with a smaller"):
        workers._borrow(4)
    assert len(workers._idle) == 3


def test_profile_counts_every_kernel(mirror: Loaded) -> None:
    context, _, _ = arrays(SIZE)
    profile = np.zeros(3, np.uint64)
    context[Slot.STEPS], context[Slot.PROFILE] = 100, profile.ctypes.data
    thread_pool().run(mirror.address(ENTRY), context, 2)
    assert profile[0] > 0
    assert profile[1] > 0
    assert profile[2] == 0
    before = profile.copy()
    thread_pool().run(mirror.address(ENTRY), context, 1, inline=True)
    assert (profile[:2] > before[:2]).all()


def halve(machine: Host) -> str:
    """buffer 0 (one float) becomes half of itself."""
    module = ir.Module("halve")
    b, function = kernel(module, "half")
    cell = e.buffer(b, function.args[0], 0)
    number = e.load(b, cell, ir.FloatType(), 4)
    b.store(b.fmul(number, ir.Constant(ir.FloatType(), 0.5)), cell, align=4)
    b.ret_void()
    emit_main(module, machine, [Call(function, (0,))])
    return str(module)


@pytest.mark.parametrize("inline", [False, True])
def test_denormals_are_flushed_inside_and_kept_outside(inline: bool) -> None:
    tiny = np.float32(np.finfo(np.float32).tiny)
    value = np.array([tiny])
    context = new_context(1)
    context[Slot.STEPS], context[Slot.BUFFERS] = 1, value.ctypes.data
    with load(compile_object(halve(host()), host()), [ENTRY]) as program:
        thread_pool().run(program.address(ENTRY), context, 1, inline=inline)
    assert value[0] == 0
    assert np.array([tiny])[0] * np.float32(0.5) > 0


@pytest.mark.parametrize("name", ["avx512", "avx2", "neon"])
def test_programs_compile_for_other_machines(name: str) -> None:
    assert compile_object(mirror_text(example_host(name)), example_host(name))


def script(body: str, timeout: float = 30) -> subprocess.CompletedProcess[str]:
    """Run `body` in a process of its own, with this file's names and a loaded program."""
    head = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_thread_pool import *\n"
        "program = load(compile_object(mirror_text(host()), host()), [ENTRY])\n"
        "context, first, second = arrays(SIZE)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", head + body],
        capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip


INTERRUPT = """
import signal, time
context[Slot.STEPS] = 1 << 60
def interrupt():
    while context[Slot.DONE] < 10:
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt).start()
try:
    thread_pool().run(program.address(ENTRY), context, 2)
except KeyboardInterrupt:
    done = int(context[Slot.DONE])
    assert done >= 10
    assert (first == np.arange(SIZE) + 2 * done).all()
context[Slot.STEPS] = 3
thread_pool().run(program.address(ENTRY), context, 2)
assert (first == np.arange(SIZE) + 2 * done + 6).all()
print("whole")
"""

INTERRUPTS = """
import random, signal, time
random.seed(0)
hits = 0
over = threading.Event()
def interrupt():
    while not over.is_set():
        time.sleep(random.random() * 0.002)
        os.kill(os.getpid(), signal.SIGINT)
def handler(*_):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt
signal.signal(signal.SIGINT, signal.SIG_IGN)
threading.Thread(target=interrupt).start()
context[Slot.STEPS] = 20
while hits < 300:
    try:
        signal.signal(signal.SIGINT, handler)
        try:
            thread_pool().run(program.address(ENTRY), context, 2)
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:
        hits += 1
    if first[0] % 2 or not (np.diff(first) == 1).all():
        print("broken", first[:4])
        break
over.set()
context[Slot.STEPS] = 3
before = int(first[0])
thread_pool().run(program.address(ENTRY), context, 2)
assert int(first[0]) == before + 6
print("whole")
"""

FORK = """
context[Slot.STEPS] = 100
thread_pool().run(program.address(ENTRY), context, 2)
child = os.fork()
thread_pool().run(program.address(ENTRY), context, 2)
with load(compile_object(halve(host()), host()), [ENTRY]) as other:
    value = np.ones(1, np.float32)
    small = new_context(1)
    small[Slot.STEPS], small[Slot.BUFFERS] = 2, value.ctypes.data
    thread_pool().run(other.address(ENTRY), small, 1)
assert value[0] == 0.25
assert (first == np.arange(SIZE) + 400).all()
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print("whole")
"""


TWO_SIGNALS = """
import signal, time
def handler(*_):
    raise InterruptedError
for number in (signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, handler)
def strike():
    while context[Slot.DONE] < 10:
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGUSR1)
    os.kill(os.getpid(), signal.SIGUSR2)
for _ in range(10):
    context[Slot.STEPS], context[Slot.DONE] = 1 << 60, 0
    threading.Thread(target=strike).start()
    try:
        thread_pool().run(program.address(ENTRY), context, 2)
    except InterruptedError:
        done = int(context[Slot.DONE])
    try:
        time.sleep(0.02)
    except InterruptedError:
        pass
    assert int(context[Slot.DONE]) == done, "the workers run on"
print("whole")
"""


@pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")
@pytest.mark.parametrize(
    "body", [INTERRUPT, INTERRUPTS, TWO_SIGNALS], ids=["once", "often", "two at once"]
)
def test_interrupts_leave_the_state_whole(body: str) -> None:
    result = script(body)
    assert result.stdout.strip() == "whole", result.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="has no fork")
def test_forked_child_has_a_pool_of_its_own() -> None:
    result = script(FORK)
    assert result.stdout.strip() == "whole", result.stderr


def test_the_interpreter_ends_with_parked_workers() -> None:
    result = script("thread_pool().run(program.address(ENTRY), context, 4)", timeout=20)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
