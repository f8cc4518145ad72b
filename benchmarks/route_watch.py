"""The watch of a route: false alarms on streams that do not change, and what is lost until a drift is found.

    python benchmarks/route_watch.py [--demo demo-route] [--streams 1000]

Made-up streams always; with ``--demo`` CLINC150 too, as ``make route-demo`` left it (minutes to distil and ask once).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from farthing.core.route.routes import Monitoring
from farthing.core.stats.intervals import proportion
from farthing.nouns import Estimate
from figures import emit
from routing.watched import Drift, Seen, World, drawn, streams
from routing.worlds import SURE, TYPOS, UNSURE, tied, usual

REQUESTS, ONSET = 20_000, 10_000
LIMIT = 0.005
CALIBRATED = 3_000
FALSE_ALARM = 0.05
DRIFTED = 200
"""Streams of each drift."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--demo", type=Path)
    parser.add_argument("--streams", type=int, default=1000)
    args = parser.parse_args()
    made_up(args.streams)
    if args.demo is not None:
        clinc(args.demo, args.streams)


def made_up(repeats: int) -> None:
    """Streams whose losses are known."""
    rng, m = np.random.default_rng(0), Monitoring(alarm_loss_frac=LIMIT)
    for name, world in (
        ("loss as calibrated, 0.35 %", usual(0.0035)),
        ("loss at the limit", usual(LIMIT)),
        ("loss as calibrated, eleven scores", tied(0.0035)),
    ):
        undrifted(f"watch/made up/{name}", world, m, rng, repeats)
    before = usual(0.0035)
    for name, other, share, audit_frac in (
        ("unknown class, 10 % of requests", UNSURE, 0.1, 0.02),
        ("unknown class, 20 % of requests", UNSURE, 0.2, 0.02),
        ("typos, 30 % of requests", TYPOS, 0.3, 0.02),
        ("unknown class that scores do not show, 5 %", SURE, 0.05, 0.02),
        ("unknown class that scores do not show, 5 %, 5 % audited", SURE, 0.05, 0.05),
        ("unknown class that scores do not show, 10 %, 5 % audited", SURE, 0.1, 0.05),
    ):
        drift = Drift(usual=before, other=other, share=share, onset=ONSET)
        watched = Monitoring(alarm_loss_frac=LIMIT, audit_frac=audit_frac)
        drifted(f"watch/made up/{name}", drift, before, watched, rng, min(repeats, DRIFTED), limit=LIMIT)


def clinc(demo: Path, repeats: int) -> None:
    """CLINC150: intents that the cheap tiers never saw, slips of the finger."""
    from routing.drift import kinds_of, read_kinds, write_kinds

    kept = demo / "watch.npz"
    if not kept.is_file():
        write_kinds(kinds_of(demo), kept)
    kinds, rng = read_kinds(kept), np.random.default_rng(1)
    m = Monitoring(alarm_loss_frac=kinds.alarm_loss_frac, audit_frac=kinds.audit_frac)
    before = drawn(kinds.usual)
    undrifted("watch/CLINC150/no drift", before, m, rng, repeats)
    for name, other, share in (
        ("intents never seen, 10 % of requests", kinds.unseen, 0.1),
        ("intents never seen, 30 % of requests", kinds.unseen, 0.3),
        ("typos, 30 % of requests", kinds.typos, 0.3),
    ):
        drift = Drift(usual=before, other=drawn(other), share=share, onset=ONSET)
        drifted(f"watch/CLINC150/{name}", drift, before, m, rng, min(repeats, DRIFTED), limit=LIMIT)


def undrifted(figure: str, world: World, m: Monitoring, rng: np.random.Generator, repeats: int) -> None:
    """Share of streams with any alarm, and what audits they took."""
    seen = streams(world, world, m, rng, n=REQUESTS, repeats=repeats, calibrated=CALIBRATED)
    rate = proportion(sum(s.alarm is not None for s in seen), repeats, 0.99)
    emit(f"{figure}/false alarms", rate.value, rate.lo, rate.hi, "frac", "≤ 0.05", rate.value <= FALSE_ALARM)
    audited = sum(s.audits for s in seen) / sum(s.below for s in seen)
    emit(f"{figure}/answers audited", audited, None, None, "frac of those below the reference", None, None)


def drifted(
    figure: str, world: World, before: World, m: Monitoring, rng: np.random.Generator, repeats: int, *, limit: float
) -> None:
    """Share of streams that fell back in time; requests and losses from the onset to the alarm."""
    seen = streams(world, before, m, rng, n=REQUESTS, repeats=repeats, calibrated=CALIBRATED)
    whole = _share(seen, lambda s: s.lost <= 2 * limit * REQUESTS)
    running = _share(seen, lambda s: s.alarm is not None and s.lost <= 2 * limit * s.after)
    target = f"≤ {2 * limit * REQUESTS:.0f} lost of {REQUESTS:,}"
    emit(
        f"{figure}/fallen back before twice the limit",
        whole.value,
        whole.lo,
        whole.hi,
        "frac",
        target,
        whole.value == 1,
    )
    emit(f"{figure}/… of the requests so far", running.value, running.lo, running.hi, "frac", None, None)
    found = [s for s in seen if s.alarm is not None and s.after > ONSET]
    if found:
        delays, lost = [s.after - ONSET for s in found], [s.lost for s in found]
        for name, values in (("requests from onset to alarm", delays), ("lost until the alarm", lost)):
            emit(
                f"{figure}/{name}",
                *np.quantile(values, [0.5, 0.05, 0.95]).tolist(),
                "median and 90 % range",
                None,
                None,
            )
        by_score = sum(s.alarm is not None and s.alarm.kind == "score" for s in found) / len(found)
        emit(f"{figure}/alarms by score", by_score, None, None, "frac", None, None)


def _share(seen: Sequence[Seen], good: Callable[[Seen], bool]) -> Estimate:
    return proportion(sum(good(s) for s in seen), len(seen), 0.99)


if __name__ == "__main__":
    main()
