"""The record of the machine's facts."""

import os
import subprocess
import sys

import numpy as np
import pytest

from ranvier.engines.native.host import VECTOR_BITS, example_host, host


def test_host_is_whole_and_cached() -> None:
    machine = host()
    assert machine is host()
    assert machine.vector_bytes in (16, 32, 64)
    assert machine.vector_registers in (16, 32)
    assert 8 << 10 <= machine.l1_bytes <= machine.l2_bytes
    assert machine.is_x86 != machine.is_arm
    if hasattr(os, "sched_getaffinity"):
        assert 1 <= machine.cores <= len(os.sched_getaffinity(0))


def test_wide_vectors_stay_whole() -> None:
    machine = host()
    if "+avx512f" in machine.features.split(","):
        assert "-prefer-256-bit" in machine.features.split(",")


def test_lanes_follow_the_width() -> None:
    machine = example_host("avx512")
    assert machine.lanes(np.dtype(np.float32)) == 16
    assert machine.lanes(np.dtype(np.float64)) == 8
    assert machine.lanes(np.dtype(np.uint8)) == 64
    assert example_host("neon").lanes(np.dtype(np.float32)) == 4


def test_importing_does_not_load_llvm() -> None:
    code = "import sys, ranvier.engines.native.host; sys.exit('llvmlite' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


_MACHINE = "from ranvier.engines.native.host import host; h = host(); "
_SHOW = "print(8 * h.vector_bytes, h.vector_registers, '+avx' in h.features, '+fma' in h.features)"


@pytest.mark.skipif(not host().is_x86, reason="only x86 processors have vectors of several widths")
@pytest.mark.parametrize(("bits", "shown"), [("128", "128 16 False False"), ("256", "256 16")])
def test_vectors_may_be_narrowed(bits: str, shown: str) -> None:
    if 8 * host().vector_bytes < int(bits):
        pytest.skip(f"this processor has no vectors of {bits} bits")
    out = subprocess.run(
        [sys.executable, "-c", _MACHINE + _SHOW],
        env={**os.environ, VECTOR_BITS: bits},
        check=True,
        capture_output=True,
        text=True,
    )
    assert out.stdout.startswith(shown)


def test_another_width_is_refused() -> None:
    code = _MACHINE.replace("h = host(); ", "host()")
    environment = {**os.environ, VECTOR_BITS: "333"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stderr.endswith(
        "RANVIER_VECTOR_BITS is '333'; use 128, 256 or 512, or leave it unset\n"
    )
