"""Chat tiers that are paid by token: what an answer says it used is believed where it can be true."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from end_points import answering

from farthing.errors import DataError
from farthing.load.route.tiers import NamedTier, TierPrice
from farthing.measure.route.remote_tiers import RemoteRun, RemoteTier, answers_about, run_remote_tier
from farthing.nouns import Dataset
from farthing.runs.route.prices import tier_costs
from farthing.testing import FakeClock

TEXTS = ("pay my bill", "book a flight", "what is this", "pay")


def answered(usage: Mapping[str, Any], *, by_token: bool = True) -> RemoteRun:
    dataset = Dataset(kind="text", items=TEXTS, n=len(TEXTS), labels=None, ids=(), classes=(), source="t.csv")
    document = {"choices": [{"message": {"content": "pay"}}], "usage": usage}
    with answering(lambda path, body: (200, document)) as url:
        tier = RemoteTier(
            name="large", kind="openai", url=url, model="m", classes=("pay", "book"), timeout_s=5, by_token=by_token
        )
        return run_remote_tier(tier, dataset, clock=FakeClock(), tell=lambda *_: None)


@pytest.mark.parametrize(
    ("usage", "said"),
    [
        ({"prompt_tokens": 0, "completion_tokens": 1}, "read 0 tokens"),
        ({"prompt_tokens": 9, "completion_tokens": 0}, "wrote 0 tokens"),
        ({}, "prompt_tokens is None"),
        ({"prompt_tokens": 3, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 4}}, "4 of 3 tokens"),
    ],
)
def test_what_cannot_be_is_no_price(usage: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=f"'large' is priced by token, and an answer of it cannot be: .*{said}") as e:
        answered(usage)
    assert "--price large=0.001/request" in str(e.value.hint)
    run = answered(usage, by_token=False)
    assert run.answers.classes.tolist() == [0] * len(TEXTS)


def cost(price: TierPrice, run: RemoteRun) -> tuple[float, str]:
    tiers = [NamedTier(name=n, kind="openai", source="http://h", price=price) for n in ("large", "other")]
    found = tier_costs(tiers, {"large": run, "other": run}, {}, None, len(TEXTS))
    return float(np.mean(found.cost_usd["large"])), next(text for text in found.assumptions if "large" in text)


def test_cached_tokens_have_a_price_of_their_own_or_that_of_others() -> None:
    run = answered({"prompt_tokens": 100, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 80}})
    both = {"usd_per_input_token": 1e-6, "usd_per_output_token": 4e-6}
    usd, said = cost(TierPrice(**both), run)
    assert usd == pytest.approx(100e-6 + 8e-6)
    assert "80 % of those in came from its cache, charged like the others" in said
    usd, said = cost(TierPrice(**both, usd_per_cached_input_token=1e-7), run)
    assert usd == pytest.approx(20e-6 + 8e-6 + 8e-6)
    assert "80 % of those in came from its cache, at $1e-07 each" in said


def test_nothing_is_said_of_a_cache_that_was_not_used() -> None:
    price = TierPrice(usd_per_input_token=1e-6, usd_per_output_token=4e-6)
    _, said = cost(price, answered({"prompt_tokens": 9, "completion_tokens": 1}))
    assert "cache" not in said


def test_answers_without_usage_are_not_reused_where_tokens_are_paid_for() -> None:
    tier = RemoteTier(name="a", kind="openai", url="http://h", model="m")
    assert answers_about(tier) != answers_about(
        RemoteTier(name="a", kind="openai", url="http://h", model="m", by_token=False)
    )
