"""The cores that a process may use: control groups as a fake file system shows them."""

import os
from pathlib import Path

import pytest

from ranvier.engines.native.run.cores import available_cores, cpu_quota

MOUNT_2 = "30 24 0:26 {top} /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"
MOUNT_1 = "33 31 0:29 {top} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct"
MEMORY_1 = "34 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"
DISK = "24 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw"
UNIFIED = "sys/fs/cgroup"
CPU = "sys/fs/cgroup/cpu,cpuacct"


def system(root: Path, groups: str, mounts: list[str], files: dict[str, str]) -> Path:
    """A file system with these control groups."""
    contents = {
        "proc/self/cgroup": groups,
        "proc/self/mountinfo": "\n".join(mounts) + "\n",
        **files,
    }
    for name, text in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def version_1(folder: str, quota: str, period: str = "100000") -> dict[str, str]:
    return {f"{folder}/cpu.cfs_quota_us": quota, f"{folder}/cpu.cfs_period_us": period}


def test_a_container_sees_its_quota_at_the_top(tmp_path: Path) -> None:
    files = {f"{UNIFIED}/cpu.max": "150000 100000\n"}
    assert cpu_quota(system(tmp_path, "0::/\n", [DISK, MOUNT_2.format(top="/")], files)) == 1.5


@pytest.mark.parametrize(
    ("outer", "inner", "quota"),
    [("400000", "max", 4), ("max", "50000", 0.5), ("400000", "50000", 0.5), ("max", "max", None)],
)
def test_the_smallest_quota_on_the_way_to_the_top_counts(
    tmp_path: Path, outer: str, inner: str, quota: float | None
) -> None:
    files = {
        f"{UNIFIED}/user.slice/cpu.max": f"{outer} 100000\n",
        f"{UNIFIED}/user.slice/job/cpu.max": f"{inner} 100000\n",
        f"{UNIFIED}/other/cpu.max": "1000 100000\n",
    }
    root = system(tmp_path, "0::/user.slice/job/step\n", [MOUNT_2.format(top="/")], files)
    assert cpu_quota(root) == quota


def test_version_1_beside_version_2_without_its_controller(tmp_path: Path) -> None:
    groups = "11:memory:/docker/m\n4:cpu,cpuacct:/docker/c\n0::/docker/c\n"
    mounts = [MEMORY_1, MOUNT_1.format(top="/"), MOUNT_2.format(top="/").replace("cgroup ", "u ")]
    files = {
        **version_1(CPU, "-1"),
        **version_1(f"{CPU}/docker/c", "300000"),
        **version_1(f"{CPU}/docker/m", "100000"),
    }
    assert cpu_quota(system(tmp_path, groups, mounts, files)) == 3


@pytest.mark.parametrize("path", ["/docker/c", "/../../elsewhere", "/elsewhere"])
def test_the_mount_s_top_may_be_the_group_itself(tmp_path: Path, path: str) -> None:
    files = version_1(CPU, "200000")
    root = system(tmp_path, f"4:cpu,cpuacct:{path}\n", [MOUNT_1.format(top="/docker/c")], files)
    assert cpu_quota(root) == 2


def test_blanks_in_a_mount_are_numbers(tmp_path: Path) -> None:
    mount = MOUNT_2.format(top="/").replace("fs/cgroup", "fs/my\\040groups")
    root = system(tmp_path, "0::/\n", [mount], {"sys/fs/my groups/cpu.max": "700000 100000"})
    assert cpu_quota(root) == 7


@pytest.mark.parametrize("text", ["", "max", "many 100000", "0 100000", "100000 0", "1 2 3"])
def test_other_contents_say_nothing(tmp_path: Path, text: str) -> None:
    files = {f"{UNIFIED}/cpu.max": text}
    assert cpu_quota(system(tmp_path, "0::/\n", [MOUNT_2.format(top="/")], files)) is None


def test_no_control_groups(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path) is None
    garbage = system(tmp_path, "0\n\n::\n", ["", " - ", "1 2 - cgroup2", DISK], {})
    assert cpu_quota(garbage) is None


@pytest.mark.parametrize(
    ("quota", "cores"), [("10000", 1), ("140000", 1), ("150000", 2), ("400000", 4), ("9900000", 8)]
)
def test_cores_are_the_mask_s_or_the_quota_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str, cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert available_cores(tmp_path) == 8
    files = {f"{UNIFIED}/cpu.max": f"{quota} 100000\n"}
    assert available_cores(system(tmp_path, "0::/", [MOUNT_2.format(top="/")], files)) == cores
