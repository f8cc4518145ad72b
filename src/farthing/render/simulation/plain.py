"""A study of autoscaling rules for programs."""

from __future__ import annotations

from typing import Any

from farthing.codec import to_plain
from farthing.core.simulation.rules.compared import RuleOutcome
from farthing.core.simulation.rules.study import Judged, Study
from farthing.core.simulation.spot.study import SpotStudy

__all__ = ["plain_study"]


def plain_study(found: Study, spot: SpotStudy | None = None) -> dict[str, Any]:
    """Nothing rounded; decisions are left out."""
    return {
        **({} if spot is None else {"spot": _spot(spot)}),
        "attainment_frac": found.attainment_frac,
        "requests": found.requests,
        "length_s": found.length_s,
        "rate_rps": found.replica.rate_rps,
        "slower": found.replica.slower,
        "clairvoyant": None if found.clairvoyant is None else _outcome(found.clairvoyant),
        "rules": [_rule(one) for one in found.judged],
    }


def _spot(found: SpotStudy) -> dict[str, Any]:
    return {
        "rule": found.rule,
        "zones": [history.zone for history in found.market.histories],
        "usd_per_hour": found.market.usd_per_hour,
        "notice_s": found.market.reclaiming.notice_s,
        "floor_frac": found.floor_frac,
        "spare": found.spare,
        "ways": [to_plain(run) | {"saving_frac": found.saving_frac(run)} for run in found.runs],
        "said": list(found.said),
    }


def _rule(one: Judged) -> dict[str, Any]:
    return {
        "name": one.outcome.name,
        "settings": dict(one.tuned.values),
        "keeps_where_tuned": one.tuned.keeps,
        "keeps": one.keeps,
        **_outcome(one.outcome),
    }


def _outcome(found: RuleOutcome) -> dict[str, Any]:
    return {
        "usd_per_month": to_plain(found.usd_per_month),
        "attainment_frac": to_plain(found.attainment_frac),
        "runs": [{key: value for key, value in to_plain(run).items() if key != "changes"} for run in found.runs],
        "assumed": list(found.assumed),
    }
