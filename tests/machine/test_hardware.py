"""The machine as this process may use it: affinity, control groups of both versions, one thread of a core first."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from farthing.machine import hardware


def group(tmp_path: Path, line: str, files: dict[str, str]) -> tuple[Path, Path]:
    own = tmp_path / "cgroup"
    own.write_text(line + "\n")
    for name, text in files.items():
        path = tmp_path / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return own, tmp_path / "groups"


def test_the_least_quota_from_the_own_group_to_the_top_holds(tmp_path: Path) -> None:
    files = {"cpu.max": "max 100000", "a/cpu.max": "150000 100000", "a/b/cpu.max": "400000 100000"}
    assert hardware.cpu_quota(*group(tmp_path, "0::/a/b", files)) == 1.5


def test_version_1_of_control_groups(tmp_path: Path) -> None:
    files = {
        "cpu/docker/x/cpu.cfs_quota_us": "250000",
        "cpu/docker/x/cpu.cfs_period_us": "100000",
        "memory/memory.limit_in_bytes": "9223372036854771712",
        "memory/docker/x/memory.limit_in_bytes": "1073741824",
    }
    where = group(tmp_path, "3:cpu,cpuacct:/docker/x\n4:memory:/docker/x", files)
    assert hardware.cpu_quota(*where) == 2.5
    assert hardware.memory_limit_bytes(*where) == 2**30


@pytest.mark.parametrize(
    ("line", "files"), [("0::/", {"cpu.max": "max 100000", "memory.max": "max"}), ("0::/gone", {})]
)
def test_no_limit_is_infinite(tmp_path: Path, line: str, files: dict[str, str]) -> None:
    where = group(tmp_path, line, files)
    assert math.isinf(hardware.cpu_quota(*where))
    assert math.isinf(hardware.memory_limit_bytes(*where))


def test_one_thread_of_each_core_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for cpu, siblings in {0: "0-1", 1: "0-1", 2: "2,3", 3: "2,3"}.items():
        folder = tmp_path / f"cpu{cpu}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(siblings + "\n")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    monkeypatch.setattr(hardware, "cpu_quota", lambda: math.inf)
    assert hardware.usable_cpus(tmp_path) == (0, 2, 1, 3)
    monkeypatch.setattr(hardware, "cpu_quota", lambda: 2.5)
    assert hardware.usable_cpus(tmp_path) == (0, 2)
    monkeypatch.setattr(hardware, "cpu_quota", lambda: 0.5)
    assert hardware.usable_cpus(tmp_path) == (0,)


def test_affinity_is_respected() -> None:
    script = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from farthing.machine.hardware import this_machine
print(this_machine().vcpus)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


def test_this_machine() -> None:
    machine = hardware.this_machine()
    assert machine.vcpus == len(hardware.usable_cpus())
    assert set(hardware.usable_cpus()) <= os.sched_getaffinity(0)
    assert machine.memory_gib
    assert machine.memory_gib > 0
    assert machine.threads_per_core
    assert set(machine.isa) <= set(hardware.ISA)


def test_the_fingerprint_is_of_facts_not_of_names() -> None:
    machine = hardware.this_machine()
    assert hardware.fingerprint(machine) == hardware.fingerprint(replace(machine, name="other"))
    assert hardware.fingerprint(machine) != hardware.fingerprint(replace(machine, vcpus=999))


def test_versions_are_told_without_imports() -> None:
    script = """
import sys
from farthing.machine.hardware import versions
print("onnx" in versions(), "onnx" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True False"


@pytest.mark.parametrize(
    ("vendor", "family", "model", "stepping", "name"),
    [
        ("AuthenticAMD", 26, 2, 1, "Zen 5"), ("AuthenticAMD", 25, 1, 1, "Zen 3"), ("AuthenticAMD", 25, 17, 1, "Zen 4"),
        ("AuthenticAMD", 23, 49, 0, "Zen 2"), ("GenuineIntel", 6, 143, 8, "Sapphire Rapids"),
        ("GenuineIntel", 6, 207, 2, "Emerald Rapids"), ("GenuineIntel", 6, 106, 6, "Ice Lake"),
        ("GenuineIntel", 6, 85, 4, "Skylake"), ("GenuineIntel", 6, 85, 7, "Cascade Lake"),
        ("GenuineIntel", 6, 85, 11, "Cooper Lake"), ("GenuineIntel", 6, 300, 0, None), ("CentaurHauls", 6, 143, 0, None),
        ("AuthenticAMD", 99, 1, 0, None),
    ],
)  # fmt: skip
def test_generations_by_family_and_model(vendor: str, family: int, model: int, stepping: int, name: str | None) -> None:
    info = {"vendor_id": vendor, "cpu family": str(family), "model": str(model), "stepping": str(stepping)}
    assert hardware.generation(info) == name


def test_generations_of_arm_and_of_nobody() -> None:
    assert hardware.generation({"CPU implementer": "0x41", "CPU part": "0xd40"}) == "Neoverse V1"
    assert hardware.generation({"CPU implementer": "0x41", "CPU part": "0xd05"}) is None
    assert hardware.generation({}) is None
    assert hardware.generation({"vendor_id": "GenuineIntel", "cpu family": "6", "model": "?"}) is None
