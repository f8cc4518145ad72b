"""Make src/farthing/data/prices.csv from copies of the public files that it cites.

    python tools/build_prices.py --assets DIR --files DIR [--output PATH]

``--assets`` holds the tables named in docs/prices.md under "Tables"; ``--files`` the files under "Files", saved
under the names given there. Nothing is downloaded. Every price that two copies hold is compared: the newer one is
kept with the other's source and the relative difference; an older copy is kept as history only where both agree
within 5 %, and an Azure price that does not fit its series is dropped.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import yaml
from price_choice import (
    AWS_FAMILIES,
    AWS_LARGE,
    AZURE_GPU,
    AZURE_REGIONS,
    AZURE_SERIES,
    AZURE_VCPUS,
    GCP_CHIPS,
    GCP_REGIONS,
    GCP_TYPES,
)

from farthing.load.prices.check import check_offers
from farthing.load.prices.own_csv import PriceRow, format_rows
from farthing.load.prices.public_lists import compose_gcp, find_shape, gcp_rates
from farthing.load.tables import read_table
from farthing.nouns import HOURS_PER_MONTH, Hardware, Offer, Term

TOLERANCE_FRAC = 0.05
AWS_DATED, AWS_SOURCE = (
    date(2026, 7, 20),
    "aws/karpenter-provider-aws@1d927085 pkg/providers/pricing/zz_generated.pricing_aws.go",
)
LIBCLOUD_DATED, LIBCLOUD_SOURCE = date(2025, 3, 2), "apache-libcloud 3.9.1 libcloud/data/pricing.json"
AZURE_DATED, AZURE_SOURCE = (
    date(2026, 6, 18),
    "Azure/karpenter-provider-azure@352646f5 pkg/providers/pricing/zz_generated.pricing.go",
)
AZURE_OLD_DATED, AZURE_OLD_SOURCE = (
    date(2024, 12, 13),
    "Azure/karpenter-provider-azure@fe0ca6dd pkg/providers/pricing/zz_generated.pricing.go",
)
GCP_DATED, GCP_SOURCE = date(2026, 7, 30), "Cyclenerd/google-cloud-pricing-cost-calculator@fd66b26f pricing.yml"
GCE_AUTOSCALER_SOURCE = "kubernetes/autoscaler@e72c7c68 cluster-autoscaler/cloudprovider/gce/gce_price_info.go"
SPOT_DATED, SPOT_SOURCE = date(2026, 8, 6), "alexei-led/spotinfo@69bcec67 internal/spot/data/spot-price-data.json"
ADVISOR_SOURCE = "alexei-led/spotinfo@5eedf20a internal/spot/data/spot-advisor-data.json of 2025-06-28"

GCP_TERMS: tuple[tuple[str, Term, float], ...] = (
    ("hour", "on_demand", 1.0),
    ("hour_spot", "spot", 1.0),
    ("month_1y", "reserved_1y", HOURS_PER_MONTH),
    ("month_3y", "reserved_3y", HOURS_PER_MONTH),
)


@dataclass(frozen=True, slots=True)
class Copies:
    """Another copy's on-demand prices by ``name@region``, with what to cite."""

    source: str
    usd_per_hour: Mapping[str, float]


def families() -> dict[str, Mapping[str, str]]:
    """Facts of instance families by ``provider/family``."""
    with Path(__file__).with_name("instance_families.csv").open(encoding="utf-8", newline="") as f:
        return {f"{row['provider']}/{row['family']}": row for row in csv.DictReader(f)}


def with_family(hardware: Hardware, family: str, facts: Mapping[str, Mapping[str, str]]) -> Hardware:
    """Add processor, ISA and threads per core where the family's are documented."""
    row = facts.get(f"{hardware.name.partition('/')[0]}/{family}")
    if row is None:
        return hardware
    return replace(
        hardware, cpu=row["cpu"] or None, isa=tuple(row["isa"].split()), threads_per_core=int(row["threads_per_core"])
    )


def listed(path: Path, dated: date, source: str, known: Mapping[str, Hardware]) -> tuple[PriceRow, ...]:
    """Rows of one of the public tables that farthing imports."""
    shape = find_shape(read_table(path))
    if shape is None:
        raise SystemExit(f"{path}: unknown header")
    return shape(dated, source, known)


