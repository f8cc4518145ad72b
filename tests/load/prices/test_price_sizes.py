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


# — up-front payment ———————————————————————————————————————————————————————————————————————————————————————————————————


@pytest.mark.parametrize(
    ("term", "hourly", "upfront", "share", "whole"),
    [
        ("reserved_1y", "0.002", "400", "0.04566", "0.04766"), ("reserved_1y", "0.03", "300", "0.03425", "0.06425"),
        ("reserved_3y", "0.01", "1000", "0.03805", "0.04805"), ("reserved_3y", "0.0001", "500", "0.01903", "0.01913"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["csv", "yaml"])
def test_an_effective_price_is_never_below_its_up_front_part(
    tmp_path: Path, kind: str, term: str, hourly: str, upfront: str, share: str, whole: str
) -> None:
    def written(usd: str) -> Path:
        path = tmp_path / f"mine.{kind}"
        if kind == "csv":
            head = "name,region,term,dated,source,usd_per_hour,upfront_usd"
            path.write_text(f"{head}\naws/m7i.large,us-east-1,{term},2026-11-01,aws,{usd},{upfront}\n")
        else:
            entry = (
                f"{{name: aws/m7i.large, region: us-east-1, term: {term}, usd_per_hour: {usd}, upfront_usd: {upfront}}}"
            )
            path.write_text(f"schema: farthing/prices/1\ndated: 2026-11-01\nsource: aws\noffers: [{entry}]\n")
        return path

    with pytest.raises(InputError) as e:
        import_prices(written(hourly))
    assert f"usd_per_hour is {float(hourly):g}, and the up-front part alone is {share}" in e.value.message
    assert "1 more" not in e.value.message
    assert f"write {whole} ({float(hourly):g} + {share}) if {float(hourly):g} is what is paid by the hour" in str(
        e.value.hint
    )
    (bought,) = import_prices(written(whole))
    assert bought.usd_per_hour == float(whole)


def test_all_up_front_is_a_price_like_another() -> None:
    whole = offer(term="reserved_1y", usd_per_hour=round(520 / 8760, 5), upfront_usd=520.0, dated=DAY)
    assert not check_offers([offer(), whole])


def test_check_finds_the_misread_price_and_not_its_neighbours() -> None:
    misread = offer(term="reserved_1y", usd_per_hour=0.002, upfront_usd=400.0)
    assert [p.key for p in check_offers([offer(), offer(dated=date(2026, 1, 1)), misread])] == [misread.key]


@pytest.mark.parametrize("term", ["on_demand", "spot"])
def test_a_term_without_end_has_nothing_up_front(term: str) -> None:
    odd = offer(term=term, usd_per_hour=0.1, upfront_usd=400.0, dated=date(2026, 8, 1))
    (found,) = check_offers([odd])
    assert f"upfront_usd is 400 under {term}, which has no length" in found.problem


# — the price of a million —————————————————————————————————————————————————————————————————————————————————————————————


@pytest.mark.parametrize(
    ("term", "prices", "wrong"),
    [
        ("serverless", "usd_per_request: 0.20, usd_per_gib_s: 1.667e-5", "usd_per_request is 0.2 USD; at most 0.01"),
        ("serverless", "usd_per_request: 2.0e-7, usd_per_gib_s: 16.67", "usd_per_gib_s is 16.67 USD; at most 0.001"),
        ("per_token", "usd_per_input_token: 2.5, usd_per_output_token: 1.0e-5", "usd_per_input_token is 2.5 USD"),
        ("per_token", "usd_per_input_token: 2.5e-6, usd_per_output_token: 10", "usd_per_output_token is 10 USD"),
        ("per_token", "usd_per_input_token: 0.15, usd_per_output_token: 0.6", "usd_per_input_token is 0.15 USD"),
    ],
)
def test_a_price_of_a_million_is_found_where_nothing_else_has_that_name(
    tmp_path: Path, term: str, prices: str, wrong: str
) -> None:
    path = tmp_path / "mine.yaml"
    entry = f"{{name: new/thing, region: any, term: {term}, {prices}}}"
    path.write_text(f"schema: farthing/prices/1\ndated: 2026-11-01\nsource: page\noffers: [{entry}]\n")
    with pytest.raises(InputError) as e:
        import_prices(path)
    assert wrong in e.value.message
    assert "is that the price of a million? that of one is " in str(e.value.hint)


def test_right_prices_are_not_held_against_a_million(tmp_path: Path) -> None:
    plain = {"usd_per_hour": None, "term": "per_token", "name": "llm/big", "provider": "llm"}
    wrong = offer(**plain, usd_per_input_token=2.5, dated=date(2026, 1, 1))
    right = offer(**plain, usd_per_input_token=2.5e-6, dated=date(2026, 2, 1))
    assert [p.dated for p in check_offers([wrong, right])] == [wrong.dated]
    assert [p.dated for p in check_offers([right], [wrong])] == []


@pytest.mark.parametrize(
    "usd",
    [
        {"usd_per_input_token": 150e-6, "usd_per_output_token": 600e-6},  # the dearest model that was sold by token
        {"usd_per_input_token": 1e-8, "usd_per_output_token": 2e-8},
        {"usd_per_request": 2e-7, "usd_per_gib_s": 1.667e-5}, {"usd_per_request": 0.005},
    ],
)  # fmt: skip
def test_prices_by_use_that_may_be_right(usd: dict[str, float]) -> None:
    assert not check_offers([offer(usd_per_hour=None, term="per_token", name="llm/a", provider="llm", **usd)])
