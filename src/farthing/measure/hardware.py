"""Facts of this machine, and the versions of what runs on it."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from farthing.codec import to_plain
from farthing.nouns import Hardware

__all__ = ["fingerprint", "this_machine", "versions"]

ISA = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "avx_vnni",
    "amx_bf16",
    "amx_int8",
    "asimd",
    "sve",
    "i8mm",
    "bf16",
)
PACKAGES = ("farthing", "numpy", "onnx", "onnxruntime", "openvino", "nncf", "torch", "tokenizers", "transformers")


def _cpuinfo() -> dict[str, str]:
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return {}
    first = info.read_text(encoding="utf-8").split("\n\n", 1)[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _cgroup_cpus() -> float | None:
    """CPU quota of the container, None when there is none."""
    path = Path("/sys/fs/cgroup/cpu.max")
    if not path.exists():
        return None
    quota, _, period = path.read_text().strip().partition(" ")
    return None if quota == "max" else int(quota) / int(period or 100_000)


def _memory_gib() -> float:
    total = psutil.virtual_memory().total
    path = Path("/sys/fs/cgroup/memory.max")
    if path.exists() and (limit := path.read_text().strip()) != "max":
        total = min(total, int(limit))
    return round(total / 2**30, 1)


def _cpus() -> int:
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cgroup_cpus()
    return allowed if quota is None else max(1, min(allowed, int(quota)))


def this_machine() -> Hardware:
    """What this process may use: its affinity and its container's limits hold."""
    info = _cpuinfo()
    flags = (info.get("flags") or info.get("Features") or "").split()
    logical, physical = psutil.cpu_count(logical=True) or 1, psutil.cpu_count(logical=False) or 1
    return Hardware(
        name=platform.node() or "this machine",
        vcpus=_cpus(),
        threads_per_core=max(1, logical // physical),
        isa=tuple(f for f in ISA if f in flags),
        memory_gib=_memory_gib(),
        arch=platform.machine(),
        cpu=info.get("model name") or platform.processor() or None,
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
