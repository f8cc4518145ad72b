"""Reading price files: each public shape, farthing's own table, the user's YAML, and what is refused."""

from __future__ import annotations

import math
from datetime import date
from pathlib import Path

import pytest

from farthing.errors import InputError, SchemaError
from farthing.load.prices import (
    PriceRow,
    amortised_usd_per_hour,
    check_offers,
    format_rows,
    import_prices,
    import_rows,
    read_rows,
    snapshot_rows,
)
from farthing.nouns import Hardware, Offer


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARTHING_HOME", str(tmp_path / "home"))


def write(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.assets
@pytest.mark.parametrize(
    ("file", "n", "name", "usd_per_hour", "vcpus"),
    [
        ("aws_ondemand_us-east-1_2026-07-20.csv", 1367, "aws/m7i.large", 0.1008, 2),
        ("azure_ondemand_3regions_2026-06-18.csv", 4975, "azure/Standard_D2s_v5", 0.096, 2),
        ("ec2_linux_ondemand_libcloud_2025-03-02.csv", 12835, "aws/m7i.large", 0.1008, 2),
        ("gce_core_ram_prices_libcloud_2025-03-02.csv", 1398, "gcp/n2-standard-2", 0.097118, 2),
    ],
)
def test_public_shapes(assets: Path, file: str, n: int, name: str, usd_per_hour: float, vcpus: float) -> None:
    offers = import_prices(assets / "prices" / file)
    assert len(offers) == n
    home = {"aws": "us-east-1", "azure": "eastus", "gcp": "us-central1"}[name.partition("/")[0]]
    found = next(o for o in offers if o.key == f"{name}@{home}:on_demand")
    assert found.usd_per_hour == pytest.approx(usd_per_hour, rel=1e-6)
    assert found.hardware.vcpus == vcpus
    assert found.dated.isoformat() in file
    assert file in found.source
    assert "sha256:" in found.source


@pytest.mark.assets
def test_gce_terms_are_all_read(assets: Path) -> None:
    offers = import_prices(assets / "prices" / "gce_core_ram_prices_libcloud_2025-03-02.csv")
    n2 = {o.term: o.usd_per_hour for o in offers if o.name == "gcp/n2-standard-8" and o.region == "us-central1"}
    assert {"on_demand", "spot"} <= set(n2)
    assert n2["spot"] < n2["on_demand"]  # type: ignore[operator]


@pytest.mark.assets
def test_snapshot_agrees_with_the_file_it_cites(assets: Path) -> None:
    offers = {o.name: o for o in import_prices(assets / "prices" / "aws_ondemand_us-east-1_2026-07-20.csv")}
    cited = [r.offer for r in snapshot_rows() if r.offer.dated == date(2026, 7, 20) and r.offer.provider == "aws"]
    assert len(cited) > 100
    for offer in cited:
        assert offer.usd_per_hour == offers[offer.name].usd_per_hour
        assert offer.hardware.memory_gib == offers[offer.name].hardware.memory_gib


def test_public_table_needs_a_day(tmp_path: Path) -> None:
    path = write(tmp_path, "azure.csv", "vm_size,region,usd_per_hour_ondemand_linux\nStandard_D2s_v5,eastus,0.096\n")
    with pytest.raises(InputError, match="does not say on which day"):
        import_prices(path)
    assert import_prices(path, dated=date(2026, 1, 2))[0].dated == date(2026, 1, 2)


def test_public_table_leaves_zeros_out_and_refuses_negatives(tmp_path: Path) -> None:
    head = "instance_type,region,usd_per_hour\nm7i.large,us-east-1,0.1\n"
    zero = write(tmp_path, "a_2026-01-01.csv", head + "m7i.xlarge,us-east-1,0.0\n")
    assert [o.name for o in import_prices(zero)] == ["aws/m7i.large"]
    negative = write(tmp_path, "b_2026-01-01.csv", head + "m7i.xlarge,us-east-1,-0.2\n")
    with pytest.raises(InputError, match=r"b_2026-01-01.csv line 3: usd_per_hour is -0.2; .* must be > 0"):
        import_prices(negative)


def test_unknown_header_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "x_2026-01-01.csv", "machine,price\na,1\n")
    with pytest.raises(InputError, match="header that is not known: machine, price"):
        import_prices(path)
    with pytest.raises(InputError, match="no price file"):
        import_prices(write(tmp_path, "x.txt", ""))


