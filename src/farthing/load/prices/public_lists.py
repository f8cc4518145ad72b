"""Public price tables in the shapes that other projects publish, told apart by their header.

    karpenter's AWS list        instance_type, region, usd_per_hour_ondemand_linux, arch, vcpu, memory_mib, …
    karpenter's Azure list      vm_size, region, usd_per_hour_ondemand_linux
    libcloud's EC2 list         instance_type, region, usd_per_hour
    libcloud's Compute Engine   family, resource, commitment, region, usd_per_unit_hour[, sku]

A price of 0 in them stands for one that was not found: the row is left out. None of them says on which day it was
valid: that is read from the file's name (``…_2026-07-20.csv``) or given.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from farthing.errors import InputError
from farthing.load.prices.own_csv import PriceRow
from farthing.load.prices.unread_columns import checked_name, refuse_other_meanings
from farthing.load.tables import Table
from farthing.load.written_numbers import cell_number
from farthing.nouns import Hardware, Offer, Term

__all__ = ["KnownHardware", "compose_gcp", "date_of", "find_shape", "gcp_rates", "source_of"]

KnownHardware = Mapping[str, Hardware]
"""Facts of instances by offer name, for tables that hold prices alone."""
_DATE = re.compile(r"(?<!\d)(\d{4}-\d{2}-\d{2})(?!\d)")
_MIB_PER_GIB = 1024
_NAMES = frozenset(("instance_type", "vm_size", "region", "family"))
_COMMITMENTS: Mapping[str, Term] = {
    "on_demand": "on_demand",
    "preemptible": "spot",
    "1yr_commitment": "reserved_1y",
    "3yr_commitment": "reserved_3y",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """What holds for all rows of a file."""

    dated: date
    source: str
    known: KnownHardware


def date_of(path: Path, given: date | None) -> date:
    """Tell on which day a table was valid: the given one, else the one in its file name.

    Raises:
        InputError: when there is neither, or the name holds no real date.
    """
    if given is not None:
        return given
    found = _DATE.findall(path.name)
    try:
        return date.fromisoformat(found[-1])
    except (IndexError, ValueError):
        raise InputError(
            f"{path} does not say on which day its prices were valid",
            hint="--dated 2026-07-20, or put the date into the file's name",
        ) from None


def source_of(path: Path, given: str | None) -> str:
    """Name the source: the given one, else the file's name and the start of its SHA-256."""
    return given or f"{path.name} sha256:{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"


def _records(table: Table) -> Iterator[tuple[int, dict[str, str]]]:
    names = tuple(table.columns)
    for line, *values in zip(table.lines, *table.columns.values(), strict=True):
        record = {name: value.strip() for name, value in zip(names, values, strict=True)}
        for column in _NAMES & record.keys():
            checked_name(table, line, column, record[column])
        yield line, record


def _positive(table: Table, line: int, column: str, text: str) -> float:
    value = cell_number(text)
    if value is None:
        raise InputError(f"{table.path} line {line}: {column} is {text!r}, not a number")
    if value <= 0:
        raise InputError(f"{table.path} line {line}: {column} is {text}; a price or fact must be > 0")
    return value


def _price(table: Table, line: int, record: Mapping[str, str], column: str) -> float | None:
    """Read the price, or None for a 0, which these tables write where they found none."""
    text = record[column]
    return None if text and text.strip("0.") == "" else _positive(table, line, column, text)


def _optional(table: Table, line: int, record: Mapping[str, str], column: str, per: float = 1.0) -> float | None:
    return _positive(table, line, column, record[column]) / per if record[column] else None


def _list_price(facts: _Facts, name: str, region: str, usd_per_hour: float, hardware: Hardware | None) -> PriceRow:
    return PriceRow(
        offer=Offer(
            name=name,
            provider=name.partition("/")[0],
            region=region,
            term="on_demand",
            hardware=hardware or facts.known.get(name) or Hardware(name=name),
            dated=facts.dated,
            source=facts.source,
            usd_per_hour=usd_per_hour,
        )
    )


def _aws_hardware(table: Table, line: int, record: Mapping[str, str], known: Hardware | None) -> Hardware | None:
    """Facts of the row; ISA, processor and threads per core, which it lacks, of the known instance."""
    if not record["vcpu"]:
        return known
    name = f"aws/{record['instance_type']}"
    chip = "gpu" if record["gpu_name"] else "accelerator"
    count = record[f"{chip}_count"]  # 0 for a part of one
    return Hardware(
        name=name,
        vcpus=_positive(table, line, "vcpu", record["vcpu"]),
        threads_per_core=known.threads_per_core if known else None,
        isa=known.isa if known else (),
        memory_gib=_optional(table, line, record, "memory_mib", _MIB_PER_GIB),
        arch={"amd64": "x86_64"}.get(record["arch"], record["arch"]) or None,
        cpu=known.cpu if known else None,
        accelerator=record[f"{chip}_name"] or None,
        accelerators=0.0 if count in ("", "0") else _positive(table, line, f"{chip}_count", count),
        accelerator_memory_gib=_optional(table, line, record, "gpu_memory_mib", _MIB_PER_GIB),
    )


