"""The machine that was measured beside the offer that it is priced as: nobody gets 64 cores for the price of two."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.core.money.stand_in import price_of_machine, stand_in
from farthing.errors import InputError
from farthing.load.prices import snapshot_rows
from farthing.nouns import Hardware, Offer, StandIn

AMD = Hardware(
    name="here", vcpus=2, threads_per_core=1, isa=("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni"),
    memory_gib=7.8, arch="x86_64", cpu="AMD EPYC", generation="Zen 5",
)  # fmt: skip
INTEL = Hardware(
    name="here", vcpus=2, threads_per_core=2, memory_gib=7.7, arch="x86_64", cpu="Intel(R) Xeon(R) Platinum 8488C",
    isa=("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "avx512_fp16", "amx_tile", "amx_bf16", "amx_int8"),
    generation="Sapphire Rapids",
)  # fmt: skip
LISTED = {row.offer.name: row.offer for row in snapshot_rows()}


def against(machine: Hardware, name: str, **changes: object) -> StandIn:
    listed = LISTED[name]
    return stand_in(machine, replace(listed, hardware=replace(listed.hardware, **changes)))


def test_the_same_processor_is_alike() -> None:
    found = against(INTEL, "aws/m7i.large")
    assert found.alike
    assert (found.capacity_factor, found.dearer_up_to, found.rule, found.unknown) == (1.0, 1.0, "", ())


def test_whole_cores_priced_as_threads_are_said() -> None:
    found = against(AMD, "aws/m7i.large")
    assert found.differences == (
        "AMD Zen 5 here, Intel Sapphire Rapids there",
        "amx_bf16 amx_int8 only there",
        "1 thread a core here, 2 there",
        "2 cores here, 1 there",
    )
    assert found.capacity_factor == 1.0
    assert found.dearer_up_to == 2.0
    assert found.rule == (
        "2 vCPUs are 1 core of 2 threads: if the cores here are whole ones, dollars may be up to 2 × as high"
    )
    assert found.machine == "AMD Zen 5, 2 cores of 1 thread, 7.8 GiB"
    assert found.offer == "Intel Sapphire Rapids, 1 core of 2 threads, 8 GiB"


def test_64_cores_are_not_two_vcpus() -> None:
    found = against(replace(AMD, vcpus=64, memory_gib=256), "aws/m7i.large")
    assert found.capacity_factor == 2 / 64
    assert found.dearer_up_to == 2.0
    assert "2 there for 64 here" in found.rule
    assert "64 cores here, 1 there" in found.differences
    assert "256 GiB here, 8 there" in found.differences


@given(here=st.integers(1, 512), there=st.integers(1, 512), threads=st.sampled_from([(1, 1), (1, 2), (2, 1), (2, 2)]))
def test_no_core_is_given_away(here: int, there: int, threads: tuple[int, int]) -> None:
    """Per dollar an offer never has more vCPUs than were measured, and the stated factor covers whole cores too."""
    mine, theirs = threads
    found = against(
        replace(AMD, vcpus=here, threads_per_core=mine), "aws/m7i.large", vcpus=there, threads_per_core=theirs
    )
    assert found.capacity_factor * here == pytest.approx(there)
    cores_here, cores_there = here / mine, there / theirs
    assert found.capacity_factor / found.dearer_up_to * cores_here <= cores_there * (1 + 1e-9)


@pytest.mark.parametrize(
    ("cpu", "alike"),
    [
        ("Intel Sapphire Rapids", True), ("Intel Cascade Lake or Ice Lake", False), ("Intel Ice Lake or newer", True),
        ("Intel Emerald Rapids or newer", False), ("Intel Xeon 6 (Granite Rapids)", False), ("AMD EPYC", False),
    ],
)  # fmt: skip
def test_generations(cpu: str, alike: bool) -> None:
    assert against(INTEL, "aws/m7i.large", cpu=cpu).alike == alike


@pytest.mark.parametrize(
    ("cpu", "alike"),
    [
        ("AMD EPYC 5th generation (Zen 5)", True), ("AMD EPYC 4th generation (Zen 4)", False),
        ("AMD EPYC 3rd generation or newer", True), ("AMD EPYC 2nd generation or newer", True),
    ],
)  # fmt: skip
def test_amd_generations(cpu: str, alike: bool) -> None:
    assert against(AMD, "aws/m7a.large", cpu=cpu, threads_per_core=1).alike == alike


def test_arm_by_its_cores() -> None:
    machine = Hardware(
        name="here", vcpus=2, threads_per_core=1, isa=("asimd", "asimddp", "sve", "i8mm", "bf16"), memory_gib=7.7,
        arch="arm64", cpu="aarch64", generation="Neoverse V1",
    )  # fmt: skip
    assert against(machine, "aws/m7g.large", isa=("neon", "dotprod", "sve", "bf16", "i8mm")).alike
    assert "Arm Neoverse V1 here, Arm Neoverse V2 there" in against(machine, "aws/m8g.large").differences


def test_what_nobody_states_is_unknown_and_never_alike_in_silence() -> None:
    bare = replace(LISTED["aws/m7i.large"], hardware=Hardware(name="colo/box"))
    found = stand_in(AMD, bare)
    assert found.unknown == ("vendor", "generation", "instruction sets", "vCPUs", "threads per core", "memory")
    assert found.capacity_factor == 1.0
    assert "not in the price list" in found.rule


@pytest.mark.parametrize(
    ("name", "said"),
    [("aws/m7g.large", "is x86_64 and cannot stand for aws/m7g.large, which is arm64"), ("aws/g5.xlarge", "a10g")],
)
def test_what_no_factor_carries_over_is_refused(name: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as e:
        against(AMD, name)
    assert "--priced-as" in (e.value.hint or "")


@pytest.mark.parametrize("offer", LISTED.values(), ids=LISTED)
def test_every_listed_offer_is_compared_or_refused(offer: Offer) -> None:
    for machine in (AMD, INTEL):
        try:
            found = stand_in(machine, offer)
        except InputError:
            assert offer.hardware.arch == "arm64" or offer.hardware.accelerators
            continue
        assert found.differences or found.unknown or found.alike
        assert offer.hardware.vcpus is None or found.capacity_factor == offer.hardware.vcpus / 2


def test_a_machine_of_64_cores_costs_as_much_as_its_vcpus_make_up() -> None:
    listed = LISTED["aws/m7i.large"]
    assert listed.usd_per_hour is not None
    large = replace(INTEL, vcpus=64)
    whole = price_of_machine(listed, stand_in(large, listed))
    assert whole.usd_per_hour == pytest.approx(32 * listed.usd_per_hour)
    assert (whole.name, whole.hardware.vcpus, whole.hardware.memory_gib) == ("32 x aws/m7i.large", 64, 256)
    assert stand_in(large, whole).capacity_factor == 1.0  # nothing is scaled twice
    assert price_of_machine(listed, stand_in(INTEL, listed)) is listed
    assert price_of_machine(listed, None) is listed
