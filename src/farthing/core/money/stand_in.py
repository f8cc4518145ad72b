"""How the machine that was measured compares with the offer that it is priced as, and how capacity is carried over.

A price buys what the offer has. Capacity is carried over in proportion to vCPUs, the unit in which offers are sold:
``capacity_factor = vCPUs of the offer / vCPUs here``. That is exact where cores are alike and nothing is shared; it is
an estimate otherwise, and said to be one. A vCPU may be a whole core on one side and one of two threads on the other,
and a guest system may be shown threads as cores, so that which of the two it is cannot be told from within. Where the
offer has fewer cores for its vCPUs than this machine, the dollars are therefore given with the factor by which they
may be too low: ``dearer_up_to = capacity_factor / (cores of the offer / cores here)``. Another architecture, and an
accelerator on one side alone, cannot be carried over by any factor: that is refused.
"""

from __future__ import annotations

import re
from dataclasses import replace

from farthing.errors import InputError
from farthing.nouns import Hardware, Offer, StandIn

__all__ = ["price_of_machine", "stand_in"]

_INTEL = (
    *("Haswell", "Broadwell", "Skylake", "Cascade Lake", "Cooper Lake", "Ice Lake"),
    *("Sapphire Rapids", "Emerald Rapids", "Granite Rapids"),
)
_AMD = ("Zen", "Zen 2", "Zen 3", "Zen 4", "Zen 5", "Zen 6")
_ARM = {
    "Graviton2": "Neoverse N1",
    "Graviton3": "Neoverse V1",
    "Graviton4": "Neoverse V2",
    "Axion": "Neoverse V2",
    "Altra": "Neoverse N1",
    "Cobalt 100": "Neoverse N2",
}
_EPYC = re.compile(r"(\d)(?:st|nd|rd|th) generation")
_SPELLED = {"asimd": "neon", "asimddp": "dotprod"}
_DECIDING = frozenset(
    (
        *("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8"),
        *("neon", "dotprod", "sve", "bf16", "i8mm"),
    )
)
"""Instruction sets that price lists state and this machine is asked for."""
_MEMORY_TOLERANCE = 0.15
"""A guest sees a little less memory than it was sold."""


def stand_in(machine: Hardware, offer: Offer) -> StandIn:
    """Compare a machine with an offer: vendor, generation, instruction sets, threads per core, cores, memory.

    Args:
        machine: What was measured.
        offer: What it is priced as.

    Raises:
        InputError: when they are of different architectures, or only one of them has an accelerator: nothing that was
            measured here says what the other does.
    """
    other = offer.hardware
    _refuse(machine, offer)
    factor = 1.0 if not machine.vcpus or not other.vcpus else other.vcpus / machine.vcpus
    dearer = _dearer_up_to(machine, other, factor)
    return StandIn(
        machine=_words(machine),
        offer=_words(other),
        differences=tuple(_differences(machine, other)),
        unknown=tuple(_unknown(machine, other)),
        capacity_factor=factor,
        dearer_up_to=dearer,
        rule=_rule(machine, other, factor, dearer),
    )


def price_of_machine(offer: Offer, found: StandIn | None) -> Offer:
    """What the whole machine costs an hour that stands for an offer: as many of it as its vCPUs make up.

    Args:
        offer: Priced as.
        found: How the machine compares with it, None when it was not asked.

    Returns:
        The offer itself where it is as large; else ``32 x aws/m7i.large``, price and size times 32.
    """
    if found is None or found.capacity_factor == 1 or offer.usd_per_hour is None:
        return offer
    many, hardware = 1 / found.capacity_factor, offer.hardware
    return replace(
        offer,
        name=f"{many:.4g} x {offer.name}",
        usd_per_hour=offer.usd_per_hour * many,
        upfront_usd=offer.upfront_usd * many,
        hardware=replace(
            hardware,
            vcpus=None if hardware.vcpus is None else hardware.vcpus * many,
            memory_gib=None if hardware.memory_gib is None else hardware.memory_gib * many,
        ),
        parts_usd_per_hour={name: usd * many for name, usd in offer.parts_usd_per_hour.items()},
    )


def _refuse(machine: Hardware, offer: Offer) -> None:
    other = offer.hardware
    hint = f"measure on {offer.name}, or name an offer that this machine resembles: --priced-as"
    if machine.arch and other.arch and machine.arch != other.arch:
        raise InputError(
            f"this machine is {machine.arch} and cannot stand for {offer.name}, which is {other.arch}", hint=hint
        )
    if bool(machine.accelerators) != bool(other.accelerators):
        where, chip = (offer.name, other) if other.accelerators else ("this machine", machine)
        raise InputError(
            f"{where} has {chip.accelerators:g} × {chip.accelerator or 'accelerator'}, which is measured or priced on "
            f"that side alone: this machine cannot stand for {offer.name}",
            hint=hint,
        )


def _cores(hardware: Hardware) -> float | None:
    if not hardware.vcpus or not hardware.threads_per_core:
        return None
    return hardware.vcpus / hardware.threads_per_core


def _dearer_up_to(machine: Hardware, other: Hardware, factor: float) -> float:
    here, there = _cores(machine), _cores(other)
    return 1.0 if here is None or there is None else max(1.0, factor / (there / here))


