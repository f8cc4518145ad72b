"""Names and regions that nobody would find: blanks or invisible characters within, other case than is known."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from farthing.nouns import Offer

__all__ = ["Spellings", "unfindable"]

_PRINTABLE = re.compile(r"[!-~]")
_HOST = re.compile(r"(azure/[!-~]+?) ?_?Type ?\d+")
"""Azure's dedicated hosts: ``DCadsv5 Type 1``."""
_HINT = "names are printable ASCII without blanks: write the name that you will ask for"


def unfindable(offer: Offer) -> Iterator[tuple[str, str]]:
    """Words of an offer that are looked up, and could not be found: each what is wrong, and a hint."""
    host = _HOST.fullmatch(offer.name)
    words = [("name", offer.name if host is None else host[1]), ("region", offer.region)]
    words += [("isa", flag) for flag in offer.hardware.isa] + [("arch", offer.hardware.arch or "-")]
    for key, word in words:
        wrong = next((c for c in word if not _PRINTABLE.fullmatch(c)), None)
        if wrong is not None:
            within = "a blank" if wrong == " " else f"the character U+{ord(wrong):04X}"
            yield f"{key} is {word!a}, with {within} within", _HINT
    if not all(offer.name.split("/")):
        yield f"name is {offer.name!r}, with nothing beside a slash", "write provider/instance, like aws/m7i.large"


class Spellings:
    """How providers, instances and regions are written.

    Args:
        offers: Those whose spelling holds first.
    """

    def __init__(self, offers: Iterable[Offer]) -> None:
        self._known: dict[tuple[str, ...], str] = {}
        for offer in offers:
            for key, _, word in _words(offer):
                self._known.setdefault(key, word)

    def other_case(self, offer: Offer) -> Iterator[tuple[str, str]]:
        """Words of an offer that differ from a known one in case alone: the first, and a hint."""
        for key, what, word in _words(offer):
            known = self._known.get(key, word)
            if known != word:
                yield f"{what} is {word!a}, which differs from {known} in case alone", f"write {known}"
                return


def _words(offer: Offer) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Key without case, what it is, and the word: of the name, its provider and the region."""
    provider, _, _ = offer.name.partition("/")
    yield ("name", offer.name.casefold()), "name", offer.name
    yield ("provider", provider.casefold()), "provider", provider
    yield ("region", provider.casefold(), offer.region.casefold()), "region", offer.region
