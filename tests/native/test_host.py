"""The record of the machine's facts."""

import os
import subprocess
import sys

import numpy as np

from ranvier.engines.native.host import example_host, host


def test_host_is_whole_and_cached() -> None:
    machine = host()
    assert machine is host()
    assert machine.vector_bytes in (16, 32, 64)
    assert machine.vector_registers in (16, 32)
    assert 8 << 10 <= machine.l1_bytes <= machine.l2_bytes
    assert machine.is_x86 != machine.is_arm
    if hasattr(os, "sched_getaffinity"):
        assert machine.cores == len(os.sched_getaffinity(0))


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
