"""Words and signs that all surfaces share: verdicts, names made safe, terms and prices of offers."""

from __future__ import annotations

import unicodedata

from farthing.nouns import Offer, Outcome, Term

__all__ = ["MARKS", "USUAL_CONFIDENCE", "WORDS", "offer_price", "printable", "term_name"]

USUAL_CONFIDENCE = 0.95
"""Of intervals of which nothing else is said."""
MARKS: dict[Outcome, str] = {"met": "✔", "not_met": "✘", "unproven": "?"}
"""The sign before a verdict; the words after it say the same."""

WORDS: dict[Outcome, str] = {"met": "met", "not_met": "not met", "unproven": "unproven"}


def printable(name: str) -> str:
    """A name with control and formatting characters made visible, so that none reaches a terminal."""
    return "".join(c if unicodedata.category(c)[0] != "C" else c.encode("unicode_escape").decode() for c in name)


def term_name(term: Term) -> str:
    """``on demand``, ``reserved 1 year``, ``spot`` and so on."""
    years = {"reserved_1y": "reserved 1 year", "reserved_3y": "reserved 3 years"}
    return years.get(term, term.replace("_", " "))


def offer_price(offer: Offer) -> str:
    """What an offer costs in its own units: ``$0.1008/h``, ``$0.20 per M requests``."""
    rates = (
        (offer.usd_per_hour, 1.0, "/h"),
        (offer.usd_per_request, 1e6, " per M requests"),
        (offer.usd_per_gib_s, 3600.0, " per GiB-hour"),
        (offer.usd_per_input_token, 1e6, " per M input tokens"),
        (offer.usd_per_output_token, 1e6, " per M output tokens"),
    )
    return " + ".join(_rate(usd * scale) + unit for usd, scale, unit in rates if usd is not None)


def _rate(usd: float) -> str:
    text = f"{usd:,.6f}".rstrip("0")
    whole, _, decimals = text.partition(".")
    return f"${whole}.{decimals.ljust(2, '0')}"
