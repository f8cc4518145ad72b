"""How large a price can be that is paid by use: the price of a million, written as that of one, is beyond it."""

from __future__ import annotations

from collections.abc import Iterator

from farthing.nouns import Offer

__all__ = ["MOST_USD", "beyond", "beyond_use"]

MOST_USD = {
    "usd_per_request": 0.01,
    "usd_per_gib_s": 1e-3,
    "usd_per_input_token": 1e-3,
    "usd_per_output_token": 2e-3,
}
"""Most that an offer costs. Functions take about 10⁻⁶ $ a request and 10⁻⁵ $ a GiB-second, the dearest models $150 a
million tokens in and $600 a million out."""
_HOUR_S = 3600.0
_MILLION = 1e6


def beyond(key: str, usd: float, most_usd: float) -> tuple[str, str] | None:
    """Tell when a price is larger than any of its kind.

    Args:
        key: ``usd_per_request``, ``usd_per_second`` …
        usd: The price, > 0.
        most_usd: Limit.

    Returns:
        What is wrong, with value and limit, and a hint; None when nothing is.
    """
    if usd <= most_usd:
        return None
    of, many = ("an hour", _HOUR_S) if key == "usd_per_second" else ("a million", _MILLION)
    return (
        f"{usd:g} USD; at most {most_usd:g} is plausible",
        f"is that the price of {of}? that of one is {usd / many:g}",
    )


def beyond_use(offer: Offer) -> Iterator[tuple[str, str]]:
    """Prices of an offer that are larger than any of their kind: each what is wrong, and a hint."""
    for key, most_usd in MOST_USD.items():
        usd = getattr(offer, key)
        found = None if usd is None else beyond(key, usd, most_usd)
        if found:
            yield f"{key} is {found[0]}", found[1]
