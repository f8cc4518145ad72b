"""What an offer costs. A price that is missing raises; it never becomes zero."""

from __future__ import annotations

from farthing.errors import PriceError
from farthing.nouns import HOURS_PER_MONTH, Offer

__all__ = ["usd_per_hour", "usd_per_million_requests", "usd_per_month"]

_MILLION = 1e6


def usd_per_hour(offer: Offer) -> float:
    """Price of one replica for an hour in USD, any up-front part spread over the term.

    Raises:
        PriceError: when the offer is not priced by the hour.
    """
    return _required(offer, offer.usd_per_hour, "price by the hour")


def usd_per_month(offer: Offer, replicas: float) -> float:
    """``replicas · usd_per_hour · 730`` in USD.

    Args:
        offer: Priced by the hour.
        replicas: Running all month, ≥ 0; an average over the month may be a fraction.

    Raises:
        PriceError: when the offer is not priced by the hour.
        ValueError: when ``replicas`` is negative.
    """
    if not replicas >= 0:
        raise ValueError(f"replicas must be ≥ 0, is {replicas}")
    return replicas * usd_per_hour(offer) * HOURS_PER_MONTH


def usd_per_million_requests(
    offer: Offer,
    *,
    seconds_per_request: float | None = None,
    memory_gib: float | None = None,
    input_tokens: float | None = None,
    output_tokens: float | None = None,
) -> float:
    """Price of a million requests in USD for the terms that are paid by use.

    Serverless: ``10⁶ · (usd_per_request + seconds · GiB · usd_per_gib_s)``.
    Per token: ``10⁶ · (input · usd_per_input_token + output · usd_per_output_token)``.

    Args:
        offer: Of term ``serverless`` or ``per_token``.
        seconds_per_request: Serverless: billed duration of a request, > 0.
        memory_gib: Serverless: memory it is billed for, > 0.
        input_tokens: Per token: mean tokens in, ≥ 0.
        output_tokens: Per token: mean tokens out, ≥ 0.

    Raises:
        PriceError: when the term is paid by the hour or the offer lacks a price that is needed.
        ValueError: when a quantity that the term needs is not given or negative.
    """
    if offer.term == "serverless":
        gib_s = _quantity("seconds_per_request", seconds_per_request) * _quantity("memory_gib", memory_gib)
        request = _required(offer, offer.usd_per_request, "price for each request")
        return _MILLION * (request + gib_s * _required(offer, offer.usd_per_gib_s, "price for each GiB-second"))
    if offer.term == "per_token":
        tokens_in = _quantity("input_tokens", input_tokens)
        tokens_out = _quantity("output_tokens", output_tokens)
        usd_in = tokens_in * _required(offer, offer.usd_per_input_token, "price by input token") if tokens_in else 0.0
        usd_out = (
            tokens_out * _required(offer, offer.usd_per_output_token, "price by output token") if tokens_out else 0.0
        )
        return _MILLION * (usd_in + usd_out)
    raise PriceError(
        f"{offer.key} is paid by the hour, not by request",
        hint="what a request costs there depends on the trace: it is priced hour by hour",
    )


def _required(offer: Offer, price: float | None, what: str) -> float:
    if price is None:
        raise PriceError(
            f"{offer.key} has no {what} (source: {offer.source}, {offer.dated})",
            hint="`farthing prices show` lists the terms of an offer; `farthing prices import FILE` adds your own",
        )
    return price


def _quantity(name: str, value: float | None) -> float:
    if value is None or not value >= 0:
        raise ValueError(f"{name} must be given and ≥ 0, is {value}")
    return value