def copies(rows: Iterable[PriceRow], source: str) -> Copies:
    """Index on-demand prices for comparison."""
    return Copies(source, {f"{r.offer.name}@{r.offer.region}": r.offer.usd_per_hour or math.nan for r in rows})


def compare(row: PriceRow, others: Iterable[Copies]) -> PriceRow:
    """Note the first other copy that holds the price and by how much it differs."""
    for other in others:
        theirs = other.usd_per_hour.get(f"{row.offer.name}@{row.offer.region}")
        if theirs is not None and row.offer.usd_per_hour is not None:
            diff = row.offer.usd_per_hour / theirs - 1
            far = abs(diff) > TOLERANCE_FRAC
            note = "; ".join(
                filter(None, (row.note, "copies disagree by more than 5 %: the newer is kept" if far else ""))
            )
            return replace(row, check_source=other.source, check_diff_frac=round(diff, 4), note=note)
    return row


def confirmed(history: Iterable[PriceRow], newer: Iterable[PriceRow], source: str) -> Iterator[PriceRow]:
    """Rows of an older copy that the newer one confirms within the tolerance, or does not hold."""
    today = copies(newer, source)
    for row in history:
        checked = compare(row, (today,))
        if checked.check_diff_frac is None or abs(checked.check_diff_frac) <= TOLERANCE_FRAC:
            yield replace(checked, note="")


def aws(assets: Path, files: Path) -> list[PriceRow]:
    """Price us-east-1: on demand now and in 2025, spot."""
    facts = families()
    wanted = {f"aws/{family}.{size}" for family, sizes in AWS_FAMILIES.items() for size in sizes.split()}
    wanted |= {f"aws/{name}" for name in AWS_LARGE}
    now = [
        replace(row, offer=replace(o, hardware=with_family(o.hardware, o.name[4:].partition(".")[0], facts)))
        for row in listed(assets / "aws_ondemand_us-east-1_2026-07-20.csv", AWS_DATED, AWS_SOURCE, {})
        if (o := row.offer).name in wanted
    ]
    known = {row.offer.name: row.offer.hardware for row in now}
    before = [
        row
        for row in listed(assets / "ec2_linux_ondemand_libcloud_2025-03-02.csv", LIBCLOUD_DATED, LIBCLOUD_SOURCE, known)
        if row.offer.name in known and row.offer.region == "us-east-1"
    ]
    spot = list(aws_spot(files, known))
    return [
        *(compare(row, (copies(before, LIBCLOUD_SOURCE),)) for row in now),
        *confirmed(before, now, AWS_SOURCE),
        *spot,
    ]


def aws_spot(files: Path, known: Mapping[str, Hardware]) -> Iterator[PriceRow]:
    """Spot prices with the interruption rate of the Spot Advisor's band (upper end; none above 20 % a month)."""
    advisor = json.loads((files / "spot-advisor-data.json").read_text())["spot_advisor"]["us-east-1"]["Linux"]
    with (files / "aws_spot_us-east-1.csv").open(newline="") as f:
        for row in csv.DictReader(f):
            hardware = known.get(f"aws/{row['instance_type']}")
            if hardware is None:
                continue
            band = advisor.get(row["instance_type"], {}).get("r", 4)
            share = (0.05, 0.10, 0.15, 0.20, None)[band]
            rate = None if share is None else round(-math.log1p(-share) / HOURS_PER_MONTH, 8)
            note = "" if share is None else f"up to {share:.0%} interrupted in a month: {ADVISOR_SOURCE}"
            offer = Offer(
                name=hardware.name,
                provider="aws",
                region="us-east-1",
                term="spot",
                hardware=hardware,
                dated=SPOT_DATED,
                source=SPOT_SOURCE,
                usd_per_hour=float(row["usd_per_hour"]),
                interruptions_per_hour=rate,
            )
            yield PriceRow(offer=offer, note=note)


