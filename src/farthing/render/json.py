"""Plans and prices for programs: the same facts as the report, nothing rounded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from farthing.codec import to_plain
from farthing.errors import FarthingError
from farthing.nouns import Measurement, Offer, Plan, Profile

__all__ = ["error_json", "offers_json", "plan_json", "profile_json"]

PLAN_SCHEMA = "farthing/plan/1"
PROFILE_SCHEMA = "farthing/profile/1"
OFFERS_SCHEMA = "farthing/offers/1"
ERROR_SCHEMA = "farthing/error/1"


def plan_json(plan: Plan) -> dict[str, Any]:
    """The plan as dicts, lists, strings and numbers, its schema first; infinite ends are ``"inf"`` and ``"-inf"``."""
    return {"schema": PLAN_SCHEMA, **to_plain(plan)}


def profile_json(profiles: Sequence[Profile], measurements: Sequence[Measurement] = ()) -> dict[str, Any]:
    """Profiles and the measurements beside them."""
    return {
        "schema": PROFILE_SCHEMA,
        "profiles": [to_plain(p) for p in profiles],
        "measurements": [to_plain(m) for m in measurements],
    }


def offers_json(offers: Sequence[Offer]) -> dict[str, Any]:
    """Offers, each with its ``key``."""
    return {"schema": OFFERS_SCHEMA, "offers": [{"key": o.key, **to_plain(o)} for o in offers]}


def error_json(problem: FarthingError) -> dict[str, Any]:
    """What went wrong: the kind of error, its message and its hint."""
    return {"schema": ERROR_SCHEMA, "error": type(problem).__name__, "message": problem.message, "hint": problem.hint}
