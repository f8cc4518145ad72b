"""A study of autoscaling rules for programs."""

from __future__ import annotations

from typing import Any

from farthing.codec import to_plain
from farthing.core.simulation.rules.study import Judged, Study

__all__ = ["plain_study"]


def plain_study(found: Study) -> dict[str, Any]:
    """Nothing rounded; decisions are left out."""
    return {
        "attainment_frac": found.attainment_frac,
        "requests": found.requests,
        "length_s": found.length_s,
        "rate_rps": found.replica.rate_rps,
        "slower": found.replica.slower,
        "clairvoyant_usd_per_month": found.clairvoyant_usd_per_month,
        "rules": [_rule(one) for one in found.judged],
    }


def _rule(one: Judged) -> dict[str, Any]:
    return {
        "name": one.outcome.name,
        "knob": one.tuned.family.knob,
        "value": one.tuned.value,
        "keeps": one.keeps,
        "usd_per_month": to_plain(one.outcome.usd_per_month),
        "attainment_frac": to_plain(one.outcome.attainment_frac),
        "runs": [{key: value for key, value in to_plain(run).items() if key != "changes"} for run in one.outcome.runs],
        "assumed": list(one.outcome.assumed),
    }
