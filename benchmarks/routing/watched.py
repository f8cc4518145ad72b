"""Streams of requests under the watch of a route: false alarms while nothing changes, and what a drift costs until then.

A stream is lost once its *cumulative loss* (answers that differ from the reference's, counted from its first request)
has passed twice the limit, 2 · limit · requests of the whole stream. The running form is stricter: at the alarm the loss
so far is at most 2 · limit · requests so far.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farthing.core.route.routes import Monitoring
from farthing.core.route.watching.monitoring import DECILES
from farthing.core.route.watching.scores import bins_of
from farthing.core.route.watching.watch import (
    Alarm,
    Watch,
    audit_frac_of,
    begin,
    observe_audits,
    observe_score,
    watch_of,
)

__all__ = ["Drift", "Requests", "Seen", "World", "drawn", "monitored", "streams", "watched"]

BLOCK = 64
SCORE = "score"

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Requests:
    """Requests as the watch sees them, in their order.

    Attributes:
        score: Deciding score, shape ``(n,)``.
        below: Whether a tier below the reference answered, shape ``(n,)``.
        loss: Whether that answer differs from the reference's; 0 where the reference answered, shape ``(n,)``.
    """

    score: Floats
    below: NDArray[np.bool_]
    loss: Floats

    def of(self, rows: NDArray[np.int64]) -> Requests:
        """Some of them."""
        return Requests(score=self.score[rows], below=self.below[rows], loss=self.loss[rows])


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What came of one stream.

    Attributes:
        alarm: The first one, None when it stayed quiet.
        after: Requests by then, all of them without an alarm.
        lost: Loss by then.
        audits: Made by then.
        below: Requests answered below the reference by then.
    """

    alarm: Alarm | None
    after: int
    lost: float
    audits: int
    below: int


World = Callable[[np.random.Generator, int], Requests]
"""Draws so many requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """From one request on a share of the requests is of another kind.

    Attributes:
        usual: As in calibration.
        other: The new kind.
        share: Of the new kind, in [0, 1].
        onset: Requests before.
    """

    usual: World
    other: World
    share: float
    onset: int

    def __call__(self, rng: np.random.Generator, n: int) -> Requests:
        """Draw a stream."""
        usual, other = self.usual(rng, n), self.other(rng, n)
        new = (rng.random(n) < self.share) & (np.arange(n) >= self.onset)
        return Requests(
            score=np.where(new, other.score, usual.score),
            below=np.where(new, other.below, usual.below),
            loss=np.where(new, other.loss, usual.loss),
        )


def drawn(population: Requests) -> World:
    """Requests drawn from a population with replacement."""
    return lambda rng, n: population.of(rng.integers(len(population.score), size=n))


def monitored(calibration: Requests, monitoring: Monitoring) -> Watch:
    """The watch of a route that was calibrated on some requests."""
    edges = np.quantile(calibration.score, DECILES, method="inverted_cdf")
    less, same = (np.array([f(calibration.score, e).mean() for e in edges]) for f in (np.less, np.equal))
    below = tuple(np.clip((np.array(DECILES) - less) / same, 0, 1).tolist())
    with_scores = Monitoring(
        audit_frac=monitoring.audit_frac,
        alarm_loss_frac=monitoring.alarm_loss_frac,
        false_alarm=monitoring.false_alarm,
        closer_frac=monitoring.closer_frac,
        closer_requests=monitoring.closer_requests,
        score_quantiles={SCORE: tuple(edges.tolist())},
        score_below={SCORE: below},
    )
    return watch_of(with_scores, len(calibration.score))


def watched(watch: Watch, stream: Requests, rng: np.random.Generator) -> Seen:
    """Watch a stream until its end or the first alarm, as the server does: a difference is acted on at once."""
    n, state = len(stream.score), begin(watch)
    bins = bins_of(watch.scores[SCORE], stream.score, rng.random(n))
    coins, start, audits = rng.random(n), 0, 0
    while start < n and state.alarm is None:
        q = audit_frac_of(watch, state)
        stop = min(n, start + BLOCK)
        if state.loss is not None and start < state.closer_until:
            stop = min(stop, state.closer_until)
        part = slice(start, stop)
        audited = stream.below[part] & (coins[part] < q)
        hits = np.flatnonzero(audited & (stream.loss[part] > 0))
        if hits.size:
            stop = start + int(hits[0]) + 1
            part, audited = slice(start, stop), audited[: stop - start]
        state = observe_audits(watch, state, np.full(stop - start, q), audited, stream.loss[part])
        state = observe_score(watch, state, SCORE, bins[part])
        audits += int(audited.sum())
        start = stop
    return Seen(
        alarm=state.alarm,
        after=start,
        lost=float(stream.loss[:start].sum()),
        audits=audits,
        below=int(stream.below[:start].sum()),
    )


def streams(
    world: World,
    usual: World,
    monitoring: Monitoring,
    rng: np.random.Generator,
    *,
    n: int,
    repeats: int,
    calibrated: int,
) -> Sequence[Seen]:
    """Watch many streams, each under a calibration of its own.

    Args:
        world: Draws a stream.
        usual: Draws the requests that are calibrated on.
        monitoring: Of the route, without deciles.
        rng: Source of everything.
        n: Requests of each stream.
        repeats: Streams.
        calibrated: Calibration requests.
    """
    return [watched(monitored(usual(rng, calibrated), monitoring), world(rng, n), rng) for _ in range(repeats)]