def azure_hardware(files: Path) -> dict[str, Hardware]:
    """Curated sizes with vCPU, memory and GPU count as Kubernetes' cluster autoscaler lists them."""
    text = (files / "azure_instance_types.go").read_text()
    pattern = re.compile(
        r'"Standard_(\w+)": \{\s+InstanceType:.*?VCPU:\s+(\d+),\s+MemoryMb:\s+(\d+),\s+GPU:\s+(\d+),'
        r'\s+Architecture: "(\w+)"',
        re.DOTALL,
    )
    sizes = {series.replace(series[0], f"{series[0]}{n}", 1): series for series in AZURE_SERIES for n in AZURE_VCPUS}
    facts, found = families(), {}
    for size, vcpus, memory_mib, gpus, arch in pattern.findall(text):
        if size in sizes or size in AZURE_GPU:
            hardware = Hardware(
                name=f"azure/Standard_{size}",
                vcpus=float(vcpus),
                memory_gib=int(memory_mib) / 1024,
                arch={"amd64": "x86_64"}.get(arch, arch),
                accelerator=AZURE_GPU.get(size),
                accelerators=float(gpus),
            )
            found[hardware.name] = with_family(hardware, sizes.get(size, ""), facts)
    return found


def azure_before(files: Path, known: Mapping[str, Hardware]) -> Iterator[PriceRow]:
    """Read December 2024 out of the same generated file, two years earlier."""
    text = (files / "azure_pricing_2024-12-13.go").read_text()
    for region in AZURE_REGIONS:
        block = re.search(
            rf'initialOnDemandPrices\["{region}"\] = map\[string\]float64\{{(.*?)\n\t\}}', text, re.DOTALL
        )
        if block is None:
            raise SystemExit(f"azure_pricing_2024-12-13.go: no {region}")
        for size, price in re.findall(r'"(Standard_\w+)":\s+([\d.]+),', block[1]):
            hardware = known.get(f"azure/{size}")
            if hardware is not None and float(price) > 0:
                offer = Offer(
                    name=hardware.name,
                    provider="azure",
                    region=region,
                    term="on_demand",
                    hardware=hardware,
                    dated=AZURE_OLD_DATED,
                    source=AZURE_OLD_SOURCE,
                    usd_per_hour=float(price),
                )
                yield PriceRow(offer=offer)


def per_vcpu(row: PriceRow) -> float:
    """USD an hour of one vCPU."""
    return (row.offer.usd_per_hour or math.nan) / (row.offer.hardware.vcpus or math.nan)


def series_of(row: PriceRow) -> tuple[str, str]:
    """Name without its number of vCPUs, and region: sizes of one series cost the same for each vCPU."""
    return re.sub(r"\d+", "", row.offer.name, count=1), row.offer.region


def lowest_agreed(values: Iterable[float]) -> float:
    """Find the lowest value that at least one other confirms within the tolerance, NaN when none does."""
    ordered = sorted(values)
    return next((a for a, b in itertools.pairwise(ordered) if b / a - 1 <= TOLERANCE_FRAC), math.nan)


def plausible(now: Iterable[PriceRow], before: Iterable[PriceRow]) -> Iterator[PriceRow]:
    """Drop prices of a size that do not fit its series: a Windows price under a Linux label costs about twice.

    Both copies hold such slips, in different sizes, so the usual price of a vCPU is taken from both.
    """
    now = list(now)
    groups: dict[tuple[str, str], list[float]] = {}
    for row in (*now, *before):
        groups.setdefault(series_of(row), []).append(per_vcpu(row))
    for row in now:
        usual = lowest_agreed(groups[series_of(row)])
        if row.offer.hardware.accelerators or abs(per_vcpu(row) / usual - 1) <= TOLERANCE_FRAC:
            yield row
        else:
            expected = usual * (row.offer.hardware.vcpus or math.nan)
            print(f"dropped {row.offer.key}: {row.offer.usd_per_hour} USD an hour, its series says {expected:.4g}")


def azure(assets: Path, files: Path) -> list[PriceRow]:
    """Three regions on demand, and eastus in 2024."""
    known = azure_hardware(files)
    before = list(azure_before(files, known))
    old = copies(before, f"{AZURE_OLD_SOURCE} of {AZURE_OLD_DATED}")
    rows = [
        row
        for row in listed(assets / "azure_ondemand_3regions_2026-06-18.csv", AZURE_DATED, AZURE_SOURCE, known)
        if row.offer.name in known
    ]
    now = list(plausible(rows, before))
    kept = {row.offer.name for row in now}
    history = (row for row in before if row.offer.name in kept and row.offer.region == "eastus")
    return [*(compare(row, (old,)) for row in now), *confirmed(history, now, AZURE_SOURCE)]


