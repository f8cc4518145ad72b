"""What a followed route is watched by: its loss on audited requests, and how its scores fall. Step functions, no clock.

An audit asks the reference too, for comparison only. Nobody knows the right answer live, so that the loss is
*disagreement with the reference's answer*: it bounds the loss of accuracy from above, since only an answer that
differs can be wrong where the reference is right. Tests: the mean loss over all requests exceeds the alarm's level
(:mod:`farthing.core.route.watching.losses`); a score no longer falls as in calibration
(:mod:`farthing.core.route.watching.scores`). Each alarm has its part of one error budget, so that the probability of
ever raising any false one is at most ``false_alarm``, however long the route is followed and however often one looks.

Audits cost what the reference costs, so that few are made until one shows a difference, then many for a short while:
the share is fixed before each request is drawn, from what is past, and each loss is weighted by it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from farthing.core.numerals import number
from farthing.core.route.routes import Monitoring
from farthing.core.route.watching.losses import LossState, LossTest, begin_loss, loss_estimate, observe_loss
from farthing.core.route.watching.scores import ScoreState, ScoreTest, begin_scores, furthest, observe_scores

__all__ = [
    "Alarm",
    "Watch",
    "WatchState",
    "audit_frac_of",
    "begin",
    "counted",
    "expected_audit_frac",
    "observe_audits",
    "observe_score",
    "watch_of",
    "would_count",
]

_MOST_CLOSER = 100
"""Requests of one closer look."""
_FIRST_ALERT, _ALERTS_APART = 0.02, 4.0
"""A score is suspicious when its evidence first reaches these parts of an alarm's: 2, 8 and 32 %."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What is tested.

    Attributes:
        loss: None where nothing is audited.
        scores: By name, that of the followed policy first.
        audit_frac: Share of answers below the reference to audit.
        closer_frac: Instead of it for ``closer_requests`` after a difference or a suspicion.
        closer_requests: How many.
        false_alarm: Probability of ever raising one.
    """

    loss: LossTest | None
    scores: Mapping[str, ScoreTest]
    audit_frac: float
    closer_frac: float
    closer_requests: int
    false_alarm: float

    @property
    def alpha_of_loss(self) -> float:
        """Part of the error budget that the loss has."""
        if self.loss is None:
            return 0.0
        return self.false_alarm / 2 if self.scores else self.false_alarm

    def alpha_of_score(self, name: str) -> float:
        """Part of it that a score has: half of all scores' for the first one, which is looked at most of the time."""
        rest = self.false_alarm - self.alpha_of_loss
        if len(self.scores) < 2:
            return rest
        return rest / 2 if name == next(iter(self.scores)) else rest / 2 / (len(self.scores) - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """Why a route is not to be followed any longer.

    Attributes:
        kind: What was violated.
        subject: ``loss``, or the score's name.
        after: Requests (of a score: scores) seen by then.
        message: In words.
    """

    kind: Literal["loss", "score"]
    subject: str
    after: int
    message: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WatchState:
    """Where the watch stands.

    Attributes:
        loss: Of the loss, None where nothing is audited.
        scores: Of each score.
        closer_until: Count of requests until which many are audited.
        alerts: Parts of an alarm's evidence at which each score is next suspicious.
        alarm: The first one; it stays.
    """

    loss: LossState | None
    scores: Mapping[str, ScoreState]
    closer_until: int = 0
    alerts: Mapping[str, float] = field(default_factory=dict)
    alarm: Alarm | None = None


def watch_of(monitoring: Monitoring, n: int) -> Watch:
    """The tests that a route asks for.

    Args:
        monitoring: Of the route.
        n: Calibration requests behind its deciles; without any, scores are not watched.

    Raises:
        ValueError: when a number is out of its domain.
    """
    m = monitoring
    if not 0 < m.false_alarm <= 0.5 or not 0 <= m.audit_frac <= 1 or not 0 <= m.closer_frac <= 1:
        raise ValueError(f"monitoring: false_alarm in (0, 0.5], audit_frac and closer_frac in [0, 1] wanted: {m!r}")
    scores = {
        name: ScoreTest(name=name, quantiles=q, below=m.score_below.get(name) or (1.0,) * len(q), n=n)
        for name, q in m.score_quantiles.items()
        if n > 0
    }
    return Watch(
        loss=LossTest(alarm_loss_frac=m.alarm_loss_frac) if m.audit_frac > 0 else None,
        scores=scores,
        audit_frac=m.audit_frac,
        closer_frac=max(m.closer_frac, m.audit_frac),
        closer_requests=_closer_requests(m),
        false_alarm=m.false_alarm,
    )


def _closer_requests(m: Monitoring) -> int:
    if m.closer_requests is not None:
        return m.closer_requests
    return min(_MOST_CLOSER, round(0.5 / m.alarm_loss_frac))


def begin(watch: Watch) -> WatchState:
    """State before the first request."""
    return WatchState(
        loss=None if watch.loss is None else begin_loss(watch.loss),
        scores={name: begin_scores(test) for name, test in watch.scores.items()},
        alerts=dict.fromkeys(watch.scores, _FIRST_ALERT),
    )


def audit_frac_of(watch: Watch, state: WatchState) -> float:
    """Share of the next answers below the reference to audit: fixed by the past alone."""
    if watch.loss is None or state.loss is None:
        return 0.0
    return watch.closer_frac if state.loss.n < state.closer_until else watch.audit_frac


def observe_audits(
    watch: Watch, state: WatchState, audit_frac: Floats, audited: NDArray[np.bool_], loss: Floats
) -> WatchState:
    """Take in the next requests in their order, those that the reference answered included.

    After an alarm nothing changes any more. Arguments as of :func:`~farthing.core.route.watching.losses.observe_loss`.

    Raises:
        ValueError: when a number is out of its domain.
    """
    if watch.loss is None or state.loss is None or state.alarm is not None:
        return state
    seen = observe_loss(watch.loss, state.loss, audit_frac, audited, loss)
    state = replace(state, loss=seen)
    if (audited & (loss > 0)).any():
        state = replace(state, closer_until=seen.n + watch.closer_requests)
    if seen.most < 1 / watch.alpha_of_loss:
        return state
    return replace(state, alarm=Alarm(kind="loss", subject="loss", after=seen.n, message=_of_loss(watch.loss, seen)))


def observe_score(watch: Watch, state: WatchState, name: str, bins: NDArray[np.int64]) -> WatchState:
    """Take in the next values of one score, as bins (:func:`~farthing.core.route.watching.scores.bins_of`).

    After an alarm nothing changes any more; so with a score that is not watched.
    """
    test = watch.scores.get(name)
    if test is None or state.alarm is not None:
        return state
    seen = observe_scores(test, state.scores[name], bins)
    state = replace(state, scores={**state.scores, name: seen})
    part = seen.most * watch.alpha_of_score(name)
    if part >= 1:
        return replace(state, alarm=Alarm(kind="score", subject=name, after=seen.n, message=_of_score(test, seen)))
    if part < state.alerts[name]:
        return state
    alert = state.alerts[name] * _ALERTS_APART ** math.ceil(math.log(part / state.alerts[name], _ALERTS_APART) + 1e-9)
    until = 0 if state.loss is None else state.loss.n + watch.closer_requests
    return replace(state, alerts={**state.alerts, name: alert}, closer_until=max(state.closer_until, until))


def expected_audit_frac(monitoring: Monitoring) -> float:
    """Share of answers audited in the long run while the loss is the calibration's, closer looks included.

    With f the share of requests within a closer look, each difference that is found opens one of the next
    ``closer_requests``: f = 1 − exp(−closer_requests · loss · (audit + f · (closer − audit))).
    """
    m = monitoring
    loss, more = m.calibrated_loss_frac or 0.0, max(m.closer_frac, m.audit_frac) - m.audit_frac
    f, looks = 0.0, _closer_requests(m)
    for _ in range(200):
        f = 1 - math.exp(-looks * loss * (m.audit_frac + f * more))
    return m.audit_frac + f * more if m.audit_frac > 0 else 0.0


def counted(seen: LossState) -> str:
    """How many of the requests the watch of the loss rests on, in words."""
    share = seen.audited_frac
    return f"{seen.audited:,} of {seen.n:,} requests audited" + ("" if share is None else f", {_percent(share)}")


def would_count(monitoring: Monitoring, below: int, n: int, reference: str) -> str:
    """How many of some requests a watch would rest on while the loss is the calibration's, in words.

    Args:
        monitoring: Of the route.
        below: Of the requests, answered below the reference.
        n: All of them.
        reference: Its name.
    """
    share = expected_audit_frac(monitoring)
    if not share:
        return f"while it is served no answer is audited: the watch counts the scores of all {n:,} such requests alone"
    return (
        f"while it is served {_percent(share)} of the answers below {reference} are audited: the watch of the loss "
        f"would compare about {round(share * below):,} of {n:,} such requests, {_percent(share * below / n)}"
    )


def _of_loss(test: LossTest, seen: LossState) -> str:
    found = loss_estimate(test, seen)
    assert found is not None
    said = f"{_percent(found.value)} [{_percent(found.lo)}, {_percent(found.hi)}]"
    return (
        f"answers differ from the reference's on {said} of requests since the watch began, more than "
        f"{_percent(test.alarm_loss_frac)} ({counted(seen)})"
    )


def _of_score(test: ScoreTest, seen: ScoreState) -> str:
    chosen, now, then = furthest(test, seen)
    low, high = chosen[0], chosen[-1]
    if high == test.bins - 1:
        where = f"at least {test.quantiles[low - 1]:.4g}" if low else "anywhere"
    elif low == 0:
        where = f"below {test.quantiles[high]:.4g}"
    else:
        where = f"between {test.quantiles[low - 1]:.4g} and {test.quantiles[high]:.4g}"
    said = f"{now:.0%} of the last requests are {where}, {then:.0%} were then"
    return f"{test.name} no longer falls as in calibration: {said}"


def _percent(frac: float) -> str:
    """Two digits and as many whole ones as there are, ``0.5 %``, ``100 %``."""
    value = 100 * frac
    decimals = 0 if value == 0 else min(6, max(0, 1 - math.floor(math.log10(value))))
    text = number(value, decimals)
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} %"
