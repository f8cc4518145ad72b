"""Names that nobody would find, and answers that are neither yes nor no, in tables and files of one's own."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from farthing.errors import InputError
from farthing.load.prices import check_offers, find_offer, import_prices, import_rows, load_offers, snapshot_rows
from farthing.load.yes_no import yes_or_no
from farthing.nouns import Offer
from farthing.verbs import prices

DAY = date(2026, 11, 24)
ZERO_WIDTH, NO_BREAK, JOINER = "\u200b", "\u00a0", "\u2060"


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARTHING_HOME", str(tmp_path / "home"))


def table(folder: Path, name: str, region: str = "us-east-1", more: str = "", cell: str = "") -> Path:
    path = folder / "mine.csv"
    head = f"name,region,term,dated,source,usd_per_hour{more}"
    path.write_text(f"{head}\n{name},{region},on_demand,2026-11-01,contract,0.09{cell}\n", encoding="utf-8")
    return path


def yaml(folder: Path, name: str, region: str = "us-east-1", more: str = "") -> Path:
    path = folder / "mine.yaml"
    entry = f'- {{name: "{name}", region: "{region}", usd_per_hour: 0.09{more}}}'
    path.write_text(f"schema: farthing/prices/1\ndated: 2026-11-01\nsource: contract\noffers:\n  {entry}\n", "utf-8")
    return path


WRONG = [
    ("aws/m7i large", "us-east-1", "name is 'aws/m7i large', with a blank within"),
    (f"aws/m7i.{ZERO_WIDTH}large", "us-east-1", r"name is 'aws/m7i.\u200blarge', with the character U+200B within"),
    (f"aws/m7i.large{ZERO_WIDTH}", "us-east-1", "U+200B"),
    (f"{JOINER}own/box", "fra", "U+2060"),
    (f"own/my{NO_BREAK}box", "fra", "U+00A0"),
    ("aws/m7i.l\u0430rge", "us-east-1", "U+0430"),
    ("own/box", f"fra{ZERO_WIDTH}", r"region is 'fra\u200b', with the character U+200B within"),
    ("own/box", "rack 1", "region is 'rack 1', with a blank within"),
    ("AWS/m7i.large", "us-east-1", "name is 'AWS/m7i.large', which differs from aws/m7i.large in case alone"),
    ("aws/M7i.Large", "us-east-1", "which differs from aws/m7i.large in case alone"),
    ("azure/standard_d2s_v5", "eastus", "which differs from azure/Standard_D2s_v5 in case alone"),
    ("AWS/unheard.of", "us-east-1", "provider is 'AWS', which differs from aws in case alone"),
    ("aws/m7i.large", "US-East-1", "region is 'US-East-1', which differs from us-east-1 in case alone"),
]


@pytest.mark.parametrize(("name", "region", "said"), WRONG)
@pytest.mark.parametrize("write", [table, yaml])
def test_names_that_nobody_would_find_are_refused(
    tmp_path: Path, write: object, name: str, region: str, said: str
) -> None:
    path = write(tmp_path, name, region)  # type: ignore[operator]
    with pytest.raises(InputError) as e:
        import_prices(path)
    assert said in e.value.message
    assert str(path) in e.value.message
    assert str(e.value.hint).startswith("nothing was imported; ")


@pytest.mark.parametrize(("name", "region", "said"), WRONG)
def test_those_that_lie_there_already_are_found_by_check(tmp_path: Path, name: str, region: str, said: str) -> None:
    (tmp_path / "home" / "prices").mkdir(parents=True)
    table(tmp_path / "home" / "prices", name, region)
    found = prices.check()
    assert [said in p.problem for p in found] == [True]


@pytest.mark.parametrize(
    ("name", "region"),
    [
        ("aws/m7i.large", "us-east-1"), ("colo/epyc-9654", "fra"), ("llm/org/model:8b@2026", "any"), ("own/DL380", "R1"),
        ("azure/DCadsv5 Type 1", "eastus"), ("azure/Ddsv4_Type 1", "eastus"), (" own / a ", " fra "),
    ],
)  # fmt: skip
@pytest.mark.parametrize("write", [table, yaml])
def test_names_that_are_found(tmp_path: Path, write: object, name: str, region: str) -> None:
    (offer,) = import_prices(write(tmp_path, name, region))  # type: ignore[operator]
    assert find_offer([offer], " ".join(name.replace(" / ", "/").split()), region.strip(), as_of=DAY) is offer


def test_two_spellings_within_one_file_are_refused(tmp_path: Path) -> None:
    path = table(tmp_path, "own/box", "fra")
    path.write_text(path.read_text() + "own/Box,fra,spot,2026-11-01,contract,0.05\n")
    with pytest.raises(InputError, match="name is 'own/Box', which differs from own/box in case alone"):
        import_prices(path)


def test_words_of_the_hardware_that_are_looked_for(tmp_path: Path) -> None:
    offer = find_offer(load_offers(), "aws/m7i.large", as_of=DAY)
    for change in ({"isa": (f"avx512_vnni{ZERO_WIDTH}",)}, {"arch": f"x86_64{NO_BREAK}"}):
        odd: Offer = replace(offer, hardware=replace(offer.hardware, **change))
        assert ["within" in p.problem for p in check_offers([odd])] == [True]


def test_a_name_lacks_nothing_beside_its_slash(tmp_path: Path) -> None:
    for name in ("aws/", "/m7i.large", "own//box"):
        with pytest.raises(InputError, match="with nothing beside a slash"):
            import_prices(table(tmp_path, name))


def test_the_snapshot_is_spelt_as_one_asks_for_it() -> None:
    assert not check_offers(row.offer for row in snapshot_rows())


# — yes and no —————————————————————————————————————————————————————————————————————————————————————————————————————————

YES = ["yes", "Yes", "true", "TRUE", '"true"', "1", "y", '"1"', "on"]
NO = ["no", "False", '"false"', "0", "N", "off"]


@pytest.mark.parametrize("word", YES + NO)
def test_negotiated_is_read_as_it_is_meant(tmp_path: Path, word: str) -> None:
    (row,) = import_rows(yaml(tmp_path, "own/box", more=f", negotiated: {word}"))
    assert row.negotiated is (word in YES)
    (row,) = import_rows(table(tmp_path, "own/box", more=",negotiated", cell=f",{word}"))
    assert row.negotiated is (word in YES)


def test_nothing_said_is_no(tmp_path: Path) -> None:
    assert not import_rows(yaml(tmp_path, "own/box"))[0].negotiated
    assert not import_rows(table(tmp_path, "own/box", more=",negotiated", cell=","))[0].negotiated


@pytest.mark.parametrize("word", ["maybe", "2", "ja", "x", "1.0", "contract 4711"])
def test_anything_else_is_refused(tmp_path: Path, word: str) -> None:
    with pytest.raises(InputError, match=r"offers\[0\].negotiated is .*; it must be yes or no"):
        import_rows(yaml(tmp_path, "own/box", more=f", negotiated: {word}"))
    with pytest.raises(InputError, match=r"line 2: negotiated is .*; it must be yes or no"):
        import_rows(table(tmp_path, "own/box", more=",negotiated", cell=f",{word}"))


def test_yes_or_no_of_other_things() -> None:
    assert [yes_or_no(value) for value in (True, False, 1, 0, " YES ")] == [True, False, True, False, True]
    assert [yes_or_no(value) for value in (None, 2, 1.0, [], "", "yess")] == [None] * 6


def test_a_contract_that_says_true_wins_over_later_lists(tmp_path: Path) -> None:
    (tmp_path / "home" / "prices").mkdir(parents=True)
    path = table(tmp_path / "home" / "prices", "aws/m7i.large", more=",negotiated", cell=",TRUE")
    path.write_text(path.read_text().replace("2026-11-01", "2026-06-01"))  # before the list price of July
    assert find_offer(load_offers(), "aws/m7i.large", as_of=DAY, max_age_days=365).usd_per_hour == 0.09
