"""Facts of this machine, and the versions of what runs on it."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from farthing.codec import to_plain
from farthing.nouns import Hardware

__all__ = ["fingerprint", "generation", "this_machine", "usable_cpus", "versions"]

ISA = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "avx_vnni",
    "amx_tile",
    "amx_bf16",
    "amx_int8",
    "asimd",
    "asimddp",
    "sve",
    "i8mm",
    "bf16",
)
"""Instruction sets that decide how fast a model runs, as Linux writes them (``flags`` or ``Features``)."""
PACKAGES = (
    "farthing",
    "nncf",
    "numpy",
    "onnx",
    "onnxruntime",
    "openvino",
    "pillow",
    "tokenizers",
    "torch",
    "transformers",
)
_NEOVERSE = {"0xd0c": "Neoverse N1", "0xd40": "Neoverse V1", "0xd49": "Neoverse N2", "0xd4f": "Neoverse V2"}
_INTEL = {
    63: "Haswell",
    79: "Broadwell",
    106: "Ice Lake",
    108: "Ice Lake",
    143: "Sapphire Rapids",
    207: "Emerald Rapids",
    173: "Granite Rapids",
    174: "Granite Rapids",
}
_ZEN = (
    *((23, 0x00, 0x2F, "Zen"), (23, 0x30, 0xAF, "Zen 2")),
    *((25, 0x00, 0x0F, "Zen 3"), (25, 0x10, 0x1F, "Zen 4"), (25, 0x20, 0x5F, "Zen 3"), (25, 0x60, 0xAF, "Zen 4")),
    *((26, 0x00, 0x4F, "Zen 5"), (26, 0x60, 0x7F, "Zen 5")),
)
"""Family, first and last model, name."""
GROUP_FILE = Path("/proc/self/cgroup")
GROUPS = Path("/sys/fs/cgroup")
TOPOLOGY = Path("/sys/devices/system/cpu")
NO_LIMIT = 2**60
"""Version 1 of control groups writes its largest number, about 2⁶³, where there is no limit."""


def _cpuinfo() -> dict[str, str]:
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return {}
    first = info.read_text(encoding="utf-8").split("\n\n", 1)[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _group_folders(controller: str, group_file: Path, groups: Path) -> list[Path]:
    """Control group of this process and those above it: version 2 (one tree) and 1 (a tree for each controller)."""
    found: list[Path] = []
    if not group_file.exists():
        return found
    for line in group_file.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = groups / controller if controllers else groups
        own = top / path.lstrip("/")
        found += [folder for folder in (own, *own.parents) if folder == top or top in folder.parents]
    return found


def _numbers(path: Path) -> list[float]:
    """Numbers of a control file; no limit is infinity; empty when there is no such file."""
    try:
        words = path.read_text().split()
    except OSError:
        return []
    return [math.inf if w == "max" or float(w) < 0 or float(w) > NO_LIMIT else float(w) for w in words]


def cpu_quota(group_file: Path = GROUP_FILE, groups: Path = GROUPS) -> float:
    """Processors' worth of time that the container leaves to this process, infinity without a limit."""
    quotas = [math.inf]
    for folder in _group_folders("cpu", group_file, groups):
        pair = _numbers(folder / "cpu.max")
        pair = pair or _numbers(folder / "cpu.cfs_quota_us") + _numbers(folder / "cpu.cfs_period_us")
        if len(pair) == 2 and pair[1] > 0:
            quotas.append(pair[0] / pair[1])
    return min(quotas)


def memory_limit_bytes(group_file: Path = GROUP_FILE, groups: Path = GROUPS) -> float:
    """Memory that the container leaves to this process, infinity without a limit."""
    limits = [math.inf]
    for folder in _group_folders("memory", group_file, groups):
        limits += _numbers(folder / "memory.max") or _numbers(folder / "memory.limit_in_bytes")
    return min(limits)


def _siblings(cpu: int, topology: Path) -> tuple[int, ...]:
    """Hardware threads of one core, this one among them."""
    try:
        text = (topology / f"cpu{cpu}" / "topology" / "thread_siblings_list").read_text()
    except OSError:
        return (cpu,)
    found: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return tuple(found)


def usable_cpus(topology: Path = TOPOLOGY) -> tuple[int, ...]:
    """Logical processors that this process may use, one of each core first, no more than the container's quota.

    Affinity and control groups hold. Where the system has no affinity (macOS) they are just numbered.
    """
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    rank = {cpu: _siblings(cpu, topology).index(cpu) for cpu in allowed}
    ordered = sorted(rank, key=lambda cpu: (rank[cpu], cpu))
    quota = cpu_quota()
    return tuple(ordered if math.isinf(quota) else ordered[: max(1, int(quota))])


def generation(info: Mapping[str, str]) -> str | None:
    """Micro-architecture of a processor, None when its numbers are not known.

    Intel's and AMD's by family and model as Linux has them (``arch/x86/include/asm/intel-family.h``,
    ``arch/x86/kernel/cpu/amd.c``); Arm's by part (``arch/arm64/include/asm/cputype.h``).

    Args:
        info: The first processor of ``/proc/cpuinfo`` by key.
    """
    if info.get("CPU implementer") == "0x41":
        return _NEOVERSE.get(info.get("CPU part", ""))
    try:
        family, model, stepping = (int(info[key]) for key in ("cpu family", "model", "stepping"))
    except (KeyError, ValueError):
        return None
    if info.get("vendor_id") == "AuthenticAMD":
        return next((name for f, first, last, name in _ZEN if f == family and first <= model <= last), None)
    if info.get("vendor_id") != "GenuineIntel" or family != 6:
        return None
    if model == 85:  # Skylake's server model went on under three names
        return "Skylake" if stepping < 5 else "Cascade Lake" if stepping < 10 else "Cooper Lake"
    return _INTEL.get(model)


def this_machine() -> Hardware:
    """What this process may use: its affinity and its container's limits hold."""
    info = _cpuinfo()
    flags = (info.get("flags") or info.get("Features") or "").split()
    cpus = usable_cpus()
    return Hardware(
        name=platform.node() or "this machine",
        vcpus=len(cpus),
        threads_per_core=max(len(_siblings(cpu, TOPOLOGY)) for cpu in cpus),
        isa=tuple(f for f in ISA if f in flags),
        memory_gib=round(min(psutil.virtual_memory().total, memory_limit_bytes()) / 2**30, 1),
        arch={"aarch64": "arm64", "AMD64": "x86_64"}.get(platform.machine(), platform.machine()),
        cpu=info.get("model name") or platform.processor() or None,
        generation=generation(info),
    )


def fingerprint(hardware: Hardware) -> str:
    """Twelve hexadecimal digits of the facts that decide speed; the host's name is not among them."""
    facts = {k: v for k, v in to_plain(hardware).items() if k != "name"}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]


def versions() -> dict[str, str]:
    """Installed versions of what decides a measurement; nothing is imported."""
    found = {"python": platform.python_version(), "kernel": platform.release()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
