"""Looking up offers: which price counts on a day, and what is said when none does."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.errors import StalePriceError, UnknownOfferError
from farthing.load.prices import PriceRow, find_offer, format_rows, load_offers, offers_as_of, terms_of
from farthing.load.prices.lookup import merge_rows, user_folder
from farthing.nouns import Hardware, Offer, Term

TODAY = date(2026, 11, 24)


def offer(
    usd: float,
    dated: str,
    *,
    name: str = "aws/m7i.large",
    region: str = "us-east-1",
    term: Term = "on_demand",
) -> Offer:
    return Offer(
        name=name,
        provider=name.partition("/")[0],
        region=region,
        term=term,
        hardware=Hardware(name=name),
        dated=date.fromisoformat(dated),
        source="a test",
        usd_per_hour=usd,
    )


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    return tmp_path / "none"


def test_snapshot_prices_are_fresh_today(empty: Path) -> None:
    found = find_offer(load_offers(empty), "aws/m7i.large", as_of=TODAY)
    assert (found.usd_per_hour, found.dated, found.region) == (0.1008, date(2026, 7, 20), "us-east-1")


def test_as_of_takes_the_price_of_that_day(empty: Path) -> None:
    offers = load_offers(empty)
    assert find_offer(offers, "aws/m7i.large", as_of=date(2025, 3, 15)).dated == date(2025, 3, 2)
    past = find_offer(offers, "gcp/n2-standard-8", as_of=date(2025, 3, 15))
    assert past.dated == date(2025, 3, 2)
    assert set(past.parts_usd_per_hour) == {"vcpu", "memory"}


def test_stale_price_says_age_date_limit_and_what_to_do() -> None:
    with pytest.raises(StalePriceError) as e:
        find_offer([offer(0.1, "2025-10-08")], "aws/m7i.large", as_of=TODAY)
    assert str(e.value) == (
        "prices of aws/m7i.large are 412 days old (2025-10-08); the limit is 180 days\n\n"
        "hint: `farthing prices import FILE`, or --as-of 2025-10-08 to price the past"
    )


def test_limit_of_age_is_inclusive() -> None:
    offers = [offer(0.1, "2026-05-28")]
    assert find_offer(offers, "aws/m7i.large", as_of=TODAY).dated == date(2026, 5, 28)
    with pytest.raises(StalePriceError, match="180 days old"):
        find_offer(offers, "aws/m7i.large", as_of=TODAY, max_age_days=179)


@pytest.mark.parametrize(
    ("name", "meant"),
    [("m7i.large", "aws/m7i.large"), ("aws/m7i.lrge", "aws/m7i.large"), ("gcp/m7i.large", "aws/m7i.large")],
)
def test_unknown_name_gets_close_matches(empty: Path, name: str, meant: str) -> None:
    with pytest.raises(UnknownOfferError, match=f"there is no offer {name}") as e:
        find_offer(load_offers(empty), name, as_of=TODAY)
    assert meant in (e.value.hint or "")


def test_unknown_region_and_term_name_the_known_ones() -> None:
    offers = [offer(0.1, "2026-07-20"), offer(0.04, "2026-07-20", term="spot")]
    with pytest.raises(UnknownOfferError) as region:
        find_offer(offers, "aws/m7i.large", "eu-west-1", as_of=TODAY)
    assert region.value.hint == "known regions: us-east-1"
    with pytest.raises(UnknownOfferError) as term:
        find_offer(offers, "aws/m7i.large", term="reserved_1y", as_of=TODAY)
    assert term.value.hint == "known terms: on_demand, spot"


def test_day_before_all_prices_is_refused() -> None:
    with pytest.raises(UnknownOfferError, match="no price by 2020-01-01; the oldest is of 2026-07-20"):
        find_offer([offer(0.1, "2026-07-20")], "aws/m7i.large", as_of=date(2020, 1, 1))


def test_without_region_the_home_region_is_meant() -> None:
    offers = [offer(0.2, "2026-11-01", region="ap-south-1"), offer(0.1, "2026-07-20")]
    assert find_offer(offers, "aws/m7i.large", as_of=TODAY).region == "us-east-1"
    elsewhere = [offer(1, "2026-07-20", name="own/box", region=r) for r in ("rack-2", "rack-1")]
    assert find_offer(elsewhere, "own/box", as_of=TODAY).region == "rack-1"


def test_terms_leave_out_stale_ones() -> None:
    offers = [offer(0.1, "2026-07-20"), offer(0.05, "2025-01-01", term="spot"), offer(0.04, "2026-08-06", term="spot")]
    assert {t: o.usd_per_hour for t, o in terms_of(offers, "aws/m7i.large", as_of=TODAY).items()} == {
        "on_demand": 0.1,
        "spot": 0.04,
    }
    assert terms_of(offers[:2], "aws/m7i.large", as_of=TODAY).keys() == {"on_demand"}


@given(
    st.lists(st.tuples(st.integers(1, 28), st.sampled_from(["a/x", "a/y"])), max_size=12),
    st.integers(1, 28),
)
def test_as_of_is_newest_not_later(days: list[tuple[int, str]], day: int) -> None:
    offers = [offer(1.0, f"2026-03-{d:02}", name=name) for d, name in days]
    found = offers_as_of(offers, date(2026, 3, day))
    assert len({o.key for o in found}) == len(found)
    for o in found:
        assert o.dated <= date(2026, 3, day)
        assert not any(o.key == p.key and o.dated < p.dated <= date(2026, 3, day) for p in offers)
    assert {o.key for o in found} == {o.key for o in offers if o.dated.day <= day}


def test_newer_own_price_wins_and_older_does_not() -> None:
    listed = PriceRow(offer=offer(0.10, "2026-07-20"))
    newer, older = PriceRow(offer=offer(0.12, "2026-09-01")), PriceRow(offer=offer(0.08, "2026-01-01"))
    merged = [row.offer for row in merge_rows([listed], [newer, older])]
    assert find_offer(merged, "aws/m7i.large", as_of=TODAY).usd_per_hour == 0.12
    assert find_offer(merged, "aws/m7i.large", as_of=date(2026, 8, 1)).usd_per_hour == 0.10


def test_negotiated_price_wins_from_its_day_on() -> None:
    listed = [PriceRow(offer=offer(0.10, d)) for d in ("2026-01-01", "2026-07-20")]
    mine = PriceRow(offer=offer(0.07, "2026-06-01"), negotiated=True)
    merged = [row.offer for row in merge_rows(listed, [mine])]
    assert find_offer(merged, "aws/m7i.large", as_of=TODAY).usd_per_hour == 0.07
    assert find_offer(merged, "aws/m7i.large", as_of=date(2026, 3, 1)).usd_per_hour == 0.10


def test_own_tables_are_read_from_the_users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARTHING_HOME", str(tmp_path))
    folder = user_folder()
    folder.mkdir()
    (folder / "mine.csv").write_text(format_rows([PriceRow(offer=offer(0.05, "2026-11-01"))]), encoding="utf-8")
    assert find_offer(load_offers(), "aws/m7i.large", as_of=TODAY).usd_per_hour == 0.05
    assert find_offer(load_offers(tmp_path / "none"), "aws/m7i.large", as_of=TODAY).usd_per_hour == 0.1008


def test_folder_follows_the_platform() -> None:
    assert user_folder({"FARTHING_HOME": "/f"}) == Path("/f/prices")
    assert user_folder({"XDG_CONFIG_HOME": "/c"}) == Path("/c/farthing/prices")
    assert user_folder({}) == Path.home() / ".config" / "farthing" / "prices"
