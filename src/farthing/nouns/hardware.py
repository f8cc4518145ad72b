"""Machines: what they are, what they can do, what they cost, and how far one stands for another."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from farthing.nouns.values import Term, require

__all__ = ["Hardware", "MachinePeaks", "Offer", "StandIn"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """Facts of a device or an instance; None where a source did not say.

    Attributes:
        name: ``aws/m7i.large``, or this machine's own name.
        vcpus: Logical processors.
        threads_per_core: Hardware threads of one core.
        isa: Instruction sets that matter, such as ``avx2 avx512f avx512_vnni avx512_bf16 amx_int8``.
        memory_gib: Main memory.
        arch: ``x86_64`` or ``arm64``.
        cpu: Processor's name.
        accelerator: GPU's name.
        accelerators: Number of them.
        accelerator_memory_gib: Memory of one of them.
        generation: The processor's micro-architecture, such as ``Zen 5`` or ``Sapphire Rapids``, where it could be told
            from the processor itself; None where ``cpu`` says it in words, or nobody does.
    """

    name: str
    vcpus: float | None = None
    threads_per_core: int | None = None
    isa: tuple[str, ...] = ()
    memory_gib: float | None = None
    arch: str | None = None
    cpu: str | None = None
    accelerator: str | None = None
    accelerators: float = 0
    accelerator_memory_gib: float | None = None
    generation: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIn:
    """How the machine that was measured compares with the offer that it is priced as.

    Attributes:
        machine: The machine in words: ``AMD Zen 5, 2 cores of 1 thread, 23.5 GiB``.
        offer: The offer in the same words.
        differences: What is known of both and is not alike, a few words each; empty when nothing is.
        unknown: Facts that one of the two does not state.
        capacity_factor: Rate of the offer over the rate that was measured, by vCPUs, > 0; 1 where they are as many or
            one of the two does not say.
        dearer_up_to: Factor ≥ 1 on every dollar if the measured cores are whole ones and the offer's are threads of
            fewer; 1 where cores and vCPUs are in the same proportion on both sides.
        rule: How capacity was carried over, one sentence; empty when there was nothing to carry.
    """

    machine: str
    offer: str
    differences: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    capacity_factor: float = 1.0
    dearer_up_to: float = 1.0
    rule: str = ""

    def __post_init__(self) -> None:
        require(self.capacity_factor > 0, self, "capacity_factor must be > 0")
        require(self.dearer_up_to >= 1, self, "dearer_up_to must be ≥ 1")

    @property
    def alike(self) -> bool:
        """Whether nothing that is known of both differs."""
        return not self.differences


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A dated price for a Hardware in a region under one term.

    Attributes:
        name: ``provider/instance`` such as ``aws/m7i.large``.
        provider: ``aws``, ``azure``, ``gcp`` or the user's own word.
        region: The provider's name of it.
        term: How it is bought.
        hardware: What one gets.
        usd_per_hour: Effective price of one hour of the whole instance, any up-front part spread over the
            term; None for terms not priced by the hour.
        upfront_usd: Part of it paid once at the start.
        usd_per_request: Serverless: for each request.
        usd_per_gib_s: Serverless: for each GiB-second.
        usd_per_input_token: Per-token end points.
        usd_per_output_token: Per-token end points.
        interruptions_per_hour: Spot: expected preemptions of one replica in an hour, None when no source said.
        parts_usd_per_hour: Shares of vCPU, memory, GPU where the source prices them apart; they add up.
        dated: Day on which the price was valid at the source.
        source: What was read, with its version.
    """

    name: str
    provider: str
    region: str
    term: Term
    hardware: Hardware
    dated: date
    source: str
    usd_per_hour: float | None = None
    upfront_usd: float = 0.0
    usd_per_request: float | None = None
    usd_per_gib_s: float | None = None
    usd_per_input_token: float | None = None
    usd_per_output_token: float | None = None
    interruptions_per_hour: float | None = None
    parts_usd_per_hour: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rates = (
            self.usd_per_hour,
            self.usd_per_request,
            self.usd_per_gib_s,
            self.usd_per_input_token,
            self.usd_per_output_token,
        )
        require(any(r is not None for r in rates), self, "an offer without any price")
        require(all(r is None or (math.isfinite(r) and r > 0) for r in rates), self, "prices must be > 0")
        require(bool(self.source), self, "a price without a source")

    @property
    def key(self) -> str:
        """Unique name: ``aws/m7i.large@us-east-1:on_demand``."""
        return f"{self.name}@{self.region}:{self.term}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MachinePeaks:
    """What this machine was seen to do at best, one thread; None where it has no such unit.

    Attributes:
        fp32_gflops: Multiply and add counted apart.
        bf16_gflops: As above.
        int8_gops: As above, unsigned activations times signed weights.
        memory_gb_per_s: Bytes read and written, from and to main memory.
        cache_gb_per_s: The same within the caches, None when not measured.
        cache_mib: Size of the last-level cache, None when the system does not say.
    """

    fp32_gflops: float
    bf16_gflops: float | None
    int8_gops: float | None
    memory_gb_per_s: float
    cache_gb_per_s: float | None = None
    cache_mib: float | None = None
