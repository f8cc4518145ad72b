"""Prices that are of another currency, system or size are found on import and by check."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from farthing.errors import InputError
from farthing.load.prices import check_offers, find_offer, import_prices, load_offers, read_rows
from farthing.nouns import Offer

DAY = date(2026, 11, 24)


def ec2(folder: Path, more: str = "", cells: str = "", price: str = "0.1008", name: str = "m7i.large") -> Path:
    path = folder / "ec2_2026-11-01.csv"
    path.write_text(f"instance_type,region,usd_per_hour{more}\n{name},us-east-1,{price}{cells}\n")
    return path


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("currency", "EUR"), ("Currency Code", "GBP"), ("ccy", "CNY"), ("currency", "USDC"), ("unit", "month"),
        ("price_unit", "Second"), ("billing_period", "monthly"), ("operating_system", "Windows"), ("platform", "RHEL"),
        ("tenancy", "dedicated"), ("term", "reserved 1y"), ("PurchaseOption", "All Upfront"), ("upfront_usd", "500"),
        ("discount", "12%"), ("vat", "19 %"),
    ],
)  # fmt: skip
def test_another_meaning_is_refused_by_name(tmp_path: Path, column: str, value: str) -> None:
    with pytest.raises(InputError) as e:
        import_prices(ec2(tmp_path, f",{column}", f",{value}"))
    assert f"line 2: {column} is {value!r}" in e.value.message


@pytest.mark.parametrize(
    ("column", "value"),
    [("currency", "USD"), ("currency", " usd "), ("currency", ""), ("unit", "Hrs"), ("os", "Linux"), ("tenancy", "Shared"),
     ("term", "OnDemand"), ("upfront", "0"), ("sku", "ABC"), ("generation", "7")],
)  # fmt: skip
def test_the_meaning_that_is_read_is_taken(tmp_path: Path, column: str, value: str) -> None:
    (offer,) = import_prices(ec2(tmp_path, f",{column}", f",{value}"))
    assert offer.usd_per_hour == 0.1008


@pytest.mark.parametrize("blank", [" ", "\t", "\u00a0", "  "])
def test_blanks_around_names_go(tmp_path: Path, blank: str) -> None:
    path = tmp_path / "ec2_2026-11-01.csv"
    path.write_text(f"instance_type , region, usd_per_hour\n{blank}m7i.large{blank},{blank}us-east-1, 0.1008{blank}\n")
    (offer,) = import_prices(path)
    assert (offer.key, offer.usd_per_hour) == ("aws/m7i.large@us-east-1:on_demand", 0.1008)
    own = tmp_path / "own.csv"
    own.write_text(
        f"name,region,term,dated,source,usd_per_hour\n{blank}own/{blank}a {blank},fra,on_demand,2026-01-01,s,1\n"
    )
    assert read_rows(own)[0].offer.name == "own/a"


@pytest.mark.parametrize("name", ["m7i large", "m7i.\u200blarge", "m7i.lаrge", ""])
def test_names_that_nobody_would_find_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="line 2: instance_type is"):
        import_prices(ec2(tmp_path, name=name))


@pytest.mark.parametrize("price", ["0.0001008", "10.08", "73.584", "100.8", "362.88", "0.0000280"])
def test_a_price_of_another_size_than_the_others_of_its_instance(tmp_path: Path, price: str) -> None:
    """A thousandth, cents, a month, tenfold cents, a second for an hour and the other way round."""
    with pytest.raises(InputError, match=r"USD an hour is .* of .* \(0\.\d+\); the limit is 20 ×") as e:
        import_prices(ec2(tmp_path, price=price))
    assert "nothing was imported" in str(e.value.hint)


@pytest.mark.parametrize("price", ["0.0504", "0.2016", "0.011", "1.0"])
def test_prices_that_may_be_right(tmp_path: Path, price: str) -> None:
    assert import_prices(ec2(tmp_path, price=price))


@pytest.mark.parametrize(("vcpu", "price", "fine"), [("8", "0.40", True), ("8", "0.0004", False), ("8", "29.2", False)])
def test_a_size_that_is_new_is_held_against_its_family(tmp_path: Path, vcpu: str, price: str, fine: bool) -> None:
    path = tmp_path / "aws_2026-11-01.csv"
    header = "instance_type,region,usd_per_hour_ondemand_linux,arch,vcpu,memory_mib,gpu_name,gpu_count,gpu_memory_mib,accelerator_name,accelerator_count"
    path.write_text(f"{header}\nm7i.new,us-east-1,{price},amd64,{vcpu},32768,,,,,\n")
    if fine:
        assert import_prices(path)
    else:
        with pytest.raises(InputError, match="USD a vCPU and hour"):
            import_prices(path)


def test_a_machine_of_no_family_is_held_against_what_machines_cost(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    entry = "{name: colo/box, region: fra, usd_per_hour: %s, vcpus: 64}"
    path.write_text("schema: farthing/prices/1\ndated: 2026-11-01\nsource: s\noffers: [" + entry % "0.001" + "]\n")
    with pytest.raises(InputError, match="USD an hour for each vCPU"):
        import_prices(path)
    path.write_text("schema: farthing/prices/1\ndated: 2026-11-01\nsource: s\noffers: [" + entry % "1.25" + "]\n")
    assert import_prices(path)


def offer(**changes: object) -> Offer:
    found = find_offer(load_offers(), "aws/m7i.large", as_of=DAY)
    return replace(found, **changes)


def test_check_finds_the_odd_one_among_dates_and_terms() -> None:
    others = [offer(dated=date(2026, month, 1)) for month in (1, 3, 5)]
    odd = offer(dated=date(2026, 6, 1), usd_per_hour=100.8)
    found = check_offers([*others, odd])
    assert [(p.dated, p.key) for p in found] == [(odd.dated, odd.key)]
    assert "1,000 × on demand in us-east-1" in found[0].problem
    spot = offer(term="spot", usd_per_hour=0.0001, dated=date(2026, 6, 1))
    assert [p.key for p in check_offers([*others, spot])] == [spot.key]


def test_what_is_paid_up_front_counts() -> None:
    reserved = offer(term="reserved_1y", usd_per_hour=0.002, upfront_usd=400.0)
    assert not check_offers([offer(), offer(dated=date(2026, 1, 1)), reserved])


@pytest.mark.parametrize("rate", ["usd_per_request", "usd_per_gib_s", "usd_per_input_token", "usd_per_output_token"])
def test_every_rate_is_looked_at(rate: str) -> None:
    plain = {"usd_per_hour": None, "term": "per_token", "name": "llm/big", "provider": "llm"}
    usual = [offer(**plain, **{rate: 2e-6}, dated=date(2026, month, 1)) for month in (1, 2, 3)]
    odd = offer(**plain, **{rate: 2e-3}, dated=date(2026, 4, 1))
    assert [p.dated for p in check_offers([*usual, odd])] == [odd.dated]


def test_the_snapshot_has_nothing_of_the_kind() -> None:
    assert not check_offers(load_offers())


def test_a_table_that_is_wrong_as_a_whole_is_held_against_what_is_known(tmp_path: Path) -> None:
    path = tmp_path / "ec2_2026-11-01.csv"
    rows = "".join(f"m7i.large,region-{k},10.08\n" for k in range(30))
    path.write_text(f"instance_type,region,usd_per_hour\n{rows}")
    with pytest.raises(InputError, match=r"10.08 USD an hour is 100 ×"):
        import_prices(path)
