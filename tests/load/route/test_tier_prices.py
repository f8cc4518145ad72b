"""What a tier costs: one basis, every price that it needs, each of a size that prices have."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from farthing.errors import InputError
from farthing.load.route.tier_prices import PRICE_KEYS, TierPrice, read_tier_price
from farthing.load.route.tiers import check_tiers, priced, read_tiers_file, tier_of_flag

TOKENS = {"usd_per_input_token": 1e-6, "usd_per_output_token": 4e-6}
FAIR = {"usd_per_request": 2e-5, "usd_per_second": 1e-4, **TOKENS, "usd_per_cached_input_token": 1e-7}


def price_of(folder: Path, prices: dict[str, Any]) -> TierPrice:
    path = folder / "tiers.yaml"
    said = "".join(f", {key}: {value!r}" for key, value in prices.items())
    entry = f'{{name: llm, source: "https://h/v1", kind: openai{said}}}'
    path.write_text(f"schema: farthing/tiers/1\ntiers: [{entry}]\n")
    return read_tiers_file(path).tiers[0].price


@pytest.mark.parametrize("missing", sorted(TOKENS))
@pytest.mark.parametrize("cached", [{}, {"usd_per_cached_input_token": 1e-7}])
def test_a_price_of_one_direction_leaves_the_other_without(
    tmp_path: Path, missing: str, cached: dict[str, float]
) -> None:
    given = {key: usd for key, usd in TOKENS.items() if key != missing}
    with pytest.raises(InputError) as e:
        price_of(tmp_path, {**given, **cached})
    if cached and "input" in missing:
        assert "there is no usd_per_input_token" in e.value.message
    else:
        assert f"has {next(iter(given))} and no {missing}; a missing price is never taken as 0" in e.value.message
    with pytest.raises(ValueError, match=f"no {missing}"):
        TierPrice(**given, **cached)


@pytest.mark.parametrize("both", [p for p in itertools.combinations(FAIR, 2) if not all("token" in key for key in p)])
def test_two_bases_are_refused(tmp_path: Path, both: tuple[str, str]) -> None:
    given = {key: FAIR[key] for key in both}
    with pytest.raises(InputError, match=f"has {both[0]} and {both[1]}; a tier is paid on one basis"):
        price_of(tmp_path, given)
    with pytest.raises(ValueError, match=f"has {both[0]} and {both[1]}"):
        TierPrice(**given)


@pytest.mark.parametrize(
    "given",
    [{"usd_per_request": 2e-5}, {"usd_per_second": 1e-4}, TOKENS, {**TOKENS, "usd_per_cached_input_token": 1e-7}],
)
def test_whole_prices_are_taken_as_written(tmp_path: Path, given: dict[str, float]) -> None:
    assert price_of(tmp_path, given) == TierPrice(**given)
    assert read_tier_price({}, "tiers[0]") == TierPrice()


def test_every_key_of_a_price_is_known() -> None:
    assert set(PRICE_KEYS) == set(FAIR) == set(TierPrice.__dataclass_fields__)


@pytest.mark.parametrize("usd", [2.5, 0.15, "$0.20", 15, "1,000"])
@pytest.mark.parametrize("key", [key for key in FAIR if "token" in key])
def test_a_price_of_a_million_tokens_is_not_that_of_one(tmp_path: Path, key: str, usd: float | str) -> None:
    given = {**TOKENS, key: usd}
    if usd == "1,000":  # no cell of a table, hence no price at all
        said = "it must be US dollars > 0"
    else:
        said = rf"tiers\[0\].{key} is [\d.]+ USD; at most 0.00[12] is plausible"
    with pytest.raises(InputError, match=said) as e:
        price_of(tmp_path, given)
    if usd == 2.5:
        assert e.value.hint == "is that the price of a million? that of one is 2.5e-06"


@pytest.mark.parametrize(
    ("key", "usd", "hint"),
    [
        ("usd_per_request", 20, "a million? that of one is 2e-05"), ("usd_per_request", 1.01, "a million?"),
        ("usd_per_second", 3.6, "an hour? that of one is 0.001"), ("usd_per_second", 0.1008, "an hour?"),
    ],
)  # fmt: skip
def test_a_price_of_many_requests_or_of_an_hour(tmp_path: Path, key: str, usd: float, hint: str) -> None:
    with pytest.raises(InputError, match=rf"tiers\[0\].{key} is {usd:g} USD; at most") as e:
        price_of(tmp_path, {key: usd})
    assert hint in str(e.value.hint)


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("large=20/request", "--price large is 20 USD a request; at most 1 is plausible"),
        ("large=0.34/second", "--price large is 0.34 USD a second; at most 0.1 is plausible"),
        ("large=2500/Mtoken", "--price large is 2500 USD a million tokens; at most 1000 is plausible"),
    ],
)
def test_flags_are_held_against_the_same(said: str, problem: str) -> None:
    tiers = [tier_of_flag("small=s.onnx"), tier_of_flag("large=http://h:1")]
    with pytest.raises(InputError) as e:
        priced(tiers, [said])
    assert e.value.message == problem


def test_a_flag_names_a_tier_once() -> None:
    tiers = [tier_of_flag("small=s.onnx"), tier_of_flag("large=http://h:1")]
    with pytest.raises(InputError, match="--price names the tier 'large' twice"):
        priced(tiers, ["large=0.001/request", "large=0.5/Mtoken"])
    check_tiers(priced(tiers, ["large=0.9/request", "small=0.05/second"]))
