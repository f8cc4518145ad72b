"""What the user says that a tier costs: one basis, each price that it needs, each of a plausible size."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from farthing.errors import InputError
from farthing.load.prices.by_use import MOST_USD, beyond
from farthing.load.written_numbers import cell_number, plainly

__all__ = ["PRICE_KEYS", "TierPrice", "missing_token_price", "read_flag_price", "read_tier_price"]

_REQUEST, _SECOND = "usd_per_request", "usd_per_second"
_IN, _OUT, _CACHED = "usd_per_input_token", "usd_per_output_token", "usd_per_cached_input_token"
_BASES = {_REQUEST: "request", _SECOND: "second", _IN: "token", _OUT: "token", _CACHED: "token"}
PRICE_KEYS = tuple(_BASES)
"""Keys of a tier's prices in a ``tiers.yaml``."""
_MOST_USD = {_REQUEST: 1.0, _SECOND: 0.1, _IN: MOST_USD[_IN], _OUT: MOST_USD[_OUT], _CACHED: MOST_USD[_IN]}
"""Looser by request than for functions: an end point may be slow and dear. 0.1 $ a second are 360 $ an hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TierPrice:
    """What the user says that a tier costs, on one basis: by request, by second or by token.

    Attributes:
        usd_per_request: Of each request, > 0.
        usd_per_second: Of each second that it works, > 0.
        usd_per_input_token: Of a token in, > 0.
        usd_per_output_token: Of a token out, > 0; there with ``usd_per_input_token``, or both are None.
        usd_per_cached_input_token: Of a token in that the provider had in its cache; None for the price of any other.

    Raises:
        ValueError: for several bases, or a price of tokens without the others that it needs.
    """

    usd_per_request: float | None = None
    usd_per_second: float | None = None
    usd_per_input_token: float | None = None
    usd_per_output_token: float | None = None
    usd_per_cached_input_token: float | None = None

    def __post_init__(self) -> None:
        given = [f.name for f in fields(self) if getattr(self, f.name) is not None]
        problem = _other_basis(given) or missing_token_price(given)
        if problem:
            raise ValueError(f"a tier's price {problem}: {self}")

    @property
    def by_token(self) -> bool:
        """Whether tokens are paid for."""
        return self.usd_per_input_token is not None

    @property
    def given(self) -> bool:
        """Whether anything was said."""
        return self != TierPrice()


def missing_token_price(given: list[str]) -> str | None:
    """What prices of tokens lack, as ``has A and no B``; None where they are whole, or where there are none.

    Args:
        given: Keys of the prices that are there.
    """
    has = next((key for key in (_IN, _OUT, _CACHED) if key in given), None)
    lacks = next((key for key in (_IN, _OUT) if key not in given), None)
    return None if has is None or lacks is None else f"has {has} and no {lacks}"


def _other_basis(given: list[str]) -> str | None:
    """The first two keys of different bases, as ``has A and B``; None where there is one basis at most."""
    other = next((key for key in given if _BASES[key] != _BASES[given[0]]), None)
    return None if other is None else f"has {given[0]} and {other}"


def read_tier_price(entry: Mapping[str, Any], where: str) -> TierPrice:
    """The price in a tier's keys; one without any where none is there.

    Args:
        entry: Keys and values of the tier.
        where: Of the tier, for messages.

    Raises:
        InputError: when a price is no amount > 0 or of another size than prices are, for several bases, when one that
            is needed is missing, and for cached tokens dearer than others.
    """
    given = [key for key in PRICE_KEYS if key in entry]
    if several := _other_basis(given):
        raise InputError(
            f"{where} {several}; a tier is paid on one basis: by request, by second or by token",
            hint="keep the one that the bill counts",
        )
    price = {key: _sized(_usd(entry[key], f"{where}.{key}"), key, f"{where}.{key}") for key in given}
    if _CACHED in price:
        _check_cached(price[_CACHED], price.get(_IN), where)
    if missing := missing_token_price(given):
        raise InputError(
            f"{where} {missing}; a missing price is never taken as 0",
            hint="both directions are charged: write the price of a token in, and that of a token out",
        )
    return TierPrice(**price)


def read_flag_price(amount: str, per: str, name: str) -> TierPrice:
    """The price in ``--price NAME=AMOUNT/PER``, ``PER`` being ``request``, ``second`` or ``Mtoken`` (in and out alike).

    Raises:
        InputError: when it is no amount > 0, or of another size than prices are.
    """
    flag = f"--price {name}"
    usd = _usd(amount, flag)
    if per != "Mtoken":
        key = f"usd_per_{per}"
        return TierPrice(**{key: _sized(usd, key, flag, f" a {per}")})
    most_usd = 1e6 * _MOST_USD[_IN]
    if usd > most_usd:
        raise InputError(
            f"{flag} is {usd:g} USD a million tokens; at most {most_usd:g} is plausible",
            hint="/Mtoken is the price of a million tokens in US dollars, not in cents",
        )
    return TierPrice(usd_per_input_token=usd / 1e6, usd_per_output_token=usd / 1e6)


def _check_cached(cached: float, usual: float | None, where: str) -> None:
    if usual is None or cached > usual:
        than = f"there is no {_IN}" if usual is None else f"{_IN} is {usual:g}"
        raise InputError(f"{where}.{_CACHED} is {cached:g}, and {than}; cached tokens cost no more than others")


def _sized(usd: float, key: str, where: str, of: str = "") -> float:
    found = beyond(key, usd, _MOST_USD[key])
    if found:
        raise InputError(f"{where} is {found[0].replace(' USD', f' USD{of}', 1)}", hint=found[1])
    return usd


def _usd(value: object, key: str) -> float:
    usd = cell_number(value.strip().removeprefix("$")) if isinstance(value, str) else value
    if isinstance(usd, bool) or not isinstance(usd, (int, float)) or not 0 < usd < math.inf:
        meant = plainly(value) if isinstance(value, str) else None
        hint = f"did you mean {meant}? a point marks decimals" if meant else "a free tier has no place in a price"
        raise InputError(f"{key} is {value!r}; it must be US dollars > 0", hint=hint)
    return float(usd)
