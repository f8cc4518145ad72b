"""Instruction sets of this machine, as Linux lists them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

__all__ = ["has_bf16", "has_int8_dot", "isa_flags"]

_CPUINFO = Path("/proc/cpuinfo")
_BF16 = {"amx_bf16", "avx512_bf16", "bf16"}
_INT8_DOT = {"amx_int8", "asimddp", "avx512_vnni", "avx_vnni", "i8mm"}


@cache
def isa_flags() -> frozenset[str]:
    """List the flags of the first processor; empty where there is no /proc/cpuinfo."""
    if not _CPUINFO.exists():
        return frozenset()
    for line in _CPUINFO.read_text(encoding="ascii", errors="replace").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()


def has_bf16() -> bool:
    """Whether there are BF16 dot products (AVX512-BF16, AMX or Arm's BF16)."""
    return bool(_BF16 & isa_flags())


def has_int8_dot() -> bool:
    """Whether there are 8-bit dot products (VNNI, AMX or Arm's)."""
    return bool(_INT8_DOT & isa_flags())