def gcp_hardware(name: str, entry: Mapping[str, Any], facts: Mapping[str, Mapping[str, str]]) -> Hardware:
    """vCPU, memory and GPUs as the calculator's file states them."""
    chip = next((chip for chip in GCP_CHIPS if chip in entry), None)
    family = name.partition("-")[0]
    return with_family(
        Hardware(
            name=f"gcp/{name}",
            vcpus=float(entry["cpu"]),
            memory_gib=float(entry["ram"]),
            arch="arm64" if family in ("c4a", "t2a") else "x86_64",
            accelerator=None if chip is None else chip.removesuffix("-80gb"),
            accelerators=0.0 if chip is None else float(entry[chip]),
            accelerator_memory_gib=None if chip is None else GCP_CHIPS[chip],
        ),
        family,
        facts,
    )


def gcp_now(files: Path) -> Iterator[PriceRow]:
    """All terms of the curated machine types in two regions."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    types = yaml.load((files / "gcp_pricing_2026-07-30.yml").read_text(), loader)["compute"]["instance"]  # noqa: S506
    facts = families()
    for name in GCP_TYPES:
        entry = types[name]
        hardware = gcp_hardware(name, entry, facts)
        for region in GCP_REGIONS:
            cost = entry["cost"].get(region, {})
            for key, term, hours in GCP_TERMS:
                if cost.get(key):
                    yield PriceRow(
                        offer=Offer(
                            name=hardware.name,
                            provider="gcp",
                            region=region,
                            term=term,
                            hardware=hardware,
                            dated=GCP_DATED,
                            source=GCP_SOURCE,
                            usd_per_hour=round(cost[key] / hours, 6),
                        )
                    )


def gce_autoscaler(files: Path) -> Copies:
    """us-central1 as Kubernetes' cluster autoscaler has it (without the two types whose price it raises on purpose)."""
    text = (files / "gce_price_info.go").read_text()
    block = re.search(r"\tinstancePrices = map\[string\]float64\{(.*?)\n\t\}", text, re.DOTALL)
    if block is None:
        raise SystemExit("gce_price_info.go: no instancePrices")
    pairs = re.findall(r'"([\w-]+)":\s+([\d.]+),', block[1])
    return Copies(GCE_AUTOSCALER_SOURCE, {f"gcp/{name}@us-central1": float(price) for name, price in pairs})


def gcp(assets: Path, files: Path) -> list[PriceRow]:
    """Two regions under all terms now, us-central1 in 2025."""
    now = list(gcp_now(files))
    rates = gcp_rates(read_table(assets / "gce_core_ram_prices_libcloud_2025-03-02.csv"))
    known = {row.offer.name: row.offer.hardware for row in now}
    before = [
        row
        for hardware in known.values()
        for row in compose_gcp(rates, hardware, LIBCLOUD_DATED, LIBCLOUD_SOURCE)
        if row.offer.region in GCP_REGIONS
    ]
    rows = []
    for row in now:
        same = [b for b in before if b.offer.term == row.offer.term]
        others = [copies(same, f"{LIBCLOUD_SOURCE} of {LIBCLOUD_DATED}")]
        if row.offer.term == "on_demand":
            others.insert(0, gce_autoscaler(files))
        rows.append(row if row.offer.term == "spot" else compare(row, others))
    for term in ("on_demand", "reserved_1y", "reserved_3y"):
        past = [b for b in before if b.offer.term == term and b.offer.region == "us-central1"]
        rows += confirmed(past, [n for n in now if n.offer.term == term], GCP_SOURCE)
    rows += [b for b in before if b.offer.term == "spot" and b.offer.region == "us-central1"]
    return rows


def main() -> None:
    """Build the snapshot and refuse to write one that fails its own checks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assets", type=Path, required=True)
    parser.add_argument("--files", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=Path(__file__).parents[1] / "src/farthing/data/prices.csv")
    given = parser.parse_args()
    rows = [*aws(given.assets, given.files), *azure(given.assets, given.files), *gcp(given.assets, given.files)]
    problems = check_offers(row.offer for row in rows)
    if problems:
        raise SystemExit("\n".join(f"{p.key} {p.dated}: {p.problem}" for p in problems))
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(format_rows(rows), encoding="utf-8")
    print(f"{len(rows)} prices of {len({row.offer.name for row in rows})} instances in {given.output}")


if __name__ == "__main__":
    main()