def _karpenter_aws(table: Table, facts: _Facts) -> Iterator[PriceRow]:
    for line, record in _records(table):
        name = f"aws/{record['instance_type']}"
        price = _price(table, line, record, "usd_per_hour_ondemand_linux")
        if price is not None:
            hardware = _aws_hardware(table, line, record, facts.known.get(name))
            yield _list_price(facts, name, record["region"], price, hardware)


def _karpenter_azure(table: Table, facts: _Facts) -> Iterator[PriceRow]:
    for line, record in _records(table):
        price = _price(table, line, record, "usd_per_hour_ondemand_linux")
        if price is not None:
            yield _list_price(facts, f"azure/{record['vm_size']}", record["region"], price, None)


def _libcloud_ec2(table: Table, facts: _Facts) -> Iterator[PriceRow]:
    for line, record in _records(table):
        price = _price(table, line, record, "usd_per_hour")
        if price is not None:
            yield _list_price(facts, f"aws/{record['instance_type']}", record["region"], price, None)


GcpRates = Mapping[tuple[str, str, Term], Mapping[str, float]]
"""``(family, region, term)`` → USD an hour of one ``cpu`` and one GiB of ``ram``."""


def gcp_rates(table: Table) -> GcpRates:
    """Core and memory prices of Compute Engine.

    Raises:
        InputError: when a commitment is unknown or a price is negative or no number.
    """
    rates: dict[tuple[str, str, Term], dict[str, float]] = {}
    for line, record in _records(table):
        term = _COMMITMENTS.get(record["commitment"])
        if term is None:
            raise InputError(f"{table.path} line {line}: unknown commitment {record['commitment']!r}")
        price = _price(table, line, record, "usd_per_unit_hour")
        if price is not None:
            rates.setdefault((record["family"], record["region"], term), {})[record["resource"]] = price
    return rates


def compose_gcp(rates: GcpRates, hardware: Hardware, dated: date, source: str) -> Iterator[PriceRow]:
    """All offers of one Compute Engine machine type: vCPUs × core price + GiB × memory price.

    Machine types with accelerators are left out: core and memory alone do not price them.
    """
    family = hardware.name.partition("/")[2].partition("-")[0]
    if hardware.vcpus is None or hardware.memory_gib is None or hardware.accelerators:
        return
    for (owner, region, term), unit in rates.items():
        if owner == family and {"cpu", "ram"} <= set(unit):
            parts = {"memory": unit["ram"] * hardware.memory_gib, "vcpu": unit["cpu"] * hardware.vcpus}
            yield PriceRow(
                offer=Offer(
                    name=hardware.name,
                    provider="gcp",
                    region=region,
                    term=term,
                    hardware=hardware,
                    dated=dated,
                    source=source,
                    usd_per_hour=round(sum(parts.values()), 9),
                    parts_usd_per_hour={name: round(value, 9) for name, value in parts.items()},
                )
            )


def _libcloud_gce(table: Table, facts: _Facts) -> Iterator[PriceRow]:
    rates = gcp_rates(table)
    for name, hardware in facts.known.items():
        if name.startswith("gcp/"):
            yield from compose_gcp(rates, hardware, facts.dated, facts.source)


_AWS_COLUMNS = frozenset(
    (
        *("instance_type", "region", "usd_per_hour_ondemand_linux", "arch", "vcpu", "memory_mib"),
        *("gpu_name", "gpu_count", "gpu_memory_mib", "accelerator_name", "accelerator_count"),
    )
)
_Reader = Callable[[Table, _Facts], Iterator[PriceRow]]
_SHAPES: tuple[tuple[frozenset[str], _Reader], ...] = (
    (
        _AWS_COLUMNS,
        _karpenter_aws,
    ),
    (frozenset(("vm_size", "region", "usd_per_hour_ondemand_linux")), _karpenter_azure),
    (frozenset(("instance_type", "region", "usd_per_hour")), _libcloud_ec2),
    (frozenset(("family", "resource", "commitment", "region", "usd_per_unit_hour")), _libcloud_gce),
)


def find_shape(table: Table) -> Callable[[date, str, KnownHardware], tuple[PriceRow, ...]] | None:
    """How to read a public table, or None when its header is not one of the known ones."""
    for needed, reader in _SHAPES:
        if needed <= set(table.columns):
            refuse_other_meanings(table, needed)

            def read(dated: date, source: str, known: KnownHardware, how: _Reader = reader) -> tuple[PriceRow, ...]:
                return tuple(how(table, _Facts(dated=dated, source=source, known=known)))

            return read
    return None
