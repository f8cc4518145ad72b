"""Nouns for programs: the same facts as on the screen, nothing rounded."""

from __future__ import annotations

from typing import Any

from farthing.codec import to_plain
from farthing.load.schema import VERSIONS
from farthing.nouns import Plan

__all__ = ["document", "plan_json"]


def document(kind: str, noun: Any) -> dict[str, Any]:
    """A noun, or several of one kind, as dicts, lists, strings and numbers with the schema of its newest version first.

    Args:
        kind: Part of the schema ``farthing/<kind>/<n>``; several nouns stand below it as a key.
        noun: One noun or a sequence of them; infinite numbers become ``"inf"`` and ``"-inf"``.
    """
    plain = to_plain(noun)
    body = plain if isinstance(plain, dict) else {kind: plain}
    return {"schema": f"farthing/{kind}/{VERSIONS.get(kind, 1)}", **body}


def plan_json(plan: Plan) -> dict[str, Any]:
    """The plan as plan.yaml holds it."""
    return document("plan", plan)
