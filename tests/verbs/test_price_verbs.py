"""The library functions behind `farthing prices`."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from farthing.errors import InputError, StoreError, UnknownOfferError
from farthing.load.prices import find_offer, load_offers
from farthing.verbs.prices import check, import_file, list_offers, show

TODAY = date(2026, 11, 24)
CONTRACT = """\
schema: farthing/prices/1
discounts:
  - {provider: aws, names: m7i.large, discount: 10%, dated: 2026-10-01, source: contract}
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FARTHING_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_list_filters_and_sorts() -> None:
    found = list_offers(as_of=TODAY, isa=["amx_int8"], term="on_demand", max_usd=0.2)
    assert found
    prices = [offer.usd_per_hour or 0 for offer in found]
    assert prices == sorted(prices)
    assert max(prices) <= 0.2
    assert all("amx_int8" in offer.hardware.isa and offer.term == "on_demand" for offer in found)


def test_list_by_name_region_and_gpu() -> None:
    assert {o.name for o in list_offers(as_of=TODAY, name="m7i.large")} == {"aws/m7i.large"}
    assert {o.provider for o in list_offers(as_of=TODAY, name="gcp/*")} == {"gcp"}
    assert {o.region for o in list_offers(as_of=TODAY, region="westeurope")} == {"westeurope"}
    assert {o.hardware.accelerator for o in list_offers(as_of=TODAY, gpu="l4", provider="gcp")} == {"l4"}
    assert all(o.hardware.accelerator for o in list_offers(as_of=TODAY, gpu="any"))
    assert list_offers(as_of=TODAY, name="none*") == ()


def test_list_leaves_stale_prices_out_unless_asked() -> None:
    later = date(2027, 12, 1)
    assert list_offers(as_of=later) == ()
    assert list_offers(as_of=later, max_age_days=None)


def test_show_has_every_term_and_date() -> None:
    rows = show("aws/m7i.large", as_of=TODAY)
    assert [(r.offer.term, r.offer.dated.isoformat()) for r in rows] == [
        ("on_demand", "2026-07-20"),
        ("on_demand", "2025-03-02"),
        ("spot", "2026-08-06"),
    ]
    assert rows[0].check_diff_frac == 0.0
    with pytest.raises(UnknownOfferError, match=r"did you mean aws/m7i\.large"):
        show("m7i.large", as_of=TODAY)
    with pytest.raises(UnknownOfferError, match="no price by 2020-01-01"):
        show("aws/m7i.large", as_of=date(2020, 1, 1))


def test_import_is_used_from_then_on(tmp_path: Path, home: Path) -> None:
    source = tmp_path / "contract.yaml"
    source.write_text(CONTRACT, encoding="utf-8")
    done = import_file(source)
    assert done.path == home / "prices" / "contract.csv"
    found = find_offer(load_offers(), "aws/m7i.large", as_of=TODAY)
    assert found.usd_per_hour == pytest.approx(0.1008 * 0.9)
    assert check() == ()


def test_importing_a_discount_again_does_not_take_it_off_twice(tmp_path: Path) -> None:
    source = tmp_path / "contract.yaml"
    source.write_text(CONTRACT, encoding="utf-8")
    assert import_file(source).offers == import_file(source).offers


def test_failed_import_leaves_what_was_there(tmp_path: Path) -> None:
    source = tmp_path / "contract.yaml"
    source.write_text(CONTRACT, encoding="utf-8")
    written = import_file(source).path
    before = written.read_bytes()
    source.write_text(CONTRACT.replace("10%", "ten"), encoding="utf-8")
    with pytest.raises(InputError):
        import_file(source)
    assert written.read_bytes() == before
    with pytest.raises(InputError, match="already in use"):
        import_file(written)


def test_import_says_when_it_cannot_write(tmp_path: Path) -> None:
    source = tmp_path / "contract.yaml"
    source.write_text(CONTRACT, encoding="utf-8")
    blocked = tmp_path / "file"
    blocked.write_text("", encoding="utf-8")
    with pytest.raises(StoreError, match="cannot write"):
        import_file(source, into=blocked)


def test_check_names_the_price() -> None:
    assert check() == ()
