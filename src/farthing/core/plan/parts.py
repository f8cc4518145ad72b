"""A plan as plain data in two parts: what a reviewer reads, and the evidence, which goes into files beside it.

Nothing is said twice: what is in one part is not in the other, and the two make the plan again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from farthing.codec import to_sparse
from farthing.nouns import Plan

__all__ = ["EVIDENCE", "parted", "whole"]

Plain = dict[str, Any]

EVIDENCE: Mapping[str, tuple[str, ...]] = {
    "candidates": ("evaluations", "artefacts"),
    "hours": ("hourly", "utilisations", "fixed_fleet", "idle_options"),
    "profiles": ("profiles",),
    "elsewhere": ("elsewhere",),
}
"""Parts of the evidence, and the fields of a :class:`farthing.nouns.Plan` that each of them holds."""
_DETAILS = ("service_ms", "single", "load_s", "first_inference_s", "quantiles_ms")
_NAMED: Mapping[str, tuple[str, ...]] = {
    "baseline": ("accuracy", "usd_per_million", "artefact", *_DETAILS),
    "chosen": _DETAILS,
    "nearest": _DETAILS,
}
"""Candidates that stand in the head, and what of them is evidence."""
_SAME = "same_as"


def parted(plan: Plan) -> tuple[Plain, dict[str, Plain]]:
    """The plan's head, and its evidence by part; floats have ten digits, fields with their default are left out.

    Candidates that stand in the head (baseline, chosen, nearest) are named there by ``same_as``; their details are
    evidence.
    """
    head: Plain = to_sparse(plan)
    evidence = {part: {name: head.pop(name) for name in fields if name in head} for part, fields in EVIDENCE.items()}
    named = {name: head[name] for name in _NAMED if head.get(name) is not None}
    candidates = evidence["candidates"]
    candidates["evaluations"] = [_named(e, named) for e in candidates.get("evaluations", ())]
    candidates["details"] = {name: {k: e[k] for k in _NAMED[name] if k in e} for name, e in named.items()}
    head |= {name: {k: v for k, v in e.items() if k not in _NAMED[name]} for name, e in named.items()}
    return head, evidence


def _named(evaluation: Plain, named: Mapping[str, Plain]) -> Plain:
    name = next((name for name, e in named.items() if e == evaluation), None)
    return evaluation if name is None else {_SAME: name}


def whole(head: Mapping[str, Any], evidence: Mapping[str, Mapping[str, Any]]) -> Plain:
    """What :func:`parted` took apart.

    Raises:
        KeyError: when a part names a candidate that the head has not.
        TypeError, ValueError, AttributeError: when a part has not the form that was written.
    """
    details = evidence["candidates"].get("details", {})
    found: Plain = {**head}
    found |= {name: {**head[name], **more} for name, more in details.items()}
    for part, fields in EVIDENCE.items():
        found |= {name: evidence[part][name] for name in fields if name in evidence[part]}
    found["evaluations"] = [found[e[_SAME]] if _SAME in e else e for e in found["evaluations"]]
    return found