def _rule(machine: Hardware, other: Hardware, factor: float, dearer: float) -> str:
    said = []
    if factor != 1:
        said.append(f"capacity is taken in proportion to vCPUs, {other.vcpus:g} there for {machine.vcpus:g} here")
    if dearer > 1:
        said.append(
            f"{_many(other.vcpus or 0, 'vCPU')} are {_layout(other)}: if the cores here are whole ones, dollars may "
            f"be up to {dearer:.3g} × as high"
        )
    if not other.vcpus:
        said.append("the number of vCPUs is not in the price list: it is taken to be as large as this machine")
    return "; ".join(said)


def _many(number: float, what: str) -> str:
    return f"{number:g} {what}{'' if number == 1 else 's'}"


def _layout(hardware: Hardware) -> str:
    cores = _cores(hardware)
    if cores is None or hardware.threads_per_core is None:
        return _many(hardware.vcpus, "vCPU") if hardware.vcpus else ""
    return f"{_many(cores, 'core')} of {_many(hardware.threads_per_core, 'thread')}"


def _words(hardware: Hardware) -> str:
    """``AMD Zen 5, 2 cores of 1 thread, 23.5 GiB``; what is not known is left out."""
    memory = f"{hardware.memory_gib:g} GiB" if hardware.memory_gib else ""
    said = [_chip(hardware), _layout(hardware), memory]
    return ", ".join(part for part in said if part) or "unknown hardware"


def _chip(hardware: Hardware) -> str:
    vendor, found, newer = _vendor(hardware), *_generations(hardware)
    return " ".join(filter(None, (vendor, " or ".join(found)))) + (" or newer" if found and newer else "")


def _vendor(hardware: Hardware) -> str:
    text = f"{hardware.cpu or ''} {hardware.generation or ''}"
    for vendor, marks in (("Intel", ("Intel", "Xeon")), ("AMD", ("AMD", "EPYC", "Zen")), ("Apple", ("Apple",))):
        if any(mark in text for mark in marks):
            return vendor
    return "Arm" if hardware.arch == "arm64" else ""


def _generations(hardware: Hardware) -> tuple[tuple[str, ...], bool]:
    """Micro-architectures that it may have, and whether newer ones are meant too."""
    text = hardware.generation or hardware.cpu or ""
    epyc = _EPYC.search(text)
    zen = re.search(r"Zen(?: \d)?", text)
    found = tuple(name for name in _INTEL if name in text)
    if zen or epyc:
        found = (zen[0],) if zen else (f"Zen {epyc[1]}",) if epyc else ()
    elif not found:
        found = tuple(core for chip, core in _ARM.items() if chip in text) or tuple(re.findall(r"Neoverse \w\d", text))
    return found, "or newer" in text


def _older_generation(name: str, least: str) -> bool:
    for order in (_INTEL, _AMD):
        if name in order and least in order:
            return order.index(name) < order.index(least)
    return True


def _differences(machine: Hardware, other: Hardware) -> list[str]:
    said = [_chip_difference(machine, other), *_isa_differences(machine, other)]
    threads = machine.threads_per_core, other.threads_per_core
    if None not in threads and threads[0] != threads[1]:
        said.append(f"{_many(threads[0] or 0, 'thread')} a core here, {threads[1]} there")
    here, there = _cores(machine) or machine.vcpus, _cores(other) or other.vcpus
    if here and there and here != there:
        said.append(f"{_many(here, 'core')} here, {there:g} there")
    memory = machine.memory_gib, other.memory_gib
    if memory[0] and memory[1] and abs(memory[0] / memory[1] - 1) > _MEMORY_TOLERANCE:
        said.append(f"{memory[0]:g} GiB here, {memory[1]:g} there")
    return [text for text in said if text]


def _chip_difference(machine: Hardware, other: Hardware) -> str:
    vendors = _vendor(machine), _vendor(other)
    (mine, _), (theirs, newer) = _generations(machine), _generations(other)
    same = not mine or not theirs or bool(set(mine) & set(theirs))
    if not same and newer:
        same = not any(_older_generation(name, theirs[0]) for name in mine)
    if all(vendors) and (vendors[0] != vendors[1] or not same):
        return f"{_chip(machine)} here, {_chip(other)} there"
    return ""


def _isa(hardware: Hardware) -> set[str]:
    return {_SPELLED.get(flag, flag) for flag in hardware.isa} & _DECIDING


def _isa_differences(machine: Hardware, other: Hardware) -> list[str]:
    here, there = _isa(machine), _isa(other)
    if not here or not there:
        return []
    sides = ((here - there, "only here"), (there - here, "only there"))
    return [f"{' '.join(sorted(flags))} {where}" for flags, where in sides if flags]


def _unknown(machine: Hardware, other: Hardware) -> list[str]:
    asked = {
        "vendor": (_vendor(machine), _vendor(other)),
        "generation": (_generations(machine)[0], _generations(other)[0]),
        "instruction sets": (_isa(machine), _isa(other)),
        "vCPUs": (machine.vcpus, other.vcpus),
        "threads per core": (machine.threads_per_core, other.threads_per_core),
        "memory": (machine.memory_gib, other.memory_gib),
    }
    return [name for name, sides in asked.items() if not all(sides)]
