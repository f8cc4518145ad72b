"""What is paid up front is a part of the effective price of an hour: that price cannot be below it."""

from __future__ import annotations

from farthing.nouns import Offer

__all__ = ["misread_upfront"]

_TERM_HOURS = {"reserved_1y": 8760.0, "reserved_3y": 3 * 8760.0}
_WITHOUT_LENGTH = ("on_demand", "spot", "serverless", "per_token")
_ROUNDING_FRAC = 1e-3
"""Sources round the share."""


def misread_upfront(offer: Offer) -> tuple[str, str] | None:
    """Tell when an up-front payment is not in the price of an hour, or belongs to a term that has no end.

    Returns:
        What is wrong, with value and limit, and a hint; None when nothing is.
    """
    if not offer.upfront_usd:
        return None
    if offer.term in _WITHOUT_LENGTH:
        said = (
            f"upfront_usd is {offer.upfront_usd:g} under {offer.term}, which has no length that it could be spread over"
        )
        return said, "its term is reserved_1y or reserved_3y; else leave it out"
    hours, hourly = _TERM_HOURS.get(offer.term), offer.usd_per_hour
    if hours is None or hourly is None:
        return None
    share = offer.upfront_usd / hours
    if hourly >= share * (1 - _ROUNDING_FRAC):
        return None
    return (
        f"usd_per_hour is {hourly:g}, and the up-front part alone is {share:.4g} ({offer.upfront_usd:g} USD over "
        f"{hours:,.0f} h); usd_per_hour is the effective price, up-front part included",
        f"write {hourly + share:.4g} ({hourly:g} + {share:.4g}) if {hourly:g} is what is paid by the hour beside it",
    )
