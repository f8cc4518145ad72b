"""A missing price raises, a present one is multiplied out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from farthing.core.money.price import usd_per_hour, usd_per_million_requests, usd_per_month
from farthing.errors import PriceError
from farthing.nouns import Offer

OfferMaker = Callable[..., Offer]


def test_by_the_hour_and_month(offer: OfferMaker) -> None:
    assert usd_per_hour(offer()) == 0.1
    assert usd_per_month(offer(), 3) == pytest.approx(219.0)
    assert usd_per_month(offer(), 0) == 0
    with pytest.raises(ValueError, match="replicas must be ≥ 0, is -1"):
        usd_per_month(offer(), -1)


def test_no_hourly_price_raises(offer: OfferMaker) -> None:
    per_token = offer("per_token", None, usd_per_input_token=1e-6)
    with pytest.raises(PriceError, match=r"test/machine@here:per_token has no price by the hour") as caught:
        usd_per_hour(per_token)
    assert caught.value.hint is not None


def test_serverless(offer: OfferMaker) -> None:
    lambdas = offer("serverless", None, usd_per_request=2e-7, usd_per_gib_s=1.6667e-5)
    assert usd_per_million_requests(lambdas, seconds_per_request=0.1, memory_gib=2) == pytest.approx(0.2 + 3.3334)
    with pytest.raises(ValueError, match="memory_gib must be given"):
        usd_per_million_requests(lambdas, seconds_per_request=0.1)
    with pytest.raises(PriceError, match="price for each request"):
        usd_per_million_requests(offer("serverless", None, usd_per_gib_s=1e-5), seconds_per_request=0.1, memory_gib=1)


def test_per_token(offer: OfferMaker) -> None:
    tokens = offer("per_token", None, usd_per_input_token=1e-6, usd_per_output_token=4e-6)
    assert usd_per_million_requests(tokens, input_tokens=500, output_tokens=100) == pytest.approx(900)
    embedding = offer("per_token", None, usd_per_input_token=1e-7)
    assert usd_per_million_requests(embedding, input_tokens=100, output_tokens=0) == pytest.approx(10)
    with pytest.raises(PriceError, match="price by output token"):
        usd_per_million_requests(embedding, input_tokens=100, output_tokens=1)
    with pytest.raises(ValueError, match="input_tokens must be given and ≥ 0, is -1"):
        usd_per_million_requests(embedding, input_tokens=-1, output_tokens=0)


def test_hourly_offers_have_no_price_by_request(offer: OfferMaker) -> None:
    with pytest.raises(PriceError, match="paid by the hour"):
        usd_per_million_requests(offer())