def test_own_table_round_trip(tmp_path: Path) -> None:
    hardware = Hardware(
        name="own/box", vcpus=16, isa=("avx2", "amx_int8"), memory_gib=64.5, accelerator="l4", accelerators=2
    )
    full = Offer(
        name="own/box",
        provider="own",
        region="rack-1",
        term="owned",
        hardware=hardware,
        dated=date(2026, 2, 3),
        source='quote, "no. 7"',
        usd_per_hour=0.3,
        upfront_usd=1200.0,
        interruptions_per_hour=0.0,
        parts_usd_per_hour={"capex": 0.1, "power": 0.2},
    )
    token = Offer(
        name="llm/small",
        provider="llm",
        region="any",
        term="per_token",
        hardware=Hardware(name="llm/small"),
        dated=date(2026, 2, 3),
        source="price page",
        usd_per_input_token=1.5e-07,
        usd_per_output_token=6e-07,
    )
    rows = (PriceRow(offer=token, note="a, b"), PriceRow(offer=full, negotiated=True, check_diff_frac=-0.1))
    path = write(tmp_path, "t.csv", format_rows(rows))
    assert read_rows(path) == rows
    assert import_rows(path) == rows


OWN = "name,region,term,dated,usd_per_hour,source\nown/a,r,on_demand,2026-01-01,1.0,s\n"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("1.0", "-1.0", "line 2: usd_per_hour is -1.0; it must be > 0"),
        ("1.0", "0", "usd_per_hour is 0; it must be > 0"),
        ("1.0", "nan", "usd_per_hour is nan"),
        ("1.0", "cheap", "usd_per_hour is 'cheap', not a number"),
        ("1.0", "", "own/a has no price"),
        ("2026-01-01", "", "dated is empty"),
        ("2026-01-01", "1.1.2026", "write it like 2026-07-20"),
        (",s\n", ",\n", "source is empty"),
        ("on_demand", "hourly", "unknown term 'hourly'"),
        ("own/a", "a", "write provider/instance"),
        ("source", "origin", "unknown column 'origin'"),
        (",dated", ",vcpus", "no column 'dated'"),
    ],
)
def test_own_table_faults(tmp_path: Path, old: str, new: str, problem: str) -> None:
    with pytest.raises(InputError) as e:
        import_prices(write(tmp_path, "own.csv", OWN.replace(old, new, 1)))
    assert problem in str(e.value)
    assert "own.csv" in str(e.value)


YAML = """\
schema: farthing/prices/1
dated: 2026-11-01
source: contract 4711
offers:
  - {name: onprem/epyc, region: fra, usd_per_hour: 1.25, vcpus: 96, memory_gib: 384, isa: [avx2, avx512_vnni]}
  - {name: fn/small, region: eu, term: serverless, usd_per_request: 2.0e-7, usd_per_gib_s: 1.667e-5}
owned:
  - name: own/dl380
    capex_usd: $12,000
    lifetime_years: 4
    power_w: 450
    usd_per_kwh: 0.18
    pue: 1.4
    overhead_frac: 0.15
    vcpus: 64
discounts:
  - {provider: aws, names: m7i.*, discount: 12%}
"""


def test_own_yaml(tmp_path: Path) -> None:
    rows = import_rows(write(tmp_path, "mine.yaml", YAML))
    offers = {row.offer.name: row.offer for row in rows}
    assert offers["onprem/epyc"].hardware.isa == ("avx2", "avx512_vnni")
    assert offers["fn/small"].term == "serverless"
    own = offers["own/dl380"]
    assert own.term == "owned"
    assert own.usd_per_hour == pytest.approx(12000 / (4 * 8760) * 1.15 + 0.45 * 1.4 * 0.18)
    assert math.isclose(sum(own.parts_usd_per_hour.values()), own.usd_per_hour or 0)
    assert offers["aws/m7i.large"].usd_per_hour == pytest.approx(0.1008 * 0.88)
    assert offers["aws/m7i.large"].dated == date(2026, 11, 1)
    assert "contract 4711: 0.12 off aws/karpenter" in offers["aws/m7i.large"].source
    assert {row.negotiated for row in rows if row.offer.provider == "aws"} == {True}
    assert {o.term for o in offers.values() if o.provider == "aws"} == {"on_demand"}
    assert check_offers(offers.values()) == ()


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("usd_per_hour: 1.25", "usd_per_hour: -1", "offers[0].usd_per_hour is -1; it must be ≥ 0"),
        ("usd_per_hour: 1.25", "usd_per_hour: free", "offers[0].usd_per_hour is 'free', not a number"),
        ("usd_per_hour: 1.25, ", "", "offers[0].usd_per_hour is missing"),
        ("usd_per_hour: 1.25", "price: 1.25", "offers[0] has the unknown key 'price'"),
        ("dated: 2026-11-01\n", "", "offers[0].dated is missing"),
        ("dated: 2026-11-01", "dated: soon", "dated is 'soon'"),
        ("source: contract 4711\n", "", "offers[0].source is missing"),
        ("name: onprem/epyc", "name: epyc", "offers[0].name is 'epyc'"),
        ("region: fra, ", "", "offers[0].region is missing"),
        ("term: serverless", "term: lease", "offers[1].term is 'lease'"),
        ("lifetime_years: 4", "lifetime_years: 0", "owned[0].lifetime_years is 0"),
        ("$12,000", "free", "owned[0].capex_usd"),
        ("pue: 1.4", "pue: 0.4", "owned[0].pue is 0.4; it must be ≥ 1"),
        ("    power_w: 450\n", "", "owned[0].power_w is missing"),
        ("discount: 12%", "discount: 112%", "discounts[0].discount"),
        ("m7i.*", "zz.*", "discounts[0].names is 'zz.*'"),
        ("offers:\n", "prices:\n", "unknown key 'prices'"),
    ],
)
def test_own_yaml_faults(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert old in YAML
    with pytest.raises(InputError) as e:
        import_prices(write(tmp_path, "mine.yaml", YAML.replace(old, new, 1)))
    assert problem in str(e.value)


def test_yaml_that_is_no_price_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no valid YAML"):
        import_prices(write(tmp_path, "a.yaml", "offers: [1, 2"))
    with pytest.raises(SchemaError, match="has no schema"):
        import_prices(write(tmp_path, "b.yaml", "offers: []"))
    with pytest.raises(SchemaError, match="reads up to version 1"):
        import_prices(write(tmp_path, "c.yaml", "schema: farthing/prices/2"))
    with pytest.raises(InputError, match="holds no offers"):
        import_prices(write(tmp_path, "d.yaml", "schema: farthing/prices/1"))


def test_discount_is_not_taken_off_prices_too_old(tmp_path: Path) -> None:
    text = YAML.replace("discount: 12%", "discount: 12%, dated: 2027-11-01")
    with pytest.raises(InputError, match="more than 180 days after the newest list price"):
        import_prices(write(tmp_path, "mine.yaml", text))


def test_owned_cost_is_additive_and_monotone() -> None:
    base = amortised_usd_per_hour(capex_usd=8760.0, lifetime_years=1, power_w=1000, usd_per_kwh=0.2, pue=1.5)
    assert base == pytest.approx({"capex": 1.0, "overhead": 0.0, "power": 0.3})
    longer = amortised_usd_per_hour(capex_usd=8760.0, lifetime_years=2, power_w=1000, usd_per_kwh=0.2, pue=1.5)
    assert sum(longer.values()) < sum(base.values())


def test_spot_above_on_demand_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "own.csv", OWN + "own/a,r,spot,2026-01-01,1.5,s\n")
    with pytest.raises(InputError, match=r"1\.5 USD an hour is above on demand"):
        import_prices(path)


def test_price_twice_on_a_day_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "own.csv", OWN + "own/a,r,on_demand,2026-01-01,1.1,s\n")
    with pytest.raises(InputError, match="priced twice on that day"):
        import_prices(path)
